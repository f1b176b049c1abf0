"""RQ-KMeans+: RQ-KMeans codebooks, trained on together with an encoder and a decoder that start as the identity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sid.arrays import Rows, Vectors, rows_of
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.errors import InputError
from sid.params import PathText, Quant, given
from sid.quantizers.base import Fit, Quantizer, Scaling
from sid.quantizers.loading import load
from sid.quantizers.training.config import TrainingConfig

if TYPE_CHECKING:
    from sid.quantizers.residual import ResidualQuantizer
    from sid.quantizers.training.network import Autoencoder


class RQKMeansPlusConfig(TrainingConfig):
    """`quant.rqkmeans_plus`.

    Attributes:
        warm_start: the method that fits the first codebooks, by its own section of `quant`.
        warm_start_file: codebooks to start from instead: this project's .pth or MiniOneRec's .npz; `NOT_GIVEN`
            for none.
        residual_decoder: the decoder, too, adds its input to its output and starts as the identity; else it is
            a plain perceptron that starts from random weights.
    """

    warm_start: Literal["rqkmeans", "rqkmeans_constrained"]
    warm_start_file: PathText
    residual_decoder: bool

    moved: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            name: f"delete it; quant.{name} sets how the warm start is fitted"
            for name in ("rqkmeans", "rqkmeans_constrained")
        }
    )

    @property
    def starts_from(self) -> str | None:
        """The method of `warm_start`, unless a file has the codebooks."""
        return self.warm_start if given(self.warm_start_file) is None else None


def fit(
    vectors: Vectors | Rows,
    quant: Quant,
    config: RQKMeansPlusConfig,
    checkpoints: Path | None = None,
    *,
    warm_start: Quantizer | None = None,
    engine: Engine = LOCAL,
) -> Fit:
    """Train the codebooks of a residual quantizer, an encoder X + MLP(X) before it and a decoder after it.

    Args:
        vectors: (N, D) float32, finite.
        quant: seed and device ('cpu' or 'cuda') are used; e_dim and num_emb_list must be the warm start's.
        config: see there.
        checkpoints: a folder for unfinished trainings; the same call finds its own there and continues from it.
            None keeps nothing.
        warm_start: a ResidualQuantizer, or an RQ-KMeans+, whose codebooks training starts from, in its space;
            None loads `config.warm_start_file`.
        engine: measures the centre and the scale of the rows; one device trains.

    Returns:
        An AutoencoderQuantizer; the curve of `training.train`; figures: `warm_start_mse`, `epochs` trained,
        `best_epoch` that was kept, its `mse`, `r2` and `collision_rate`, and the best by each criterion.

    Raises:
        InputError: e_dim or num_emb_list is not the warm start's, or it has no codebooks in the input's space; NaN or
            Inf in the loss.

    Source: RQ-KMeans+ as MiniOneRec has it, RQ-VAE started from RQ-KMeans by a residual connection; the residual
    decoder is this project's.
    """
    # torch takes a second to import, and checking params.yaml needs this module's config alone
    from sid.quantizers.training import assemble
    from sid.quantizers.training import loop as training
    from sid.quantizers.training.rows import TrainingRows

    given_rows = rows_of(vectors)
    first = _residual(warm_start or _of_file(quant, config), config)
    overall = Scaling.of(given_rows, engine)
    model = _model(quant, config, first, overall)
    rows = TrainingRows(given_rows, first.scaling, quant.device)
    scale = first.scaling.scale
    task = training.Task(
        model,
        rows,
        config,
        quant.method,
        quant.seed,
        kmeans_iters=None,
        mse_unit=scale**2,
        variance=overall.scale**2,
    )
    books = b"".join(book.tobytes() for book in first.codebooks) + first.scaling.mean.tobytes()
    kept = assemble.checkpoints(checkpoints, given_rows, quant, config, books + repr(scale).encode())
    before: dict[str, Any] = {"warm_start_mse": training.evaluate(model, rows)[1] * scale**2}
    return assemble.finish(task, training.train(task, kept), quant, before)


def _of_file(quant: Quant, config: RQKMeansPlusConfig) -> Quantizer:
    file = given(config.warm_start_file)
    if file is None:
        raise ValueError("warm_start: must be a quantizer where the config names no warm_start_file")
    return load(file, quant.device)


def _residual(quantizer: Quantizer, config: RQKMeansPlusConfig) -> ResidualQuantizer:
    """The quantizer, or the codebooks of an RQ-KMeans+, if they are in the space of the input."""
    from sid.quantizers.autoencoder import AutoencoderQuantizer
    from sid.quantizers.residual import ResidualQuantizer

    if isinstance(quantizer, AutoencoderQuantizer) and quantizer.encoder.residual:
        return ResidualQuantizer(quantizer.codebooks, quantizer.scaling, quantizer.method, quantizer.device)
    if not isinstance(quantizer, ResidualQuantizer):
        raise InputError(
            f"{config.warm_start_file}: was fitted by {quantizer.method}, must be codebooks of RQ-KMeans or its "
            "constrained form"
        )
    return quantizer


def start(vectors: Vectors, quant: Quant, config: RQKMeansPlusConfig, warm_start: ResidualQuantizer) -> Any:
    """The AutoencoderQuantizer that training starts from: with a residual decoder the warm start in all it does.

    Args and errors: as `fit`.
    """
    from sid.quantizers.training import assemble

    model = _model(quant, config, warm_start, Scaling.of(vectors))
    return assemble.freeze(model, warm_start.scaling, quant, {})


def _model(quant: Quant, config: RQKMeansPlusConfig, warm_start: ResidualQuantizer, overall: Scaling) -> Autoencoder:
    """Encoder and decoder about the rows' mean and scale within the warm start's space, and its codebooks."""
    import torch

    from sid.quantizers.training import assemble
    from sid.quantizers.training.network import Autoencoder, Frame, Net

    assemble.check(quant, config)
    dim = len(overall.mean)
    _check(dim, quant, config, warm_start)
    scale = warm_start.scaling.scale
    centre = torch.from_numpy((overall.mean - warm_start.scaling.mean) / scale).float()
    frame = Frame(centre, overall.scale / scale)
    widths = [dim, *config.layers, dim]
    with torch.random.fork_rng([]):
        torch.manual_seed(quant.seed)
        encoder = Net(widths, config.dropout_prob, config.bn, frame, residual=True)
        decoder = Net(widths[::-1], config.dropout_prob, config.bn, frame, residual=config.residual_decoder)
    books = [torch.from_numpy(book) for book in warm_start.codebooks]
    return Autoencoder(encoder, books, decoder, config, initialised=True).to(quant.device)


def _check(dim: int, quant: Quant, config: RQKMeansPlusConfig, warm_start: ResidualQuantizer) -> None:
    file = given(config.warm_start_file)
    start = f"quant.{quant.method}.warm_start" if file is None else f"quant.{quant.method}.warm_start_file, {file},"
    problems = []
    if quant.e_dim != dim:
        problems.append(
            f"quant.e_dim is {quant.e_dim}: must be {dim}, the dimension of the embeddings, which is also that of the "
            f"codebooks with quant.method {quant.method}"
        )
    if warm_start.dim != dim:
        problems.append(f"{start} takes vectors of {warm_start.dim} dimensions, the embeddings have {dim}")
    if warm_start.code_sizes != quant.num_emb_list:
        problems.append(
            f"quant.num_emb_list is {list(quant.num_emb_list)} but the codebooks of {start} "
            f"have {list(warm_start.code_sizes)}"
        )
    if problems:
        raise InputError(problems)
