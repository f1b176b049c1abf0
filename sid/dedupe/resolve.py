"""Resolve collisions by the strategy that params.yaml names, beside Semantic IDs that are published."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN, Codes, Vectors, check_codes, rows_of
from sid.dedupe.costs import QuantizerCosts
from sid.dedupe.strategies import STRATEGIES
from sid.dedupe.work import Published, Work
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.errors import InputError
from sid.params import Dedupe
from sid.quantizers.base import Quantizer

ADDED_LEVELS = {"append": (1,), "append_colliding": (0, 1)}
"""By strategy, how many levels more than the quantizer's its Semantic IDs may have; 0 for the others."""


def resolve(
    codes: Codes,
    quantizer: Quantizer,
    vectors: Vectors,
    wanted: Dedupe,
    published: Published | None = None,
    popularity: NDArray[np.int64] | None = None,
    engine: Engine = LOCAL,
) -> tuple[Codes, tuple[int, ...]]:
    """Resolve collisions by the strategy that `wanted` names.

    Args:
        codes: (N, L) raw codes of the quantizer, N >= 1.
        quantizer: its `code_sizes` are those of `codes`; `reassign` and `sinkhorn` ask for `costs` of rows that may
            move.
        vectors: (N, D) float32, those that were coded; a memory map is read row by row where it is needed.
        wanted: the strategy and its bounds.
        published: items that keep their Semantic IDs, whatever collides; None: all are settled, in the order of rows.
        popularity: (N,) interactions with each item, by which a contested Semantic ID is kept; None: by cost.
        engine: runs what can be done for many items at once. It changes no Semantic ID.

    Returns:
        Codes (N, L or L + 1) int32 and the size of each of their levels.

    Raises:
        InputError: codes that the quantizer doesn't have, another number of vectors, published Semantic IDs of other
            levels than the strategy's, or too few Semantic IDs for the strategy to keep its promise.
    """
    codes = check_codes(codes, quantizer.code_sizes, "raw codes")
    if len(codes) != len(vectors):
        raise InputError(f"raw codes: are those of {len(codes)} items, but there are {len(vectors)} vectors")
    strategy = STRATEGIES[wanted.strategy]
    if published is None:
        return strategy(Work(codes, QuantizerCosts(quantizer, rows_of(vectors)), codes[:0], popularity, engine), wanted)
    taken = np.concatenate([published.codes, published.reserved])
    if len(taken):
        check_levels(wanted.strategy, codes.shape[1], taken.shape[1])
    else:
        taken = codes[:0]
    rows, found = published.order, codes[:0]
    sizes = larger(published.code_sizes, quantizer.code_sizes) if len(taken) else quantizer.code_sizes
    if len(rows):
        costs = QuantizerCosts(quantizer, rows_of(vectors), rows)
        counts = None if popularity is None else popularity[rows]
        found, own = strategy(Work(codes[rows], costs, taken, counts, engine), wanted)
        sizes = larger(sizes, own)
    after = np.full((len(codes), len(sizes)), NO_TOKEN, np.int32)
    if len(published.rows):  # none where a refresh has fewer levels
        after[published.rows, : published.codes.shape[1]] = published.codes
    after[rows, : found.shape[1]] = found
    return after, sizes


def can_go_on(strategy: str, levels: int, published: int) -> bool:
    """Whether Semantic IDs of so many levels can be a strategy's, for a quantizer of `levels` levels."""
    return published - levels in ADDED_LEVELS.get(strategy, (0,))


def check_levels(strategy: str, levels: int, published: int) -> None:
    """Raise InputError unless a strategy `can_go_on`."""
    if not can_go_on(strategy, levels, published):
        raise InputError(
            f"params.yaml: dedupe.strategy is {strategy!r}: must be the strategy of the published Semantic IDs, which "
            f"have {published} levels where the quantizer has {levels}"
        )


def larger(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    """The code sizes, level by level, that hold the codes of both."""
    levels = max(len(one), len(other))
    padded = [(*sizes, *[0] * (levels - len(sizes))) for sizes in (one, other)]
    return tuple(map(max, zip(*padded, strict=True)))
