"""`append_colliding`: one more code on colliding items alone, MiniOneRec's uneven Semantic IDs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN, Codes
from sid.dedupe.suffix import number
from sid.dedupe.work import Work
from sid.params import Dedupe


def append_colliding(
    codes: Codes,
    max_suffix: int,
    taken: Codes | None = None,
    popularity: NDArray[np.int64] | None = None,
) -> tuple[Codes, int]:
    """Add a code 0..n-1 to the items of a group of n equal codes, and none (-1) to an item alone.

    Without taken codes a new item can change one Semantic ID of before: the item that was alone so far and now shares
    its codes gets the code 0. That comes with MiniOneRec's form. Taken codes never change: an item alone that is
    published stays without a token, and the first that joins it gets 0.

    Args:
        codes: (N, L), N >= 1; numbers follow the order of rows, or the popularity.
        max_suffix: the size that the new level may have at most; 256 to 4096 is sane.
        taken: (t, L or L + 1) codes that others hold.
        popularity: (N,) interactions with each item.

    Returns:
        (N, L + 1) int32 codes and the new level's size, one more than its largest number; 0, and the codes as they
        are, where nothing collides.

    Raises:
        InputError: the new level would be larger than `max_suffix`.

    Source: `deal_with_deduplicate` in MiniOneRec's rq/rqkmeans_constrained.py, which counts from 1.
    """
    numbers, sizes = number(codes, "append_colliding", max_suffix, taken, popularity)
    if int(sizes.max()) == 1:
        return codes.copy(), 0
    suffix = np.where(sizes > 1, numbers, NO_TOKEN)
    return np.column_stack([codes, suffix.astype(np.int32)]), int(suffix.max()) + 1


def resolve(work: Work, wanted: Dedupe) -> tuple[Codes, tuple[int, ...]]:
    """The strategy as `strategies.STRATEGIES` has it: `append_colliding` of codes (n, L)."""
    after, size = append_colliding(work.codes, wanted.max_suffix, work.taken, work.popularity)
    return after, (*work.costs.code_sizes, size) if size else work.costs.code_sizes
