"""The table of collision strategies, and `resolve`, which runs the one that params.yaml names.

A new strategy is a module with a `resolve`, a line in STRATEGIES and its name in `Dedupe.strategy` (sid/params.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN, Codes, Vectors, check_codes
from sid.dedupe import append, append_colliding, none, reassign, sinkhorn
from sid.dedupe.costs import QuantizerCosts
from sid.dedupe.groups import RowNumbers
from sid.dedupe.work import Work
from sid.errors import InputError
from sid.params import Dedupe
from sid.quantizers.base import Quantizer


class Strategy(Protocol):
    """Resolves collisions; deterministic, and changes none of its arguments."""

    def __call__(self, work: Work, wanted: Dedupe) -> tuple[Codes, tuple[int, ...]]:
        """Work with checked codes (n, L), n >= 1 -> codes after (n, L or L + 1) and the size of each of their levels.

        `taken` has L + 1 levels for a strategy that adds one, and may have for one that adds one at times.
        """
        ...


STRATEGIES: dict[str, Strategy] = {
    "reassign": reassign.resolve,
    "sinkhorn": sinkhorn.resolve,
    "append": append.resolve,
    "append_colliding": append_colliding.resolve,
    "none": none.resolve,
}

ADDED_LEVELS = {"append": (1,), "append_colliding": (0, 1)}
"""By strategy, how many levels more than the quantizer's its Semantic IDs may have; 0 for the others."""


@dataclass(frozen=True)
class Published:
    """Semantic IDs that never move.

    Attributes:
        rows: (m,) the row numbers of the items that have one, ascending.
        codes: (m, L or L + 1) theirs.
        reserved: (r, L or L + 1) those that no item here has, and none may get.
        code_sizes: of each of their levels.
        order: (N - m,) the other row numbers, in the order in which they are settled: by a rule that doesn't depend on
            the order of rows.
    """

    rows: RowNumbers
    codes: Codes
    reserved: Codes
    code_sizes: tuple[int, ...]
    order: RowNumbers


def resolve(
    codes: Codes,
    quantizer: Quantizer,
    vectors: Vectors,
    wanted: Dedupe,
    published: Published | None = None,
    popularity: NDArray[np.int64] | None = None,
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

    Returns:
        Codes (N, L or L + 1) int32 and the size of each of their levels.

    Raises:
        InputError: codes that the quantizer doesn't have, another number of vectors, published Semantic IDs of other
            levels than the strategy's, or too few Semantic IDs for the strategy to keep its promise.
    """
    codes = check_codes(codes, quantizer.code_sizes, "raw codes")
    if len(codes) != len(vectors):
        raise InputError(
            f"raw codes: are of {len(codes)} items, must be of {len(vectors)}, as many as there are vectors"
        )
    strategy = STRATEGIES[wanted.strategy]
    if published is None:
        return strategy(Work(codes, QuantizerCosts(quantizer, vectors), codes[:0], popularity), wanted)
    check_levels(wanted.strategy, codes.shape[1], published.codes.shape[1])
    rows = published.order
    taken = np.concatenate([published.codes, published.reserved])
    found, sizes = codes[:0], published.code_sizes
    if len(rows):
        costs = QuantizerCosts(quantizer, vectors, rows)
        found, own = strategy(Work(codes[rows], costs, taken, None if popularity is None else popularity[rows]), wanted)
        sizes = larger(sizes, own)
    after = np.full((len(codes), len(sizes)), NO_TOKEN, np.int32)
    after[published.rows, : published.codes.shape[1]] = published.codes
    after[rows, : found.shape[1]] = found
    return after, sizes


def check_levels(strategy: str, levels: int, published: int) -> None:
    """Raise InputError where a strategy can't go on with Semantic IDs of so many levels."""
    possible = [levels + more for more in ADDED_LEVELS.get(strategy, (0,))]
    if published not in possible:
        raise InputError(
            f"params.yaml: dedupe.strategy is {strategy!r}, whose Semantic IDs have {' or '.join(map(str, possible))} "
            f"levels: must be the strategy of the published ones, which have {published}"
        )


def larger(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    """The code sizes, level by level, that hold the codes of both."""
    levels = max(len(one), len(other))
    padded = [(*sizes, *[0] * (levels - len(sizes))) for sizes in (one, other)]
    return tuple(map(max, zip(*padded, strict=True)))
