"""Consecutive rows of a table, with a way to say where each of them is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

Column: TypeAlias = Any
"""(n,) values: a pyarrow.Array, or a list of Python values as JSON has them, None where there is none."""


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of one file.

    Attributes:
        path: the file.
        rows: how many.
        columns: each asked column by name, (rows,).
        place: row -> where it is, e.g. 'line 8' of a text file or 'row 7' (from 0) of a Parquet file.
    """

    path: Path
    rows: int
    columns: Mapping[str, Column]
    place: Callable[[int], str]

    def at(self, row: int) -> str:
        """Where a row is, with its file: how a message begins."""
        return f"{self.path}: {self.place(row)}"
