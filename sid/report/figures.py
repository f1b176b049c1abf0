"""What is measured of an index before and after dedupe: reports/report.json, its headline figures, and two tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN, Codes, Vectors
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.errors import InputError
from sid.export import readers
from sid.files import round6
from sid.ids import SemanticIds
from sid.measure import metrics, neighbours, quality
from sid.measure.neighbours import Neighbours
from sid.quantizers.base import Quantizer
from sid.report.trials import trials


def measure(
    quantizer: Quantizer,
    vectors: Vectors,
    codes: Codes,
    sids: SemanticIds,
    interactions: NDArray[np.int64] | None = None,
    original: Vectors | None = None,
    engine: Engine = LOCAL,
) -> tuple[dict[str, Any], Neighbours, Neighbours]:
    """Measure an index.

    Args:
        quantizer: what the codes decode by.
        vectors: (N, D) float32, finite, N >= 1, those that were quantized; may be a memory map, read in chunks.
        codes: (N, L) the raw codes.
        sids: the N Semantic IDs after dedupe, of L or L + 1 levels.
        interactions: (N,) how often each item was interacted with; None where that isn't known.
        original: (N, D') the vectors before they were aligned; None where they are the same.
        engine: runs the passes over the rows.

    Returns:
        The figures of reports/report.json: those of `quality.reconstruction`; `warnings`: what readers of the Semantic
        IDs lose; `interactions` in all, or None; and `before` and `after`, each with `quality.collisions`,
        `recall_at_10`, `recall_at_10_original`, `recall_at_10_random` and `levels`. Recall and purity are taken against
        the nearest items by the vectors that were quantized, those that end in `_original` against the nearest by the
        vectors before they were aligned; and `trials`: see `sid.report.trials`. Then the nearest items by the vectors
        that were quantized, and by the original ones.

    Raises:
        InputError: not one vector, one row of codes and one Semantic ID for each item.
    """
    if not len(vectors) == len(codes) == len(sids.codes):
        raise InputError(
            f"{len(vectors)} vectors, {len(codes)} rows of codes and {len(sids.codes)} Semantic IDs: must be one of "
            "each for every item; run dvc repro"
        )
    near = neighbours.search(vectors, engine)
    spaces = {"": near, "_original": near if original is None else neighbours.search(original, engine)}
    after = sids.codes[:, : codes.shape[1]]  # a level that a strategy adds decodes to nothing
    recall = _recall(quantizer, spaces, codes, engine)
    recall_after = recall if np.array_equal(codes, after) else _recall(quantizer, spaces, after, engine)
    states = {
        "before": _state(codes, quantizer.code_sizes, vectors, spaces, interactions, recall),
        "after": _state(sids.codes, sids.code_sizes, vectors, spaces, interactions, recall_after),
    }
    uneven = bool((sids.codes[:, -1] == NO_TOKEN).any())
    figures = {
        **quality.reconstruction(quantizer.decode, vectors, codes, after, engine),
        "warnings": readers.warnings(len(sids.code_sizes), uneven, states["after"]["items_in_collision"]),
        "interactions": None if interactions is None else int(interactions.sum()),
        **states,
        "trials": trials(vectors, quantizer.code_sizes),
    }
    return figures, near, spaces["_original"]


def _recall(quantizer: Quantizer, spaces: Mapping[str, Neighbours], codes: Codes, engine: Engine) -> dict[str, float]:
    """recall@10 in each space, named by what its figures end in."""
    found = {"": quality.recall(quantizer.decode, spaces[""], codes, engine)}
    same = spaces["_original"] is spaces[""]
    found["_original"] = found[""] if same else quality.recall(quantizer.decode, spaces["_original"], codes, engine)
    return {f"recall_at_10{end}": value for end, value in found.items()}


def _state(
    codes: Codes,
    code_sizes: Sequence[int],
    vectors: Vectors,
    spaces: Mapping[str, Neighbours],
    interactions: NDArray[np.int64] | None,
    recall: Mapping[str, float],
) -> dict[str, Any]:
    """The figures of the codes at one time."""
    prefixes = metrics.prefix_ids(codes)
    levels = quality.levels(codes, code_sizes, prefixes, spaces[""])
    for level, ids in zip(levels.values(), prefixes, strict=True):
        level["purity_original"] = round6(neighbours.purity(spaces["_original"], ids))
    return {
        **quality.collisions(prefixes[-1], vectors, interactions),
        **recall,
        "recall_at_10_random": quality.recall_random(spaces[""], len(codes)),
        "levels": levels,
    }


def headline(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """The few of `measure`'s figures that runs are compared by, as reports/metrics/report.json holds them."""
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
