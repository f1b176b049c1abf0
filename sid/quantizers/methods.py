"""The table of methods, and `fit` for the one that is chosen.

A new method is a module with a config and a `fit`, and a line in METHODS. Importing this module loads no torch:
params.yaml is checked without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sid.arrays import Vectors, sampled
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.errors import InputError
from sid.params import MethodConfig, Params, Quant, conflicts
from sid.params import load as load_params
from sid.quantizers import rqkmeans, rqkmeans_constrained, rqkmeans_plus, rqvae
from sid.quantizers.base import Fit, Quantizer
from sid.quantizers.loading import load, resolve_device

__all__ = ["CONFIGS", "METHODS", "Method", "check_sizes", "fit", "load", "resolve_device", "train_rows"]

ROWS_A_CODE = 256
"""Of the largest level: what `quant.train_sample: auto` trains on, and no fewer than LEAST_ROWS."""

LEAST_ROWS = 200_000
"""Smaller catalogues are trained on whole by `quant.train_sample: auto`."""


class Method(NamedTuple):
    """A method of quantization.

    Attributes:
        config: its section in params.yaml.
        fit: (vectors (N, D) float32 and finite, an array or `Rows`, the shared keys with `device` 'cpu' or 'cuda', the
            method's section, a folder for the states of unfinished trainings or None; as keywords `warm_start`, a
            quantizer to start from, of this method or the one that `starts_from` names, and of these sizes, and
            `engine`) -> Fit.
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
    engine: Engine = LOCAL,
) -> Fit:
    """Fit the method that `quant.method` names, on the rows that `quant.train_sample` asks for.

    Args:
        vectors: (N, D) float32, finite; may be a memory map.
        params: the settings, or the path of a params.yaml.
        checkpoints: a folder for the states of unfinished trainings, from which the same call continues; None
            keeps none. Methods that take seconds ignore it.
        warm_start: a quantizer of the same method and sizes to start from.
        engine: runs the passes over rows that are too many to be held; autoencoders train in this process.

    Returns:
        What the method returns, and among its figures `train_rows` that it was fitted on.

    Raises:
        InputError: vectors that aren't a float32 matrix, a codebook larger than N, settings that contradict each
            other, a device that isn't there, or one without the memory for it.
    """
    settings = params if isinstance(params, Params) else load_params(params, CONFIGS)
    if vectors.ndim != 2 or 0 in vectors.shape or vectors.dtype != np.float32:
        raise InputError(f"vectors have shape {vectors.shape} and dtype {vectors.dtype}, must be (N, D) float32")
    quant = settings.quant.model_copy(update={"device": resolve_device(settings.quant.device)})
    check_sizes(len(vectors), quant)
    config = settings.methods[quant.method]
    if problems := conflicts(quant, settings.methods):
        raise InputError(problems)
    rows = sampled(vectors, train_rows(len(vectors), quant), quant.seed)
    from sid.clustering import memory  # loads torch

    memory.limit(quant.device, quant.device_memory_gib)
    start = None if warm_start is None else _checked(warm_start, quant)
    with memory.one_line():
        if start is None and config.starts_from is not None:
            first = quant.model_copy(update={"method": config.starts_from})
            start = METHODS[first.method].fit(rows, first, settings.methods[first.method], engine=engine).quantizer
        found = METHODS[quant.method].fit(rows, quant, config, checkpoints, warm_start=start, engine=engine)
    return replace(found, figures={"train_rows": len(rows), **found.figures})


def _checked(warm_start: Quantizer, quant: Quant) -> Quantizer:
    """The warm start, or InputError where it isn't of this method and these sizes."""
    if (warm_start.method, warm_start.code_sizes) != (quant.method, quant.num_emb_list):
        raise InputError(
            f"the warm start is {warm_start.method} with {list(warm_start.code_sizes)} codes: must be {quant.method} "
            f"with {list(quant.num_emb_list)}, or set release.warm_start: false"
        )
    return warm_start


def train_rows(items: int, quant: Quant) -> int:
    """How many of the items are trained on."""
    wanted = quant.train_sample
    if wanted == "auto":
        wanted = max(LEAST_ROWS, ROWS_A_CODE * max(quant.num_emb_list))
    return items if wanted is None else min(items, wanted)


def check_sizes(rows: int, quant: Quant) -> None:
    """Raise InputError where a codebook has more codes than there are rows to make it from."""
    problems = [
        f"params.yaml: quant.num_emb_list[{level}] is {size}: must be at most {rows}, the number of items"
        for level, size in enumerate(quant.num_emb_list)
        if size > rows
    ]
    if problems:
        raise InputError(problems)
