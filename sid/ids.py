"""Semantic IDs: (level, code) <-> token text, and every item's codes with its id as Parquet.

Level 0 is written with the letter a, level 1 with b, and so on; codes are written as they are, from 0:
codes (12, 200, 7) are the tokens `<a_12>`, `<b_200>`, `<c_7>` and the Semantic ID `<a_12><b_200><c_7>`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sid.arrays import NO_TOKEN, SIZES_KEY, Codes, check_codes
from sid.errors import InputError

PUBLISHED_KEY = b"sid.published_code_sizes"
"""Likewise, the code sizes of the release that an index continues."""

_TOKEN = re.compile(r"<([a-z])_(0|[1-9][0-9]*)>")
_RUN = re.compile(rf"{_TOKEN.pattern}(?:\s*{_TOKEN.pattern})*")


_GROUP_ROWS = 1 << 20  # rows of a group in a Parquet file: what is held at once as text


def token(level: int, code: int) -> str:
    """The token of a code >= 0 at a level in 0..25."""
    return f"<{ascii_lowercase[level]}_{code}>"


def tokens(codes: Iterable[int]) -> list[str]:
    """The tokens of one item's codes, first level first; codes of -1 have no token."""
    return [token(level, code) for level, code in enumerate(codes) if code != NO_TOKEN]


def sid_text(codes: Iterable[int]) -> str:
    """One item's Semantic ID as text: its tokens joined."""
    return "".join(tokens(codes))


def token_columns(codes: Codes) -> list[pl.Series]:
    """The token of each row of (N, L) codes at each level: L times (N,) text, null where the code is -1."""
    columns = []
    for level, column in enumerate(codes.T):
        known = [token(level, code) for code in range(int(column.max(initial=NO_TOKEN)) + 1)]
        places = pl.Series(column)
        columns.append(pl.Series(str(level), known, pl.String).gather(places.set(places == NO_TOKEN, None)))
    return columns


def sid_texts(codes: Codes) -> pl.Series:
    """`sid_text` of each row of (N, L) codes, (N,) text."""
    joined: pl.Series = pl.select(pl.concat_str(token_columns(codes), ignore_nulls=True).alias("sid"))["sid"]
    return joined


def vocabulary(code_sizes: Sequence[int]) -> list[str]:
    """All tokens of all levels, level by level, codes ascending; independent of which are in use."""
    return [token(level, code) for level, size in enumerate(code_sizes) for code in range(size)]


def parse(text: str) -> tuple[int, ...]:
    """The codes of a Semantic ID written by `sid_text`.

    Raises:
        InputError: the text is not a run of tokens of levels a, b, c, ... in that order.
    """
    found = _TOKEN.findall(text)
    letters = "".join(letter for letter, _ in found)
    if not found or letters != ascii_lowercase[: len(found)] or len(_TOKEN.sub("", text)) > 0:
        raise InputError(f"{text!r} isn't a Semantic ID: must be tokens of levels a, b, ... like <a_12><b_200><c_7>")
    return tuple(int(code) for _, code in found)


def parse_last(text: str) -> tuple[int, ...] | None:
    """The codes of the last Semantic ID in a text that may hold anything else, such as what a model wrote.

    None if there is none, or if the last tokens are not of levels a, b, c, ... in that order. There may be whitespace
    between tokens.
    """
    runs = ["".join(match[0].split()) for match in _RUN.finditer(text)]
    start = runs[-1].rfind(f"<{ascii_lowercase[0]}_") if runs else -1
    if start < 0:
        return None
    try:
        return parse(runs[-1][start:])
    except InputError:
        return None


