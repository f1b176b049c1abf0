"""The ids of the items in a file beside their vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sid.errors import InputError
from sid.files import NPY_ERRORS, elsewhere
from sid.tables import Batch, as_text, open_table
from sid.tables.files import kind_of
from sid.tables.json_text import whole
from sid.tables.text import text_lines

_LINES = (".txt", ".dat", ".data")
_TABLES = ("csv", "tsv", "jsonl", "parquet", "arrow")


def read_ids(path: Path, item_id_column: str) -> pl.Series:
    """Ids in the order of the rows that they name.

    Args:
        path: .txt (and what has no known suffix): an id on each line, or id, tab and row (LC-Rec's .item2id); .npy: one
            dimension of text or integers; .json: a list, or an object of id -> row or row -> id; a table with
            `item_id_column`.

    Returns:
        (N,) text.

    Raises:
        InputError: no such file, broken, an id missing.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: no such file{elsewhere(path)} (prepare.ids must name a file of ids, or be data/none)"
        )
    kind = kind_of(path)
    if kind == "npy":
        return _of_array(path)
    if kind == "json":
        return _of_json(path)
    if kind in _TABLES and path.suffix.lower() not in _LINES:
        table = open_table(path, "prepare.ids", item_id_column, _TABLES)
        table.require({"prepare.item_id_column": (item_id_column, "item")})
        return _joined(path, [_column(batch, item_id_column) for batch in table.batches([item_id_column])])
    lines = [(number, line.strip("\r\n")) for number, line in text_lines(path)]
    while lines and not lines[-1][1].strip():
        lines.pop()
    if lines and all(line.count("\t") == 1 for _, line in lines):
        return _of_pairs(path, [line.split("\t") for _, line in lines])
    empty = [number for number, line in lines if not line.strip()]
    if empty:
        raise InputError(f"{path}: line {empty[0]} is empty, must be an id: row i of the embeddings is line i + 1")
    return pl.Series("item_id", [line.strip() for _, line in lines], pl.String)


def ids_of_array(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]], where: str) -> pl.Series:
    """(N,) ids of an array of text, bytes or integers."""
    if values.ndim != 1 or values.dtype.kind not in "iuUS":
        raise InputError(
            f"{where}: ids have shape {values.shape} and dtype {values.dtype}, must be a single list of text or "
            "integers"
        )
    if values.dtype.kind == "S":
        try:
            values = np.char.decode(values.astype(np.bytes_), "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{where}: ids are bytes that aren't UTF-8 text") from None
    return pl.Series("item_id", values.tolist()).cast(pl.String)


def _of_array(path: Path) -> pl.Series:
    try:
        values = np.load(path, allow_pickle=False)
    except NPY_ERRORS as error:
        raise InputError(f"{path}: broken, or holds ids that are Python objects (save them as text: {error})") from None
    return ids_of_array(values, str(path))


def _of_json(path: Path) -> pl.Series:
    value = whole(path, lambda _: None)
    if isinstance(value, dict):
        value = _by_row(path, [(str(name), row) for name, row in value.items()], either=True)
    if not isinstance(value, list):
        raise InputError(f"{path}: holds a {type(value).__name__}, must be a list of ids or an object of id -> row")
    batch = Batch(path, len(value), {"id": value}, lambda row: f"entry {row}")
    return _joined(path, [_column(batch, "id")])


def _of_pairs(path: Path, pairs: list[list[str]]) -> pl.Series:
    """Ids beside row numbers, in any order, below a header or not."""
    if pairs[0][1].strip() and not any(part.strip().isdecimal() for part in pairs[0]):
        pairs = pairs[1:]
    names = _by_row(path, [(name.strip(), row.strip()) for name, row in pairs])
    return pl.Series("item_id", names, pl.String)


def _by_row(path: Path, pairs: list[tuple[str, Any]], either: bool = False) -> list[str]:
    """The ids of (id, row) or (row, id) by row. Where both make sense: the former, or none if `either`."""
    firsts, seconds = [first for first, _ in pairs], [second for _, second in pairs]
    found = [_ordered(rows, names) for rows, names in ((seconds, firsts), (firsts, seconds))]
    if either and None not in found and found[0] != found[1]:
        raise InputError(
            f"{path}: keys and values are both the numbers 0 to {len(pairs) - 1}, so it isn't clear which of "
            "them are the rows: must be a list of ids in the order of the rows"
        )
    for names in found:
        if names is not None:
            return names
    raise InputError(f"{path}: must map each id to its row, 0 to {len(pairs) - 1}, each row once")


def _ordered(rows: list[Any], names: list[Any]) -> list[str] | None:
    """Names in the order of their rows; None where these aren't the rows 0, 1, 2 ..., each once."""
    try:
        by_row = dict(zip(map(int, rows), names, strict=True))
    except (TypeError, ValueError):
        return None
    wanted = range(len(names))
    return [str(by_row[row]) for row in wanted] if by_row.keys() == set(wanted) else None


def _column(batch: Batch, name: str) -> pl.Series:
    ids = as_text(batch, name, lambda _: None).rename("item_id")
    if ids.null_count():
        raise InputError(f"{batch.at(int(ids.is_null().arg_max() or 0))} has no id")
    return ids


def _joined(path: Path, parts: list[pl.Series]) -> pl.Series:
    if not parts:
        raise InputError(f"{path}: has no ids")
    return pl.concat(parts)
