"""What is measured of an index before and after dedupe: reports/report.json, its headline figures, and two tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN, Codes, Vectors
from sid.errors import InputError
from sid.export import readers
from sid.ids import SemanticIds
from sid.measure import metrics, neighbours, quality
from sid.measure.neighbours import Neighbours
from sid.quantizers.base import Quantizer


def measure(
    quantizer: Quantizer,
    vectors: Vectors,
    codes: Codes,
    sids: SemanticIds,
    interactions: NDArray[np.int64] | None = None,
) -> tuple[dict[str, Any], Neighbours]:
    """Measure an index.

    Args:
        quantizer: what the codes decode by.
        vectors: (N, D) float32, finite, N >= 1; may be a memory map, read in chunks.
        codes: (N, L) the raw codes.
        sids: the N Semantic IDs after dedupe, of L or L + 1 levels.
        interactions: (N,) how often each item was interacted with; None where that isn't known.

    Returns:
        The figures of reports/report.json: those of `quality.reconstruction`; `warnings`: what readers of the Semantic
        IDs lose; `interactions` in all, or None; and `before` and `after`, each with `quality.collisions`,
        `recall_at_10`, `recall_at_10_random` and `levels`. Then the nearest items by which they were taken.

    Raises:
        InputError: not one vector, one row of codes and one Semantic ID for each item.
    """
    if not len(vectors) == len(codes) == len(sids.codes):
        raise InputError(
            f"{len(vectors)} vectors, {len(codes)} rows of codes and {len(sids.codes)} Semantic IDs: must be one of "
            "each for every item; run dvc repro"
        )
    near = neighbours.search(vectors)
    after = sids.codes[:, : codes.shape[1]]  # a level that a strategy adds decodes to nothing
    recall = quality.recall(quantizer.decode, near, codes)
    recall_after = recall if np.array_equal(codes, after) else quality.recall(quantizer.decode, near, after)
    states = {
        "before": _state(codes, quantizer.code_sizes, vectors, near, interactions, recall),
        "after": _state(sids.codes, sids.code_sizes, vectors, near, interactions, recall_after),
    }
    uneven = bool((sids.codes[:, -1] == NO_TOKEN).any())
    figures = {
        **quality.reconstruction(quantizer.decode, vectors, codes, after),
        "warnings": readers.warnings(len(sids.code_sizes), uneven, states["after"]["items_in_collision"]),
        "interactions": None if interactions is None else int(interactions.sum()),
        **states,
    }
    return figures, near


def _state(
    codes: Codes,
    code_sizes: Sequence[int],
    vectors: Vectors,
    near: Neighbours,
    interactions: NDArray[np.int64] | None,
    recall: float,
) -> dict[str, Any]:
    """The figures of the codes at one time."""
    prefixes = metrics.prefix_ids(codes)
    return {
        **quality.collisions(prefixes[-1], vectors, interactions),
        "recall_at_10": recall,
        "recall_at_10_random": quality.recall_random(near, len(codes)),
        "levels": quality.levels(codes, code_sizes, prefixes, near),
    }


def headline(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """The few of `measure`'s figures that people compare from run to run, as reports/metrics/report.json holds them."""
    after = figures["after"]
    levels = [after["levels"][name] for name in figures["before"]["levels"]]  # without one that a strategy added
    return {
        "r2": figures["r2"],
        "error_added": figures["mse_added_share"],
        "recall_at_10": after["recall_at_10"],
        "purity": levels[0]["purity"],
        "least_perplexity": min(level["perplexity"] for level in levels),
    }


def usage_rows(codes: Codes, code_sizes: Sequence[int]) -> list[dict[str, int]]:
    """How often each code is used: for each level (from 1), its codes by rank (from 1): level, rank, code, items."""
    rows = []
    for level, size in enumerate(code_sizes):
        counts = metrics.code_counts(codes[:, level], size)
        for rank, code in enumerate((-counts).argsort(kind="stable").tolist(), 1):
            rows.append({"level": level + 1, "rank": rank, "code": code, "items": int(counts[code])})
    return rows


def group_rows(before: Codes, after: Codes) -> list[dict[str, int | str]]:
    """How many Semantic IDs have 1, 2, 3, ... items, before and after: when, size, groups."""
    return [
        {"when": when, "size": size, "groups": groups}
        for when, codes in (("before", before), ("after", after))
        for size, groups in metrics.group_sizes(metrics.prefix_ids(codes)[-1]).items()
    ]
