"""The table of collision strategies, and `resolve`, which runs the one that params.yaml names.

A new strategy is a module with a `resolve`, a line in STRATEGIES and its name in `Dedupe.strategy` (sid/params.py).
"""

from __future__ import annotations

from typing import Protocol

from sid.arrays import Codes, Vectors, check_codes
from sid.dedupe import append, append_colliding, none, reassign, sinkhorn
from sid.errors import InputError
from sid.params import Dedupe
from sid.quantizers.base import Quantizer


class Strategy(Protocol):
    """Resolves collisions; deterministic, and changes none of its arguments."""

    def __call__(
        self, codes: Codes, quantizer: Quantizer, vectors: Vectors, wanted: Dedupe
    ) -> tuple[Codes, tuple[int, ...]]:
        """Checked codes (N, L), vectors (N, D) -> codes after (N, L or L + 1) and the size of each of their levels."""
        ...


STRATEGIES: dict[str, Strategy] = {
    "reassign": reassign.resolve,
    "sinkhorn": sinkhorn.resolve,
    "append": append.resolve,
    "append_colliding": append_colliding.resolve,
    "none": none.resolve,
}


def resolve(codes: Codes, quantizer: Quantizer, vectors: Vectors, wanted: Dedupe) -> tuple[Codes, tuple[int, ...]]:
    """Resolve collisions by the strategy that `wanted` names.

    Args:
        codes: (N, L) raw codes of the quantizer, N >= 1.
        quantizer: its `code_sizes` are those of `codes`; `reassign` and `sinkhorn` ask for `costs` of rows that may
            move.
        vectors: (N, D) float32, those that were coded; a memory map is read row by row where it is needed.
        wanted: the strategy and its bounds.

    Returns:
        Codes (N, L or L + 1) int32 and the size of each of their levels.

    Raises:
        InputError: codes that the quantizer doesn't have, another number of vectors, or too few Semantic IDs for
            the strategy to keep its promise.
    """
    codes = check_codes(codes, quantizer.code_sizes, "raw codes")
    if len(codes) != len(vectors):
        raise InputError(
            f"raw codes: are of {len(codes)} items, must be of {len(vectors)}, as many as there are vectors"
        )
    return STRATEGIES[wanted.strategy](codes, quantizer, vectors, wanted)
