"""JSON written as a stream: one line for each entry, so that files of any size need little memory and diff well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from sid.arrays import chunks
from sid.export.records import Record

# line separators to some readers, plain characters to JSON
_SEPARATORS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}

_encode = json.JSONEncoder(ensure_ascii=False).encode

_ESCAPED = r'[\x00-\x1f"\\\x{85}\x{2028}\x{2029}]'  # what `dumps` doesn't write as it is
_LINE_BYTES = 1 << 10  # about what an entry takes while lines are made


class JsonLines:
    """A file with one JSON object on each line, or a JSON list with one object on each line.

    Args:
        brackets: '' for lines alone, '[]' for a list.
    """

    def __init__(self, path: Path, brackets: str = "") -> None:
        self._file: TextIO = path.open("w", encoding="utf-8", newline="\n")
        self._brackets, self._count = brackets, 0
        self._file.write(brackets[:1])

    def add(self, entry: str) -> None:
        """Write an entry that is JSON already."""
        if self._brackets:
            self._file.write(",\n" if self._count else "\n")
        self._file.write(entry if self._brackets else entry + "\n")
        self._count += 1

    def extend(self, entries: pl.Series) -> None:
        """Write entries (n,) that are JSON already."""
        if not len(entries):
            return
        if self._brackets:
            self._file.write((",\n" if self._count else "\n") + ",\n".join(entries))
        else:
            self._file.writelines(entry + "\n" for entry in entries)
        self._count += len(entries)

    def close(self) -> int:
        """End the file; returns how many entries it holds."""
        self._file.write(f"\n{self._brackets[1]}\n" if self._brackets else "")
        self._file.close()
        return self._count


class RecordFiles:
    """Records of a format as JSON, one file for each split; splits without a record have none.

    Args:
        view: what of a record the format's reader is given; the same keys for every record.
        suffix: .jsonl for lines, .json for a list.
    """

    def __init__(self, folder: Path, suffix: str, view: Callable[[Record], Mapping[str, Any]]) -> None:
        self._folder, self._suffix, self._view = folder, suffix, view
        self._files: dict[str, JsonLines] = {}

    def add(self, record: Record) -> None:
        """Write a record to the file of its split."""
        file = self._files.get(record.split)
        if file is None:
            path = self._folder / f"{record.split}{self._suffix}"
            file = self._files[record.split] = JsonLines(path, "[]" if self._suffix == ".json" else "")
        file.add(dumps(self._view(record)))

    def close(self) -> None:
        """End all files."""
        for file in self._files.values():
            file.close()

    def names(self) -> dict[str, str]:
        """Split -> file name, in the order in which splits came."""
        return {split: f"{split}{self._suffix}" for split in self._files}


def write_list(path: Path, entries: Iterable[Any]) -> int:
    """Write a JSON list with one entry on each line; returns how many."""
    return _write(path, "[]", (dumps(entry) for entry in entries))


def write_object(path: Path, entries: Iterable[tuple[str, Any]]) -> int:
    """Write a JSON object with one key on each line; keys must differ. Returns how many."""
    return _write(path, "{}", (f"{dumps(key)}: {dumps(value)}" for key, value in entries))


def write_columns(path: Path, count: int, entries: Callable[[slice], pl.Series]) -> int:
    """Write a JSON object of `count` keys, some thousands at once.

    Args:
        entries: a slice of rows -> their entries, each a key and a value as JSON already ("1": [2]); keys must differ.

    Returns:
        `count`.
    """
    file = JsonLines(path, "{}")
    for part in chunks(count, _LINE_BYTES):
        file.extend(entries(part))
    return file.close()


def json_texts(texts: pl.Series) -> pl.Series:
    """`dumps` of each of (n,) texts, none of them null."""
    quoted = pl.select(pl.concat_str(pl.lit('"'), texts, pl.lit('"')).alias(texts.name))[texts.name]
    odd = texts.str.contains(_ESCAPED).arg_true()
    return quoted.scatter(odd, [dumps(text) for text in texts.gather(odd)]) if len(odd) else quoted


def dumps(value: Any) -> str:
    """JSON in one line, to every reader of lines."""
    text = _encode(value)
    for separator, escaped in _SEPARATORS.items():
        if separator in text:
            text = text.replace(separator, escaped)
    return text


def _write(path: Path, brackets: str, entries: Iterable[str]) -> int:
    file = JsonLines(path, brackets)
    for entry in entries:
        file.add(entry)
    return file.close()
