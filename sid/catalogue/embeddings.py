"""Where embeddings come from: arrays, archives, tensors and tables, one file or many, read in chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.catalogue import arrays, vectors
from sid.catalogue.ids import read_ids
from sid.errors import InputError
from sid.tables import Table, as_text, changed, open_table
from sid.tables.files import TABLES, Found, find, refuse_links_of_splits

CHUNK_BYTES = 16 << 20
"""Bytes of embeddings held at a time while streaming."""

_PIECE_CHUNKS = 4  # of a piece, where a file can be cut
_TEXT_ROWS = 50_000  # that are parsed at a time
_PARSED_BYTES = 40  # of a number that is parsed from text: Python's, its place in a list, the text

ARRAYS = ("npy", "npz", "torch", "safetensors")
_CUT = ("npy", "torch")  # arrays that are mapped, so that a part of them costs no reading of the rest
KINDS = (*(kind for kind in TABLES if kind not in ("inter", "item")), *ARRAYS)


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a source: their ids as text (n,), their vectors (n, D), and which of them have none (n,).

    A row without a vector is NaN throughout.
    """

    item_ids: pl.Series
    vectors: NDArray[Any]
    missing: NDArray[np.bool_]


Read: TypeAlias = tuple[pl.Series | None, NDArray[Any], NDArray[np.bool_]]
"""As a `Chunk`, but the ids are None where they are apart from the vectors."""


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of a source that can be read without the others, on another machine too.

    Attributes:
        rows: how many; None where only reading counts them (text).
        part: what they are for the source's reader.
        ids: of the rows from the first one on, for messages, where the source has them apart from the vectors.
    """

    rows: int | None
    part: Any
    ids: pl.Series | None = None


class Reader(Protocol):
    """Reads pieces; can be pickled, and doesn't hold what other pieces need."""

    def __call__(self, piece: Piece, notes: list[str]) -> Iterator[Read]:
        """The rows of a piece in order, about CHUNK_BYTES at a time; what there is to note is added to `notes`.

        Raises:
            InputError: rows that can't be read, or others than there were when the source was opened.
        """
        ...


