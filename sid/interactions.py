"""Interactions: the seed's .inter splits, a row per (history, next item)."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.errors import InputError, listed

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Interaction:
    """What a user had bought, oldest first, and what came next."""

    user_id: str
    history: tuple[str, ...]
    item_id: str


@dataclass(frozen=True)
class Split:
    """One split's interactions, in file order.

    Attributes:
        skipped: rows left out: the next item is unknown, or no history is left without the unknown items.
    """

    name: str
    path: Path
    rows: tuple[Interaction, ...]
    skipped: int


def read_splits(folder: Path, item_ids: Container[str], unknown_items: Literal["error", "skip"]) -> list[Split]:
    """Read `train.inter`, `valid.inter` and `test.inter` (or `<dataset>.train.inter`, ...) from a folder.

    A file is tab separated with a header: user, item ids of the history separated by spaces, next item.

    Args:
        item_ids: the ids that have a Semantic ID.
        unknown_items: `error` refuses rows that name other ids; `skip` takes such ids out of histories and leaves
            out rows whose next item is one. Rows without a history are always left out and counted.

    Returns:
        The splits there are, in the order of SPLITS.

    Raises:
        InputError: no folder, no or several files for a split, a row that has not three columns, unknown items.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder (export.interactions must name a folder with .inter files)")
    splits = []
    for name in SPLITS:
        found = sorted(path for path in folder.glob("*.inter") if path.stem.split(".")[-1] == name)
        if len(found) > 1:
            raise InputError(
                f"{folder}: {listed(path.name for path in found)} are {len(found)} files for one split {name}"
            )
        splits += [_read(name, path, item_ids, unknown_items) for path in found]
    if not splits:
        raise InputError(f"{folder}: has no train.inter, valid.inter or test.inter")
    return splits


def item_counts(path: Path, item_ids: pl.Series) -> NDArray[np.int64]:
    """How often each item was interacted with: the rows of all splits of which it is the next item.

    Args:
        path: what `export.interactions` names.
        item_ids: (N,) ids as text; others are left out.

    Returns:
        (N,) counts.

    Raises:
        InputError: as `read_splits`.
    """
    rows = {item: row for row, item in enumerate(item_ids.to_list())}
    splits = read_splits(path, rows, "skip")
    targets = [rows[interaction.item_id] for split in splits for interaction in split.rows]
    return np.bincount(np.asarray(targets, np.int64), minlength=len(rows))


def _read(name: str, path: Path, item_ids: Container[str], unknown_items: str) -> Split:
    rows: list[Interaction] = []
    unknown: dict[str, int] = {}
    skipped = number = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                fields = line.rstrip("\r\n").split("\t")
                if len(fields) != 3:
                    raise InputError(
                        f"{path}: line {number} has {len(fields)} columns, must have 3 separated by tabs: "
                        "user, history, next item"
                    )
                user, past, target = fields
                if number == 1:
                    if target in item_ids or target.isdigit():
                        raise InputError(f"{path}: line 1 is data, must be a header of three column names")
                    continue
                history = past.split()
                for item in (*history, target):
                    if item not in item_ids:
                        unknown.setdefault(item, number)
                known = tuple(item for item in history if item in item_ids)
                if known and target in item_ids:
                    rows.append(Interaction(user, known, target))
                else:
                    skipped += 1
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error})") from None
    if number == 0:
        raise InputError(f"{path}: is empty, must have a header of three column names")
    if unknown and unknown_items == "error":
        first = next(iter(unknown.values()))
        raise InputError(
            f"{path}: names {len(unknown)} items that have no Semantic ID, first in line {first}: {listed(unknown)} "
            "(unknown or dropped by prepare.invalid_rows; export.unknown_items: skip leaves them out)"
        )
    return Split(name, path, tuple(rows), skipped)
