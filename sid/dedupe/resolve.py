"""Apply a collision strategy to raw codes and account for it: the codes after, and reports/collisions.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN, Codes, Vectors, check_codes
from sid.dedupe import strategies
from sid.export import readers
from sid.files import round6
from sid.measure import metrics, neighbours, quality
from sid.measure.neighbours import Neighbours
from sid.params import Dedupe, check_capacity
from sid.quantizers.base import Quantizer


@dataclass(frozen=True)
class Deduped:
    """Codes after a strategy, the size of each of their levels, and the figures of before and after.

    Attributes:
        near: the nearest items in the input space, by which the figures were taken.
    """

    codes: Codes
    code_sizes: tuple[int, ...]
    figures: dict[str, Any]
    near: Neighbours


def dedupe(
    codes: Codes,
    code_sizes: Sequence[int],
    vectors: Vectors,
    wanted: Dedupe,
    quantizer: Callable[[], Quantizer],
    recall: float | None = None,
    interactions: NDArray[np.int64] | None = None,
) -> Deduped:
    """Tell colliding items apart.

    Args:
        codes: (N, L) raw codes.
        code_sizes: L sizes.
        vectors: (N, D) the vectors that were coded.
        wanted: the strategy and its bounds.
        quantizer: gives the model; called only by a strategy that needs it, since that loads torch.
        recall: `recall_at_10` of the raw codes, which only the model can tell; None where it isn't known.
        interactions: (N,) how often each item was interacted with; None where that isn't known.

    Returns:
        The new codes and the figures of reports/collisions.json:
        `strategy`, `max_items_per_sid` (how many it lets share, 1 for all but reassign), `items`;
        `moved`: items whose codes changed at a level that they had, `moved_share`, and `moved_by_level`: at which
        level first (a suffix is no move);
        `mse_added` and `mse_added_share` of the mse before (None where that was 0 and some was added);
        `warnings`; `interactions` in all, or None;
        `before` and `after`: `quality.collisions`, `recall_at_10`, `recall_at_10_random`, and `levels`.

    Raises:
        InputError: the strategy can't tell the items apart within the codes there are.
    """
    codes = check_codes(codes, code_sizes, "raw codes")
    if wanted.strategy == "reassign":
        check_capacity(len(codes), code_sizes, wanted.max_items_per_sid)
    model = quantizer()
    after, sizes = strategies.resolve(codes, model, vectors, wanted)
    added, before = quality.error_added(model, vectors, codes, after[:, : codes.shape[1]])
    share = round6(added / before) if before > 0 else (None if added > 0 else 0.0)
    added = round6(added)
    changed = codes != after[:, : codes.shape[1]]  # (N, L)
    moved = changed.any(axis=1)
    first_level = np.bincount(changed[moved].argmax(axis=1), minlength=codes.shape[1])
    near = neighbours.search(vectors)
    recall_after = recall if not moved.any() else quality.recall(model, near, after)
    states = {
        "before": _state(codes, code_sizes, vectors, near, recall, interactions),
        "after": _state(after, sizes, vectors, near, recall_after, interactions),
    }
    figures = {
        "strategy": wanted.strategy,
        "max_items_per_sid": wanted.max_items_per_sid if wanted.strategy == "reassign" else 1,
        "items": len(codes),
        "moved": int(moved.sum()),
        "moved_share": round6(float(moved.mean())),
        "moved_by_level": {f"level_{level}": count for level, count in enumerate(first_level.tolist(), 1)},
        "mse_added": added,
        "mse_added_share": share,
        "warnings": readers.warnings(
            len(sizes), bool((after[:, -1] == NO_TOKEN).any()), states["after"]["items_in_collision"]
        ),
        "interactions": None if interactions is None else int(interactions.sum()),
        **states,
    }
    return Deduped(after, sizes, figures, near)


def _state(
    codes: Codes,
    code_sizes: Sequence[int],
    vectors: Vectors,
    near: Neighbours,
    recall: float | None,
    interactions: NDArray[np.int64] | None,
) -> dict[str, Any]:
    """The figures of the codes at one time."""
    prefixes = metrics.prefix_ids(codes)
    return {
        **quality.collisions(prefixes[-1], vectors, interactions),
        "recall_at_10": recall,
        "recall_at_10_random": quality.recall_random(near, len(codes)),
        "levels": quality.levels(codes, code_sizes, prefixes, near),
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
