"""A table of interactions of any kind -> who took which item when, as numbers."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from sid.errors import InputError, listed
from sid.params import Interactions as Wanted
from sid.tables import Batch, Column, Table, alike, as_text, open_table
from sid.tables.files import TABLES
from sid.tables.ids import WORDS_FOR_NOTHING
from sid.tables.json_text import sequences
from sid.tables.text import Form
from sid.tables.times import Times

_USERS = 50_000
_NO_ROWS = "has no rows, must have one for each interaction"


@dataclass
class Log:
    """Interactions as they were in the table, but for those that `wanted` leaves out.

    Attributes:
        user_ids: (U,) text, by first appearance.
        users, items: (M,) int32, numbers of users and row numbers of items; -1 for an item that isn't known.
        times: (M,) int64 or float64 that rise with time.
        rows: how many the table has, those left out included.
        unknown: id of an item that isn't known -> where it is first.
        skipped: rows left out, by reason: `low_value`, `other_kind`.
        warnings, notes: one line each.
    """

    user_ids: pl.Series
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    times: NDArray[np.int64] | NDArray[np.float64]
    rows: int
    unknown: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_log(path: Path, item_ids: pl.Series, wanted: Wanted) -> Log:
    """Read a table of interactions as a stream.

    A row names a user, an item and a time, by the columns that `wanted` names; or a user and lists of items and times.
    Without `time_column` rows count as being in the order of time. `<dataset>.inter.json` of LC-Rec and LETTER, an
    object of user -> items, is read as well.

    Args:
        item_ids: (N,) the prepared items' ids.

    Raises:
        InputError: as `sid.tables`; a missing column, a row without an id or with a time or a value that isn't one, a
            table without rows.
    """
    table = open_source(path, wanted)
    gathered = _Gathered(item_ids, wanted, table)
    found = sequences(path, table.say, wanted.encoding) if table.kind == "json" and path.is_file() else None
    if found is not None:
        source: Iterator[Batch] = _of_sequences(path, found, wanted)
        wanted = wanted.model_copy(update={"time_column": None, "value_column": None})
        gathered.wanted = wanted
    else:
        columns = columns_of(wanted)
        check_table(table, wanted)
        source = table.batches([name for name, _ in columns.values()], _keys(wanted))
    for batch in source:
        gathered.add(batch)
    return gathered.finish(path)


def open_source(path: Path, wanted: Wanted) -> Table:
    """The table that `interactions.source` names; RecBole's .item files beside its .inter aren't meant."""
    kinds = [kind for kind in TABLES if kind != "item"]
    return open_table(path, "interactions.source", kinds=kinds, form=Form(wanted.header, wanted.encoding))


def columns_of(wanted: Wanted) -> dict[str, tuple[str, str]]:
    """Key of params.yaml -> the column that it names and what that means."""
    columns = {
        "interactions.user_column": (wanted.user_column, "user"),
        "interactions.item_column": (wanted.item_column, "item"),
    }
    if wanted.time_column is not None:
        columns["interactions.time_column"] = (wanted.time_column, "time")
    if wanted.value_column is not None:
        columns["interactions.value_column"] = (wanted.value_column, "value")
    return columns


def check_table(table: Table, wanted: Wanted) -> None:
    """Refuse a table without its columns, by its header alone."""
    if table.kind == "inter" and "token_seq" in table.atomic_types.values():
        lists = [name for name, kind in table.atomic_types.items() if kind == "token_seq"]
        raise InputError(
            f"{table.found.files[0]}: has histories ({', '.join(lists)}:token_seq), which belong in a folder with "
            "train.inter, valid.inter and test.inter; name that folder"
        )
    if not table.names and table.kind in ("json", "jsonl"):
        raise InputError(f"{table.path}: {_NO_ROWS}")
    columns = columns_of(wanted)
    if table.kind in ("json", "jsonl"):  # a record may lack what it has nothing for
        columns.pop("interactions.value_column", None)
    table.require(columns)


def _keys(wanted: Wanted) -> list[str]:
    return [name for key, (name, _) in columns_of(wanted).items() if key != "interactions.value_column"]


class _Gathered:
    """What the batches leave: numbers, and the ids of users."""

    def __init__(self, item_ids: pl.Series, wanted: Wanted, table: Table) -> None:
        self.wanted = wanted
        self._table = table
        self._known = pl.DataFrame({"id": item_ids, "row": pl.int_range(len(item_ids), dtype=pl.Int32, eager=True)})
        self._names: set[str] | None = None
        self._users: list[pa.Array] = []
        self._kinds: set[str] = set()
        self._items: list[NDArray[np.int32]] = []
        self._times = Times(wanted.time_column or "")
        self._unknown: dict[str, str] = {}
        self._alike: set[str] = set()
        self._example = ("", "")
        self._skipped: Counter[str] = Counter()
        self._rows = 0

    def add(self, batch: Batch) -> None:
        """Read a batch's columns by what they mean."""
        wanted = self.wanted
        say = self._table.say
        users = _ids(batch, wanted.user_column, say)
        inside = _lists(batch, wanted.item_column, say)
        if inside is None:
            items = _ids(batch, wanted.item_column, say)
            times = None if wanted.time_column is None else batch.columns[wanted.time_column]
            values = None if wanted.value_column is None else batch.columns[wanted.value_column]
            self._append(batch, users, items, times, values, lambda row: row)
            return
        lengths, flat = inside
        owners = np.repeat(np.arange(batch.rows), lengths)
        one = Batch(batch.path, len(owners), {wanted.item_column: flat}, lambda row: batch.place(int(owners[row])))
        items = _ids(one, wanted.item_column, say)
        times = None if wanted.time_column is None else _same_lengths(batch, wanted.time_column, lengths, say)
        values = None if wanted.value_column is None else _beside(batch, wanted.value_column, owners, lengths, say)
        self._append(batch, users.gather(owners), items, times, values, lambda row: int(owners[row]))

    def _append(
        self,
        batch: Batch,
        users: pl.Series,
        items: pl.Series,
        times: Column | None,
        values: Column | None,
        owner: Callable[[int], int],
    ) -> None:
        count = len(items)
        self._rows += count
        kept = None if values is None else self._kept(batch, values, owner)
        if kept is not None and len(kept) < count:
            users, items = users.gather(kept), items.gather(kept)
            if times is not None:
                times = [times[row] for row in kept.tolist()] if isinstance(times, list) else times.take(pa.array(kept))
        else:
            kept = None

        def place(row: int) -> int:
            return owner(row if kept is None else int(kept[row]))

        if times is not None:
            self._times.add(batch, times, place)
        numbers = pl.DataFrame({"id": items}).join(self._known, on="id", how="left", maintain_order="left")["row"]
        if numbers.null_count():
            numbers = self._of_unknown(batch, items, numbers, place)
        self._items.append(numbers.fill_null(-1).to_numpy().astype(np.int32, copy=False))
        self._users.append(users.to_arrow().cast(pa.large_string()).dictionary_encode())

    def _of_unknown(self, batch: Batch, items: pl.Series, numbers: pl.Series, place: Callable[[int], int]) -> pl.Series:
        absent = numbers.is_null()
        names = items.filter(absent).unique(maintain_order=True).to_list()
        if self._names is None:
            self._names = set(self._known["id"].to_list())
        same = {name: other for name in names if (other := alike(name, self._names)) is not None}
        if same:
            items = items.replace(same)
            numbers = pl.DataFrame({"id": items}).join(self._known, on="id", how="left", maintain_order="left")["row"]
            self._alike.update(same.values())
            self._example = next(iter(same.items()))
            absent = numbers.is_null()
            names = [name for name in names if name not in same]
        fresh = [name for name in names if name not in self._unknown]
        if fresh:
            first = pl.DataFrame({"id": items, "at": pl.int_range(len(items), eager=True)}).filter(absent)
            at = dict(first.unique("id", keep="first", maintain_order=True).iter_rows())
            for name in fresh:
                self._unknown[name] = batch.place(place(at[name])) if not self._unknown else ""
        return numbers

    def _kept(self, batch: Batch, values: Column, owner: Callable[[int], int]) -> NDArray[np.int64]:
        """The rows whose value counts as interest."""
        wanted = self.wanted
        try:
            text = _as_words(values)
        except pa.ArrowException:
            raise InputError(
                f"{batch.path}: column {wanted.value_column} is {values.type}, must be numbers, text or booleans"
            ) from None
        good = pl.Series([True]).new_from_index(0, len(text))
        if wanted.kinds:
            good = text.is_in(list(wanted.kinds)).fill_null(False)
            self._skipped["other_kind"] += int((~good).sum())
            self._kinds.update(text.unique().drop_nulls().to_list())
        if wanted.least_value is not None:
            number = text.replace({"true": "1", "false": "0"}).str.strip_chars().cast(pl.Float64, strict=False)
            wrong = number.is_null() | number.is_nan()
            if wrong.any():
                row = int(wrong.arg_max() or 0)
                raise InputError(
                    f"{batch.at(owner(row))} has {wanted.value_column} {text[row]!r}, must be a number for "
                    "interactions.least_value"
                )
            low = number < wanted.least_value
            self._skipped["low_value"] += int((low & good).sum())
            good = good & ~low
        return np.asarray(good.arg_true().to_numpy(), np.int64)

    def finish(self, path: Path) -> Log:
        """All batches as one log."""
        if not self._rows:
            raise InputError(f"{path}: {_NO_ROWS}")
        items = np.concatenate(self._items)
        encoded = pa.chunked_array(self._users).unify_dictionaries()
        self._items, self._users = [], []
        users = np.concatenate([part.indices.to_numpy() for part in encoded.chunks]).astype(np.int32, copy=False)
        longest = max(encoded.chunks, key=lambda part: len(part.dictionary))
        user_ids, users, doubled = _same_users(pl.Series("user_id", longest.dictionary, pl.String), users)
        del encoded, longest
        times = np.arange(len(items)) if self.wanted.time_column is None else self._times.finish()
        skipped = {name: count for name, count in self._skipped.items() if count}
        warnings = list(self._times.warnings)
        if doubled:
            warnings.append(
                f"{path}: {len(doubled):,} users occur with and without a decimal point, e.g. {doubled[0]}; "
                "they count as the same user"
            )
        nobody = user_ids.filter(user_ids.is_in(WORDS_FOR_NOTHING)).to_list()
        if nobody:
            warnings.append(
                f"{path}: rows with the user {listed(nobody)} count as one user; did you mean a missing user?"
            )
        unseen = [kind for kind in self.wanted.kinds if kind not in self._kinds]
        if unseen:
            there = listed(sorted(self._kinds - set(self.wanted.kinds)))
            warnings.append(
                f"{path}: no row has the {self.wanted.value_column} {listed(unseen)} of interactions.kinds; there are "
                f"{there or 'none'}"
            )
        if self._alike:
            one, other = self._example
            warnings.append(
                f"{path}: {len(self._alike):,} ids are matched to ids of the catalogue that are written "
                f"differently, e.g. {one} for {other}"
            )
        if left_out := sum(skipped.values()):
            warnings.append(
                f"{path}: {left_out:,} of {self._rows:,} rows ({left_out / self._rows:.0%}) are left out by "
                f"interactions.{'least_value' if 'low_value' in skipped else 'kinds'}"
            )
        return Log(user_ids, users, items, times, self._rows, self._unknown, skipped, warnings, list(self._table.notes))