@dataclass(frozen=True)
class SemanticIds:
    """Every item's Semantic ID.

    Attributes:
        item_ids: (N,) the ids as text, in the order of the embeddings.
        codes: (N, L) int32. In the last column alone -1 may mean 'no token'.
        code_sizes: (L,) the number of codes of each level.
        origins: (N,) the name of the release that first gave an item its Semantic ID, null if it is new; None for an
            index that continues no release.
        published_sizes: the code sizes of that release.
    """

    item_ids: pl.Series
    codes: Codes
    code_sizes: tuple[int, ...]
    origins: pl.Series | None = None
    published_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the parts against each other; InputError if they don't match."""
        if len(self.item_ids) != len(self.codes):
            raise InputError(f"{len(self.item_ids)} item ids, but {len(self.codes)} rows of codes")
        if self.origins is not None and len(self.origins) != len(self.codes):
            raise InputError(f"{len(self.origins)} releases of origin, but {len(self.codes)} rows of codes")
        if self.codes.size and self.codes[:, -1].min() == NO_TOKEN:
            present = np.maximum(self.codes[:, -1:], 0)
            check_codes(self.codes[:, :-1], self.code_sizes[:-1], "Semantic IDs")
            check_codes(present, self.code_sizes[-1:], "Semantic IDs")
        else:
            check_codes(self.codes, self.code_sizes, "Semantic IDs")

    def texts(self) -> list[str]:
        """Every item's Semantic ID as text, in item order."""
        found: list[str] = sid_texts(self.codes).to_list()
        return found

    def save(self, path: str | Path) -> None:
        """Write Parquet: item_id (string), codes (fixed-size list of int32), sid (string); sizes in its metadata.

        With `origins`, a column `release` (string) too.
        """
        fields = [
            pa.field("item_id", pa.string()),
            pa.field("codes", pa.list_(pa.int32(), self.codes.shape[1])),
            pa.field("sid", pa.string()),
        ]
        metadata = {SIZES_KEY: json.dumps(self.code_sizes).encode()}
        if self.origins is not None:
            fields.append(pa.field("release", pa.string()))
            metadata[PUBLISHED_KEY] = json.dumps(self.published_sizes).encode()
        with pq.ParquetWriter(path, pa.schema(fields, metadata)) as writer:
            for start in range(0, len(self.codes), _GROUP_ROWS):
                writer.write_table(self._table(slice(start, start + _GROUP_ROWS), writer.schema))

    def _table(self, part: slice, schema: pa.Schema) -> pa.Table:
        codes = self.codes[part]
        columns = [
            self.item_ids[part].to_arrow().cast(pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(codes.reshape(-1), type=pa.int32()), codes.shape[1]),
            sid_texts(codes).to_arrow().cast(pa.string()),
        ]
        if self.origins is not None:
            columns.append(self.origins[part].to_arrow().cast(pa.string()))
        return pa.Table.from_arrays(columns, schema=schema)

    def new(self) -> SemanticIds:
        """The items whose Semantic IDs no release has: all of them where the index continues none."""
        if self.origins is None:
            return self
        rows = self.origins.is_null().arg_true()
        which = rows.to_numpy()
        return SemanticIds(
            self.item_ids.gather(rows),
            self.codes[which],
            self.code_sizes,
            self.origins.gather(rows),
            self.published_sizes,
        )

    @classmethod
    def load(cls, path: str | Path) -> SemanticIds:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, isn't Parquet, or wasn't made by `save`.
        """
        columns = ("item_id", "codes", "release")  # not the texts, which the codes say
        table, codes, sizes = read_codes(path, "item_id", "Semantic IDs", "run the dedupe stage", columns)
        ids = pl.Series("item_id", table.column("item_id"))
        if "release" not in table.column_names:
            return cls(ids, codes, sizes)
        published = (table.schema.metadata or {}).get(PUBLISHED_KEY, b"[]")
        return cls(ids, codes, sizes, pl.Series("release", table.column("release")), tuple(json.loads(published)))

    def of_items(self, item_ids: pl.Series, where: str | Path) -> SemanticIds:
        """Those of these items (M,) in their order.

        Raises:
            InputError: an item has no Semantic ID, or several; names `where`.
        """
        places = pl.DataFrame({"item_id": self.item_ids, "place": pl.int_range(len(self.item_ids), eager=True)})
        twice = self.item_ids.filter(self.item_ids.is_duplicated())
        if len(twice):
            raise InputError(f"{where}: item {twice[0]!r} occurs twice, must have one Semantic ID")
        rows = pl.DataFrame({"item_id": item_ids}).join(places, on="item_id", how="left", maintain_order="left")[
            "place"
        ]
        lacking = item_ids.filter(rows.is_null())
        if len(lacking):
            raise InputError(
                f"{where}: lacks {len(lacking):,} of {len(item_ids):,} items, e.g. item {lacking[0]!r}: must have a "
                "Semantic ID for each item of the catalogue"
            )
        origins = None if self.origins is None else self.origins.gather(rows)
        return SemanticIds(item_ids, self.codes[rows.to_numpy()], self.code_sizes, origins, self.published_sizes)


def read_codes(
    path: str | Path, beside: str, what: str, remedy: str, columns: Collection[str] = ()
) -> tuple[pa.Table, Codes, tuple[int, ...]]:
    """A Parquet file with a column `codes`, another one beside it, and the code sizes in its metadata.

    Args:
        beside: the other column that must be there.
        what, remedy: what the file should hold and how it is made, for the message.
        columns: those that are read, of those that there are; all where none is named.

    Returns:
        The table, its codes (N, L) int32 and the L sizes.

    Raises:
        InputError: the file is missing, no Parquet, or without one of these.
    """
    try:
        schema = pq.read_schema(path)
        wanted = [name for name in schema.names if not columns or name in columns]
        table = pq.read_table(path, columns=wanted)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: can't be read as Parquet ({error})") from None
    metadata = schema.metadata or {}
    if SIZES_KEY not in metadata or not {"codes", beside} <= set(schema.names):
        raise InputError(f"{path}: holds no {what} (columns {schema.names}); {remedy}")
    sizes = tuple(int(size) for size in json.loads(metadata[SIZES_KEY]))
    flat = table.column("codes").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return table, flat.reshape(-1, len(sizes)).astype(np.int32, copy=False), sizes
