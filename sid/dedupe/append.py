"""`append`: one more level on every item, which numbers the items of a group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes
from sid.dedupe.suffix import number
from sid.dedupe.work import Work
from sid.params import Dedupe


def append(
    codes: Codes,
    max_suffix: int,
    taken: Codes | None = None,
    popularity: NDArray[np.int64] | None = None,
) -> tuple[Codes, int]:
    """Add a level that numbers the items of each group of equal codes 0, 1, 2 ...; an item alone gets 0.

    Numbers follow the order of rows, so that rows added at the end change no code of those before them; or the
    popularity, and beside taken codes they go on where those end.

    Args:
        codes: (N, L), N >= 1.
        max_suffix: the size that the new level may have at most; 256 to 4096 is sane.
        taken: (t, L + 1) codes that others hold.
        popularity: (N,) interactions with each item.

    Returns:
        (N, L + 1) int32 codes and the new level's size, one more than its largest number: 1 where nothing collides.

    Raises:
        InputError: the new level would be larger than `max_suffix`.

    Source: Rajput et al., Recommender Systems with Generative Retrieval (TIGER), NeurIPS 2023.
    """
    numbers, _ = number(codes, "append", max_suffix, taken, popularity)
    return np.column_stack([codes, numbers.astype(np.int32)]), int(numbers.max()) + 1


def resolve(work: Work, wanted: Dedupe) -> tuple[Codes, tuple[int, ...]]:
    """The strategy as `strategies.STRATEGIES` has it: `append` of codes (n, L)."""
    after, size = append(work.codes, wanted.max_suffix, work.taken, work.popularity)
    return after, (*work.costs.code_sizes, size)
