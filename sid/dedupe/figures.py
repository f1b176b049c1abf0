"""What a strategy did to the codes, as far as codes alone tell it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sid.arrays import Codes
from sid.files import round6
from sid.measure import metrics
from sid.params import Dedupe


def figures(before: Codes, after: Codes, code_sizes: Sequence[int], wanted: Dedupe) -> dict[str, Any]:
    """What a strategy did to the codes, as reports/dedupe.json holds it.

    Args:
        before: (N, L) the raw codes, N >= 1.
        after: (N, L) or (N, L + 1) the codes that the strategy gave.
        code_sizes: codes there are at each level of `after`.
        wanted: the strategy and its bounds.

    Returns:
        `strategy`; `max_items_per_sid`: how many items it lets share a Semantic ID, 1 for all but reassign;
        `items`; `code_sizes`; `moved`: items whose codes changed at a level that they had (a suffix is no move);
        `moved_share` of all items; `moved_by_level`: at which level first; `collision_rate` after it.
    """
    changed = before != after[:, : before.shape[1]]  # (N, L)
    moved = changed.any(axis=1)
    first_level = np.bincount(changed[moved].argmax(axis=1), minlength=before.shape[1])
    return {
        "strategy": wanted.strategy,
        "max_items_per_sid": wanted.max_items_per_sid if wanted.strategy == "reassign" else 1,
        "items": len(before),
        "code_sizes": list(code_sizes),
        "moved": int(moved.sum()),
        "moved_share": round6(float(moved.mean())),
        "moved_by_level": {f"level_{level}": count for level, count in enumerate(first_level.tolist(), 1)},
        "collision_rate": round6(metrics.collision_rate(metrics.prefix_ids(after)[-1])),
    }
