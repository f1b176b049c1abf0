"""Measure what codes keep of the vectors they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes, Vectors, chunks
from sid.catalogue.duplicates import first_equal
from sid.files import round6
from sid.measure import metrics, neighbours
from sid.measure.neighbours import Neighbours


class Decoder(Protocol):
    """What is asked of a quantizer here."""

    @property
    def code_sizes(self) -> tuple[int, ...]:
        """Codes there are at each level."""
        ...

    def decode(self, codes: Codes) -> Vectors:
        """(N, L) -> (N, D) float32, in the input space."""
        ...


def measure(quantizer: Decoder, vectors: Vectors, codes: Codes) -> dict[str, Any]:
    """The figures of reports/index.json for the codes (N, L) of vectors (N, D).

    Returns:
        `items`; `mse`, `r2` and `cosine` of the decoded vectors in the input space; `collision_rate`;
        `recall_at_10` and what luck would give; and `levels`.
    """
    sums = metrics.Reconstruction(vectors.mean(axis=0, dtype=np.float64))
    for part in chunks(len(vectors), 32 * vectors.shape[1]):
        sums.add(vectors[part], quantizer.decode(codes[part]))
    prefixes = metrics.prefix_ids(codes)
    near = neighbours.search(vectors)
    return {
        "items": len(codes),
        **sums.figures(),
        "collision_rate": round6(metrics.collision_rate(prefixes[-1])),
        "recall_at_10": recall(quantizer, near, codes),
        "recall_at_10_random": recall_random(near, len(codes)),
        "levels": levels(codes, quantizer.code_sizes, prefixes, near),
    }


def collisions(
    ids: NDArray[np.int64], vectors: Vectors, interactions: NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """`metrics.collisions` of Semantic IDs, and whose fault the groups of items that share one are.

    Args:
        ids: (N,) dense ids of the Semantic IDs, the last of `metrics.prefix_ids`.
        vectors: (N, D).
        interactions: (N,) how often each item was interacted with; None where that isn't known.

    Returns:
        With them `groups_of_equal_vectors`, all of whose items have equal vectors, which no quantizer can part,
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


def recall(quantizer: Decoder, near: Neighbours, codes: Codes) -> float:
    """`recall_at_10`: the share of the nearest items that are also nearest by what the codes (N, L) decode to."""
    ids = metrics.prefix_ids(codes)[-1]
    return round6(neighbours.recall(near, codes, ids, quantizer.decode))


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


def error_added(quantizer: Decoder, vectors: Vectors, before: Codes, after: Codes) -> tuple[float, float]:
    """What changing codes costs in the input space: the mse added over all N rows, and the mse before.

    Args:
        vectors: (N, D).
        before, after: (N, L) codes; only rows that differ are decoded twice.
    """
    error_before = error_change = 0.0
    for part in chunks(len(vectors), 32 * vectors.shape[1]):
        rows = vectors[part].astype(np.float64)
        error = ((rows - quantizer.decode(before[part])) ** 2).sum(axis=1)
        error_before += float(error.sum())
        moved = (before[part] != after[part]).any(axis=1)
        changed = ((rows[moved] - quantizer.decode(after[part][moved])) ** 2).sum(axis=1)
        error_change += float(changed.sum() - error[moved].sum())
    return error_change / vectors.size, error_before / vectors.size
