"""Text files read line by line, so that what is wrong with one is told by its line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sid.errors import InputError


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of every line, with its end; a byte order mark is no text.

    Raises:
        InputError: a line that is not UTF-8.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(f"{path}: line {number} is not UTF-8 text ({error})") from None


def json_lines(path: Path, constants: bool = True) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number, from 1, and object of every line of a JSONL file that isn't blank.

    Args:
        constants: take NaN and Infinity, which are no JSON but common.

    Raises:
        InputError: a line that is not UTF-8, broken JSON or no object.
    """
    for number, line in text_lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line.strip(), parse_constant=None if constants else _no_constant)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: line {number} is broken JSON ({error.msg} at column {error.colno})") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: line {number} is broken JSON ({error})") from None
        if not isinstance(record, dict):
            raise InputError(f"{path}: line {number} is {line.strip():.40}, must be a JSON object")
        yield number, record


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
