"""A table of one file or many, of any kind, its columns by name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from sid.errors import InputError, listed
from sid.tables import columnar, delimited, json_text
from sid.tables.batches import Batch
from sid.tables.files import DELIMITED, TABLES, Found, find, refuse_links_of_splits
from sid.tables.text import PLAIN, Form

_SHOWN = 12
_FIRST_RECORDS = 100
HEADERS = {"interactions.source": "interactions.header", "prepare.items": "prepare.items_header"}
"""The key that names a table -> the one that names its columns, where its first line is a row already."""


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


@dataclass(frozen=True)
class Part:
    """Rows of a table that can be read without the others.

    Attributes:
        file: the one they are in.
        rows: how many; None where only reading counts them (text).
        start: the number of the first one in the file.
        groups: the row groups that they are, of a Parquet file that is read by these.
        of: how many rows the file has in all, where it is cheap to look again.
    """

    file: Path
    rows: int | None = None
    start: int = 0
    groups: tuple[int, ...] | None = None
    of: int | None = None

    def refuse_changed(self, kind: str) -> None:
        """Raise InputError if the file has another number of rows by now."""
        if self.of is not None and columnar.row_count(self.file, kind) != self.of:
            raise changed(self.file)


@dataclass
class Table:
    """An open table; nothing but headers has been read.

    Attributes:
        path: as params.yaml names it.
        found: its files and their kind.
        key: the key of params.yaml that names it.
        id_column: what the keys of an object of records are.
        value_column: what the lists of an object of lists are; None where there can't be any.
        form: what text files don't say of themselves.
        notes: what was recognised and read otherwise than one would think, a line each; filled as it is read.
    """

    path: Path
    found: Found
    key: str
    id_column: str | None = None
    value_column: str | None = None
    form: Form = PLAIN
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
        """The columns of all files, those of the first one first; of JSON, the keys of its first records."""
        return self._all_names(self.found.files)

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Of columnar files, each column's type, by the first file that has it; of other kinds, nothing."""
        if self.kind not in ("parquet", "arrow"):
            return {}
        found: dict[str, pa.DataType] = {}
        for file in self.found.files:
            schema = columnar.schema(file, self.kind)
            found = {**dict(zip(schema.names, schema.types, strict=True)), **found}
        return found

    @cached_property
    def counts(self) -> dict[Path, int]:
        """Of columnar files, how many rows each says that it has."""
        return {file: columnar.row_count(file, self.kind) for file in self.found.files}

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
                raise InputError(_missing(file, missing, there, columns) + self._no_header(there))
            twice = delimited.duplicated(there, [name for name, _ in columns.values()])
            if twice:
                raise InputError(f"{file}: column {twice} appears more than once in the header, must appear once")

    def batches(
        self,
        columns: Sequence[str],
        keys: Collection[str] = (),
        batch_rows: int = columnar.BATCH_ROWS,
        part: Part | None = None,
    ) -> Iterator[Batch]:
        """All rows, file after file, or those of a part.

        Args:
            columns: those to read; a file or record that lacks one has no value in it (see `require`).
            keys: those of them that are ids or times (see `sid.tables.delimited.read_batches`).
            part: one of `parts`.

        Raises:
            InputError: whatever can't be read, by file and line; a file of a part that has other rows by now.
        """
        wanted = list(dict.fromkeys(columns))
        groups, start = (None, 0) if part is None else (part.groups, part.start)
        if part is not None:
            part.refuse_changed(self.kind)
        for file in self.found.files if part is None else [part.file]:
            if self.kind in ("json", "jsonl"):
                records = self.records(file)
                yield from json_text.batches(file, records, wanted)
            elif self.kind in ("parquet", "arrow"):
                there = set(columnar.schema(file, self.kind).names)
                found = [name for name in wanted if name in there]
                for batch in columnar.read_batches(file, self.kind, found, batch_rows, groups, start):
                    yield _with_all(batch, wanted, self._partition(file))
            elif file in self._headers:
                header = self._headers[file]
                there = set(header.names)
                found = [name for name in wanted if name in there]
                for batch in delimited.read_batches(
                    file, header, found, [key for key in found if key in keys], self.say
                ):
                    yield _with_all(batch, wanted, self._partition(file))

    def records(self, file: Path) -> Iterator[json_text.Placed]:
        """The records of one of its files of JSON."""
        encoding, partition = self.form.encoding, self._partition(file)
        found = json_text.records(file, self.kind, self.id_column, self.say, encoding, self.value_column)
        return ((place, {**partition, **record}) for place, record in found) if partition else found

    def parts(self, rows: int) -> list[Part]:
        """All rows in order, cut where they can be: Parquet at row groups, to about so many rows; others by file."""
        if self.kind == "parquet":
            return [part for file in self.found.files for part in _groups(file, rows)]
        if self.kind == "arrow":
            return [Part(file, count) for file, count in self.counts.items() if count]
        return [Part(file) for file in self.found.files if self.kind not in DELIMITED or file in self._headers]

    def apart(self, notes: list[str]) -> Table:
        """The same table with notes of its own, for one who reads a part beside others."""
        other = replace(self, notes=notes)
        vars(other).update({name: value for name, value in vars(self).items() if name == "_headers"})
        return other

    def only(self, file: Path) -> Table:
        """The table of one of its files alone."""
        return replace(self, found=Found(self.kind, (file,)))

    @cached_property
    def _headers(self) -> dict[Path, delimited.Header]:
        if self.kind not in DELIMITED:
            return {}
        several = len(self.found.files) > 1
        files = [file for file in self.found.files if not several or file.stat().st_size]  # writers leave empty parts
        return {file: delimited.read_header(file, self.kind, self.say, self.form) for file in files}

    def _all_names(self, files: Sequence[Path]) -> list[str]:
        """Each column once, but for those that one file has more than once."""
        found: list[str] = []
        for file in files:
            here = self._names(file)
            found += [name for name in here if found.count(name) < here.count(name)] if file != files[0] else here
        return found

    def _no_header(self, there: Sequence[str]) -> str:
        """A hint at files whose first line is a row, which names with numbers among them are."""
        key = HEADERS.get(self.key)
        if self.kind not in DELIMITED or key is None or not any(re.fullmatch(r"[\d.]+", name) for name in there):
            return ""
        return f"; if its first line is a row already, {key} names the columns"

    def _names(self, file: Path) -> list[str]:
        if self.kind in ("json", "jsonl"):
            return self._first_keys(file)
        if self.kind in ("parquet", "arrow"):
            names = list(columnar.schema(file, self.kind).names)
        elif file in self._headers:
            names = list(self._headers[file].names)
        else:
            return []
        return names + [name for name in self._partition(file) if name not in names]

    def _first_keys(self, file: Path) -> list[str]:
        """The keys of a file's first records; what is wrong behind the first one is told when they are read."""
        found: dict[str, None] = {}
        try:
            for _, record in islice(self.records(file), _FIRST_RECORDS):
                found |= dict.fromkeys(record)
        except InputError:
            if not found:
                raise
        return list(found)

    def _partition(self, file: Path) -> dict[str, str | None]:
        """The columns that the folders of a lake hold: `dt=2026-01-31/part-0.parquet`."""
        folders = file.relative_to(self.path).parts[:-1] if file != self.path else ()
        pairs = [tuple(map(unquote, name.split("=", 1))) for name in folders if "=" in name.strip("=")]
        return {name: None if value == "__HIVE_DEFAULT_PARTITION__" else value for name, value in pairs}


