"""The table of methods: name -> (config, fit), and `load` for what any of them saved.

A new method is a module with a config and a `fit`, and a line in METHODS. Importing this module loads no torch:
params.yaml is checked without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sid.arrays import Vectors
from sid.errors import InputError
from sid.params import MethodConfig, Params, Quant, given
from sid.quantizers import rqkmeans, rqkmeans_constrained, rqkmeans_plus, rqvae
from sid.quantizers.base import Fit, Quantizer


class Job(NamedTuple):
    """What a fit may need; each method's line in the table says what it takes of it.

    Attributes:
        vectors: (N, D) float32, finite.
        quant: the shared keys, `device` resolved to 'cpu' or 'cuda'.
        config: the method's own section.
        checkpoints: a folder for the states of unfinished trainings, or None.
    """

    vectors: Vectors
    quant: Quant
    config: Any
    checkpoints: Path | None


@dataclass(frozen=True)
class Method:
    """A method of quantization.

    Attributes:
        config: its section in params.yaml.
        fit: fits it.
        balanced: whether `index.assignment: auto` keeps the sizes of its codes within bounds.
    """

    config: type[MethodConfig]
    fit: Callable[[Job], Fit]
    balanced: bool = False


def _rqkmeans_plus(job: Job) -> Fit:
    """Fit or load the warm start, then train on from it."""
    from sid.quantizers.residual import ResidualQuantizer

    config: rqkmeans_plus.RQKMeansPlusConfig = job.config
    file = given(config.warm_start_file)
    if file is not None:
        start = load(file, job.quant.device)
    else:
        quant = job.quant.model_copy(update={"method": config.warm_start})
        start = (
            METHODS[config.warm_start].fit(Job(job.vectors, quant, getattr(config, config.warm_start), None)).quantizer
        )
    if not isinstance(start, ResidualQuantizer):
        raise InputError(
            f"{file}: was fitted by {start.method}, must be codebooks of RQ-KMeans or its constrained form"
        )
    return rqkmeans_plus.fit(job.vectors, job.quant, config, start, job.checkpoints)


METHODS: dict[str, Method] = {
    "rqvae": Method(
        rqvae.RQVAEConfig,
        lambda job: rqvae.fit(job.vectors, job.quant, job.config, job.checkpoints),
    ),
    "rqkmeans": Method(
        rqkmeans.RQKMeansConfig,
        lambda job: rqkmeans.fit(job.vectors, job.quant, job.config),
    ),
    "rqkmeans_constrained": Method(
        rqkmeans_constrained.RQKMeansConstrainedConfig,
        lambda job: rqkmeans_constrained.fit(job.vectors, job.quant, job.config),
        balanced=True,
    ),
    "rqkmeans_plus": Method(rqkmeans_plus.RQKMeansPlusConfig, _rqkmeans_plus),
}

CONFIGS: dict[str, type[MethodConfig]] = {name: method.config for name, method in METHODS.items()}


def fit(vectors: Vectors, params: Params, checkpoints: Path | None = None) -> Fit:
    """Fit the method that `quant.method` names.

    Args:
        vectors: (N, D) float32, finite.
        checkpoints: a folder for the states of unfinished trainings, from which the same call goes on; None
            keeps none. Methods that take seconds ignore it.

    Raises:
        InputError: a codebook larger than N, or a device that isn't there.
    """
    quant = params.quant.model_copy(update={"device": resolve_device(params.quant.device)})
    check_sizes(len(vectors), quant)
    return METHODS[quant.method].fit(Job(vectors, quant, params.methods[quant.method], checkpoints))


def check_sizes(rows: int, quant: Quant) -> None:
    """Raise InputError where a codebook has more codes than there are rows to make it from."""
    problems = [
        f"params.yaml: quant.num_emb_list[{level}] is {size}: must be at most {rows}, the number of items"
        for level, size in enumerate(quant.num_emb_list)
        if size > rows
    ]
    if problems:
        raise InputError(problems)


def load(path: str | Path, device: str = "auto") -> Quantizer:
    """The fitted quantizer in a .pth file, whichever method fitted it, or of the codebooks in MiniOneRec's .npz.

    Args:
        device: where `encode` works: 'auto' (a GPU if there is one), 'cpu' or 'cuda'.

    Raises:
        InputError: missing, broken or unknown file, or a device that isn't there.
    """
    from sid.quantizers import autoencoder, model_file, npz, residual

    if Path(path).suffix == ".npz":
        return npz.load_npz(path, resolve_device(device))
    state = model_file.read(path)
    kinds: dict[str, Callable[[dict[str, Any], str], Quantizer]] = {
        residual.KIND: residual.ResidualQuantizer.from_state,
        autoencoder.KIND: autoencoder.AutoencoderQuantizer.from_state,
    }
    if state["kind"] not in kinds:
        raise InputError(f"{path}: is a quantizer of kind {state['kind']!r}, must be one of {', '.join(kinds)}")
    where = resolve_device(device)
    try:
        return kinds[state["kind"]](state, where)
    except InputError as error:
        raise InputError(f"{path}: {problem}" for problem in error.problems) from None


def resolve_device(device: str) -> str:
    """'cpu' or 'cuda' for 'auto', 'cpu' or 'cuda'; InputError where CUDA is asked for and absent."""
    import torch

    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise InputError("quant.device is 'cuda': must be 'cpu' or 'auto', torch finds no CUDA device here")
    return device if device != "auto" else ("cuda" if available else "cpu")
