"""Figures of an index: pure functions of codes and vectors. docs/metrics.md gives each formula and what is good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes, Vectors, ordered
from sid.files import round6

_TABLE = 1 << 20  # prefixes that a table may always have, however few rows there are


def prefix_ids(codes: Codes) -> list[NDArray[np.int64]]:
    """For each level l, a dense id (N,) of every row's first l+1 codes: equal ids mean equal prefixes.

    Ids are 0..distinct-1 in the lexicographic order of the prefixes.
    """
    ids: list[NDArray[np.int64]] = []
    before = np.zeros(len(codes), np.int64)
    distinct = 1
    for level in range(codes.shape[1]):
        column = codes[:, level].astype(np.int64) + 1  # the code -1 (no token) is a value like any other
        size = int(column.max(initial=0)) + 1
        before, distinct = _dense(before * size + column, distinct * size)
        ids.append(before)
    return ids


def _dense(keys: NDArray[np.int64], bound: int) -> tuple[NDArray[np.int64], int]:
    """Keys (N,) in 0..bound-1 -> their ranks 0..distinct-1 (N,), and distinct; by a table where it isn't too large."""
    if bound > max(_TABLE, 4 * len(keys)):
        values, order = ordered(keys)
        steps = np.cumsum(values[1:] != values[:-1])
        ranks = np.zeros(len(keys), np.int64)
        ranks[order[1:]] = steps
        return ranks, int(steps[-1]) + 1 if len(steps) else len(keys)
    seen = np.zeros(bound, bool)
    seen[keys] = True
    ranks = np.cumsum(seen, dtype=np.int32)  # there are fewer keys than 2^31
    return ranks[keys].astype(np.int64) - 1, int(seen.sum())


def collision_rate(ids: NDArray[np.int64]) -> float:
    """(N - distinct) / N of dense ids (N,) from `prefix_ids`: 0 is best, 0.2 is 20 %; 0 for no rows."""
    return 0.0 if len(ids) == 0 else (len(ids) - int(ids.max()) - 1) / len(ids)


def collisions(ids: NDArray[np.int64], interactions: NDArray[np.int64] | None = None) -> dict[str, Any]:
    """How many items share their Semantic ID.

    Args:
        ids: (N,) dense ids of the Semantic IDs, the last of `prefix_ids`; N >= 1.
        interactions: (N,) how often each item was interacted with; None where that isn't known.

    Returns:
        `unique`, `collision_rate`, `items_in_collision`, `collision_groups`, `largest_group`, and
        `interaction_weighted_collision_rate`, None without interactions.
    """
    sizes = np.bincount(ids)
    shared = sizes[sizes > 1]
    weighted = None
    if interactions is not None and (total := int(interactions.sum())) > 0:
        weighted = round6(int(interactions[sizes[ids] > 1].sum()) / total)
    return {
        "unique": len(sizes),
        "collision_rate": round6(collision_rate(ids)),
        "items_in_collision": int(shared.sum()),
        "collision_groups": len(shared),
        "largest_group": int(sizes.max()),
        "interaction_weighted_collision_rate": weighted,
    }


def group_sizes(ids: NDArray[np.int64]) -> dict[int, int]:
    """How many Semantic IDs are held by 1, 2, 3, ... items, from dense ids (N,); sizes that none has are left out."""
    sizes, counts = np.unique(np.bincount(ids), return_counts=True)
    return dict(zip(sizes.tolist(), counts.tolist(), strict=True))


