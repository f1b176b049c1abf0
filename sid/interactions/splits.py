"""Splits of a table: what is trained on and what is held out, by each user's last interactions or by time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.errors import InputError
from sid.interactions.log import read_log
from sid.interactions.reading import Reading, unknown_items
from sid.interactions.split_files import SPLITS, Counts, Interactions, Places, Rows, Split, ranges
from sid.params import Interactions as Wanted

TRAIN, VALID, TEST = 0, 1, 2
"""Numbers of the splits, in the order of time."""

Labels = NDArray[np.int8]
Times = NDArray[np.int64] | NDArray[np.float64]


def split_table(path: Path, item_ids: pl.Series, wanted: Wanted) -> Reading:
    """Read a table, and split it by `wanted.split`.

    Raises:
        InputError: as `sid.interactions.read.read_interactions`.
    """
    log = read_log(path, item_ids, wanted)
    user_ids = log.user_ids
    known = log.items >= 0
    count = int((~known).sum())
    left_out = f"{count:,} of {len(known):,} rows ({count / max(1, len(known)):.0%}) are left out"
    where = next(iter(log.unknown.values()), "")
    keys = "" if known.any() else f"interactions.item_column ({wanted.item_column}) or prepare.item_id_column"
    warnings = log.warnings + unknown_items(path, log.unknown, where, left_out, wanted, item_ids, keys)
    users, items, times, skipped, notes = log.users, log.items, log.times, log.skipped, log.notes
    del log
    if count:
        users, items, times = users[known], items[known], times[known]
    rows = len(users)
    users, items, times = _in_order(users, items, times)
    skipped = {"unknown_item": count, "duplicate": rows - len(users), **skipped}

    counts = np.bincount(users, minlength=len(user_ids)).astype(np.int64)
    if wanted.split == "temporal" and len(times):
        labels = temporal(times, wanted.ratios)
        if not (labels == TRAIN).any():
            raise InputError(
                f"{path}: interactions.ratios {list(wanted.ratios)} leave nothing to train on, they cut at the "
                "earliest timestamp"
            )
    else:
        labels = leave_one_out(np.arange(len(users)) - (counts.cumsum() - counts)[users], counts[users])
    by_split = np.stack([np.bincount(users[labels == label], minlength=len(user_ids)) for label in range(len(SPLITS))])
    train, valid, test = _stretches(items, by_split.astype(np.int64))
    by_item = Counts(
        *(np.bincount(part, minlength=len(item_ids)).astype(np.int64) for part in (items[labels == TRAIN], items))
    )
    return Reading(Interactions(user_ids, (train, valid, test)), by_item, skipped, warnings, notes)


def _in_order(users: Rows, items: Rows, times: Times) -> tuple[Rows, Rows, Times]:
    """Interactions user after user, oldest first, rows of the same time in their order; exact duplicates once."""
    order = np.argsort(times, kind="stable")
    order = order[np.argsort(users[order], kind="stable")]
    users, items, times = users[order], items[order], times[order]
    del order
    same = (users[1:] == users[:-1]) & (times[1:] == times[:-1])
    if not same.any():
        return users, items, times
    # within a user's rows of one moment, an item counts where it is first
    tied = np.flatnonzero(np.r_[False, same] | np.r_[same, False])
    moments = np.cumsum(~np.r_[False, same])[tied]
    keys = moments * (int(items.max()) + 1) + items[tied]
    by_key = np.argsort(keys, kind="stable")
    again = keys[by_key[1:]] == keys[by_key[:-1]]
    kept = np.ones(len(users), np.bool_)
    kept[tied[by_key[1:][again]]] = False
    return users[kept], items[kept], times[kept]


def why_no_train(wanted: Wanted) -> str:
    """Why no interaction of a table is a target of train."""
    if wanted.split == "leave_one_out":
        return "no user has 4 known interactions: leave_one_out holds out two, and the first one has no history"
    return f"no interaction before the first cut of interactions.ratios {list(wanted.ratios)} has a history"


def leave_one_out(places: NDArray[np.int64], counts: NDArray[np.int64]) -> Labels:
    """Each user's last interaction is TEST's, the one before VALID's, the others are TRAIN's.

    Args:
        places: (M,) the interaction's place in its user's history, from 0.
        counts: (M,) how many interactions its user has.
    """
    behind = counts - 1 - places
    return np.where(behind == 0, TEST, np.where(behind == 1, VALID, TRAIN)).astype(np.int8)


def temporal(times: Times, ratios: Sequence[float]) -> Labels:
    """Cut all users at the same two moments: TRAIN is before the first, TEST from the second on.

    The moments are those of the interactions at the shares `ratios` of all, in the order of time. What happened at
    such a moment belongs to the later split, so none of TRAIN is later than, or at the same time as, any of the others.

    Args:
        times: (M,) in any order, M > 0.
        ratios: shares of TRAIN, VALID and TEST, adding up to 1. Many equal times move them.
    """
    ordered = np.sort(times)
    labels = np.zeros(len(times), np.int8)
    share = 0.0
    for ratio in ratios[:-1]:
        share += ratio
        place = int(share * len(ordered) + 1e-6)  # 0.7 + 0.1 is below 0.8
        if place < len(ordered):
            labels += times >= ordered[place]
    return labels


def _stretches(items: Rows, by_split: Places) -> list[Split]:
    """Each split's stretches.

    Args:
        items: (M,) user after user, oldest first; for each user those of train come first and those of test last.
        by_split: (3, U) int64, how many each user has in each split.
    """
    ends = by_split.cumsum(axis=0)
    starts = ends[-1].cumsum() - ends[-1]
    found = []
    for label, (counts, lengths) in enumerate(zip(by_split, ends, strict=True)):
        firsts = np.maximum(lengths - counts, 1)
        users = np.flatnonzero(lengths >= 1 if label == TRAIN else lengths > firsts)
        offsets = np.r_[0, lengths[users].cumsum()]
        inside = items[ranges(starts[users], lengths[users])]
        found.append(Split("table", users.astype(np.int32), inside, offsets, firsts[users].astype(np.int32)))
    return found
