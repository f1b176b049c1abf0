"""`append`: one more level on every item, which numbers the items of a group."""

from __future__ import annotations

import numpy as np

from sid.arrays import Codes, Vectors
from sid.dedupe.suffix import number
from sid.params import Dedupe
from sid.quantizers.base import Quantizer


def append(codes: Codes, max_suffix: int) -> tuple[Codes, int]:
    """Add a level that numbers the items of each group of equal codes 0, 1, 2 ...; an item alone gets 0.

    Numbers follow the order of rows, so that rows added at the end change no code of those before them.

    Args:
        codes: (N, L), N >= 1.
        max_suffix: the size that the new level may have at most; 256 to 4096 is sane.

    Returns:
        (N, L + 1) int32 codes and the new level's size, which is the size of the largest group: 1 where nothing
        collides.

    Raises:
        InputError: the new level would be larger than `max_suffix`.

    Source: Rajput et al., Recommender Systems with Generative Retrieval (TIGER), NeurIPS 2023.
    """
    numbers, sizes = number(codes, "append", max_suffix)
    return np.column_stack([codes, numbers.astype(np.int32)]), int(sizes.max())


def resolve(codes: Codes, quantizer: Quantizer, vectors: Vectors, wanted: Dedupe) -> tuple[Codes, tuple[int, ...]]:
    """The strategy as `strategies.STRATEGIES` has it: `append` of codes (N, L)."""
    after, size = append(codes, wanted.max_suffix)
    return after, (*quantizer.code_sizes, size)
