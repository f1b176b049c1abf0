"""Rows that are equal to the last bit, found by a hash and then compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Rows as RowsOfVectors
from sid.arrays import Vectors, chunks, rows_of

Rows = NDArray[np.int64]

MANY_EQUAL = 0.5
"""A share of rows that repeat an earlier one; more is worth a warning."""


def row_hashes(rows: Vectors) -> NDArray[np.uint64]:
    """(n, D) float32, C order -> (n,): a multilinear hash of each row's values; equal rows have equal hashes."""
    words = np.add(rows, np.float32(0), order="C").view(np.uint32).astype(np.uint64)  # -0.0 becomes 0.0
    weights = np.random.default_rng(0).integers(1 << 63, 1 << 64, rows.shape[1], dtype=np.uint64) | np.uint64(1)
    return np.asarray((words * weights).sum(axis=1, dtype=np.uint64))


def first_equal(vectors: Vectors | RowsOfVectors, rows: Rows, hashes: NDArray[np.uint64] | None = None) -> Rows:
    """For each of some rows, the first among them that is equal to it: itself where none before it is.

    Args:
        vectors: (N, D) float32, finite; may be a memory map, read in chunks.
        rows: (n,) row numbers, ascending.
        hashes: (n,) `row_hashes` of these rows, if they are known.

    Returns:
        (n,) row numbers: two rows are equal exactly where theirs are.
    """
    given = rows_of(vectors)
    if hashes is None:
        hashes = np.empty(len(rows), np.uint64)
        whole = len(rows) == len(given)  # then a part needs no copy
        for part in chunks(len(rows), 16 * given.dim):
            hashes[part] = row_hashes(given.part(part.start, part.stop) if whole else given.take(rows[part]))
    if len(rows) == 0:
        return np.zeros(0, np.int64)
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    del ordered
    first = np.empty(len(rows), np.int64)
    first[order] = np.repeat(rows[order[starts]], np.diff(np.r_[starts, len(rows)]))
    strangers: dict[bytes, int] = {}  # rows that differ from the first one of their hash
    later = np.flatnonzero(first != rows)
    for part in chunks(len(later), 16 * given.dim):
        places = later[part]
        differ = (given.take(rows[places]) != given.take(first[places])).any(axis=1)
        for place in places[differ].tolist():
            content = (given.take(rows[place : place + 1]) + np.float32(0)).tobytes()
            first[place] = strangers.setdefault(content, int(rows[place]))
    return first


def largest_group(vectors: Vectors) -> int:
    """How many of (N, D) float32 rows, N > 0, are equal at the most: 1 where all differ."""
    return int(np.bincount(first_equal(vectors, np.arange(len(vectors)))).max())
