"""Which items share a Semantic ID. Arrays in, new arrays out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes, ordered
from sid.measure.metrics import prefix_ids

RowNumbers = NDArray[np.int64]

_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True)
class Groups:
    """Rows with equal keys, brought together.

    Attributes:
        rows: all row numbers, sorted by key, ascending within a key.
        starts: (G + 1,) where each of the G groups begins in `rows`, and the end.
    """

    rows: RowNumbers
    starts: RowNumbers

    @classmethod
    def of(cls, keys: RowNumbers) -> Groups:
        """Group (N,) integer keys, 0 or more."""
        values, order = ordered(keys)
        edges = np.flatnonzero(values[1:] != values[:-1]) + 1
        return cls(order, np.r_[0, edges, len(keys)] if len(keys) else np.zeros(1, np.int64))

    @classmethod
    def of_equal(cls, codes: Codes) -> Groups:
        """Group the rows of (N, L) codes that are equal at every level; the group of a row is its `prefix_ids` key."""
        return cls.of(prefix_ids(codes)[-1])

    @property
    def sizes(self) -> RowNumbers:
        """(G,) rows in each group."""
        return np.diff(self.starts)

    def per_row(self, values: NDArray[_Value]) -> NDArray[_Value]:
        """A value of each group (G,) -> of each row (N,)."""
        found = np.empty(len(self.rows), values.dtype)
        found[self.rows] = np.repeat(values, self.sizes)
        return found

    def places(self) -> RowNumbers:
        """(N,) how many rows of its group come before each row: 0, 1, 2 ... within a group."""
        found = np.empty(len(self.rows), np.int64)
        found[self.rows] = np.arange(len(self.rows)) - np.repeat(self.starts[:-1], self.sizes)
        return found

    def __getitem__(self, group: int) -> RowNumbers:
        """The rows of one group; with dense keys 0..G-1 the group is the key."""
        return self.rows[self.starts[group] : self.starts[group + 1]]

    def larger_than(self, size: int) -> Iterator[RowNumbers]:
        """The rows of every group of more than `size` rows, in key order."""
        for group in np.flatnonzero(self.sizes > size).tolist():
            yield self[group]


def in_groups_above(codes: Codes, limit: int) -> NDArray[np.bool_]:
    """Which rows (N,) have codes (N, L) that more than `limit` rows share."""
    groups = Groups.of_equal(codes)
    return groups.per_row(groups.sizes > limit)
