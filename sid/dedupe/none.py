"""`none`: collisions stay as they are."""

from __future__ import annotations

from sid.arrays import Codes, Vectors
from sid.params import Dedupe
from sid.quantizers.base import Quantizer


def resolve(codes: Codes, quantizer: Quantizer, vectors: Vectors, wanted: Dedupe) -> tuple[Codes, tuple[int, ...]]:
    """The strategy as `strategies.STRATEGIES` has it: a copy of codes (N, L)."""
    return codes.copy(), quantizer.code_sizes
