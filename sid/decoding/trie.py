"""The existing Semantic IDs as a trie in sorted arrays: what may follow a prefix, and which items have a SID."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN, SIZES_KEY, Codes
from sid.ids import SemanticIds, read_codes, sid_texts

_EMPTY = np.empty(0, np.int32)


@dataclass(frozen=True)
class Trie:
    """Every distinct Semantic ID once, in the order of its codes, with its items.

    Attributes:
        codes: (U, L) int32, sorted row by row; -1 in the last column means 'no token' and sorts first.
        code_sizes: how many codes each of the L levels has.
        item_ids: (N,) text; the items of row u are item_ids[offsets[u]:offsets[u + 1]].
        offsets: (U + 1,) int64.
    """

    codes: Codes
    code_sizes: tuple[int, ...]
    item_ids: pl.Series
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, sids: SemanticIds | Trie) -> Trie:
        """The trie of a catalogue, by a sort: about a second for a million items. A trie is returned unchanged."""
        if isinstance(sids, Trie):
            return sids
        order = np.lexsort(sids.codes.T[::-1])
        codes = sids.codes[order]
        first = _starts(codes)
        return cls(codes[first[:-1]], sids.code_sizes, sids.item_ids.gather(order), first)

    def children(self, prefix: Sequence[int]) -> NDArray[np.int32]:
        """The codes that may follow a prefix of codes, ascending; -1 where the Semantic ID may also end there.

        Nothing follows a whole Semantic ID, or a prefix that doesn't exist.
        """
        place = self._children_of(prefix)
        return self.level_codes[len(prefix)][place] if place is not None else _EMPTY

    def items(self, codes: Sequence[int]) -> list[str]:
        """The ids of all items with this Semantic ID, in catalogue order; none if no item has it."""
        levels = len(self.code_sizes)
        if len(codes) == levels - 1:
            codes = [*codes, NO_TOKEN]
        place = self._children_of(codes[:-1]) if len(codes) == levels else None
        if place is None:
            return []
        row = place.start + int(np.searchsorted(self.level_codes[-1][place], codes[-1]))
        if row == place.stop or self.level_codes[-1][row] != codes[-1]:
            return []
        return self.item_ids[int(self.offsets[row]) : int(self.offsets[row + 1])].to_list()

    def save(self, path: str | Path) -> None:
        """Write Parquet, one row per Semantic ID in sorted order, with the code sizes in the file's metadata.

        Columns: sid (string), codes (fixed-size list of int32), item_ids (list of string).
        """
        flat = pa.array(self.codes.reshape(-1), type=pa.int32())
        table = pa.table(
            {
                "sid": sid_texts(self.codes).to_arrow().cast(pa.string()),
                "codes": pa.FixedSizeListArray.from_arrays(flat, self.codes.shape[1]),
                "item_ids": pa.ListArray.from_arrays(
                    pa.array(self.offsets, type=pa.int32()), self.item_ids.to_arrow().cast(pa.string())
                ),
            }
        )
        pq.write_table(table.replace_schema_metadata({SIZES_KEY: json.dumps(self.code_sizes).encode()}), path)

    @classmethod
    def load(cls, path: str | Path) -> Trie:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, isn't Parquet, or wasn't made by `save`.
        """
        table, codes, sizes = read_codes(path, "item_ids", "trie", "export it by the format trie")
        lists = table.column("item_ids").combine_chunks()
        return cls(codes, sizes, pl.Series("item_id", lists.values), lists.offsets.to_numpy().astype(np.int64))

    @cached_property
    def _level_starts(self) -> list[NDArray[np.int64]]:
        """For each level, the first row of each distinct prefix that ends there, and U."""
        return [_starts(self.codes[:, : level + 1]) for level in range(self.codes.shape[1])]

    @cached_property
    def level_codes(self) -> list[NDArray[np.int32]]:
        """For each level, the last code of each distinct prefix that ends there, prefixes in sorted order."""
        return [np.ascontiguousarray(self.codes[rows[:-1], level]) for level, rows in enumerate(self._level_starts)]

    @cached_property
    def first_child(self) -> list[NDArray[np.int64]]:
        """For each level but the last, where each prefix's children begin in the next level's `level_codes`, and its
        length: the children of prefix p are `first_child[l][p]:first_child[l][p + 1]`."""
        return [np.searchsorted(below, rows) for rows, below in pairwise(self._level_starts)]

    def _children_of(self, prefix: Sequence[int]) -> slice | None:
        """Where the children of a prefix are in their level; None if there are none."""
        if len(prefix) >= len(self.code_sizes):
            return None
        place = slice(0, len(self.level_codes[0]))
        for level, code in enumerate(prefix):
            here = place.start + int(np.searchsorted(self.level_codes[level][place], code))
            if here == place.stop or self.level_codes[level][here] != code:
                return None
            place = slice(int(self.first_child[level][here]), int(self.first_child[level][here + 1]))
        return place


def _starts(codes: Codes) -> NDArray[np.int64]:
    """(U + 1,): the rows that differ from the row above, and the number of rows."""
    changed = (codes[1:] != codes[:-1]).any(axis=1)
    starts: NDArray[np.int64] = np.r_[0, np.flatnonzero(changed) + 1, len(codes)].astype(np.int64)
    return starts
