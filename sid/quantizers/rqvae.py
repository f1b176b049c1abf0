"""RQ-VAE: an autoencoder whose latents are coded by residual codebooks, all trained together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sid.arrays import Rows, Vectors, rows_of
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.params import Quant
from sid.quantizers.base import Fit, Quantizer, Scaling
from sid.quantizers.training.config import TrainingConfig

if TYPE_CHECKING:
    from sid.quantizers.training.loop import Task


class RQVAEConfig(TrainingConfig):
    """`quant.rqvae`.

    Attributes:
        kmeans_init: start the codebooks from k-means; else from small random values, as the first VQ-VAEs did.
        kmeans_iters: its Lloyd iterations; 10 to 100 is sane.
        init_epoch: epochs as a plain autoencoder before there are codebooks, so that k-means sees latents that
            mean something.
    """

    kmeans_init: bool
    kmeans_iters: Annotated[int, Field(ge=1, le=10_000)]
    init_epoch: Annotated[int, Field(ge=0, le=1_000_000)]

    @property
    def plain_epochs(self) -> int:
        """Epochs that train encoder and decoder alone."""
        return self.init_epoch

    def conflicts(self, quant: Quant) -> list[str]:
        """Adds to the shared ones that codebooks must get an epoch of training."""
        problems = super().conflicts(quant)
        if self.init_epoch >= self.epochs:
            section = f"quant.{quant.method}"
            problems.append(
                f"{section}.init_epoch is {self.init_epoch}: must be less than {section}.epochs, {self.epochs}"
            )
        return problems


def fit(
    vectors: Vectors | Rows,
    quant: Quant,
    config: RQVAEConfig,
    checkpoints: Path | None = None,
    *,
    warm_start: Quantizer | None = None,
    engine: Engine = LOCAL,
) -> Fit:
    """Train encoder, codebooks and decoder.

    Args:
        vectors: (N, D) float32, finite; N at least the largest of `quant.num_emb_list`.
        quant: num_emb_list, e_dim, seed and device are used; device is 'cpu' or 'cuda'.
        config: see there.
        checkpoints: a folder for unfinished trainings; the same call finds its own there and continues from it.
            None keeps nothing.
        warm_start: an RQ-VAE of these sizes, e_dim and layers, without batch normalisation, which is trained on: there
            are no plain epochs and no k-means.
        engine: measures the centre and the scale of the rows; one device trains.

    Returns:
        An AutoencoderQuantizer; the curve of `training.train`; figures: `epochs` trained, `best_epoch` that was
        kept, its `mse`, `r2` and `collision_rate`, and the best epoch and value by each criterion.

    Raises:
        InputError: NaN or Inf in the loss; `quant` and `config` contradict each other.

    Source: Lee et al., Autoregressive Image Generation using Residual Quantization, CVPR 2022; Rajput et al.,
    Recommender Systems with Generative Retrieval (TIGER), NeurIPS 2023. Inputs are centred and scaled by the
    model, and losses are means over coordinates, so that they are shares of the variance at any dimension.
    """
    from sid.quantizers.training import assemble
    from sid.quantizers.training import loop as training

    rows = rows_of(vectors)
    job = task(rows, quant, config, engine)
    start = b"" if warm_start is None else assemble.load_into(job.model, warm_start, config)
    kept = assemble.checkpoints(checkpoints, rows, quant, config, start)
    return assemble.finish(job, training.train(job, kept), quant)


def task(vectors: Vectors | Rows, quant: Quant, config: RQVAEConfig, engine: Engine = LOCAL) -> Task:
    """What `fit` trains: the rows, and a model of random weights without codebooks yet.

    Args and errors: as `fit`.
    """
    # torch takes a second to import, and checking params.yaml needs this module's config alone
    import torch

    from sid.quantizers.training import assemble
    from sid.quantizers.training.loop import Task
    from sid.quantizers.training.network import Autoencoder, Net
    from sid.quantizers.training.rows import TrainingRows

    assemble.check(quant, config)
    scaling = Scaling.of(vectors, engine)
    with torch.random.fork_rng([]):
        torch.manual_seed(quant.seed)
        widths = [len(scaling.mean), *config.layers, quant.e_dim]
        model = Autoencoder(
            Net(widths, config.dropout_prob, config.bn),
            [torch.empty(size, quant.e_dim).uniform_(-1 / size, 1 / size) for size in quant.num_emb_list],
            Net(widths[::-1], config.dropout_prob, config.bn),
            config,
        ).to(quant.device)
    return Task(
        model,
        TrainingRows(vectors, scaling, quant.device),
        config,
        quant.method,
        quant.seed,
        kmeans_iters=config.kmeans_iters if config.kmeans_init else None,
        mse_unit=scaling.scale**2,
        variance=scaling.scale**2,
    )
