"""What a recommender is trained on and asked for: users' sequences of items; histories and the item that came next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sid.interactions.sequences import Sequences, user_sequences
from sid.interactions.split_files import Places, Rows, Split, ranges


@dataclass(frozen=True)
class Questions:
    """Histories, and the item that came next.

    Attributes:
        histories: R of them, each of one item or more.
        targets: (R,) int32 row numbers of items.
    """

    histories: Sequences
    targets: Rows

    def __len__(self) -> int:
        return len(self.targets)


def user_histories(train: Split, limit: int | None, seed: int) -> Sequences:
    """All that each user did in the train split.

    Args:
        train: the train split; nothing else is looked at.
        limit: users that are drawn by `seed`, 1 or more; None takes all.
        seed: of the draw.
    """
    found = user_sequences((train,), int(train.users.max(initial=-1)) + 1)
    return found.take(_draw(np.flatnonzero(found.lengths), limit, seed))


def stretches(whole: Sequences, max_history: int) -> Sequences:
    """The sequences in stretches of at most max_history + 1 items.

    A longer one is cut into stretches that overlap, so that each item but a sequence's first ones has at least half of
    max_history before it in one of them.
    """
    step = max(1, max_history // 2)
    pieces = 1 + np.maximum(0, -(-(whole.lengths - max_history - 1) // step))
    begins = np.repeat(whole.offsets[:-1], pieces) + step * ranges(np.zeros_like(pieces), pieces)
    ends = np.minimum(begins + max_history + 1, np.repeat(whole.offsets[1:], pieces))
    return Sequences(whole.items[ranges(begins, ends - begins)], np.r_[0, (ends - begins).cumsum()])


def questions(split: Split, limit: int | None, max_history: int, seed: int) -> Questions:
    """Each target of a split behind its latest `max_history` items.

    Args:
        split: valid or test.
        limit: targets that are drawn by `seed`, 1 or more; None takes all.
        max_history: items, 1 or more.
        seed: of the draw.
    """
    stretches, places = split.targets()
    chosen = _draw(np.arange(len(places)), limit, seed)
    stretches, places = stretches[chosen], places[chosen]
    begins = np.maximum(split.offsets[stretches], places - max_history)
    histories = Sequences(split.items[ranges(begins, places - begins)], np.r_[0, (places - begins).cumsum()])
    return Questions(histories, split.items[places])


def _draw(numbers: Places, limit: int | None, seed: int) -> Places:
    """`limit` of these numbers (n,) in their order."""
    if limit is None or len(numbers) <= limit:
        return numbers
    return np.sort(np.random.default_rng(seed).choice(numbers, limit, replace=False))
