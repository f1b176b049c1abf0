"""Texts of all items as sequences: lists where they are few, else made when asked for, from Arrow or codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import polars as pl

from sid.arrays import Codes
from sid.ids import sid_text, sid_texts

HELD = 1 << 20
"""Up to so many texts are a list, which is the fastest to read in any order."""

_PART = 1 << 16  # texts that are made at once where all are gone through


@dataclass(frozen=True)
class Texts(Sequence[str]):
    """Texts (N,) that aren't held as Python's.

    Attributes:
        length: N.
        one: a row number -> its text.
        some: a slice of rows -> their texts.
    """

    length: int
    one: Callable[[int], str]
    some: Callable[[slice], list[str]]

    def __len__(self) -> int:
        """N."""
        return self.length

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        """The text of a row, or of some."""
        return self.some(row) if isinstance(row, slice) else self.one(row)

    def __iter__(self) -> Iterator[str]:
        """All in order, some thousands made at once."""
        for start in range(0, self.length, _PART):
            yield from self.some(slice(start, start + _PART))


def texts_of(column: pl.Series) -> Sequence[str]:
    """The texts of a column without nulls."""
    if len(column) <= HELD:
        found: list[str] = column.to_list()
        return found
    return Texts(len(column), column.__getitem__, lambda part: column[part].to_list())


def texts_of_codes(codes: Codes) -> Sequence[str]:
    """The Semantic ID of each row of (N, L) codes as text."""
    if len(codes) <= HELD:
        found: list[str] = sid_texts(codes).to_list()
        return found
    return Texts(len(codes), lambda row: sid_text(codes[row].tolist()), lambda part: sid_texts(codes[part]).to_list())


def is_blank(texts: pl.Series) -> pl.Series:
    """Which texts are nothing but what Python takes for whitespace; null is."""
    return texts.fill_null("").str.contains(r"^[\s\x1c-\x1f]*$")
