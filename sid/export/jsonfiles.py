"""JSON written as a stream: a line per entry, so that files of any size need little memory and diff well."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_list(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write a JSON list with one record a line; returns how many."""
    return _write(path, "[]", (_dump(record) for record in records))


def write_object(path: Path, entries: Iterable[tuple[str, Any]]) -> int:
    """Write a JSON object with one key a line; keys must differ. Returns how many."""
    return _write(path, "{}", (f"{_dump(key)}: {_dump(value)}" for key, value in entries))


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _write(path: Path, brackets: str, entries: Iterable[str]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(brackets[0])
        for entry in entries:
            file.write(",\n" if count else "\n")
            file.write(entry)
            count += 1
        file.write("\n" + brackets[1] + "\n")
    return count