def changed(file: Path) -> InputError:
    """What to say of a file that isn't what it was when it was opened."""
    return InputError(f"{file}: has other rows than when it was opened: it was changed while it was read")


def _groups(file: Path, most: int) -> Iterator[Part]:
    """A Parquet file cut at its row groups, of which a part has as many as have no more rows together, or one."""
    counts = columnar.group_rows(file)
    if counts is None:
        if count := columnar.row_count(file, "parquet"):
            yield Part(file, count, of=count)
        return
    start, rows, held = 0, 0, list[int]()
    for number, count in enumerate(counts):
        if held and rows and rows + count > most:
            yield Part(file, rows, start, tuple(held), sum(counts))
            start, rows, held = start + rows, 0, []
        held.append(number)
        rows += count
    if rows:
        yield Part(file, rows, start, tuple(held), sum(counts))


def _with_all(batch: Batch, wanted: Sequence[str], partition: Mapping[str, str | None]) -> Batch:
    """A batch with a column for each that its file lacks: the folder's value, or nothing."""
    if len(batch.columns) == len(wanted):
        return batch
    others = {
        name: pa.nulls(batch.rows) if (value := partition.get(name)) is None else pa.repeat(value, batch.rows)
        for name in wanted
        if name not in batch.columns
    }
    return replace(batch, columns={**batch.columns, **others})


