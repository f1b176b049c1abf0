"""All that each user did, put together again from the splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sid.interactions.split_files import Interactions, Places, Rows, Split, ranges


@dataclass(frozen=True)
class Sequences:
    """Items oldest first: sequence s, such as what user s did, is items[offsets[s]:offsets[s + 1]].

    Attributes:
        items: (T,) int32 row numbers of items.
        offsets: (S + 1,) int64.
    """

    items: Rows
    offsets: Places

    def __len__(self) -> int:
        """S."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Places:
        """(S,) int64: the items of each."""
        lengths: Places = np.diff(self.offsets)
        return lengths

    def take(self, index: Places) -> Sequences:
        """The sequences of these numbers (n,)."""
        lengths = self.lengths[index]
        return Sequences(self.items[ranges(self.offsets[index], lengths)], np.r_[0, lengths.cumsum()])

    def padded(self, fill: int) -> Rows:
        """(S, longest) int32, each sequence followed by `fill`."""
        lengths = self.lengths
        table = np.full((len(self), int(lengths.max(initial=0))), fill, np.int32)
        table[np.arange(table.shape[1]) < lengths[:, None]] = self.items
        return table


def user_sequences(splits: tuple[Split, ...], users: int) -> Sequences:
    """Each user's items; of a user without a stretch, none.

    Args:
        splits: in the order of time, all of one source.
        users: U; there are so many sequences.

    Of a table, each user's longest stretch is all that the user did. The lines of .inter files are put together, split
    after split: one whose history ends with what is known so far, or is longer and ends with all of it, continues it.
    Of lines that don't fit (a shuffled file), the longest sequence is kept.
    """
    return (_longest if splits[0].source == "table" else _put_together)(splits, users)


def holds_out_last(found: Interactions, sequences: Sequences, shortest: int) -> bool:
    """Whether the only target of test is each user's last item, and that of valid the one before.

    Args:
        sequences: of the same interactions.
        shortest: users with fewer items don't count, 2 or more.
    """
    ends = sequences.offsets[1:]
    users = np.flatnonzero(sequences.lengths >= shortest)
    for behind, split in enumerate(reversed(found.splits[1:])):
        stretches, places = split.targets()
        targets = np.bincount(split.users[stretches], minlength=len(ends))
        last = np.full(len(ends), -1, np.int32)
        last[split.users[stretches]] = split.items[places]
        if (targets[users] != 1).any() or (last[users] != sequences.items[ends[users] - 1 - behind]).any():
            return False
    return True


def _longest(splits: tuple[Split, ...], users: int) -> Sequences:
    lengths = np.zeros(users, np.int64)
    for split in splits:
        lengths[split.users] = np.maximum(lengths[split.users], np.diff(split.offsets))
    offsets = np.r_[0, lengths.cumsum()]
    items = np.zeros(offsets[-1], np.int32)
    for split in splits:  # shorter ones of the same user are written over by what they begin
        into = ranges(offsets[split.users], np.diff(split.offsets))
        items[into] = split.items
    return Sequences(items, offsets)


def _put_together(splits: tuple[Split, ...], users: int) -> Sequences:
    known: list[list[int]] = [[] for _ in range(users)]
    for split in splits:
        for user, items in split:
            so_far, history = known[user], items[:-1]
            shared = min(len(so_far), len(history))
            if so_far[len(so_far) - shared :] == history[len(history) - shared :]:
                so_far[:0] = history[: len(history) - shared]
                so_far.append(items[-1])
            elif len(items) > len(so_far):
                known[user] = items
    offsets = np.r_[0, np.cumsum([len(items) for items in known])].astype(np.int64)
    flat = np.fromiter((item for items in known for item in items), np.int32, count=int(offsets[-1]))
    return Sequences(flat, offsets)
