"""Figures of an index: pure functions of codes and vectors. docs/metrics.md gives each formula and what is good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sid.codes import Codes, Vectors
from sid.files import round6


def prefix_ids(codes: Codes) -> list[NDArray[np.int64]]:
    """For each level l, a dense id (N,) of every row's first l+1 codes: equal ids mean equal prefixes.

    Ids are 0..distinct-1 in the lexicographic order of the prefixes.
    """
    ids: list[NDArray[np.int64]] = []
    before = np.zeros(len(codes), np.int64)
    for level in range(codes.shape[1]):
        column = codes[:, level].astype(np.int64) + 1  # the code -1 (no token) is a value like any other
        packed = before * (int(column.max(initial=0)) + 1) + column
        before = np.unique(packed, return_inverse=True)[1].astype(np.int64, copy=False)
        ids.append(before)
    return ids


def collision_rate(ids: NDArray[np.int64]) -> float:
    """(N - distinct) / N of dense ids (N,) from `prefix_ids`: 0 is best, 0.2 is 20 %; 0 for no rows."""
    return 0.0 if len(ids) == 0 else (len(ids) - int(ids.max()) - 1) / len(ids)


def code_counts(column: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """(N,) codes of one level, -1 (no token) left out -> (size,) items of each code."""
    return np.bincount(column[column >= 0], minlength=size)


def usage(column: NDArray[np.int32], size: int) -> dict[str, float | int]:
    """How one level uses its codes.

    Args:
        column: (N,) codes in 0..size-1; -1 (no token) is left out.
        size: codes there are.

    Returns:
        `size`; `used`: codes with at least one item; `utilisation`: used / size; `perplexity`: exp of the
        entropy of the usage shares, in 1..size, size for even use; `gini`: inequality of the counts, 0 for
        even use, near 1 where one code holds all; `largest`: items of the fullest code.
    """
    counts = code_counts(column, size)
    total = int(counts.sum())
    shares = counts[counts > 0] / max(total, 1)
    ranked = np.sort(counts)
    weight = 2 * np.arange(1, size + 1) - size - 1
    return {
        "size": size,
        "used": int((counts > 0).sum()),
        "utilisation": round6(float((counts > 0).mean())),
        "perplexity": round6(float(np.exp(-(shares * np.log(shares)).sum()))),
        "gini": round6(float((weight * ranked).sum() / (size * max(total, 1)))),
        "largest": int(counts.max()),
    }


def levels(codes: Codes, code_sizes: Sequence[int]) -> dict[str, dict[str, Any]]:
    """`usage` of every level, with the collision rate of the codes up to it, as level_1, level_2, ..."""
    return {
        f"level_{level + 1}": {
            **usage(codes[:, level], code_sizes[level]),
            "collision_rate": round6(collision_rate(ids)),
        }
        for level, ids in enumerate(prefix_ids(codes))
    }


class Reconstruction:
    """Sums for mse, R2 and cosine over chunks of (vectors, decoded) pairs; float64 throughout.

    Args:
        mean: (D,) the mean of all vectors, for the variance that R2 compares with.
    """

    def __init__(self, mean: NDArray[np.float64]) -> None:
        self._mean = mean
        self._error = self._variance = self._cosine = 0.0
        self._rows = 0

    def add(self, vectors: Vectors, decoded: Vectors) -> None:
        """Add (n, D) vectors and what their codes decode to."""
        x, y = vectors.astype(np.float64), decoded.astype(np.float64)
        self._rows += len(x)
        self._error += float(((x - y) ** 2).sum())
        self._variance += float(((x - self._mean) ** 2).sum())
        norms = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
        self._cosine += float(np.divide((x * y).sum(axis=1), norms, out=np.zeros(len(x)), where=norms > 0).sum())

    def figures(self) -> dict[str, float]:
        """`mse`: squared error per coordinate; `r2`: 1 - error / variance around the mean (1 is perfect, 0 is no
        better than the mean); `cosine`: mean cosine of input and decoded rows, all-zero rows counting 0."""
        r2 = 1 - self._error / self._variance if self._variance > 0 else float(self._error == 0)
        mse = self._error / (self._rows * len(self._mean))
        return {"mse": round6(mse), "r2": round6(r2), "cosine": round6(self._cosine / self._rows)}
