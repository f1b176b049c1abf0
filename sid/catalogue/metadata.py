"""Item metadata: the seed's item.json, JSONL, Parquet or CSV -> a table of text columns with one row per item."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from sid.catalogue.item_ids import refuse_duplicates
from sid.catalogue.text_files import json_lines
from sid.errors import InputError

FIELDS = ("title", "description", "brand", "categories")
"""The columns that are always there, in the order in which item.json lists them; empty where nothing is known."""


def read_metadata(path: str | Path, item_id_column: str) -> pl.DataFrame:
    """Read item metadata whole.

    Args:
        path: `.json` (item id -> object), `.jsonl`, `.parquet` or `.csv` (a record an item with its id).
        item_id_column: the id's column or key in JSONL, Parquet and CSV.

    Returns:
        item_id and the columns of the file, FIELDS at least, all text; lists are joined by ', '; null where a
        value is missing. One row an item, in file order.

    Raises:
        InputError: missing or broken file, unknown kind, a record that is no object, no id, the same id twice.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file (prepare.items must name a .json, .jsonl, .parquet or .csv file)")
    readers = {".json": _read_json, ".jsonl": _read_jsonl, ".parquet": _read_table, ".csv": _read_table}
    if path.suffix not in readers:
        raise InputError(f"{path}: unknown kind of file {path.suffix!r}; must be .json, .jsonl, .parquet or .csv")
    frame = readers[path.suffix](path, item_id_column)
    if frame["item_id"].null_count():
        row = int(frame["item_id"].is_null().arg_true()[0])
        raise InputError(f"{path}: record {row} has no {item_id_column}, every item must have an id")
    refuse_duplicates(frame["item_id"], str(path))
    missing = [pl.lit(None, pl.String).alias(name) for name in FIELDS if name not in frame.columns]
    frame = frame.with_columns(missing)
    others = sorted(set(frame.columns) - {"item_id", *FIELDS})
    return frame.select("item_id", *FIELDS, *others)


def load_items(path: str | Path) -> pl.DataFrame:
    """The prepared items: item_id and metadata columns, all text, in the order of the vectors."""
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path}: can't be read, run the prepare stage ({error})") from None


def _read_json(path: Path, item_id_column: str) -> pl.DataFrame:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in found]
        if len(set(keys)) < len(keys):
            refuse_duplicates(pl.Series(keys), str(path))
        return dict(found)

    try:
        items = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=pairs)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error})") from None
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: broken JSON ({error})") from None
    if not isinstance(items, dict):
        raise InputError(
            f'{path}: holds a {type(items).__name__}, must be an object of items: {{"0": {{"title": ...}}}}'
        )
    for key, record in items.items():
        if not isinstance(record, dict):
            raise InputError(f"{path}: item {key!r} is {record!r:.40}, must be an object with keys like title")
    return _frame(({**record, "item_id": key} for key, record in items.items()))


def _read_jsonl(path: Path, item_id_column: str) -> pl.DataFrame:
    return _frame(_jsonl_records(path, item_id_column))


def _jsonl_records(path: Path, item_id_column: str) -> Iterator[dict[str, Any]]:
    for number, record in json_lines(path):
        identity = record.pop(item_id_column, None)
        if isinstance(identity, bool) or not isinstance(identity, str | int):
            raise InputError(f"{path}: line {number} has {item_id_column} {identity!r}, must be a string or an integer")
        yield {**record, "item_id": str(identity)}


def _frame(records: Iterable[dict[str, Any]]) -> pl.DataFrame:
    columns: dict[str, list[str | None]] = {"item_id": []}
    for before, record in enumerate(records):
        for name, value in record.items():
            columns.setdefault(name, [None] * before).append(_text(value))
        for column in columns.values():
            if len(column) == before:
                column.append(None)
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def _read_table(path: Path, item_id_column: str) -> pl.DataFrame:
    try:
        frame = pl.read_csv(path, infer_schema=False) if path.suffix == ".csv" else pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path}: broken {path.suffix[1:]} ({error})") from None
    if item_id_column not in frame.columns:
        raise InputError(
            f"{path}: no column {item_id_column!r} (prepare.item_id_column); its columns are {', '.join(frame.columns)}"
        )
    if not (frame[item_id_column].dtype == pl.String or frame[item_id_column].dtype.is_integer()):
        raise InputError(
            f"{path}: column {item_id_column!r} is {frame[item_id_column].dtype}, must be string or integer"
        )
    if item_id_column != "item_id" and "item_id" in frame.columns:
        frame = frame.drop("item_id")
    frame = frame.rename({item_id_column: "item_id"})
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    try:
        return frame.with_columns(
            *(pl.Series(name, [_text(value) for value in frame[name].to_list()], pl.String) for name in nested),
            pl.all().exclude(nested).cast(pl.String),
        )
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: a column can't be read as text ({error}); leave it out") from None


def _text(value: Any) -> str | None:
    """A metadata value as text: lists joined by ', ', objects as JSON, nothing for null and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, list) and not any(isinstance(part, dict | list) for part in value):
        value = ", ".join(text for part in value if (text := _text(part)) is not None)
    elif isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False, default=str)
    # JSON may escape half a surrogate pair, which no UTF-8 file can hold
    return str(value).encode("utf-8", "replace").decode("utf-8")
