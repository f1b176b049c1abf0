"""The items that the page can find, with their neighbours, within a budget of bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.arrays import Codes
from sid.ids import SemanticIds, sid_text
from sid.measure.neighbours import Neighbours
from sid.report.markup import embedded, short

BUDGET = 4_000_000  # bytes of the items and codes in the page; Plotly takes 4.8 million more

_NEAR = 10  # neighbours of an item, each way
_NEAR_OF_SOME = 5  # where only a sample of the items can be found


def search_data(
    sids: SemanticIds,
    ids: NDArray[np.int64],
    titles: pl.Series,
    spaces: tuple[Neighbours, Neighbours],
    codes: dict[str, Any],
) -> tuple[str, int]:
    """The items and codes that the page knows, as JSON of at most BUDGET, and how many items it can find.

    `items`: id, title and Semantic ID; the first `found` of them can be searched for, the others are their
    neighbours. For each of those, places in `items` of its neighbours: `original` by the original vectors, `near` by
    the aligned ones (empty where nothing was aligned), `alike` by the codes that they share from the first on.

    Args:
        spaces: the nearest items by the original vectors, and by those that were quantized: the same object where
            nothing was aligned.
    """
    before, near = spaces
    whole = len(near.queries) == len(ids)
    shown = _NEAR if whole else _NEAR_OF_SOME
    order = np.argsort(ids, kind="stable")
    place = np.empty(len(ids), np.int64)
    place[order] = np.arange(len(ids))
    chosen = np.arange(len(near.queries))
    while True:
        queries = near.queries[chosen]
        same = [alike(int(row), sids.codes, order, int(place[row]), shown) for row in queries]
        close = before.rows[chosen, :shown]
        aligned = near.rows[chosen, :shown] if near is not before else close[:0]
        around = [*close.reshape(-1).tolist(), *aligned.reshape(-1).tolist(), *(r for found in same for r in found)]
        rows = list(dict.fromkeys([*queries.tolist(), *around]))
        entry = {row: number for number, row in enumerate(rows)}
        data = embedded(
            {
                "total": len(ids),
                "found": len(queries),
                "items": list(
                    zip(
                        sids.item_ids.gather(rows).to_list(),
                        map(short, titles.gather(rows).to_list()),
                        map(sid_text, sids.codes[rows].tolist()),
                        strict=True,
                    )
                ),
                "original": [[entry[row] for row in found] for found in close.tolist()],
                "near": [[entry[row] for row in found] for found in aligned.tolist()],
                "alike": [[entry[row] for row in found] for found in same],
                "codes": codes,
            }
        )
        if len(data.encode()) <= BUDGET or len(chosen) < 2:
            return data, len(queries)
        chosen = chosen[::2]


def alike(row: int, codes: Codes, order: NDArray[np.int64], place: int, count: int) -> list[int]:
    """The items that share the longest prefix with a row, at most `count`, the longest first.

    Args:
        order: all rows in the order of their codes: those of one prefix are next to each other.
        place: the row's place in it.
    """
    around = np.r_[order[max(place - count, 0) : place], order[place + 1 : place + 1 + count]]
    shared = np.logical_and.accumulate(codes[around] == codes[row], axis=1).sum(axis=1)
    best = np.lexsort((around, -shared))[:count]
    return [int(around[at]) for at in best if shared[at] > 0]
