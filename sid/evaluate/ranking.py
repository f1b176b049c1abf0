"""Ranking metrics by item: where several items share a place in the ranking, each of their orders is equally likely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CUTS = (5, 10, 20)
"""The k of HR@k and NDCG@k."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Slots:
    """Where the target of each question is in its ranking: at one of the slots start, ..., start + size - 1.

    Attributes:
        starts: (R,) int64, slots of better items; those of targets that weren't found don't matter.
        sizes: (R,) int64, items that share the target's place, 1 or more; 0 where the target wasn't found.
    """

    starts: Ints
    sizes: Ints


def slots_of_beams(leaves: Ints, targets: Ints, items: Ints) -> Slots:
    """Of Semantic IDs in order of their score.

    Args:
        leaves: (R, beams) Semantic IDs, the best first; -1 for none.
        targets: (R,) the Semantic ID of each target.
        items: (U,) how many items have each Semantic ID.
    """
    filled = np.where(leaves >= 0, items[leaves], 0)
    hit = leaves == targets[:, None]
    place = hit.argmax(axis=1)
    before = filled.cumsum(axis=1) - filled
    rows = np.arange(len(targets))
    return Slots(before[rows, place], np.where(hit.any(axis=1), items[targets], 0))


def slots_of_scores(scores: Floats, targets: Ints) -> Slots:
    """Of scores (R, N) of all items: equal scores share a place; targets (R,) are item numbers."""
    own = scores[np.arange(len(targets)), targets][:, None]
    return Slots((scores > own).sum(axis=1), (scores == own).sum(axis=1))


def with_spread(figure: Mapping[str, float | None]) -> str:
    """A figure's `mean` and, where there are several seeds, its `std`: '0.0851 ± 0.0012'."""
    spread = figure["std"]
    return f"{figure['mean']:.4f}" + ("" if spread is None else f" ± {spread:.4f}")


def metrics_of(slots: Slots) -> dict[str, Floats]:
    """Each question's expected `hr_at_k`, `ndcg_at_k` and `mrr`, (R,) each."""
    longest = int(max((slots.starts + slots.sizes).max(initial=0), max(CUTS)))
    places = np.arange(longest)
    gains = np.r_[0, np.cumsum(1 / np.log2(places + 2))]
    ranks = np.r_[0, np.cumsum(1 / (places + 1))]
    shares = np.maximum(slots.sizes, 1)
    found: dict[str, Floats] = {}
    for cut in CUTS:
        starts = np.minimum(slots.starts, cut)
        stops = np.minimum(slots.starts + slots.sizes, cut)
        stops = np.maximum(stops, starts)
        found[f"hr_at_{cut}"] = (stops - starts) / shares
        found[f"ndcg_at_{cut}"] = (gains[stops] - gains[starts]) / shares
    found["mrr"] = (ranks[slots.starts + slots.sizes] - ranks[slots.starts]) / shares
    return found
