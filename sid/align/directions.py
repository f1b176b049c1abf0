"""Vectors as seen from their centre: directions, and how far away each is.

Embeddings of text share a large common part. Means of many vectors lie near it, so that items with mixed neighbours,
and items with none, would end up in regions of their own; seen from the centre, a mean of unrelated vectors is about
zero and moves nothing. Directions are all of length 1, so a row of a huge scale counts like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Blank, Vectors, chunks, in_memory

_SAMPLE = 8192  # rows from which the centre is taken
_COLUMN_BYTES = 1 << 20  # of columns whose medians are found together


def centre_of(vectors: Vectors) -> NDArray[np.float32]:
    """(D,) the median of each coordinate, of all rows or of 8,192 evenly spread ones: no single row can pull it."""
    picked = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _SAMPLE)).astype(np.int64))
    rows = np.asarray(vectors[picked])
    centre = np.empty(rows.shape[1], np.float32)
    for part in chunks(len(centre), 8 * len(rows), _COLUMN_BYTES):
        centre[part] = np.median(rows[:, part].astype(np.float64), axis=0)
    return centre


@dataclass(frozen=True)
class Directions:
    """Rows as centre + length * unit.

    Attributes:
        centre: (D,) float32.
        units: (N, D) float32 of length 1; zeros for rows that are the centre itself.
        lengths: (N,) float32.
    """

    centre: NDArray[np.float32]
    units: Vectors
    lengths: NDArray[np.float32]

    @classmethod
    def of(cls, vectors: Vectors, centre: NDArray[np.float32], blank: Blank = in_memory) -> Directions:
        """Take (N, D) vectors, finite, read in chunks, as seen from a centre (D,); the directions are `blank`'s."""
        units = blank((len(vectors), vectors.shape[1]))
        lengths = np.empty(len(vectors), np.float32)
        for part in chunks(len(vectors), 24 * max(1, vectors.shape[1])):
            apart = vectors[part].astype(np.float64) - centre
            size = np.sqrt((apart * apart).sum(axis=1))
            units[part] = apart / np.where(size > 0, size, 1)[:, None]
            lengths[part] = np.minimum(size, np.finfo(np.float32).max)
        return cls(centre, units, lengths)

    def placed(self, moved: Vectors, rows: slice | NDArray[np.int64] = slice(None)) -> Vectors:
        """Vectors in these directions (n, D), of any length, at the distances that the rows had from the centre."""
        sizes = np.sqrt((moved.astype(np.float64) ** 2).sum(axis=1))
        scale = self.lengths[rows] / np.where(sizes > 0, sizes, 1)
        return np.asarray(self.centre + moved * scale[:, None], np.float32)


def normalised(vectors: Vectors) -> Vectors:
    """(n, D) rows brought to length 1; zeros stay."""
    sizes = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return np.asarray(vectors / np.where(sizes > 0, sizes, 1)[:, None], np.float32)
