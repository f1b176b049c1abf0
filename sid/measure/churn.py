"""How much two indexes of about the same items differ: the share of items that keep their first tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN, Codes
from sid.files import round6
from sid.measure.metrics import prefix_ids

BANDS = 4  # of items by popularity


def kept_levels(before: Codes, after: Codes) -> NDArray[np.int64]:
    """(n,) how many tokens each item keeps, from the first on; L where it keeps all.

    Args:
        before: (n, L) codes.
        after: (n, L') codes of the same items. A level that only one of them has counts as -1, 'no token', in the
            other.

    Returns:
        0..L, L being the larger number of levels.
    """
    levels = max(before.shape[1], after.shape[1])
    same = padded(before, levels) == padded(after, levels)
    kept: NDArray[np.int64] = np.cumprod(same, axis=1).sum(axis=1)
    return kept


def padded(codes: Codes, levels: int) -> Codes:
    """(n, L) codes with as many levels as asked for, -1 at those that were missing."""
    missing = levels - codes.shape[1]
    return np.pad(codes, ((0, 0), (0, missing)), constant_values=NO_TOKEN) if missing else codes


def shares(kept: NDArray[np.int64], levels: int) -> dict[str, float]:
    """The shares of the items that keep at least their first 1, 2, ... tokens, and all; 0 where there are no items.

    Args:
        kept: (n,) of `kept_levels`.
        levels: L of it.
    """
    count = max(len(kept), 1)
    found = {f"first_{level}": round6(int((kept >= level).sum()) / count) for level in range(1, levels)}
    return {**found, "all": round6(int((kept == levels).sum()) / count)}


def by_popularity(
    kept: NDArray[np.int64], levels: int, popularity: NDArray[np.int64]
) -> list[dict[str, int | dict[str, float]]]:
    """`shares` of a quarter of the items each, the most popular first.

    Args:
        popularity: (n,) interactions with each item; of equal ones the first in the order of rows.

    Returns:
        Of each quarter `items`, the `interactions` with them, and `kept`.
    """
    bands = np.array_split(np.argsort(-popularity, kind="stable"), BANDS)
    return [
        {"items": len(rows), "interactions": int(popularity[rows].sum()), "kept": shares(kept[rows], levels)}
        for rows in bands
        if len(rows)
    ]


def churn(before: Codes, after: Codes, popularity: NDArray[np.int64] | None = None) -> dict[str, Any]:
    """What changed for the items that two indexes share.

    Args:
        before: (n, L) their codes.
        after: (n, L') their codes in the other index.
        popularity: (n,) interactions with each item; None where that isn't known.

    Returns:
        `items`; `changed`: those whose Semantic ID isn't the same; `kept`: the `shares`; `by_popularity`, or None.
    """
    kept = kept_levels(before, after)
    levels = max(before.shape[1], after.shape[1])
    return {
        "items": len(kept),
        "changed": int((kept < levels).sum()),
        "kept": shares(kept, levels),
        "by_popularity": None if popularity is None else by_popularity(kept, levels, popularity),
    }


def kept_together(before: Codes, after: Codes) -> dict[str, float | None]:
    """Of the pairs of items that share their first 1, 2, ... tokens in one index, the share that does so in another.

    It doesn't depend on how either index numbers its codes. None where no two items share that many tokens.

    Args:
        before: (n, L) codes.
        after: (n, L') codes of the same items.
    """
    found: dict[str, float | None] = {}
    levels = min(before.shape[1], after.shape[1])
    for level in range(levels):
        one, other = prefix_ids(before[:, : level + 1])[-1], prefix_ids(after[:, : level + 1])[-1]
        pairs = _pairs(np.bincount(one))
        both = _pairs(np.unique(one * (int(other.max(initial=0)) + 1) + other, return_counts=True)[1])
        name = "all" if level == levels - 1 else f"first_{level + 1}"
        found[name] = round6(both / pairs) if pairs else None
    return found


def _pairs(sizes: NDArray[np.int64]) -> int:
    return int((sizes * (sizes - 1) // 2).sum())
