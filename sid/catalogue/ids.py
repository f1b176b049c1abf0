"""The ids of the items in a file beside their vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from sid.errors import InputError
from sid.files import NPY_ERRORS
from sid.tables import Batch, as_text, open_table
from sid.tables.files import kind_of
from sid.tables.json_text import whole
from sid.tables.text import text_lines

_TABLES = ("csv", "tsv", "jsonl", "parquet", "arrow")


def read_ids(path: Path, item_id_column: str) -> pl.Series:
    """Ids in the order of the rows that they name.

    Args:
        path: .txt (and what has no known suffix): an id on each line; .npy: one dimension of text or integers; .json: a
            list, or an object of id -> row; a table with `item_id_column`.

    Returns:
        (N,) text.

    Raises:
        InputError: no such file, broken, an id missing.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file (prepare.ids must name a file of ids, or be data/none)")
    kind = kind_of(path)
    if kind == "npy":
        return _of_array(path)
    if kind == "json":
        return _of_json(path)
    if kind in _TABLES and path.suffix.lower() != ".txt":
        table = open_table(path, "prepare.ids", item_id_column, _TABLES)
        table.require({"prepare.item_id_column": (item_id_column, "item")})
        return _joined(path, [_column(batch, item_id_column) for batch in table.batches([item_id_column])])
    lines = [(number, line.strip("\r\n")) for number, line in text_lines(path)]
    while lines and not lines[-1][1].strip():
        lines.pop()
    empty = [number for number, line in lines if not line.strip()]
    if empty:
        raise InputError(f"{path}: line {empty[0]} is empty, must be an id: row i of the embeddings is line i + 1")
    return pl.Series("item_id", [line.strip() for _, line in lines], pl.String)


def ids_of_array(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]], where: str) -> pl.Series:
    """(N,) ids of an array of text, bytes or integers."""
    if values.ndim != 1 or values.dtype.kind not in "iuUS":
        raise InputError(
            f"{where}: ids have shape {values.shape} and dtype {values.dtype}, must be one row of text or integers"
        )
    if values.dtype.kind == "S":
        try:
            values = np.char.decode(values.astype(np.bytes_), "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{where}: ids are bytes that are no UTF-8 text") from None
    return pl.Series("item_id", values.tolist()).cast(pl.String)


def _of_array(path: Path) -> pl.Series:
    try:
        values = np.load(path, allow_pickle=False)
    except NPY_ERRORS as error:
        raise InputError(f"{path}: broken, or ids of Python objects (save them as text: {error})") from None
    return ids_of_array(values, str(path))


def _of_json(path: Path) -> pl.Series:
    value = whole(path, lambda _: None)
    if isinstance(value, dict):
        rows = sorted(value.items(), key=lambda pair: (not isinstance(pair[1], int), pair[1]))
        if [row for _, row in rows] != list(range(len(rows))):
            raise InputError(f"{path}: is an object, must map each id to its row, 0 to {len(rows) - 1}")
        value = [name for name, _ in rows]
    if not isinstance(value, list):
        raise InputError(f"{path}: holds a {type(value).__name__}, must be a list of ids or an object of id -> row")
    batch = Batch(path, len(value), {"id": value}, lambda row: f"entry {row}")
    return _joined(path, [_column(batch, "id")])


def _column(batch: Batch, name: str) -> pl.Series:
    ids = as_text(batch, name, lambda _: None).rename("item_id")
    if ids.null_count():
        raise InputError(f"{batch.at(int(ids.is_null().arg_max() or 0))} has no id")
    return ids


def _joined(path: Path, parts: list[pl.Series]) -> pl.Series:
    if not parts:
        raise InputError(f"{path}: has no ids")
    return pl.concat(parts)