def open_table(
    path: Path,
    key: str,
    id_column: str | None = None,
    kinds: Collection[str] = TABLES,
    *,
    form: Form = PLAIN,
    value_column: str | None = None,
    beside: Collection[Path] = (),
) -> Table:
    """Open a table without reading its rows.

    Args:
        path: a file, or a folder of files of one kind at any depth.
        key: the key of params.yaml that names it, for messages.
        id_column, value_column, form: see `Table`.
        kinds: those of the files that are wanted.
        beside: files of the folder that are something else, as params.yaml says.
        id_column: what the keys of a JSON object of records are called.
        kinds: those of TABLES that are wanted.

    Raises:
        InputError: as `sid.tables.files.find`, headers that can't be read, or a header in `form` for files that name
            their columns themselves.
    """
    found = find(path, key, kinds, beside)
    if path.is_dir():
        refuse_links_of_splits(path)
    if form.header and found.kind not in DELIMITED:
        raise InputError(
            f"{path}: is {found.kind}, whose columns already have names: {HEADERS.get(key, key)} must be []"
        )
    table = Table(path, found, key, id_column, value_column, form)
    if found.left_out:
        names = listed(file.relative_to(path) for file in found.left_out)
        table.say(f"{path}: {len(found.left_out)} files aren't {found.kind} and were left out: {names}")
    return table


def _plain(name: str) -> str:
    """A column's name however it is spelled: sessionId, SessionID and session_id are one."""
    return re.sub(r"[\W_]+", "", name).lower()


def _missing(
    path: Path, missing: Mapping[str, tuple[str, str]], there: Sequence[str], wanted: Mapping[str, tuple[str, str]]
) -> str:
    taken = {name for name, _ in wanted.values()}
    names = ", ".join(name for name, _ in missing.values())
    hints = []
    for key, (name, meaning) in missing.items():
        lower = {other.lower().strip(): other for other in there if other not in taken}
        spelled = {_plain(other): other for other in reversed(there) if other not in taken}
        known = [spelled[_plain(other)] for other in WELL_KNOWN.get(meaning, ()) if _plain(other) in spelled]
        close = [lower[near] for near in get_close_matches(name.lower(), lower, 1, 0.85)]
        likely = next(iter(known + close), None)
        hints.append(f"{key}: {likely}" if likely else key)
    shown = ", ".join(name if len(name) <= 60 else f"{name[:60]}..." for name in there[:_SHOWN])
    shown += f", ... ({len(there)} in all)" if len(there) > _SHOWN else ""
    proposed = ", ".join(hint for hint in hints if ":" in hint)
    others = [hint for hint in hints if ":" not in hint]
    advice = f"; did you mean {proposed}?" if proposed else ""
    if others:
        names_what = "names it" if len(hints) == 1 else "names the other" if len(others) == 1 else "name the others"
        advice += f" ({', '.join(others)} {names_what if proposed or len(hints) == 1 else 'name them'})"
    return f"{path}: no column {names}; its columns are {shown or 'none'}{advice}"
