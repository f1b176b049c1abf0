"""Measure what codes keep of the vectors that they encode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes, Vectors, chunks
from sid.catalogue.duplicates import first_equal
from sid.files import round6
from sid.measure import metrics, neighbours
from sid.measure.neighbours import Neighbours

Decode = Callable[[Codes], Vectors]
"""(n, L) codes -> (n, D) float32 vectors in the input space: a quantizer's `decode`."""


def reconstruction(decode: Decode, vectors: Vectors, before: Codes, after: Codes) -> dict[str, float | None]:
    """What raw codes keep of the vectors, and the error that other codes add, in one pass over the rows.

    Args:
        vectors: (N, D) float32, N >= 1; may be a memory map, read in chunks.
        before: (N, L) the raw codes; each row is decoded once.
        after: (N, L) the codes of the same levels after dedupe; only rows that differ are decoded.

    Returns:
        Of the raw codes `mse`, `r2` and `cosine` (see `metrics.Reconstruction`); `mse_added`: the mse after dedupe
        less the mse before; `mse_added_share`: that by the mse before, None where that was 0 and some was added.
    """
    sums = metrics.Reconstruction(vectors.mean(axis=0, dtype=np.float64))
    change = 0.0
    for part in chunks(len(vectors), sums.ROW_COPIES * 4 * vectors.shape[1]):
        rows = vectors[part]
        error = sums.add(rows, decode(before[part]))
        moved = (before[part] != after[part]).any(axis=1)
        if moved.any():
            now = metrics.squared_error(rows[moved], decode(after[part][moved]))
            change += float(now.sum() - error[moved].sum())
    added = change / vectors.size
    share = round6(added / sums.mse) if sums.mse > 0 else (None if added > 0 else 0.0)
    return {**sums.figures(), "mse_added": round6(added), "mse_added_share": share}


def collisions(
    ids: NDArray[np.int64], vectors: Vectors, interactions: NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """`metrics.collisions` of Semantic IDs, and which groups of items that share one have equal vectors.

    Args:
        ids: (N,) dense ids of the Semantic IDs, the last of `metrics.prefix_ids`.
        vectors: (N, D).
        interactions: (N,) how often each item was interacted with; None where that isn't known.

    Returns:
        With them `groups_of_equal_vectors`, all of whose items have equal vectors, which no quantizer can separate,
        and `groups_by_quantizer`, the others.
    """
    figures = metrics.collisions(ids, interactions)
    shared = np.flatnonzero(np.bincount(ids)[ids] > 1)
    leader = np.empty(figures["unique"], np.int64)
    first = first_equal(vectors, shared)
    leader[ids[shared]] = first
    mixed = np.unique(ids[shared[first != leader[ids[shared]]]])
    equal = figures["collision_groups"] - len(mixed)
    return {**figures, "groups_of_equal_vectors": equal, "groups_by_quantizer": len(mixed)}


def recall(decode: Decode, near: Neighbours, codes: Codes) -> float:
    """`recall_at_10`: the share of the nearest items that are also nearest by what the codes (N, L) decode to."""
    ids = metrics.prefix_ids(codes)[-1]
    return round6(neighbours.recall(near, codes, ids, decode))


def recall_random(near: Neighbours, count: int) -> float:
    """`recall_at_10_random`: the share that a random choice among the other N - 1 items would find."""
    return round6(near.rows.shape[1] / (count - 1)) if count > 1 else 0.0


def levels(
    codes: Codes, code_sizes: Sequence[int], prefixes: Sequence[NDArray[np.int64]], near: Neighbours
) -> dict[str, dict[str, Any]]:
    """`metrics.levels` of codes (N, L), and of each level `purity`: how many nearest items share the prefix."""
    found = metrics.levels(codes, code_sizes, prefixes)
    for level, ids in zip(found.values(), prefixes, strict=True):
        level["purity"] = round6(neighbours.purity(near, ids))
    return found
