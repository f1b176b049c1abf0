"""What taken Semantic IDs leave to others, found without touching those that are in nobody's way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sid.arrays import Codes, ordered
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
    if math.prod(sizes) >= _MOST or not len(codes):
        return _all(taken, codes, limit)
    theirs, own = (np.ravel_multi_index(tuple(some.T), tuple(sizes)) for some in (taken, codes))
    theirs.sort()
    theirs = _at_most(theirs, limit)
    ours, order = ordered(own)
    size = int(sizes[-1])
    groups = _starts(ours)  # where each wanted Semantic ID begins in `ours`
    held = _between(theirs, ours[groups], 1)
    colliding = held + np.diff(groups, append=len(ours)) > limit  # (G,)
    prefixes = _starts(ours // size)
    first = ours[prefixes] // size * size
    begins, ends = np.searchsorted(theirs, first), np.searchsorted(theirs, first + size)
    if (ends - begins + np.diff(prefixes, append=len(ours)) > size * limit).any():
        return _all(taken, codes, limit)
    busy = np.logical_or.reduceat(colliding, np.searchsorted(groups, prefixes))  # (P,), a prefix begins with a group
    inside = theirs[_ranges(begins[busy], ends[busy])]
    rows = np.sort(order[_ranges(prefixes[busy], np.append(prefixes, len(ours))[1:][busy])])
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


def _starts(keys: RowNumbers) -> RowNumbers:
    """Where each run of equal ones of the sorted keys, of which there are some, begins."""
    return np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])


def _ranges(starts: RowNumbers, ends: RowNumbers) -> RowNumbers:
    """The numbers from each start to before its end, one range after the other."""
    lengths = ends - starts
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))


def _codes(keys: RowNumbers, sizes: Sequence[int]) -> Codes:
    return np.stack(np.unravel_index(keys, tuple(sizes)), axis=1).astype(np.int32)
