""".inter files: interactions that are split already, one file for each split, one line for each next item."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from sid.catalogue.text_files import text_lines
from sid.errors import InputError, listed
from sid.interactions.reading import Reading, unknown_items
from sid.interactions.split_files import SPLITS, Counts, Interactions, Split
from sid.params import Interactions as Wanted

NO_TRAIN = "train.inter is missing, or has no line with a history"

_TYPED = re.compile(r".+:(?:token|float)(?:_seq)?\s*")
_WORDS = re.compile(r"\s*[^\W\d]\D*")


def read_folder(folder: Path, item_ids: pl.Series, wanted: Wanted) -> Reading:
    """Read `train.inter`, `valid.inter` and `test.inter`, or `<any name>.train.inter` and so on.

    They are tab separated with a header: user, item ids of the history separated by blanks, next item. Unknown items
    are left out of histories; lines with an unknown next item, or without a known history, are left out.

    Raises:
        InputError: as `sid.interactions.read.read_interactions`.
    """
    paths = _paths(folder)
    lines = _Lines({item_id: row for row, item_id in enumerate(item_ids.to_list())})
    by_split = np.zeros((len(SPLITS), len(item_ids)), np.int64)
    found, warnings = [], []
    for number, name in enumerate(SPLITS):
        if name not in paths:
            found.append(Split.empty("inter"))
            continue
        path, before = paths[name], lines.skipped["unknown_item"]
        found.append(lines.read(path, by_split[number]))
        unknown, left_out = lines.unknown, lines.skipped["unknown_item"] - before
        where = f"line {next(iter(unknown.values()), 0)}"
        said = f"left out of histories, and so are {left_out:,} of {lines.count:,} lines, whose next item is one"
        warnings += unknown_items(path, unknown, where, said, wanted)
    train, valid, test = found
    users = pl.Series("user_id", list(lines.users), pl.String)
    interactions = Interactions(users, (train, valid, test))
    return Reading(interactions, Counts(by_split[0], by_split.sum(axis=0)), dict(lines.skipped), warnings)


def check_headers(folder: Path) -> None:
    """Refuse files that don't begin with a header, no file, or several for one split."""
    for path in _paths(folder).values():
        next(_rows(path, {}), None)


def _paths(folder: Path) -> dict[str, Path]:
    """The file of each split there is, in the order of SPLITS."""
    paths = {}
    for name in SPLITS:
        found = sorted(path for path in folder.glob("*.inter") if path.stem.split(".")[-1] == name)
        if len(found) > 1:
            raise InputError(
                f"{folder}: {listed(path.name for path in found)} are {len(found)} files for one split {name}"
            )
        if found:
            paths[name] = found[0]
    if not paths:
        raise InputError(f"{folder}: has no train.inter, valid.inter or test.inter")
    return paths


@dataclass
class _Lines:
    """Reads one file after another, and counts on.

    Attributes:
        row_of: id of each known item -> its row.
        users: user id -> number, by first appearance in any file.
        skipped: lines left out, by reason.
        count: lines of the last file.
        unknown: unknown item id -> the first line with it, of the last file.
    """

    row_of: dict[str, int]
    users: dict[str, int] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=lambda: Counter(unknown_item=0, no_history=0))
    count: int = 0
    unknown: dict[str, int] = field(default_factory=dict)

    def read(self, path: Path, counts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Split:
        """The file's lines as stretches; adds each known next item to `counts`, (N,) by row."""
        users, items, lengths, targets = array("i"), array("i"), array("i"), array("i")
        row_of = self.row_of
        self.count, self.unknown = 0, {}
        for number, user, history, target in _rows(path, row_of):
            self.count += 1
            user_row = self.users.setdefault(user, len(self.users))
            known = [row_of[item] for item in history if item in row_of]
            if len(known) < len(history) or target not in row_of:
                for item in (*history, target):
                    if item not in row_of:
                        self.unknown.setdefault(item, number)
            if target in row_of:
                targets.append(row_of[target])
            if target not in row_of or not known:
                self.skipped["unknown_item" if target not in row_of else "no_history"] += 1
                continue
            users.append(user_row)
            items.extend(known)
            items.append(row_of[target])
            lengths.append(len(known) + 1)
        counts += np.bincount(np.array(targets, np.int32), minlength=len(counts))
        each = np.array(lengths, np.int32)
        offsets = np.r_[0, np.cumsum(each, dtype=np.int64)]
        return Split("inter", np.array(users, np.int32), np.array(items, np.int32), offsets, each - 1)


def _rows(path: Path, row_of: dict[str, int]) -> Iterator[tuple[int, str, list[str], str]]:
    """Line number, user, history and next item of every line below the header that isn't blank."""
    header = False
    for number, line in text_lines(path):
        if not line.strip():
            continue
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) != 3:
            raise InputError(
                f"{path}: line {number} has {len(fields)} columns, must have 3 separated by tabs: "
                "user, history, next item"
            )
        if not header:
            if not _is_header(fields, row_of):
                raise InputError(f"{path}: line {number} is data, must be a header of three column names")
            header = True
            continue
        user, past, target = fields
        if not user.strip():
            raise InputError(f"{path}: line {number} has no user, must have one before the first tab")
        yield number, user, past.split(), target.strip()
    if not header:
        raise InputError(f"{path}: is empty, must have a header of three column names")


def _is_header(fields: list[str], row_of: dict[str, int]) -> bool:
    """Whether a first line names columns: with RecBole's types, or in words without digits that aren't ids."""
    if any(_TYPED.fullmatch(field) for field in fields):
        return True
    return all(
        _WORDS.fullmatch(field) and not any(part in row_of for part in (field, *field.split())) for field in fields
    )