def _ids(batch: Batch, column: str, say: Callable[[str], None]) -> pl.Series:
    ids = as_text(batch, column, say)
    if ids.null_count():
        raise InputError(f"{batch.at(int(ids.is_null().arg_max() or 0))} has no {column}")
    return ids


def _same_users(names: pl.Series, users: NDArray[np.int32]) -> tuple[pl.Series, NDArray[np.int32], list[str]]:
    """Users' ids and numbers, where those called 7.0 are 7 if both are there, and the former of these."""
    pointed = names.filter(names.str.ends_with(".0"))
    doubled = pointed.filter(pointed.str.strip_suffix(".0").is_in(names.implode())).to_list()
    if not doubled:
        return names, users, doubled
    rows = {name: row for row, name in enumerate(names.to_list())}
    into = np.arange(len(names), dtype=np.int32)
    for name in doubled:
        into[rows[name]] = rows[name[:-2]]
    kept, numbers = np.unique(into[users], return_inverse=True)
    return names.gather(kept), numbers.astype(np.int32), doubled


def _as_words(values: Column) -> pl.Series:
    """Ratings or kinds as text: (n,), the words true and false for booleans of any source."""
    if isinstance(values, pa.Array):
        return pl.Series(values.cast(pa.large_string()), dtype=pl.String)
    words = [str(value).lower() if isinstance(value, bool) else value for value in values]
    return pl.Series([None if value is None else str(value) for value in words], dtype=pl.String)


