"""Item metadata of any kind of table -> a table of text columns with one row per item."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import polars as pl
import pyarrow as pa

from sid.catalogue.item_ids import refuse_duplicates
from sid.catalogue.items import FIELDS
from sid.catalogue.texts import cleaned, text_of
from sid.errors import InputError
from sid.params import Prepare
from sid.tables import Batch, Table, as_text, delimited, open_table
from sid.tables.files import TABLES
from sid.tables.ids import WORDS_FOR_NOTHING
from sid.tables.table import WELL_KNOWN
from sid.tables.text import PLAIN, Form

_BETWEEN = {"description": " "}  # of paragraphs
_NO_FIELDS: Mapping[str, str] = MappingProxyType({})


_KINDS = [kind for kind in TABLES if kind != "inter"]
_RECORDS = ("json", "jsonl")
_BYTES = "bytes"


@dataclass(frozen=True)
class Metadata:
    """Item metadata, and what was made of it.

    Attributes:
        frame: item_id and the columns of the file, FIELDS at least, all text; null where a value is missing. One row
            per item, in file order.
        left_out: column -> why it isn't text.
        warnings, notes: one line each.
    """

    frame: pl.DataFrame
    left_out: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_metadata(
    path: str | Path,
    item_id_column: str,
    fields: Mapping[str, str] = _NO_FIELDS,
    skip: Collection[str] = (),
    html: bool = False,
    form: Form = PLAIN,
) -> Metadata:
    """Read item metadata whole.

    Args:
        path: a table (see `sid.tables`), or MiniOneRec's item.json (item id -> object).
        item_id_column: the id's column or key.
        fields: one of FIELDS -> the file's own name for it, where that is another.
        skip: columns that aren't metadata, such as the vectors.
        html: take tags and entities out of the texts.
        form: what a text file doesn't say of itself.

    Returns:
        Lists, also those written as text (`['a', 'b']`), are joined by ', ', in descriptions by ' '; the word nan
        counts as missing.

    Raises:
        InputError: missing or broken file, a record that isn't an object, no id, the same id twice, a column that
            `fields` names and the file lacks.
    """
    path = Path(path)
    table = open_table(path, "prepare.items", item_id_column, _KINDS, form=form)
    left_out: dict[str, str] = {}
    between = {fields.get(name, name): joint for name, joint in _BETWEEN.items()}
    if table.kind in _RECORDS:
        frame = _of_records(table, item_id_column, between)
    else:
        _require(table, item_id_column, fields)
        _refuse_twice(table, fields)
        named = [fields.get(name, name) for name in FIELDS]
        frame = _of_columns(table, item_id_column, skip, left_out, between, named)
    refuse_duplicates(frame["item_id"], str(path))
    frame = _renamed(path, frame, fields, left_out, item_id_column)
    frame, warnings = _clean(frame, html, path)
    notes = list(table.notes)
    if not frame["title"].drop_nulls().len():
        likely = [name for name in WELL_KNOWN["title"] if name in frame.columns and name != "title"]
        if likely:
            notes.append(
                f"{path}: no item has a title, but there is a column {likely[0]}: prepare.title_column names it"
            )
    return Metadata(frame, left_out, warnings, notes)


def as_named(wanted: Prepare) -> tuple[dict[str, str], Form]:
    """One of FIELDS -> the file's own name for it, and what a text file doesn't say of itself."""
    fields = {name: str(getattr(wanted, f"{name}_column")) for name in FIELDS}
    return fields, Form(wanted.items_header, wanted.items_encoding)


def check_columns(path: Path, item_id_column: str, fields: Mapping[str, str], form: Form = PLAIN) -> None:
    """Refuse by the header alone what `read_metadata` would refuse: InputError where a column that is named is missing.

    Args: as `read_metadata`'s. Records of JSON have no header.
    """
    table = open_table(path, "prepare.items", item_id_column, _KINDS, form=form)
    if table.kind not in _RECORDS:
        _require(table, item_id_column, fields)


def _require(table: Table, item_id_column: str, fields: Mapping[str, str]) -> None:
    named = {f"prepare.{name}_column": (own, name) for name, own in fields.items() if own != name}
    table.require({"prepare.item_id_column": (item_id_column, "item"), **named})


def _refuse_twice(table: Table, fields: Mapping[str, str]) -> None:
    twice = delimited.duplicated(table.names, [fields.get(name, name) for name in FIELDS])
    if twice:
        raise InputError(f"{table.path}: column {twice} appears more than once in the header, must appear once")


def _of_records(table: Table, item_id_column: str, between: Mapping[str, str]) -> pl.DataFrame:
    columns: dict[str, list[str | None]] = {"item_id": []}
    count = 0
    for file in table.found.files:
        for place, record in table.records(file):
            identity = record.pop(item_id_column, None)
            one = Batch(file, 1, {item_id_column: [identity]}, lambda _, place=place: place)  # type: ignore[misc]
            found = as_text(one, item_id_column, table.say)[0]
            if found is None:
                raise InputError(f"{one.at(0)} has {item_id_column} {identity!r}, must be a string or an integer")
            columns["item_id"].append(found)
            record.pop("item_id", None)
            for name, value in record.items():
                columns.setdefault(name, [None] * count).append(text_of(value, between.get(name, ", ")))
            count += 1
            for column in columns.values():
                if len(column) < count:
                    column.append(None)
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def _of_columns(
    table: Table,
    item_id_column: str,
    skip: Collection[str],
    left_out: dict[str, str],
    between: Mapping[str, str],
    named: Collection[str],
) -> pl.DataFrame:
    names = [name for name in dict.fromkeys(table.names) if name and name not in skip]
    left_out |= {name: "it holds the vectors" for name in table.names if name in skip}
    left_out |= {name: "its name occurs more than once" for name in names if table.names.count(name) > 1}
    left_out |= {name: f"it holds {kind}" for name, kind in table.types.items() if name in names and _no_text(kind)}
    # text that old writers of Parquet don't mark as such
    for name in {item_id_column, *named} & left_out.keys() & table.types.keys():
        if _no_text(table.types[name]) == _BYTES and not pa.types.is_nested(table.types[name]):
            del left_out[name]
    wanted = [name for name in names if name not in left_out or name == item_id_column]
    parts = []
    for batch in table.batches(wanted, [item_id_column]):
        ids = as_text(batch, item_id_column, table.say).rename("item_id")
        if ids.null_count():
            row = int(ids.is_null().arg_max() or 0)
            raise InputError(f"{batch.at(row)} has no {item_id_column}, every item must have an id")
        others = [name for name in wanted if name not in (item_id_column, "item_id")]
        parts.append(pl.DataFrame([ids, *(_texts(batch, name, between.get(name, ", ")) for name in others)]))
    if not parts:
        return pl.DataFrame(schema={"item_id": pl.String})
    return pl.concat(parts)


def _no_text(kind: pa.DataType) -> str:
    """What a column's type holds that isn't text for people; '' where it is."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return _BYTES
    if types.is_duration(kind) or types.is_interval(kind) or types.is_union(kind):
        return str(kind)
    if types.is_struct(kind):
        return next(filter(None, (_no_text(kind.field(place).type) for place in range(kind.num_fields))), "")
    if types.is_map(kind):
        return _no_text(kind.item_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return "vectors" if types.is_floating(kind.value_type) else _no_text(kind.value_type)
    return ""


def _texts(batch: Batch, name: str, between: str) -> pl.Series:
    """A column as text: (n,)."""
    values = batch.columns[name]
    if isinstance(values, pa.Array) and not pa.types.is_nested(values.type):
        if pa.types.is_fixed_size_binary(values.type):
            return pl.Series(name, [None if raw is None else raw.hex() for raw in values.to_pylist()], pl.String)
        if pa.types.is_string_view(values.type):
            values = values.cast(pa.large_string())
        elif _no_text(values.type) == _BYTES:
            try:
                values = values.cast(pa.large_binary()).cast(pa.large_string())
            except pa.ArrowInvalid:
                raise InputError(f"{batch.path}: column {name!r} is {values.type} and not UTF-8 text") from None
        return pl.Series(name, values).cast(pl.String)
    found = values.to_pylist() if isinstance(values, pa.Array) else values
    return pl.Series(name, [text_of(value, between) for value in found], pl.String)


def _renamed(
    path: Path, frame: pl.DataFrame, fields: Mapping[str, str], left_out: dict[str, str], item_id_column: str
) -> pl.DataFrame:
    """The file's own names of FIELDS become ours, which may be swapped, or one for two; what is missing is null."""
    owns = {name: "item_id" if fields.get(name) == item_id_column else fields.get(name, name) for name in FIELDS}
    columns = [frame["item_id"]]
    for name, own in owns.items():
        if own not in frame.columns and own != name:
            raise InputError(
                f"{path}: no column {own!r} (prepare.{name}_column); its columns are {', '.join(frame.columns[:12])}"
            )
        if name in frame.columns and name not in owns.values():
            left_out[name] = f"prepare.{name}_column is {fields[name]}"
        nothing = pl.Series(name, [None] * len(frame), pl.String)
        columns.append(frame[own].alias(name) if own in frame.columns else nothing)
    others = sorted(set(frame.columns) - {"item_id", *FIELDS, *owns.values()})
    return pl.DataFrame([*columns, *(frame[name] for name in others)])


def _clean(frame: pl.DataFrame, html: bool, path: Path) -> tuple[pl.DataFrame, list[str]]:
    """The frame with clean texts, and what to warn of."""
    warnings = []
    for name in FIELDS:
        if count := int(frame[name].is_in(WORDS_FOR_NOTHING).sum()):
            warnings.append(
                f"{path}: {count:,} of {len(frame):,} items have a word like nan as their {name}, which counts "
                "as missing"
            )
    columns = [cleaned(frame[name], html, _BETWEEN.get(name, ", ")) for name in frame.columns[1:]]
    return pl.DataFrame([frame["item_id"], *columns]), warnings