@dataclass(frozen=True)
class EmbeddingSource(ABC):
    """Embeddings that can be streamed once or more.

    Attributes:
        path: the file or folder, for messages.
        rows, dim: shape of the whole; rows is None where only reading counts them (text).
        dtype: of the values as stored; of the widest where files differ.
        notes: what was recognised and read otherwise than one would think, a line each.
        names: (N,) the ids in the order of the rows, where they are apart from the vectors.
        piece_bytes: memory that reading a piece takes at most, about.
    """

    path: Path
    rows: int | None
    dim: int
    dtype: str
    notes: list[str] = field(default_factory=list)
    names: pl.Series | None = None
    piece_bytes: int = 0

    @property
    @abstractmethod
    def reader(self) -> Reader:
        """What reads the pieces."""

    @abstractmethod
    def parts(self) -> Iterator[Piece]:
        """The pieces in order, without ids."""

    @property
    def numbered(self) -> bool:
        """Whether rows have no ids but their numbers."""
        return False

    @property
    def in_turn(self) -> bool:
        """Whether a piece can only be read once those before it are: its ids begin where theirs end."""
        return self.rows is None and self.names is not None

    def pieces(self) -> list[Piece]:
        """The rows in order: ranges of rows of arrays, row groups of Parquet, whole files of other kinds."""
        found, row = [], 0
        for piece in self.parts():
            found.append(self.beginning(piece, row) if piece.rows is not None else piece)
            row += piece.rows or 0
        return found

    def beginning(self, piece: Piece, row: int) -> Piece:
        """A piece whose first row is row number `row`, with what its reader needs of the ids."""
        if self.names is None:
            return piece
        return replace(piece, ids=self.names[row:] if piece.rows is None else self.names[row : row + piece.rows])

    def ids(self, row: int, read: pl.Series | None, count: int) -> pl.Series:
        """The ids of `count` rows from number `row` on: those that were read with them, if any were."""
        if read is not None:
            return read
        if self.names is not None:
            return self.names[row : row + count]
        return pl.Series("item_id", np.arange(row, row + count)).cast(pl.String)

    def say(self, notes: Iterable[str]) -> None:
        """Note what a reader noted, each once."""
        self.notes.extend(note for note in dict.fromkeys(notes) if note not in self.notes)

    def refuse_fewer(self, rows: int) -> None:
        """Raise InputError where there are more ids beside the vectors than rows were read."""
        if self.names is not None and rows != len(self.names):
            raise InputError(f"{self.path}: has {rows} rows for {len(self.names)} ids, must have one for each")

    def chunks(self) -> Iterator[Chunk]:
        """The rows in order, about CHUNK_BYTES at a time, all with ids."""
        row, read = 0, self.reader
        for piece in self.pieces():
            notes: list[str] = []
            for ids, found, missing in read(self.beginning(piece, row), notes):
                yield Chunk(self.ids(row, ids, len(found)), found, missing)
                row += len(found)
            self.say(notes)
        self.refuse_fewer(row)

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk, at least 1."""
        return max(1, CHUNK_BYTES // (self.dim * 4))


def open_embeddings(
    path: str | Path,
    item_id_column: str,
    embedding_column: str,
    ids: Path | None = None,
    key: str = "prepare.embeddings",
) -> EmbeddingSource:
    """Open embeddings without reading them.

    Args:
        path: a file or a folder of files of one kind: arrays (.npy, .npz, .pt, .safetensors; row i is item i, or ids
            are in the archive) or a table (see `sid.tables`) with a column of ids.
        item_id_column, embedding_column: of a table: ids of any type; lists of numbers, or such lists as text. Without
            `embedding_column`, columns of numbers called 0, 1, 2 ... (with any common beginning) are its dimensions.
        ids: a file of the ids in the order of the rows, where they are beside the vectors.
        key: of params.yaml that names the path, for messages.

    Raises:
        InputError: nothing there, another kind of file, broken, not 2-D numbers, a column missing or of another
            type, another number of ids than of rows, fewer than two rows.
    """
    path = Path(path)
    beside = [] if ids is None else [ids]
    found = find(path, key, KINDS, beside)
    if path.is_dir():
        refuse_links_of_splits(path)
    names = None if ids is None else read_ids(ids, item_id_column)
    if found.kind in ARRAYS:
        source: EmbeddingSource = _open_arrays(path, found, embedding_column, item_id_column, names, ids)
    else:
        source = _open_table(path, item_id_column, embedding_column, names, ids)
    if source.rows is not None and source.rows < 2:
        raise InputError(f"{path}: has {source.rows} rows, must have at least 2")
    if source.dim < 1:
        raise InputError(f"{path}: its vectors have no values, must have at least 1")
    return source


def _check_count(path: Path, rows: int, names: pl.Series, ids: Path) -> None:
    if rows != len(names):
        raise InputError(f"{ids}: has {len(names)} ids for the {rows} rows of {path}, must have one for each")


# ---------------------------------------------------------------- arrays


@dataclass(frozen=True)
class _ArrayReader:
    """As `Reader`. A piece's part is the number of a file, how many rows it has, and which of them."""

    files: tuple[Path, ...]
    kind: str
    columns: tuple[str, str]
    dim: int
    chunk_rows: int
    opened: tuple[arrays.Matrix, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Open files don't travel: who gets this opens what it reads."""
        return {**vars(self), "opened": ()}

    def __call__(self, piece: Piece, notes: list[str]) -> Iterator[Read]:
        number, of, rows = piece.part
        file = self.files[number]
        matrix = self.opened[number] if self.opened else arrays.open_matrix(file, self.kind, *self.columns)
        if matrix.dim != self.dim or matrix.rows != of:
            raise changed(file)
        for start in range(rows.start, rows.stop, self.chunk_rows):
            values = matrix.read(start, min(start + self.chunk_rows, rows.stop))
            yield None, values, np.zeros(len(values), np.bool_)


@dataclass(frozen=True)
class _ArraySource(EmbeddingSource):
    files: tuple[Path, ...] = ()
    kind: str = ""
    columns: tuple[str, str] = ("", "")
    opened: tuple[arrays.Matrix, ...] = ()

    @property
    def numbered(self) -> bool:
        return self.names is None

    @property
    def reader(self) -> Reader:
        return _ArrayReader(self.files, self.kind, self.columns, self.dim, self.chunk_rows, self.opened)

    def parts(self) -> Iterator[Piece]:
        for number, matrix in enumerate(self.opened):
            step = self.chunk_rows * _PIECE_CHUNKS if self.kind in _CUT else max(1, matrix.rows)
            for start in range(0, matrix.rows, step):
                rows = slice(start, min(start + step, matrix.rows))
                yield Piece(rows.stop - rows.start, (number, matrix.rows, rows))

    def beginning(self, piece: Piece, row: int) -> Piece:
        """As it is: messages about arrays need no ids."""
        return piece


def _open_arrays(
    path: Path, found: Found, embedding_column: str, item_id_column: str, names: pl.Series | None, ids: Path | None
) -> EmbeddingSource:
    parts = [arrays.open_matrix(file, found.kind, embedding_column, item_id_column) for file in found.files]
    first = parts[0]
    for file, part in zip(found.files, parts, strict=True):
        if part.dim != first.dim:
            raise InputError(f"{file}: its rows have {part.dim} values, but {first.dim} in {found.files[0]}")
    rows = sum(part.rows for part in parts)
    if names is None and all(part.ids is not None for part in parts):
        names = pl.concat([part.ids for part in parts if part.ids is not None])
    elif names is None and any(part.ids is not None for part in parts):
        raise InputError(f"{path}: some of its files have ids and some don't; all or none must")
    if names is not None and ids is not None:
        _check_count(path, rows, names, ids)
    dtype = np.result_type(*(part.dtype for part in parts)).name
    notes = [] if not found.left_out else [f"{path}: {len(found.left_out)} files aren't {found.kind} and were left out"]
    if len(parts) > 1 and names is None:
        notes.append(f"{path}: {len(parts)} files in the order {found.files[0].name} ... {found.files[-1].name}")
    whole = 0 if found.kind in _CUT else max(file.stat().st_size for file in found.files)
    return _ArraySource(
        path,
        rows,
        first.dim,
        dtype,
        notes,
        names,
        8 * CHUNK_BYTES + 2 * whole,
        found.files,
        found.kind,
        (embedding_column, item_id_column),
        tuple(parts),
    )


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class _TableReader:
    """As `Reader`. A piece's part is one of the table."""

    table: Table
    columns: vectors.Columns
    item_id_column: str | None
    dim: int
    chunk_rows: int

    def __call__(self, piece: Piece, notes: list[str]) -> Iterator[Read]:
        table, name = self.table.apart(notes), self.item_id_column
        keys = [] if name is None else [name]
        row = 0
        for batch in table.batches([*self.columns.names, *keys], keys, self.chunk_rows, piece.part):
            if name is not None:
                ids = as_text(batch, name, table.say).rename("item_id")
                absent = ids.is_null()
                if absent.any():
                    first = int(absent.arg_max() or 0)
                    raise InputError(f"{batch.at(first)} has no {name}, every row must have an id")
            else:
                assert piece.ids is not None
                ids = piece.ids[row : row + batch.rows]
                if len(ids) < batch.rows:
                    raise InputError(f"{batch.at(len(ids))} has no id: there are fewer ids than rows, must be one each")
            row += batch.rows
            if piece.rows is not None and row > piece.rows:  # they would be written where others are
                raise changed(batch.path)
            for start in range(0, batch.rows, self.chunk_rows):
                stop = min(start + self.chunk_rows, batch.rows)
                found, missing = self.columns.read(batch, start, stop, self.dim, ids)
                yield None if name is None else ids[start:stop], found, missing
        if piece.rows is not None and row != piece.rows:
            raise changed(piece.part.file)


@dataclass(frozen=True)
class _TableSource(EmbeddingSource):
    table: Table | None = None
    columns: vectors.Columns | None = None
    item_id_column: str | None = None

    @property
    def reader(self) -> Reader:
        assert self.table is not None
        assert self.columns is not None
        return _TableReader(self.table, self.columns, self.item_id_column, self.dim, self.chunk_rows)

    def parts(self) -> Iterator[Piece]:
        assert self.table is not None
        for part in self.table.parts(self.chunk_rows * _PIECE_CHUNKS):
            yield Piece(part.rows, part)


def _open_table(
    path: Path, item_id_column: str, embedding_column: str, names: pl.Series | None, ids: Path | None
) -> EmbeddingSource:
    table = open_table(
        path,
        "prepare.embeddings",
        item_id_column,
        KINDS,
        value_column=embedding_column,
        beside=[] if ids is None else [ids],
    )
    columns = vectors.choose(table, embedding_column)
    wanted = {"prepare.embedding_column": (columns.names[0], "embedding")}
    if names is None:
        wanted["prepare.item_id_column"] = (item_id_column, "item")
    if names is not None and item_id_column in table.names:
        raise InputError(f"{path}: has a column {item_id_column} already, so prepare.ids must be data/none")
    table.require(wanted)
    rows = None
    if table.kind in ("parquet", "arrow"):
        rows = sum(table.counts.values())
        if rows == 0:
            raise InputError(f"{path}: has 0 rows, must have at least 2")
        if names is not None and ids is not None:
            _check_count(path, rows, names, ids)
    dim, dtype = columns.shape(table)
    parsed = 0 if rows is not None else _PARSED_BYTES * dim * _TEXT_ROWS
    key = None if names is not None else item_id_column
    return _TableSource(path, rows, dim, dtype, table.notes, names, 8 * CHUNK_BYTES + parsed, table, columns, key)
