"""The table of methods, and `fit` for the one that is chosen.

A new method is a module with a config and a `fit`, and a line in METHODS. Importing this module loads no torch:
params.yaml is checked without it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sid.arrays import Vectors
from sid.errors import InputError
from sid.params import MethodConfig, Params, Quant
from sid.params import load as load_params
from sid.quantizers import rqkmeans, rqkmeans_constrained, rqkmeans_plus, rqvae
from sid.quantizers.base import Fit, Quantizer
from sid.quantizers.loading import load, resolve_device

__all__ = ["CONFIGS", "METHODS", "Method", "check_sizes", "fit", "load", "resolve_device"]


class Method(NamedTuple):
    """A method of quantization.

    Attributes:
        config: its section in params.yaml.
        fit: (vectors (N, D) float32 and finite, the shared keys with `device` 'cpu' or 'cuda', the method's section,
            a folder for the states of unfinished trainings or None; as a keyword `warm_start`, a quantizer of this
            method and these sizes to start from) -> Fit.
    """

    config: type[MethodConfig]
    fit: Callable[..., Fit]


METHODS = {
    "rqvae": Method(rqvae.RQVAEConfig, rqvae.fit),
    "rqkmeans": Method(rqkmeans.RQKMeansConfig, rqkmeans.fit),
    "rqkmeans_constrained": Method(rqkmeans_constrained.RQKMeansConstrainedConfig, rqkmeans_constrained.fit),
    "rqkmeans_plus": Method(rqkmeans_plus.RQKMeansPlusConfig, rqkmeans_plus.fit),
}

CONFIGS: dict[str, type[MethodConfig]] = {name: method.config for name, method in METHODS.items()}


def fit(
    vectors: Vectors,
    params: Params | str | Path,
    checkpoints: Path | None = None,
    warm_start: Quantizer | None = None,
) -> Fit:
    """Fit the method that `quant.method` names.

    Args:
        vectors: (N, D) float32, finite; may be a memory map.
        params: the settings, or the path of a params.yaml.
        checkpoints: a folder for the states of unfinished trainings, from which the same call goes on; None
            keeps none. Methods that take seconds ignore it.
        warm_start: a quantizer of the same method and sizes to start from.

    Raises:
        InputError: vectors that aren't a float32 matrix, a codebook larger than N, settings that contradict each
            other, or a device that isn't there.
    """
    settings = params if isinstance(params, Params) else load_params(params, CONFIGS)
    if vectors.ndim != 2 or 0 in vectors.shape or vectors.dtype != np.float32:
        raise InputError(f"vectors have shape {vectors.shape} and dtype {vectors.dtype}, must be (N, D) float32")
    quant = settings.quant.model_copy(update={"device": resolve_device(settings.quant.device)})
    check_sizes(len(vectors), quant)
    config = settings.methods[quant.method]
    if problems := config.conflicts(quant):
        raise InputError(problems)
    if warm_start is None:
        return METHODS[quant.method].fit(vectors, quant, config, checkpoints)
    if (warm_start.method, warm_start.code_sizes) != (quant.method, quant.num_emb_list):
        raise InputError(
            f"the warm start is {warm_start.method} with {list(warm_start.code_sizes)} codes: must be {quant.method} "
            f"with {list(quant.num_emb_list)}, or write release.warm_start: false"
        )
    return METHODS[quant.method].fit(vectors, quant, config, checkpoints, warm_start=warm_start)


def check_sizes(rows: int, quant: Quant) -> None:
    """Raise InputError where a codebook has more codes than there are rows to make it from."""
    problems = [
        f"params.yaml: quant.num_emb_list[{level}] is {size}: must be at most {rows}, the number of items"
        for level, size in enumerate(quant.num_emb_list)
        if size > rows
    ]
    if problems:
        raise InputError(problems)
