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

from sid.errors import InputError, listed
from sid.interactions.reading import Reading, unknown_items
from sid.interactions.split_files import SPLITS, Counts, Interactions, Split
from sid.params import Interactions as Wanted
from sid.tables.files import natural
from sid.tables.text import text_lines

NO_TRAIN = "train.inter is missing, or has no line with a history"

_TYPED = re.compile(r"(.+):((?:token|float)(?:_seq)?)\s*")
_NO_ITEMS = ("rating", "ratings", "score", "label", "weight", "value", "timestamp", "time", "ts")
_WORDS = re.compile(r"\s*[^\W\d]\D*")


def read_folder(folder: Path, item_ids: pl.Series, wanted: Wanted) -> Reading:
    """Read `train.inter`, `valid.inter` and `test.inter`, or `<any name>.train.inter` and so on.

    They are tab separated with a header: user, item ids of the history separated by blanks, next item. Unknown items
    are left out of histories; lines with an unknown next item, or without a known history, are left out.

    Raises:
        InputError: as `sid.interactions.read.read_interactions`.
    """
    paths = _paths(folder)
    lines = _Lines({item_id: row for row, item_id in enumerate(item_ids.to_list())}, wanted.encoding)
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
        said = f"left out of histories; {left_out:,} of {lines.count:,} lines are left out (next item unknown)"
        keys = "" if lines.known else "prepare.item_id_column"
        warnings += unknown_items(path, unknown, where, said, wanted, item_ids, keys)
    train, valid, test = found
    users = pl.Series("user_id", list(lines.users), pl.String)
    interactions = Interactions(users, (train, valid, test))
    return Reading(interactions, Counts(by_split[0], by_split.sum(axis=0)), dict(lines.skipped), warnings)


def holds_splits(folder: Path) -> bool:
    """Whether a folder has a file for at least one split."""
    return bool(_paths(folder))


def check_headers(folder: Path, wanted: Wanted) -> None:
    """Refuse files that don't begin with a header, no file, or several for one split."""
    for path in _paths(folder).values():
        next(_rows(path, {}, wanted.encoding), None)


def _paths(folder: Path) -> dict[str, Path]:
    """The file of each split there is, in the order of SPLITS."""
    paths = {}
    there = sorted(
        (path for path in folder.iterdir() if path.suffix.lower() == ".inter" and not path.name.startswith((".", "_"))),
        key=lambda path: natural(path.name),
    )
    for name in SPLITS:
        found = [path for path in there if path.stem.split(".")[-1].lower() == name]
        if len(found) > 1:
            raise InputError(
                f"{folder}: {listed(path.name for path in found)} are {len(found)} files for one split {name}"
            )
        if found:
            paths[name] = found[0]
    return paths


@dataclass
class _Lines:
    """Reads one file after another, and counts on.

    Attributes:
        row_of: id of each known item -> its row.
        encoding: of the files.
        users: user id -> number, by first appearance in any file.
        skipped: lines left out, by reason.
        count: lines of the last file.
        unknown: unknown item id -> the first line with it, of the last file.
        known: whether the last file names an item that is known.
    """

    row_of: dict[str, int]
    encoding: str
    users: dict[str, int] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=lambda: Counter(unknown_item=0, no_history=0))
    count: int = 0
    unknown: dict[str, int] = field(default_factory=dict)
    known: bool = False

    def read(self, path: Path, counts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Split:
        """The file's lines as stretches; adds each known next item to `counts`, (N,) by row."""
        users, items, lengths, targets = array("i"), array("i"), array("i"), array("i")
        row_of = self.row_of
        self.count, self.unknown, self.known = 0, {}, False
        for number, user, history, target in _rows(path, row_of, self.encoding):
            self.count += 1
            user_row = self.users.setdefault(user, len(self.users))
            known = [row_of[item] for item in history if item in row_of]
            self.known = self.known or bool(known) or target in row_of
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


def _rows(path: Path, row_of: dict[str, int], encoding: str) -> Iterator[tuple[int, str, list[str], str]]:
    """Line number, user, history and next item of every line below the header that isn't blank."""
    places = None
    width = 0
    for number, line in text_lines(path, encoding=encoding):
        if not line.strip():
            continue
        fields = line.rstrip("\r\n").split("\t")
        if places is None:
            width = len(fields)
            places = _places(path, number, fields, row_of)
            continue
        if len(fields) != width:
            raise InputError(
                f"{path}: line {number} has {len(fields)} columns, must have {width} separated by tabs"
                + (": user, history, next item" if width == 3 else " like the header")
            )
        user, past, target = (fields[place] for place in places)
        if not user.strip():
            raise InputError(f"{path}: line {number} has no user, must have one before the first tab")
        yield number, user, past.split(), target.strip()
    if places is None:
        raise InputError(f"{path}: is empty, must have a header of three column names")


def _places(path: Path, number: int, fields: list[str], row_of: dict[str, int]) -> tuple[int, int, int]:
    """Where user, history and next item are by a header: by RecBole's types, else in this order."""
    typed = [_TYPED.fullmatch(field.strip("\ufeff ")) for field in fields]
    if any(typed):
        return _by_types(
            path, [(match[1], match[2]) if match else (field, "") for match, field in zip(typed, fields, strict=True)]
        )
    if len(fields) != 3:
        raise InputError(
            f"{path}: line {number} has {len(fields)} columns, must have 3 separated by tabs: user, history, next item"
        )
    if not _is_header(fields, row_of):
        raise InputError(f"{path}: line {number} is data, must be a header of three column names")
    numbers = [field for field in fields if field.strip().lower() in _NO_ITEMS]
    if numbers:
        raise _no_history(path, ", ".join(fields), numbers[0])
    return 0, 1, 2


def _by_types(path: Path, columns: list[tuple[str, str]]) -> tuple[int, int, int]:
    shown = ", ".join(f"{name}:{kind}" if kind else name for name, kind in columns)
    histories = [place for place, (_, kind) in enumerate(columns) if kind.endswith("_seq")]
    tokens = [place for place, (_, kind) in enumerate(columns) if kind == "token"]
    items = [place for place in histories if "item" in columns[place][0].lower()]
    if len(items) == 1:  # others, such as rating_list, aren't the history
        histories = items
    if len(histories) != 1:
        float_ = next((name for name, kind in columns if kind == "float"), "item_id")
        raise _no_history(path, shown, float_)
    users = [place for place in tokens if "user" in columns[place][0].lower() or "session" in columns[place][0].lower()]
    user = users[0] if users else next(iter(tokens), None)
    targets = [place for place in tokens if place != user]
    named = [place for place in targets if "item" in columns[place][0].lower()]
    if user is None or len(named or targets) != 1:
        raise InputError(
            f"{path}: its columns {shown} must have one user:token and one next item:token beside the history"
        )
    return user, histories[0], (named or targets)[0]


def _no_history(path: Path, shown: str, column: str) -> InputError:
    return InputError(
        f"{path}: its columns {shown} have no history: {column} isn't a next item. Files for each split must have "
        "user, history (token_seq) and next item; put the lines of all splits into one .inter file and name that file"
    )


def _is_header(fields: list[str], row_of: dict[str, int]) -> bool:
    """Whether an untyped first line names columns: in words without digits that aren't ids."""
    return all(
        _WORDS.fullmatch(field) and not any(part in row_of for part in (field, *field.split())) for field in fields
    )
