"""The table of collision strategies. A new one is a module with a `resolve`, and a line here.

Its name goes into `Dedupe.strategy` (sid/params.py).
"""

from __future__ import annotations

from typing import Protocol

from sid.arrays import Codes
from sid.dedupe import append, append_colliding, none, reassign, sinkhorn
from sid.dedupe.work import Work
from sid.params import Dedupe


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
