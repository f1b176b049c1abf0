"""`append_colliding`: one more code on colliding items alone, MiniOneRec's uneven Semantic IDs."""

from __future__ import annotations

import numpy as np

from sid.arrays import NO_TOKEN, Codes, Vectors
from sid.dedupe.suffix import number
from sid.params import Dedupe
from sid.quantizers.base import Quantizer


def append_colliding(codes: Codes, max_suffix: int) -> tuple[Codes, int]:
    """Add a code 0..n-1 to the items of a group of n equal codes, and none (-1) to an item alone.

    A newcomer can change one published Semantic ID: the item that was alone so far and now shares its codes gets the
    code 0. That comes with MiniOneRec's form; `append` doesn't have it.

    Args:
        codes: (N, L), N >= 1; numbers follow the order of rows.
        max_suffix: the size that the new level may have at most; 256 to 4096 is sane.

    Returns:
        (N, L + 1) int32 codes and the new level's size, which is the size of the largest group; 0, and the codes
        as they are, where nothing collides.

    Raises:
        InputError: the new level would be larger than `max_suffix`.

    Source: `deal_with_deduplicate` in MiniOneRec's rq/rqkmeans_constrained.py, which counts from 1.
    """
    numbers, sizes = number(codes, "append_colliding", max_suffix)
    largest = int(sizes.max())
    if largest == 1:
        return codes.copy(), 0
    suffix = np.where(sizes > 1, numbers, NO_TOKEN)
    return np.column_stack([codes, suffix.astype(np.int32)]), largest


def resolve(codes: Codes, quantizer: Quantizer, vectors: Vectors, wanted: Dedupe) -> tuple[Codes, tuple[int, ...]]:
    """The strategy as `strategies.STRATEGIES` has it: `append_colliding` of codes (N, L)."""
    after, size = append_colliding(codes, wanted.max_suffix)
    return after, (*quantizer.code_sizes, size) if size else quantizer.code_sizes
