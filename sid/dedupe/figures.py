"""What a strategy did to the codes, as far as codes alone tell it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sid.arrays import Codes
from sid.dedupe.work import Published
from sid.files import round6
from sid.measure import metrics
from sid.params import Dedupe


def figures(
    before: Codes, after: Codes, code_sizes: Sequence[int], wanted: Dedupe, published: Published | None = None
) -> dict[str, Any]:
    """What a strategy did to the codes, as reports/dedupe.json holds it.

    Args:
        before: (N, L) the raw codes, N >= 1.
        after: (N, L) or (N, L + 1) the codes that the strategy gave.
        code_sizes: codes there are at each level of `after`.
        wanted: the strategy and its bounds.
        published: the items that hold their Semantic IDs, if the index continues a release.

    Returns:
        `strategy`; `max_items_per_sid`: how many items it lets share a Semantic ID, 1 for all but reassign;
        `items`; `code_sizes`; `moved`: items whose codes changed at a level that they had (a suffix is no move);
        `moved_share` of all items; `moved_by_level`: at which level first; `collision_rate` after it. With a release,
        `published`: items that hold their Semantic IDs; `reserved`: Semantic IDs that are kept for items that have
        left; `settled`: all other items.
    """
    changed = before != after[:, : before.shape[1]]  # (N, L)
    moved = changed.any(axis=1)
    first_level = np.bincount(changed[moved].argmax(axis=1), minlength=before.shape[1])
    held = {}
    if published is not None:
        held = {
            "published": len(published.rows),
            "reserved": len(published.reserved),
            "settled": len(published.order),
        }
    return {
        "strategy": wanted.strategy,
        "max_items_per_sid": wanted.max_items_per_sid if wanted.strategy == "reassign" else 1,
        "items": len(before),
        "code_sizes": list(code_sizes),
        "moved": int(moved.sum()),
        "moved_share": round6(float(moved.mean())),
        "moved_by_level": {f"level_{level}": count for level, count in enumerate(first_level.tolist(), 1)},
        "collision_rate": round6(metrics.collision_rate(metrics.prefix_ids(after)[-1])),
        **held,
    }
