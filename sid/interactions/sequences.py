"""Interactions as splits of (history, next item): a folder of .inter files, or a table that is split here."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.arrays import chunks
from sid.catalogue.text_files import text_lines
from sid.errors import InputError, listed
from sid.interactions import splits as splitting
from sid.interactions.tables import SUFFIXES, check_columns, read_item_ids, read_table
from sid.params import Export

SPLITS = ("train", "valid", "test")

_TYPED = re.compile(r".+:(?:token|float)(?:_seq)?\s*")
_WORDS = re.compile(r"\s*[^\W\d]\D*")

Rows = NDArray[np.int32]
"""Numbers of items or users: their rows in the Semantic IDs, or in `Interactions.user_ids`."""

Places = NDArray[np.int64]
"""Places in an array of items."""


@dataclass(frozen=True)
class Split:
    """One split: each row is a stretch of `items`, its last item the next one and those before it the history.

    Attributes:
        name: one of SPLITS.
        items: (T,) items in the order of time, user by user; splits of one table share it.
        users: (R,) each row's user.
        starts, targets: (R,) where a row's history begins and where its next item is; starts < targets.
    """

    name: str
    items: Rows
    users: Rows
    starts: Places
    targets: Places

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.users)

    def rows(self) -> Iterator[tuple[int, list[int], int]]:
        """User, history (oldest first) and next item of every row."""
        for part in chunks(len(self), 128):
            columns = (column[part].tolist() for column in (self.users, self.starts, self.targets))
            for user, start, target in zip(*columns, strict=True):
                *history, item = self.items[start : target + 1].tolist()
                yield user, history, item


@dataclass(frozen=True)
class Sequences:
    """All that each user did: the items of user u are items[offsets[u]:offsets[u + 1]], oldest first."""

    items: Rows
    offsets: Places


@dataclass(frozen=True)
class Interactions:
    """Every split, and what was left out on the way.

    Attributes:
        user_ids: (U,) as text, by first appearance.
        splits: those there are, in the order of SPLITS; each has a row at least, but for .inter files without rows.
        skipped: counts by reason. Of a table, interactions: `unknown_item` and `duplicate` (the same user, item and
            time again). Of .inter files, rows: `unknown_item` (the next item is unknown), `no_history` (none, or
            none that is known). Of both: `short_history` and `not_longest`, rows that params leave out.
        users_left_out: users without a row in any split.
        unsplit: the rows of .inter files before params left some out; () for a table.
        whole: every user's sequence where it is known, that is of a table.
        held_out_last: each user's last item is test's and the one before valid's, as readers have it that hold
            out themselves.
    """

    user_ids: pl.Series
    splits: tuple[Split, ...]
    skipped: dict[str, int]
    users_left_out: int
    unsplit: tuple[Split, ...]
    whole: Sequences | None
    held_out_last: bool

    @cached_property
    def sequences(self) -> Sequences:
        """Every user's items; of .inter files, put together from rows that continue one another."""
        return self.whole or _put_together(self.unsplit, len(self.user_ids))


def read_interactions(path: Path, item_ids: pl.Series, wanted: Export) -> Interactions:
    """Read a folder with `train.inter`, `valid.inter`, `test.inter` (or `<dataset>.train.inter`, ...), or a table.

    An .inter file is tab separated with a header: user, item ids of the history separated by spaces, next item; its
    rows stay in the split and in the order they have. A table (see `sid.interactions.tables`) is sorted by user and
    time, rows of the same time as they stand in the file, and split by `wanted.split`; exact duplicates count once.

    Args:
        item_ids: (N,) the ids that have a Semantic ID, all different.
        wanted: `unknown_items`: `error` refuses ids without a Semantic ID; `skip` takes them out of histories and
            leaves out what has one as its next item. `max_history` keeps the latest items of a history;
            `min_history` leaves out rows whose history is shorter; `keep_longest_only` keeps of a user's train rows
            the one with the longest history (before `max_history`), the first of equals. `split` and `ratios` are
            for tables alone.

    Raises:
        InputError: nothing there, broken files, no or several files for a split, unknown items, no interaction
            with a history left in any split, or a table that `temporal` cuts at its earliest moment. That train alone
            has no row, as where no user did enough for `leave_one_out`, is no error: splits may serve to test.
    """
    found = (_of_folder if _is_folder(path) else _of_table)(path, item_ids, wanted)
    if not any(len(split) for split in found.splits):
        counts = ", ".join(f"{name} {count:,}" for name, count in found.skipped.items())
        raise InputError(f"{path}: no interaction with a history is left ({counts}), must have one at least")
    return found


def item_counts(path: Path, item_ids: pl.Series) -> NDArray[np.int64]:
    """How many interactions there are with each item: (N,).

    Of .inter files, each row counts for its next item, over all splits; of a table, each row. Ids that are not in
    `item_ids` are ignored.

    Raises:
        InputError: as for `read_interactions`, but for unknown items.
    """
    if not _is_folder(path):
        seen = _numbers(read_item_ids(path), item_ids).drop_nulls().to_numpy()
        return np.bincount(seen, minlength=len(item_ids)).astype(np.int64)
    counts = np.zeros(len(item_ids), np.int64)
    row_of = {item_id: row for row, item_id in enumerate(item_ids.to_list())}
    for _, file in _split_files(path):
        for _, _, _, target in _lines(file, row_of):
            if target in row_of:
                counts[row_of[target]] += 1
    return counts


