"""What taken Semantic IDs leave to others, found without touching those that are in nobody's way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes
from sid.dedupe.groups import Groups, RowNumbers

_MOST = 1 << 62  # Semantic IDs that an int64 can number


@dataclass(frozen=True)
class Beside:
    """Taken Semantic IDs and items that want some, as far as they are in each other's way.

    Attributes:
        taken: (h, L) codes, each as often as it takes places.
        rows: (n,) the items' row numbers, ascending.
        places: how many places are taken in all.
    """

    taken: Codes
    rows: RowNumbers
    places: int


def beside(taken: Codes, codes: Codes, sizes: Sequence[int], limit: int) -> Beside:
    """The prefixes (all levels but the last) in which items collide, with all that is in them.

    Where more items want a prefix than it has places, items must leave it, and everything is in everyone's way.

    Args:
        taken: (t, L) codes that are taken.
        codes: (n, L) what the items want.
        sizes: codes there are at each level.
        limit: items that may share a Semantic ID; a collision is a group of more.
    """
    if math.prod(sizes) >= _MOST:
        return _all(taken, codes, limit)
    theirs, own = (np.ravel_multi_index(tuple(some.T), tuple(sizes)) for some in (taken, codes))
    theirs = _at_most(np.sort(theirs), limit)
    ours = np.sort(own)
    colliding = ours[_between(theirs, ours, 1) + _between(ours, ours, 1) > limit]
    size = int(sizes[-1])
    first = np.unique(ours // size) * size
    if (_between(theirs, first, size) + _between(ours, first, size) > size * limit).any():
        return _all(taken, codes, limit)
    busy = np.unique(colliding // size)
    inside = theirs[_in_ranges(theirs, busy * size, size)]
    rows = np.flatnonzero(_in_ranges(ours, busy * size, size)[np.searchsorted(ours, own)])
    return Beside(_codes(inside, sizes), rows, len(theirs))


def _all(taken: Codes, codes: Codes, limit: int) -> Beside:
    held = taken
    if len(taken):
        groups = Groups.of_equal(taken)
        held = taken if groups.sizes.max() <= limit else taken[groups.places() < limit]
    return Beside(held, np.arange(len(codes)), len(held))


def _at_most(keys: RowNumbers, limit: int) -> RowNumbers:
    """Sorted keys, each at most `limit` times."""
    if len(keys) <= limit:
        return keys
    again = np.zeros(len(keys), bool)
    again[limit:] = keys[limit:] == keys[:-limit]
    return keys[~again]


def _between(keys: RowNumbers, starts: RowNumbers, width: int) -> RowNumbers:
    """(n,) how many of the sorted keys are in each of the ranges from ascending `starts` on."""
    return np.searchsorted(keys, starts + width) - np.searchsorted(keys, starts)


def _in_ranges(keys: RowNumbers, starts: RowNumbers, width: int) -> NDArray[np.bool_]:
    """Which of the sorted keys are in one of these ranges, which don't overlap."""
    edges = np.zeros(len(keys) + 1, np.int64)
    np.add.at(edges, np.searchsorted(keys, starts), 1)
    np.add.at(edges, np.searchsorted(keys, starts + width), -1)
    return np.cumsum(edges)[:-1] > 0


def _codes(keys: RowNumbers, sizes: Sequence[int]) -> Codes:
    return np.stack(np.unravel_index(keys, tuple(sizes)), axis=1).astype(np.int32)
