"""What every export format works from, and what a format is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from sid.arrays import NO_TOKEN
from sid.decoding.trie import Trie
from sid.export.columns import is_blank
from sid.export.histories import Behaviour, Histories
from sid.export.records import Catalogue, Record
from sid.ids import SemanticIds


@dataclass(frozen=True)
class Source:
    """A catalogue with its Semantic IDs, and its interactions if there are any.

    Attributes:
        dataset: what files are called.
        items: N rows in the order of the Semantic IDs: item_id and metadata.FIELDS, all text, null where unknown.
        known_sizes: codes of each level whose tokens the reader has already.
    """

    dataset: str
    sids: SemanticIds
    items: pl.DataFrame
    behaviour: Behaviour | None
    known_sizes: tuple[int, ...] = ()

    @cached_property
    def titles(self) -> pl.Series:
        """(N,) text, '' where there is none. A title of nothing but whitespace is none."""
        given = self.items["title"].fill_null("")
        return given.set(is_blank(given), "")

    @cached_property
    def catalogue(self) -> Catalogue:
        """What records say of items."""
        return Catalogue(self.sids.item_ids, self.sids.codes, self.titles, self.items["description"])

    @cached_property
    def trie(self) -> Trie:
        """The Semantic IDs in sorted order."""
        return Trie.of(self.sids)

    @cached_property
    def shared_titles(self) -> dict[str, int]:
        """How many `titles` belong to items with different Semantic IDs, and how many `items` have such a title."""
        there = (self.titles != "").arg_true().to_numpy()
        codes = [pl.Series(f"code_{level}", column) for level, column in enumerate(self.sids.codes[there].T)]
        by_title = pl.DataFrame([self.titles.gather(there), *codes]).group_by("title")
        shared = by_title.agg(pl.len().alias("items"), pl.struct(pl.col("^code_.*$")).n_unique().alias("sids"))
        shared = shared.filter(pl.col("sids") > 1)
        return {"titles": len(shared), "items": int(shared["items"].sum())}

    @property
    def uneven(self) -> bool:
        """Whether some Semantic IDs lack the last level."""
        return bool((self.sids.codes[:, -1] == NO_TOKEN).any())

    @property
    def sharing(self) -> int:
        """How many items have a Semantic ID that is another's too."""
        counts = np.diff(self.trie.offsets)
        return int(counts[counts > 1].sum())


class RecordWriter(Protocol):
    """A record format at work: takes records one by one, and is closed once."""

    def add(self, record: Record) -> None:
        """Write a record to the file of its split."""

    def close(self) -> None:
        """Write what is left."""


def _nothing(source: Source) -> list[str]:
    return []


@dataclass(frozen=True)
class Format:
    """One entry of `export.formats`. It has `write`, or `open` if its files are made of records.

    Attributes:
        write: writes the format's files into its empty folder; returns how many entries or rows they hold.
        open: the same for formats of records.
        warnings: what its readers would lose, one line each, naming the reader; raises InputError where they can't
            read this catalogue at all. Asked before anything is written.
        rows: of what `write` writes, that with a row for each target: that of one split into a folder, as a sample.
    """

    write: Callable[[Path, Source], int] | None = None
    open: Callable[[Path, Source], RecordWriter] | None = None
    warnings: Callable[[Source], list[str]] = _nothing
    rows: Callable[[Path, Source, Histories], None] | None = None