def check_interactions(path: Path) -> None:
    """Refuse by headers alone what `read_interactions` would refuse after long work.

    Raises:
        InputError: nothing there, no or several files for a split, a first line that is no header, unknown kind of
            table, a missing column.
    """
    if _is_folder(path):
        for _, file in _split_files(path):
            next(_lines(file, {}), None)
    else:
        check_columns(path)


def _is_folder(path: Path) -> bool:
    if not path.exists():
        raise InputError(
            f"{path}: no such folder or file (export.interactions must name a folder with .inter files, or a table: "
            f"{', '.join(SUFFIXES)})"
        )
    return path.is_dir()


def _of_table(path: Path, item_ids: pl.Series, wanted: Export) -> Interactions:
    frame = read_table(path)
    user_ids = frame["user_id"].unique(maintain_order=True)
    frame = frame.select(
        _numbers(frame["user_id"], user_ids).alias("user"),
        _numbers(frame["item_id"], item_ids).alias("item"),
        "timestamp",
        "item_id",
    )
    unknown = frame.filter(pl.col("item").is_null())["item_id"].unique(maintain_order=True)
    if len(unknown) and wanted.unknown_items == "error":
        row = int(frame["item"].is_null().arg_max() or 0)
        raise InputError(_unknown_items(path, unknown.to_list(), f"row {row}"))
    known = frame.drop("item_id").drop_nulls()
    kept = known.unique(maintain_order=True).sort("user", "timestamp", maintain_order=True)
    skipped = {"unknown_item": len(frame) - len(known), "duplicate": len(known) - len(kept)}

    users, items, times = (kept[name].to_numpy() for name in ("user", "item", "timestamp"))
    counts = np.bincount(users, minlength=len(user_ids)).astype(np.int64)
    offsets = np.r_[0, counts.cumsum()]
    places = np.arange(len(users)) - offsets[users]
    if wanted.split == "temporal" and len(times):
        labels = splitting.temporal(times, wanted.ratios)
        if not (labels == splitting.TRAIN).any():
            raise InputError(
                f"{path}: nothing is left to train on, export.ratios {list(wanted.ratios)} cut at the earliest "
                "timestamp of all"
            )
    else:
        labels = splitting.leave_one_out(places, counts[users])
    splits = []
    for label, name in enumerate(SPLITS):
        targets = np.flatnonzero((labels == label) & (places > 0))
        splits.append(Split(name, items, users[targets], offsets[users[targets]], targets))
    filtered = tuple(split for split in _filtered(splits, wanted, skipped) if len(split))
    with_rows = len(np.unique(np.concatenate([split.users for split in filtered]))) if filtered else 0
    whole = Sequences(items, offsets)
    held_out_last = wanted.split == "leave_one_out"
    return Interactions(user_ids, filtered, skipped, len(user_ids) - with_rows, (), whole, held_out_last)


def _numbers(ids: pl.Series, among: pl.Series) -> pl.Series:
    """(M,) Int32: where each id stands in `among`, null where it doesn't."""
    table = pl.DataFrame({"id": among, "row": pl.int_range(len(among), dtype=pl.Int32, eager=True)})
    return pl.DataFrame({"id": ids}).join(table, on="id", how="left", maintain_order="left")["row"]


def _filtered(splits: list[Split], wanted: Export, skipped: dict[str, int]) -> Iterator[Split]:
    """The splits as params want their histories; counts what is left out."""
    skipped |= {"short_history": 0, "not_longest": 0}
    for split in splits:
        lengths = split.targets - split.starts
        keep = np.flatnonzero(lengths >= wanted.min_history)
        skipped["short_history"] += len(split) - len(keep)
        if wanted.keep_longest_only and split.name == SPLITS[splitting.TRAIN]:
            order = keep[np.lexsort((keep, -lengths[keep], split.users[keep]))]
            first = np.flatnonzero(np.r_[True, np.diff(split.users[order]) != 0]) if len(order) else order
            skipped["not_longest"] += len(keep) - len(first)
            keep = np.sort(order[first])
        starts, targets = split.starts[keep], split.targets[keep]
        if wanted.max_history is not None:
            starts = np.maximum(starts, targets - wanted.max_history)
        yield Split(split.name, split.items, split.users[keep], starts, targets)


