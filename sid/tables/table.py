"""A table as people have it: one file or many, of any kind, its columns by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from sid.errors import InputError, listed
from sid.tables import columnar, delimited, json_text
from sid.tables.batches import Batch
from sid.tables.files import DELIMITED, TABLES, Found, find, refuse_links_of_splits

_SHOWN = 12

WELL_KNOWN: dict[str, tuple[str, ...]] = {
    "user": (
        "user_id",
        "userId",
        "UserID",
        "userid",
        "user",
        "uid",
        "reviewerID",
        "reviewer_id",
        "visitorid",
        "customer_id",
        "customerId",
        "session_id",
        "sessionId",
        "msno",
        "account_id",
    ),
    "item": (
        "item_id",
        "itemId",
        "ItemID",
        "itemid",
        "item",
        "iid",
        "movieId",
        "movie_id",
        "MovieID",
        "parent_asin",
        "asin",
        "product_id",
        "productId",
        "article_id",
        "business_id",
        "book_id",
        "track_id",
        "song_id",
        "news_id",
        "gmap_id",
        "sku",
        "id",
    ),
    "time": (
        "timestamp",
        "Timestamp",
        "time",
        "ts",
        "datetime",
        "date",
        "event_time",
        "unixReviewTime",
        "created_at",
        "createdAt",
        "t_dat",
        "sort_timestamp",
    ),
    "title": ("title", "name", "product_title", "product_name", "prod_name", "movie_title", "item_name"),
    "embedding": ("embedding", "embeddings", "vector", "vec", "emb", "features"),
}
"""Names that public data sets give to what a key means: what a message may propose."""


@dataclass
class Table:
    """An open table; nothing but headers has been read.

    Attributes:
        path: as params.yaml names it.
        found: its files and their kind.
        notes: what was recognised and read otherwise than one would think, a line each; filled as it is read.
    """

    path: Path
    found: Found
    id_column: str | None = None
    notes: list[str] = field(default_factory=list)

    def say(self, note: str) -> None:
        """Note something, once."""
        if note not in self.notes:
            self.notes.append(note)

    @property
    def kind(self) -> str:
        """Of its files: one of `sid.tables.files.TABLES`."""
        return self.found.kind

    @cached_property
    def names(self) -> list[str]:
        """The columns of the first file; of JSON, the keys of its first record."""
        return self._names(self.found.files[0])

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Of a columnar file, each column's type; of other kinds, nothing."""
        if self.kind not in ("parquet", "arrow"):
            return {}
        schema = columnar.schema(self.found.files[0], self.kind)
        return dict(zip(schema.names, schema.types, strict=True))

    @property
    def atomic_types(self) -> Mapping[str, str]:
        """RecBole's types of typed columns, by the name before the colon."""
        return self._headers[self.found.files[0]].types if self.kind in DELIMITED else {}

    def require(self, columns: Mapping[str, tuple[str, str]]) -> None:
        """Refuse a table that lacks columns, in all its files.

        Args:
            columns: key of params.yaml -> the column's name and what it means (a key of WELL_KNOWN, or anything).

        Raises:
            InputError: the missing ones with their keys, what there is, and which of it may be meant.
        """
        for file in self.found.files:
            there = self._names(file)
            if not there and self.kind in ("json", "jsonl", *DELIMITED) and len(self.found.files) > 1:
                continue  # an empty part
            missing = {key: wanted for key, wanted in columns.items() if wanted[0] not in there}
            if missing:
                raise InputError(_missing(file, missing, there, columns))
            twice = delimited.duplicated(there, [name for name, _ in columns.values()])
            if twice:
                raise InputError(f"{file}: column {twice} is more than once in the header, must be there once")

    def batches(
        self, columns: Sequence[str], keys: Collection[str] = (), batch_rows: int = columnar.BATCH_ROWS
    ) -> Iterator[Batch]:
        """All rows, file after file.

        Args:
            columns: those to read; each must be there (see `require`), but a record of JSON may lack it.
            keys: those of them that are ids or times (see `sid.tables.delimited.read_batches`).

        Raises:
            InputError: whatever can't be read, by file and line.
        """
        wanted = list(dict.fromkeys(columns))
        for file in self.found.files:
            if self.kind in ("json", "jsonl"):
                records = json_text.records(file, self.kind, self.id_column, self.say)
                yield from json_text.batches(file, records, wanted)
            elif self.kind in ("parquet", "arrow"):
                yield from columnar.read_batches(file, self.kind, wanted, batch_rows)
            elif file in self._headers:
                header = self._headers[file]
                yield from delimited.read_batches(
                    file, header, wanted, [key for key in wanted if key in keys], self.say
                )

    @cached_property
    def _headers(self) -> dict[Path, delimited.Header]:
        if self.kind not in DELIMITED:
            return {}
        several = len(self.found.files) > 1
        files = [file for file in self.found.files if not several or file.stat().st_size]  # writers leave empty parts
        return {file: delimited.read_header(file, self.kind, self.say) for file in files}

    def _names(self, file: Path) -> list[str]:
        if self.kind in ("json", "jsonl"):
            first = next(json_text.records(file, self.kind, self.id_column, self.say), None)
            return [] if first is None else list(first[1])
        if self.kind in ("parquet", "arrow"):
            return list(columnar.schema(file, self.kind).names)
        return list(self._headers[file].names) if file in self._headers else []


def open_table(path: Path, key: str, id_column: str | None = None, kinds: Collection[str] = TABLES) -> Table:
    """Open a table without reading its rows.

    Args:
        path: a file, or a folder of files of one kind at any depth.
        key: the key of params.yaml that names it, for messages.
        id_column: what the keys of a JSON object of records are called.
        kinds: those of TABLES that are wanted.

    Raises:
        InputError: as `sid.tables.files.find`, or headers that can't be read.
    """
    found = find(path, key, kinds)
    if path.is_dir():
        refuse_links_of_splits(path)
    table = Table(path, found, id_column)
    if found.left_out:
        names = listed(file.relative_to(path) for file in found.left_out)
        table.say(f"{path}: {len(found.left_out)} files are no {found.kind} and were left out: {names}")
    return table


def _missing(
    path: Path, missing: Mapping[str, tuple[str, str]], there: Sequence[str], wanted: Mapping[str, tuple[str, str]]
) -> str:
    taken = {name for name, _ in wanted.values()}
    names = ", ".join(name for name, _ in missing.values())
    hints = []
    for key, (name, meaning) in missing.items():
        lower = {other.lower().strip(): other for other in there if other not in taken}
        known = [other for other in WELL_KNOWN.get(meaning, ()) if other in there and other not in taken]
        close = [lower[near] for near in get_close_matches(name.lower(), lower, 1, 0.85)]
        likely = next(iter(known + close), None)
        hints.append(f"{key}: {likely}" if likely else key)
    shown = ", ".join(name if len(name) <= 60 else f"{name[:60]}..." for name in there[:_SHOWN])
    shown += f", ... ({len(there)} in all)" if len(there) > _SHOWN else ""
    proposed = ", ".join(hint for hint in hints if ":" in hint)
    advice = f"; did you mean {proposed}?" if proposed else f" ({', '.join(hints)} names it)"
    return f"{path}: no column {names}; its columns are {shown or 'none'}{advice}"
