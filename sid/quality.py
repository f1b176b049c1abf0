"""Measure what codes keep of the vectors they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np

from sid import metrics
from sid.codes import Codes, Vectors, row_chunks
from sid.quantizers.base import Quantizer


def measure(quantizer: Quantizer, vectors: Vectors, codes: Codes) -> dict[str, Any]:
    """The figures of reports/index.json for the codes (N, L) of vectors (N, D).

    Returns:
        `items`; `mse`, `r2` and `cosine` of the decoded vectors in the input space; `collision_rate`; and per
        level its usage and the collision rate of the codes up to it.
    """
    sums = metrics.Reconstruction(vectors.mean(axis=0, dtype=np.float64))
    for part in row_chunks(len(vectors)):
        sums.add(vectors[part], quantizer.decode(codes[part]))
    levels = metrics.levels(codes, quantizer.code_sizes)
    last = list(levels.values())[-1]
    return {"items": len(codes), **sums.figures(), "collision_rate": last["collision_rate"], "levels": levels}


def error_added(quantizer: Quantizer, vectors: Vectors, before: Codes, after: Codes) -> tuple[float, float]:
    """What changing codes costs in the input space: the mse added over all N rows, and the mse before.

    Args:
        vectors: (N, D).
        before, after: (N, L) codes; only rows that differ are decoded twice.
    """
    error_before = error_change = 0.0
    for part in row_chunks(len(vectors)):
        rows = vectors[part].astype(np.float64)
        error = ((rows - quantizer.decode(before[part])) ** 2).sum(axis=1)
        error_before += float(error.sum())
        moved = (before[part] != after[part]).any(axis=1)
        changed = ((rows[moved] - quantizer.decode(after[part][moved])) ** 2).sum(axis=1)
        error_change += float(changed.sum() - error[moved].sum())
    return error_change / vectors.size, error_before / vectors.size