def _lists(batch: Batch, name: str, say: Callable[[str], None]) -> tuple[NDArray[np.int64], Column] | None:
    """Lengths of a column of lists, also such that are written as text, and what is in them; None of any other."""
    column = batch.columns[name]
    if isinstance(column, pa.Array) and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        read = _written_lists(column)
        if read is None:
            return None
        say(f"{batch.path}: lists written as text in {name} are read as lists")
        column = read
    if isinstance(column, list):
        if not any(isinstance(value, list) for value in column):
            return None
        lists = [value if isinstance(value, list) else [] if value is None else [value] for value in column]
        return np.array([len(value) for value in lists], np.int64), [item for value in lists for item in value]
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return None
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths, column.flatten()


def _written_lists(column: pa.Array) -> list[Any] | None:
    """The lists that each text of a column is; None where one isn't a list."""
    text = pl.Series(column)
    if not len(text) or not text.drop_nulls().head(1).str.contains(r"^\s*\[.*\]\s*$").all() or text.null_count():
        return None
    found = []
    for one in text.to_list():
        for read in (json.loads, ast.literal_eval):
            try:
                value = read(one.strip())
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
            break
        else:
            return None
        if not isinstance(value, list):
            return None
        found.append(value)
    return found


def _same_lengths(batch: Batch, name: str, lengths: NDArray[np.int64], say: Callable[[str], None]) -> Column:
    """The times, or values, beside lists of items."""
    found = _lists(batch, name, say)
    if found is None:
        raise InputError(f"{batch.path}: column {name} must hold lists, like the column of items")
    others, flat = found
    uneven = np.flatnonzero(others != lengths)
    if len(uneven):
        row = int(uneven[0])
        raise InputError(f"{batch.at(row)} has {others[row]} {name} for {lengths[row]} items, must have one for each")
    return flat


def _beside(
    batch: Batch, name: str, owners: NDArray[np.int64], lengths: NDArray[np.int64], say: Callable[[str], None]
) -> Column:
    """The values of lists of items: one for each item, or one for each list."""
    if _lists(batch, name, say) is not None:
        return _same_lengths(batch, name, lengths, say)
    column = batch.columns[name]
    return [column[row] for row in owners.tolist()] if isinstance(column, list) else column.take(pa.array(owners))


def _of_sequences(path: Path, found: Mapping[str, list[Any]], wanted: Wanted) -> Iterator[Batch]:
    users = iter(found.items())
    while part := list(islice(users, _USERS)):
        names = [user for user, _ in part]
        columns: dict[str, Column] = {wanted.user_column: names, wanted.item_column: [items for _, items in part]}
        yield Batch(path, len(part), columns, lambda row, names=names: f"user {names[row]!r}")  # type: ignore[misc]
