"""All that each user did, put together again from the splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sid.interactions.split_files import Interactions, Places, Rows, Split, ranges


@dataclass(frozen=True)
class Sequences:
    """The items of user u are items[offsets[u]:offsets[u + 1]], oldest first.

    Attributes:
        items: (T,) int32 row numbers of items.
        offsets: (U + 1,) int64.
    """

    items: Rows
    offsets: Places


def user_sequences(found: Interactions) -> Sequences:
    """Each user's items; of a user without a stretch, none.

    Of a table, each user's longest stretch is all that the user did. The lines of .inter files are put together, split
    after split: one whose history ends with what is known so far, or is longer and ends with all of it, continues it.
    Of lines that don't fit (a shuffled file), the longest sequence is kept.
    """
    if found.source == "table":
        return _longest(found.splits, len(found.user_ids))
    return _put_together(found.splits, len(found.user_ids))


def holds_out_last(found: Interactions, sequences: Sequences, shortest: int) -> bool:
    """Whether the only target of test is each user's last item, and that of valid the one before.

    Args:
        sequences: of the same interactions.
        shortest: users with fewer items don't count, 2 or more.
    """
    ends = sequences.offsets[1:]
    users = np.flatnonzero(np.diff(sequences.offsets) >= shortest)
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
