"""`none`: collisions stay as they are."""

from __future__ import annotations

from sid.arrays import Codes
from sid.dedupe.work import Work
from sid.params import Dedupe


def resolve(work: Work, wanted: Dedupe) -> tuple[Codes, tuple[int, ...]]:
    """The strategy as `strategies.STRATEGIES` has it: a copy of codes (n, L)."""
    return work.codes.copy(), work.costs.code_sizes
