"""What strategies are given: items to settle, and the Semantic IDs that are taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes
from sid.dedupe.costs import Costs
from sid.dedupe.groups import RowNumbers
from sid.engine.base import Engine
from sid.engine.local import LOCAL


@dataclass(frozen=True)
class Work:
    """Items that want a Semantic ID.

    Attributes:
        codes: (n, L) their raw codes, in the order in which they are settled wherever nothing else decides.
        costs: of their next codes, asked by their row numbers 0..n-1.
        taken: (t, L or L + 1) the Semantic IDs that others hold and keep: those of published items, and those that
            are reserved. -1 in the last column means 'no token'.
        popularity: (n,) interactions with each item; the item with the most keeps a contested Semantic ID. None:
            the item that would lose most by leaving keeps it.
        engine: runs what can be done for many items at once.
    """

    codes: Codes
    costs: Costs
    taken: Codes
    popularity: NDArray[np.int64] | None = None
    engine: Engine = LOCAL

    @property
    def raw_taken(self) -> Codes:
        """(t, L) the taken Semantic IDs without the level that a strategy added."""
        return self.taken[:, : self.codes.shape[1]]


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
