"""A table of interactions of any kind -> who took which item when, as numbers."""

from __future__ import annotations

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

from sid.errors import InputError
from sid.params import Interactions as Wanted
from sid.tables import Batch, Column, Table, alike, as_text, open_table
from sid.tables.files import TABLES
from sid.tables.json_text import sequences
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
    table = open_source(path)
    gathered = _Gathered(item_ids, wanted, table)
    found = sequences(path, table.say) if table.kind == "json" and path.is_file() else None
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


def open_source(path: Path) -> Table:
    """The table that `interactions.source` names; RecBole's .item files beside its .inter aren't meant."""
    return open_table(path, "interactions.source", kinds=[kind for kind in TABLES if kind != "item"])


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
            f"{table.found.files[0]}: has histories ({', '.join(lists)}:token_seq), which belong into a folder with "
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
        self._items: list[NDArray[np.int32]] = []
        self._times = Times(wanted.time_column or "", table.say)
        self._unknown: dict[str, str] = {}
        self._alike: set[str] = set()
        self._example = ("", "")
        self._skipped: Counter[str] = Counter()
        self._rows = 0

    def add(self, batch: Batch) -> None:
        """Read a batch's columns by what they mean."""
        wanted = self.wanted
        rows = self._kept(batch)
        users = _ids(batch, wanted.user_column, self._table.say)
        column = batch.columns[wanted.item_column]
        inside = _lists(batch, column)
        if inside is None:
            items = _ids(batch, wanted.item_column, self._table.say)
            times = None if wanted.time_column is None else batch.columns[wanted.time_column]
        else:
            lengths, flat = inside
            owners = np.repeat(np.arange(batch.rows), lengths)
            one = Batch(batch.path, len(owners), {wanted.item_column: flat}, lambda row: batch.place(int(owners[row])))
            items = _ids(one, wanted.item_column, self._table.say)
            times = None if wanted.time_column is None else _same_lengths(batch, wanted.time_column, lengths)
            users = users.gather(owners)
            rows = owners if rows is None else owners[np.isin(owners, rows)]
            places = np.arange(len(owners)) if len(rows) == len(owners) else np.flatnonzero(np.isin(owners, rows))
            self._append(batch, users, items, times, places, lambda row: int(owners[row]))
            return
        self._append(batch, users, items, times, rows, lambda row: row)

    def _append(
        self,
        batch: Batch,
        users: pl.Series,
        items: pl.Series,
        times: Column | None,
        kept: NDArray[np.int64] | None,
        owner: Callable[[int], int],
    ) -> None:
        count = len(items)
        self._rows += count
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

    def _kept(self, batch: Batch) -> NDArray[np.int64] | None:
        """The rows whose value counts as interest; None for all."""
        wanted = self.wanted
        if wanted.value_column is None:
            return None
        values = batch.columns[wanted.value_column]
        text = pl.Series(
            values.cast(pa.large_string())
            if isinstance(values, pa.Array)
            else [None if value is None else str(value) for value in values],
            dtype=pl.String,
        )
        good = pl.Series([True]).new_from_index(0, batch.rows)
        if wanted.kinds:
            good = text.is_in(list(wanted.kinds)).fill_null(False)
            self._skipped["other_kind"] += int((~good).sum())
        if wanted.least_value is not None:
            number = text.str.strip_chars().cast(pl.Float64, strict=False)
            wrong = number.is_null() | number.is_nan()
            if wrong.any():
                row = int(wrong.arg_max() or 0)
                raise InputError(
                    f"{batch.at(row)} has {wanted.value_column} {text[row]!r}, must be a number for "
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
        users = np.concatenate([part.indices.to_numpy() for part in encoded.chunks]).astype(np.int32)
        longest = max(encoded.chunks, key=lambda part: len(part.dictionary))
        user_ids = pl.Series("user_id", longest.dictionary, pl.String)
        times = np.arange(len(items)) if self.wanted.time_column is None else self._times.finish()
        skipped = {name: count for name, count in self._skipped.items() if count}
        warnings = []
        if self._alike:
            one, other = self._example
            warnings.append(
                f"{path}: {len(self._alike):,} ids are read as those of the catalogue, like {one} as {other}"
            )
        if left_out := sum(skipped.values()):
            warnings.append(
                f"{path}: {left_out:,} of {self._rows:,} rows ({left_out / self._rows:.0%}) don't count by "
                f"interactions.{'least_value' if 'low_value' in skipped else 'kinds'} and are left out"
            )
        return Log(user_ids, users, items, times, self._rows, self._unknown, skipped, warnings, list(self._table.notes))


def _ids(batch: Batch, column: str, say: Callable[[str], None]) -> pl.Series:
    ids = as_text(batch, column, say)
    absent = ids.is_null() | (ids == "")
    if absent.any():
        raise InputError(f"{batch.at(int(absent.arg_max() or 0))} has no {column}")
    return ids


def _lists(batch: Batch, column: Column) -> tuple[NDArray[np.int64], Column] | None:
    """Lengths of a column of lists and what is in them; None of any other column."""
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


def _same_lengths(batch: Batch, name: str, lengths: NDArray[np.int64]) -> Column:
    """The times beside lists of items."""
    found = _lists(batch, batch.columns[name])
    if found is None:
        raise InputError(f"{batch.path}: column {name} must hold lists, as the column of items does")
    others, flat = found
    uneven = np.flatnonzero(others != lengths)
    if len(uneven):
        row = int(uneven[0])
        raise InputError(f"{batch.at(row)} has {others[row]} times for {lengths[row]} items, must have one for each")
    return flat


def _of_sequences(path: Path, found: Mapping[str, list[Any]], wanted: Wanted) -> Iterator[Batch]:
    users = iter(found.items())
    while part := list(islice(users, _USERS)):
        names = [user for user, _ in part]
        columns: dict[str, Column] = {wanted.user_column: names, wanted.item_column: [items for _, items in part]}
        yield Batch(path, len(part), columns, lambda row, names=names: f"user {names[row]!r}")  # type: ignore[misc]