def _of_folder(folder: Path, item_ids: pl.Series, wanted: Export) -> Interactions:
    row_of = {item_id: row for row, item_id in enumerate(item_ids.to_list())}
    user_numbers: dict[str, int] = {}
    skipped: Counter[str] = Counter(unknown_item=0, no_history=0)
    unsplit = tuple(
        _read_split(name, file, row_of, user_numbers, wanted.unknown_items == "error", skipped)
        for name, file in _split_files(folder)
    )
    user_ids = pl.Series("user_id", list(user_numbers), pl.String)
    counts = dict(skipped)
    splits = tuple(_filtered(list(unsplit), wanted, counts))
    with_rows = len(np.unique(np.concatenate([split.users for split in splits])))
    left_out = len(user_ids) - with_rows
    return Interactions(user_ids, splits, counts, left_out, unsplit, None, _holds_out_last(unsplit, len(user_ids)))


def _split_files(folder: Path) -> list[tuple[str, Path]]:
    """Name and file of each split there is, in the order of SPLITS."""
    files = []
    for name in SPLITS:
        found = sorted(path for path in folder.glob("*.inter") if path.stem.split(".")[-1] == name)
        if len(found) > 1:
            raise InputError(
                f"{folder}: {listed(path.name for path in found)} are {len(found)} files for one split {name}"
            )
        files += [(name, path) for path in found]
    if not files:
        raise InputError(f"{folder}: has no train.inter, valid.inter or test.inter")
    return files


def _lines(path: Path, row_of: dict[str, int]) -> Iterator[tuple[int, str, list[str], str]]:
    """Line number, user, history and next item of every row of an .inter file."""
    number = 0
    for number, line in text_lines(path):
        if not line.strip():
            continue
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) != 3:
            raise InputError(
                f"{path}: line {number} has {len(fields)} columns, must have 3 separated by tabs: "
                "user, history, next item"
            )
        if number == 1:
            if not _is_header(fields, row_of):
                raise InputError(f"{path}: line 1 is data, must be a header of three column names")
            continue
        user, past, target = fields
        if not user.strip():
            raise InputError(f"{path}: line {number} has no user, must have one before the first tab")
        yield number, user, past.split(), target
    if number == 0:
        raise InputError(f"{path}: is empty, must have a header of three column names")


def _is_header(fields: list[str], row_of: dict[str, int]) -> bool:
    """Whether a first line names columns: RecBole's types tell, else words without digits that are no ids."""
    if any(_TYPED.fullmatch(field) for field in fields):
        return True
    return all(
        _WORDS.fullmatch(field) and not any(part in row_of for part in (field, *field.split())) for field in fields
    )


def _read_split(
    name: str,
    path: Path,
    row_of: dict[str, int],
    user_numbers: dict[str, int],
    refuse_unknown: bool,
    skipped: Counter[str],
) -> Split:
    items, users = array("i"), array("i")
    starts, targets = array("q"), array("q")
    unknown: dict[str, int] = {}
    for number, user, history, target in _lines(path, row_of):
        row_user = user_numbers.setdefault(user, len(user_numbers))
        known = [row_of[item] for item in history if item in row_of]
        if len(known) < len(history) or target not in row_of:
            for item in (*history, target):
                if item not in row_of:
                    unknown.setdefault(item, number)
        if target not in row_of or not known:
            skipped["unknown_item" if target not in row_of else "no_history"] += 1
            continue
        users.append(row_user)
        starts.append(len(items))
        items.extend(known)
        targets.append(len(items))
        items.append(row_of[target])
    if unknown and refuse_unknown:
        raise InputError(_unknown_items(path, unknown, f"line {next(iter(unknown.values()))}"))
    return Split(
        name,
        np.array(items, np.int32),
        np.array(users, np.int32),
        np.array(starts, np.int64),
        np.array(targets, np.int64),
    )


def _unknown_items(path: Path, unknown: dict[str, int] | list[str], first: str) -> str:
    return (
        f"{path}: names {len(unknown)} items that have no Semantic ID, first in {first}: {listed(unknown)} "
        "(unknown or dropped by prepare.invalid_rows; export.unknown_items: skip leaves them out)"
    )


def _holds_out_last(splits: tuple[Split, ...], users: int) -> bool:
    """Whether each user has one valid and one test row."""
    by_name = {split.name: split for split in splits}
    return all(
        name in by_name and bool((np.bincount(by_name[name].users, minlength=users) == 1).all()) for name in SPLITS[1:]
    )


def _put_together(splits: tuple[Split, ...], users: int) -> Sequences:
    """Each user's items from rows of (history, next item) that continue one another, split after split.

    A row whose history ends with what is known so far, or is longer and holds it, continues it. Of rows that do
    not fit (a shuffled file), the longest known is kept.
    """
    known: list[list[int]] = [[] for _ in range(users)]
    for split in splits:
        for user, history, target in split.rows():
            so_far = known[user]
            shared = min(len(so_far), len(history))
            if so_far[len(so_far) - shared :] == history[len(history) - shared :]:
                if len(history) > shared:
                    so_far[:0] = history[: len(history) - shared]
                so_far.append(target)
            elif len(history) + 1 > len(so_far):
                known[user] = [*history, target]
    offsets = np.r_[0, np.cumsum([len(items) for items in known])].astype(np.int64)
    flat = np.fromiter((item for items in known for item in items), np.int32, count=int(offsets[-1]))
    return Sequences(flat, offsets)
