"""JSON and JSONL: records line by line, a list of records, or an object of records or of sequences."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from sid.errors import InputError, listed
from sid.tables.batches import Batch, Column
from sid.tables.text import Say, open_text, text_lines

_ROWS = 50_000
_HINT = "must be a JSON object"

Record = dict[str, Any]
Placed = tuple[str, Record]
"""Where a record is, and the record."""


def json_lines(path: Path, say: Say = lambda _: None, encoding: str = "utf-8") -> Iterator[tuple[int, Record]]:
    """Number, from 1, and object of every line of a JSONL file that isn't blank.

    NaN and Infinity, which aren't JSON but common, are read; so are lines that Python printed (single quotes).

    Raises:
        InputError: a line that is not UTF-8, broken JSON or no object.
    """
    said = False
    for number, line in text_lines(path, say, encoding):
        if not line.strip():
            continue
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            record, printed = _odd_line(path, number, line)
            if printed and not said:
                say(f"{path}: line {number} is a Python dict, not JSON, and is read as one")
            said |= printed
        if not isinstance(record, dict):
            raise InputError(f"{path}: line {number} is {line.strip():.40}, {_HINT}")
        yield number, record


def _odd_line(path: Path, number: int, line: str) -> tuple[Any, bool]:
    """A line that isn't strict JSON, and whether Python printed it."""
    try:
        return json.loads(line), False
    except (ValueError, RecursionError) as error:
        if line.lstrip().startswith("{") and "'" in line:
            try:
                return ast.literal_eval(line.strip()), True
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                pass
        reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise InputError(f"{path}: line {number} is broken JSON ({reason})") from None


def records(
    path: Path, kind: str, id_column: str | None, say: Say, encoding: str = "utf-8", value_column: str | None = None
) -> Iterator[Placed]:
    """The records of a file of JSON, whatever its shape.

    JSONL has an object on each line. JSON is a list of objects, an object of objects (id -> record, as MiniOneRec's
    item.json: the key becomes the record's `id_column`), an object of lists as long as each other (columns), or an
    object whose only value is such a list; if it is JSON Lines by another name, it is read so.

    Args:
        value_column: what the lists in an object of id -> list are (vectors); None where there can't be any.

    Raises:
        InputError: broken, another shape, or a key that is there twice.
    """
    if kind == "jsonl" and _first_character(path, encoding) != "[":
        yield from ((f"line {number}", record) for number, record in json_lines(path, say, encoding))
        return
    if kind == "json" and _is_lines(path, encoding):
        say(f"{path}: holds JSON Lines; read as .jsonl")
        yield from ((f"line {number}", record) for number, record in json_lines(path, say, encoding))
        return
    value = whole(path, say, encoding)
    if isinstance(value, dict) and id_column is not None and id_column in value:
        columns = {name: column for name, column in value.items() if isinstance(column, list | dict)}
        if id_column in columns:
            value = _of_columns(path, columns)
        elif not columns or not all(isinstance(inside, dict) for inside in value.values()):
            value = [value]
    if isinstance(value, dict) and len(value) == 1 and isinstance(inner := next(iter(value.values())), list):
        value = inner
    if isinstance(value, list):
        for place, record in enumerate(value):
            if not isinstance(record, dict):
                raise InputError(f"{path}: record {place} is {json.dumps(record):.40}, {_HINT}")
            yield f"record {place}", record
        return
    if not isinstance(value, dict):
        raise InputError(
            f"{path}: holds a {type(value).__name__}, must be an object of items: "
            '{"0": {"title": ...}}, or a list of them'
        )
    for key, record in value.items():
        if value_column is not None and isinstance(record, list | None):
            record = {value_column: record}
        if not isinstance(record, dict):
            raise InputError(f"{path}: item {key!r} is {record!r:.40}, must be an object with keys like title")
        yield f"item {key!r}", {**record, id_column or "id": key}


def sequences(path: Path, say: Say, encoding: str = "utf-8") -> dict[str, list[Any]] | None:
    """user -> items, oldest first, of LC-Rec's and LETTER's `<dataset>.inter.json`; None for any other JSON."""
    if _first_character(path, encoding) != "{" or _is_lines(path, encoding):
        return None
    value = whole(path, say, encoding)
    if isinstance(value, dict) and value and all(isinstance(items, list) for items in value.values()):
        nested = any(isinstance(item, dict | list) for items in value.values() for item in items[:1])
        return None if nested else value
    return None


def whole(path: Path, say: Say, encoding: str = "utf-8") -> Any:
    """The one value of a JSON file.

    Raises:
        InputError: broken, or an object in which a key is there twice.
    """

    def pairs(found: list[tuple[str, Any]]) -> Record:
        made = dict(found)
        if len(made) < len(found):
            keys = [key for key, _ in found]
            twice = [key for key in made if keys.count(key) > 1]
            raise InputError(f"{path}: {len(twice)} keys occur more than once, must be unique: {listed(twice)}")
        return made

    text = "".join(line for _, line in text_lines(path, say, encoding))
    try:
        return json.loads(text, object_pairs_hook=pairs)
    except InputError:
        raise
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: broken JSON ({error.msg} at line {error.lineno}, column {error.colno}); "
            "if it has an object on each line, rename it to .jsonl"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: broken JSON ({error})") from None


def batches(path: Path, found: Iterator[Placed], columns: Sequence[str]) -> Iterator[Batch]:
    """Records in batches; what a record doesn't have is None."""
    while part := list(islice(found, _ROWS)):
        values: dict[str, Column] = {name: [record.get(name) for _, record in part] for name in columns}
        places = [place for place, _ in part]
        yield Batch(path, len(part), values, places.__getitem__)


def _first_character(path: Path, encoding: str) -> str:
    with open_text(path, encoding=encoding) as file:
        for line in file:
            if line.strip():
                return line.lstrip()[:1].decode("utf-8", "replace")
    return ""


def _is_lines(path: Path, encoding: str) -> bool:
    """Whether the first line is an object by itself, with another one below."""
    with open_text(path, encoding=encoding) as file:
        lines = (line for line in file if line.strip())
        try:
            first, second = next(lines, b""), next(lines, b"")
            return bool(second.lstrip().startswith(b"{")) and isinstance(json.loads(first), dict)
        except (ValueError, RecursionError):
            return False


def _of_columns(path: Path, columns: Record) -> list[Record]:
    """Records of columns, as pandas writes a frame: lists, or objects of row -> value."""
    shapes = [list(column) if isinstance(column, dict) else list(range(len(column))) for column in columns.values()]
    if any(shape != shapes[0] for shape in shapes):
        raise InputError(f"{path}: its columns {listed(columns)} have different numbers of rows, must have the same")
    values = [column.values() if isinstance(column, dict) else column for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
