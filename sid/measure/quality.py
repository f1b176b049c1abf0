"""Measure what codes keep of the vectors that they encode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sid.arrays import CHUNK_BYTES, Codes, Rows, Vectors, parts, rows_of, within
from sid.catalogue.duplicates import first_equal
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.files import round6
from sid.measure import metrics, neighbours
from sid.measure.neighbours import Neighbours

Decode = Callable[[Codes], Vectors]
"""(n, L) codes -> (n, D) float32 vectors in the input space: a quantizer's `decode`."""


def reconstruction(
    decode: Decode, vectors: Vectors | Rows, before: Codes, after: Codes, engine: Engine = LOCAL
) -> dict[str, float | None]:
    """What raw codes keep of the vectors, and the error that other codes add, in one pass over the rows.

    Args:
        vectors: (N, D) float32, N >= 1; may be a memory map, read in chunks.
        before: (N, L) the raw codes; each row is decoded once.
        after: (N, L) the codes of the same levels after dedupe; only rows that differ are decoded.
        engine: runs the passes over the rows.

    Returns:
        Of the raw codes `mse`, `r2` and `cosine` (see `metrics.Reconstruction`); `mse_added`: the mse after dedupe
        less the mse before; `mse_added_share`: that by the mse before, None where that was 0 and some was added.
    """
    rows = rows_of(vectors)
    slices = parts(len(rows))
    mean = sum(engine.map(_Sum(rows), slices, CHUNK_BYTES), np.zeros(rows.dim)) / len(rows)
    sums, change = metrics.Reconstruction(mean), 0.0
    found = engine.map(_Errors(decode, rows, before, after, mean), slices, 2 * CHUNK_BYTES)
    for some, one in tqdm(found, "decode", len(slices), unit="part", disable=None):
        sums.merge(some)
        change += one
    added = change / (len(rows) * rows.dim)
    share = round6(added / sums.mse) if sums.mse > 0 else (None if added > 0 else 0.0)
    return {**sums.figures(), "mse_added": round6(added), "mse_added_share": share}


@dataclass(frozen=True)
class _Sum:
    """Slices of rows -> (D,) float64 sums."""

    rows: Rows

    def __call__(self, part: slice) -> NDArray[np.float64]:
        total = np.zeros(self.rows.dim)
        for some in within(part, 4 * self.rows.dim):
            total += self.rows.part(some.start, some.stop).sum(axis=0, dtype=np.float64)
        return total


@dataclass(frozen=True)
class _Errors:
    """Slices of rows -> the sums of `Reconstruction` by the codes before, and what the codes after add to the error."""

    decode: Decode
    rows: Rows
    before: Codes
    after: Codes
    mean: NDArray[np.float64]

    def __call__(self, part: slice) -> tuple[metrics.Reconstruction, float]:
        sums, change = metrics.Reconstruction(self.mean), 0.0
        for some in within(part, sums.ROW_COPIES * 4 * self.rows.dim):
            rows, before, after = self.rows.part(some.start, some.stop), self.before[some], self.after[some]
            error = sums.add(rows, self.decode(before))
            moved = (before != after).any(axis=1)
            if moved.any():
                now = metrics.squared_error(rows[moved], self.decode(after[moved]))
                change += float(now.sum() - error[moved].sum())
        return sums, change


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


def recall(decode: Decode, near: Neighbours, codes: Codes, engine: Engine = LOCAL) -> float:
    """`recall_at_10`: the share of the nearest items that are also nearest by what the codes (N, L) decode to."""
    ids = metrics.prefix_ids(codes)[-1]
    return round6(neighbours.recall(near, codes, ids, decode, engine))


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
