"""What an alignment cost and what it brought: reports/align.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sid.align.base import Aligned, Inputs
from sid.align.directions import centre_of
from sid.align.graph import Graph
from sid.arrays import Vectors, chunks
from sid.files import round6
from sid.measure import neighbours
from sid.measure.neighbours import NEIGHBOURS, Neighbours

_NO_EDGE = "no two items were used together in the train split: no vector was moved"
UNKNOWN: dict[str, Any] = {
    "cold_items": None,
    "pairs": None,
    "dim": None,
    "moved": 0.0,
    "moved_cold": 0.0,
    "neighbours_kept": 1.0,
    "used_together_before": None,
    "used_together_after": None,
    "details": {},
}


def figures(inputs: Inputs, done: Aligned, aligned: Vectors | None, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """The figures of reports/align.json.

    Args:
        inputs: what the method was given.
        done: what it returned.
        aligned: (N, D') what it wrote; None where it wrote nothing.
        warnings: more of them.

    Returns:
        `method`, that which was asked for, and `applied`, that which shaped the vectors; counts of `items`,
        `cold_items`, which have no neighbour in the train split, and `pairs` of items used together; `dim`;
        `moved` and `moved_cold`: the mean distance that vectors moved as a share of their distance from the centre,
        of items with and without neighbours, None where vectors have another dimension than before;
        `neighbours_kept`: the share of the 10 nearest items that are still among the 10 nearest; and
        `used_together_before`, `used_together_after`: of up to 10 items that an item is most used together with in the
        train split, the share among its 10 nearest. `details` are what the method found. `none` costs nothing: of its
        figures that need a search, `neighbours_kept` is 1 and the others are None.
    """
    vectors, method = inputs.vectors, inputs.wanted.method
    if method == done.aligner.method == "none":
        known = {"method": method, "applied": method, "items": len(vectors), "dim": int(vectors.shape[1])}
        return {**UNKNOWN, **known, "warnings": list(warnings)}
    graph = inputs.graph
    cold = graph.degrees == 0
    before = neighbours.search(vectors)
    after = before if aligned is None else neighbours.search(aligned)
    moved = [0.0, 0.0] if aligned is None else _moved(vectors, aligned, cold)
    return {
        "method": method,
        "applied": done.aligner.method,
        "items": len(vectors),
        "cold_items": int(cold.sum()),
        "pairs": graph.pairs,
        "dim": int((vectors if aligned is None else aligned).shape[1]),
        "moved": moved[0],
        "moved_cold": moved[1],
        "neighbours_kept": _kept(before, after),
        "used_together_before": _used_together(before, graph),
        "used_together_after": _used_together(after, graph),
        "details": dict(done.figures),
        "warnings": [*warnings, *([_NO_EDGE] if graph.pairs == 0 and aligned is None else []), *done.warnings],
    }


def headline(found: dict[str, Any]) -> dict[str, Any]:
    """The few figures that runs are compared by, as reports/metrics/align.json holds them."""
    return {name: found[name] for name in ("neighbours_kept", "used_together_after")}


def _moved(vectors: Vectors, aligned: Vectors, cold: NDArray[np.bool_]) -> list[float | None]:
    """Mean relative moves of items with neighbours, and of those without."""
    if vectors.shape != aligned.shape:
        return [None, None]
    centre = centre_of(vectors)
    shares = np.zeros(len(vectors))
    for part in chunks(len(vectors), 40 * vectors.shape[1]):
        given = vectors[part].astype(np.float64)
        size = np.sqrt(((given - centre) ** 2).sum(axis=1))
        shares[part] = np.sqrt(((aligned[part] - given) ** 2).sum(axis=1)) / np.where(size > 0, size, 1)
    return [round6(float(shares[which].mean())) if which.any() else None for which in (~cold, cold)]


def _kept(before: Neighbours, after: Neighbours) -> float:
    if before.rows.size == 0:
        return 1.0
    return round6(float((before.rows[:, :, None] == after.rows[:, None, :]).any(axis=2).mean()))


def _used_together(near: Neighbours, graph: Graph) -> float | None:
    """Of the items that each query is most used together with, the share among its nearest."""
    weights = graph.rows(near.queries)
    hits = total = 0
    for place in range(len(near.queries)):
        part = slice(weights.indptr[place], weights.indptr[place + 1])
        order = np.lexsort((weights.indices[part], -weights.data[part]))[:NEIGHBOURS]
        hits += int(np.isin(weights.indices[part][order], near.rows[place]).sum())
        total += len(order)
    return round6(hits / total) if total else None
