"""Items that share a Semantic ID: which they are, and suffixes that tell them apart. Arrays in, new arrays out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN, Codes
from sid.errors import InputError
from sid.measure.metrics import prefix_ids

Rows = NDArray[np.int64]

_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True)
class Groups:
    """Rows with equal keys, brought together.

    Attributes:
        rows: all row numbers, sorted by key, ascending within a key.
        starts: (G + 1,) where each of the G groups begins in `rows`, and the end.
    """

    rows: Rows
    starts: Rows

    @classmethod
    def of(cls, keys: Rows) -> Groups:
        """Group (N,) integer keys."""
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        edges = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        return cls(order, np.r_[0, edges, len(keys)] if len(keys) else np.zeros(1, np.int64))

    @property
    def sizes(self) -> Rows:
        """(G,) rows in each group."""
        return np.diff(self.starts)

    def per_row(self, values: NDArray[_Value]) -> NDArray[_Value]:
        """A value of each group (G,) -> of each row (N,)."""
        found = np.empty(len(self.rows), values.dtype)
        found[self.rows] = np.repeat(values, self.sizes)
        return found

    def places(self) -> Rows:
        """(N,) how many rows of its group stand before each row."""
        found = np.empty(len(self.rows), np.int64)
        found[self.rows] = np.arange(len(self.rows)) - np.repeat(self.starts[:-1], self.sizes)
        return found

    def __getitem__(self, group: int) -> Rows:
        """The rows of one group; with dense keys 0..G-1 the group is the key."""
        return self.rows[self.starts[group] : self.starts[group + 1]]

    def larger_than(self, size: int) -> Iterator[Rows]:
        """The rows of every group of more than `size` rows, in key order."""
        for group in np.flatnonzero(self.sizes > size).tolist():
            yield self[group]


def in_groups_above(codes: Codes, limit: int) -> NDArray[np.bool_]:
    """Which rows (N,) share their codes with so many that more than `limit` rows have them."""
    groups = Groups.of(prefix_ids(codes)[-1])
    return groups.per_row(groups.sizes > limit)


def append(codes: Codes, max_suffix: int) -> tuple[Codes, int]:
    """Tell items apart by one more level on all of them: 0 for an item alone, 1..n within a group of n.

    Args:
        codes: (N, L); numbering follows the order of rows.
        max_suffix: the size that the new level may have at most.

    Returns:
        (N, L + 1) codes and the new level's size, the largest group's n plus 1; 1 where nothing collides.

    Raises:
        InputError: the new level would be larger than `max_suffix`.
    """
    groups = Groups.of(prefix_ids(codes)[-1])
    largest = int(groups.sizes.max())
    size = largest + 1 if largest > 1 else 1
    _check_suffix("append", largest, size, max_suffix)
    suffix = np.where(groups.per_row(groups.sizes > 1), groups.places() + 1, 0)
    return np.column_stack([codes, suffix.astype(np.int32)]), size


def append_colliding(codes: Codes, max_suffix: int) -> tuple[Codes, int]:
    """MiniOneRec's uneven form: one more code 0..n-1 on the items of a group of n, none (-1) on an item alone.

    Args:
        codes: (N, L); numbering follows the order of rows.
        max_suffix: the size that the new level may have at most.

    Returns:
        (N, L + 1) codes and the new level's size, the largest group's n; 0, and the codes as they are, where
        nothing collides.

    Raises:
        InputError: the new level would be larger than `max_suffix`.
    """
    groups = Groups.of(prefix_ids(codes)[-1])
    largest = int(groups.sizes.max())
    if largest == 1:
        return codes.copy(), 0
    _check_suffix("append_colliding", largest, largest, max_suffix)
    suffix = np.where(groups.per_row(groups.sizes > 1), groups.places(), NO_TOKEN)
    return np.column_stack([codes, suffix.astype(np.int32)]), largest


def _check_suffix(strategy: str, largest: int, size: int, max_suffix: int) -> None:
    if size > max_suffix:
        raise InputError(
            f"dedupe.strategy {strategy}: the largest group of equal codes has {largest} items and needs a suffix "
            f"level of {size} codes, dedupe.max_suffix is {max_suffix}"
        )
