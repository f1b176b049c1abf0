"""The interactions as rows of a history and a next item, as `export` wants them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from sid.arrays import chunks
from sid.errors import InputError
from sid.interactions import SPLITS, Interactions, Sequences, Split, user_sequences
from sid.interactions.split_files import Places, Rows
from sid.params import Export

TRAIN = SPLITS[0]
"""The split that the tasks on one item belong to as well: there is no later item to hold out."""


@dataclass(frozen=True)
class Histories:
    """One split: each row is a stretch of `items`, its last item the next one and those before it the history.

    Attributes:
        name: one of SPLITS.
        items: (T,) int32 row numbers of items, in the order of time.
        users: (R,) int32, each row's user.
        starts, targets: (R,) int64, where a row's history begins and where its next item is; starts < targets.
    """

    name: str
    items: Rows
    users: Rows
    starts: Places
    targets: Places

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.users)

    def rows(self) -> Iterator[tuple[int, list[int], int]]:
        """User, history (oldest first) and next item of every row."""
        for part in chunks(len(self), 3 * 64):
            columns = (column[part].tolist() for column in (self.users, self.starts, self.targets))
            for user, start, target in zip(*columns, strict=True):
                *history, item = self.items[start : target + 1].tolist()
                yield user, history, item


@dataclass(frozen=True)
class Behaviour:
    """What users did, as all formats see it.

    Attributes:
        read: the interactions as the stage before wrote them.
        splits: one for each of SPLITS, in that order; each may be without rows.
        left_out: rows by reason: `short_history`, `not_longest`.
    """

    read: Interactions
    splits: tuple[Histories, ...]
    left_out: dict[str, int]

    @classmethod
    def of(cls, read: Interactions, wanted: Export) -> Behaviour:
        """The rows that `wanted` keeps.

        Args:
            wanted: `min_history` leaves out rows whose history is shorter; `keep_longest_only` keeps of each user's
                train rows the one with the longest history, the first of equals; then `max_history` keeps the latest
                items of a history.

        Raises:
            InputError: no row is left in any split.
        """
        left_out = {"short_history": 0, "not_longest": 0}
        splits = tuple(_kept(name, split, wanted, left_out) for name, split in zip(SPLITS, read.splits, strict=True))
        if not any(map(len, splits)):
            raise InputError(
                f"export.min_history is {wanted.min_history}: no interaction has a history that long "
                f"({left_out['short_history']:,} are shorter)"
            )
        return cls(read, splits, left_out)

    @property
    def user_ids(self) -> pl.Series:
        """(U,) as text."""
        return self.read.user_ids

    @cached_property
    def users(self) -> int:
        """How many users have a row."""
        return len(np.unique(np.concatenate([split.users for split in self.splits])))

    @cached_property
    def sequences(self) -> Sequences:
        """Everything each user did, including what `export` leaves out of the rows."""
        return user_sequences(self.read.splits, len(self.read.user_ids))


def _kept(name: str, split: Split, wanted: Export, left_out: dict[str, int]) -> Histories:
    """The rows of one split as params want them; counts what is left out."""
    stretches, targets = split.targets()
    users, starts = split.users[stretches], split.offsets[stretches]
    lengths = targets - starts
    keep = np.flatnonzero(lengths >= wanted.min_history)
    left_out["short_history"] += len(targets) - len(keep)
    if wanted.keep_longest_only and name == TRAIN:
        order = keep[np.lexsort((keep, -lengths[keep], users[keep]))]
        first = np.flatnonzero(np.r_[True, np.diff(users[order]) != 0]) if len(order) else order
        left_out["not_longest"] += len(keep) - len(first)
        keep = np.sort(order[first])
    starts, targets = starts[keep], targets[keep]
    if wanted.max_history is not None:
        starts = np.maximum(starts, targets - wanted.max_history)
    return Histories(name, split.items, users[keep], starts, targets)