def purity_random(ids: NDArray[np.int64]) -> float:
    """The chance that two different items share a prefix, from dense ids (N,): what purity would be by chance."""
    sizes = np.bincount(ids)
    pairs = len(ids) * (len(ids) - 1)
    return int((sizes * (sizes - 1)).sum()) / pairs if pairs else 0.0


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
        entropy, in 1..size, size for even use; `entropy` of the usage shares, in nats; `gini`: inequality of
        the counts, 0 for even use, near 1 where one code holds all; `largest`: items of the fullest code.
    """
    counts = code_counts(column, size)
    total = int(counts.sum())
    shares = counts[counts > 0] / max(total, 1)
    entropy = abs(float((shares * np.log(shares)).sum()))
    ranked = np.sort(counts)
    weight = 2 * np.arange(1, size + 1) - size - 1
    return {
        "size": size,
        "used": int((counts > 0).sum()),
        "utilisation": round6(float((counts > 0).mean())),
        "perplexity": round6(float(np.exp(entropy))),
        "entropy": round6(entropy),
        "gini": round6(float((weight * ranked).sum() / (size * max(total, 1)))),
        "largest": int(counts.max()),
    }


def levels(
    codes: Codes, code_sizes: Sequence[int], prefixes: Sequence[NDArray[np.int64]] | None = None
) -> dict[str, dict[str, Any]]:
    """`usage` of every level as level_1, level_2, ..., with two figures of the codes up to it.

    Args:
        codes: (N, L).
        code_sizes: codes there are at each level.
        prefixes: `prefix_ids` of the codes, if they are known.

    Returns:
        By level its usage, `collision_rate` and `purity_random` of the prefixes that end there.
    """
    prefixes = prefix_ids(codes) if prefixes is None else prefixes
    return {
        f"level_{level + 1}": {
            **usage(codes[:, level], code_sizes[level]),
            "collision_rate": round6(collision_rate(ids)),
            "purity_random": round6(purity_random(ids)),
        }
        for level, ids in enumerate(prefixes)
    }


class Reconstruction:
    """Sums for mse, R2 and cosine over chunks of (vectors, decoded) pairs; float64 throughout.

    Args:
        mean: (D,) the mean of all vectors, for the variance that R2 compares with.
    """

    ROW_COPIES = 8
    """What `add` and its arguments take of a row, in multiples of its float32 size: two arguments, three in float64."""

    def __init__(self, mean: NDArray[np.float64]) -> None:
        self._mean = mean
        self._error = self._variance = self._cosine = 0.0
        self._rows = 0

    def add(self, vectors: Vectors, decoded: Vectors) -> NDArray[np.float64]:
        """Add (n, D) vectors and what their codes decode to; returns the squared error of each row, (n,)."""
        x, y = vectors.astype(np.float64), decoded.astype(np.float64)
        error = squared_error(x, y)
        self._rows += len(x)
        self._error += float(error.sum())
        self._variance += float(squared_error(x, self._mean).sum())
        norms = np.sqrt(_products(x, x) * _products(y, y))
        self._cosine += float(np.divide(_products(x, y), norms, out=np.zeros(len(x)), where=norms > 0).sum())
        return error

    def merge(self, other: Reconstruction) -> None:
        """Add the sums of other rows."""
        self._rows += other._rows
        self._error += other._error
        self._variance += other._variance
        self._cosine += other._cosine

    def figures(self) -> dict[str, float]:
        """`mse`: squared error per coordinate; `r2`: 1 - error / variance around the mean (1 is perfect, 0 is no
        better than the mean); `cosine`: mean cosine of input and decoded rows, all-zero rows counting 0."""
        r2 = 1 - self._error / self._variance if self._variance > 0 else float(self._error == 0)
        return {"mse": round6(self.mse), "r2": round6(r2), "cosine": round6(self._cosine / self._rows)}

    @property
    def mse(self) -> float:
        """Squared error per coordinate of all rows so far, as it is."""
        return self._error / (self._rows * len(self._mean))


def squared_error(vectors: NDArray[np.floating], decoded: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, D) and (n, D), one of them float64 -> (n,) squared Euclidean distances of their rows."""
    apart = np.subtract(vectors, decoded, dtype=np.float64)
    return _products(apart, apart)


def _products(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, D), (n, D) -> (n,) dot products of their rows."""
    return np.asarray(np.einsum("nd,nd->n", x, y))
