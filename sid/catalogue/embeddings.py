"""Where embeddings come from: arrays, archives, tensors and tables, one file or many, read in chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.catalogue import arrays, vectors
from sid.catalogue.ids import read_ids
from sid.errors import InputError
from sid.tables import Table, as_text, open_table
from sid.tables.columnar import row_count
from sid.tables.files import TABLES, Found, find, refuse_links_of_splits

CHUNK_BYTES = 64 << 20
"""Bytes of embeddings held at a time while streaming."""

ARRAYS = ("npy", "npz", "torch", "safetensors")
KINDS = (*(kind for kind in TABLES if kind not in ("inter", "item")), *ARRAYS)


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a source: their ids as text (n,), their vectors (n, D), and which of them have none (n,).

    A row without a vector is NaN throughout.
    """

    item_ids: pl.Series
    vectors: NDArray[Any]
    missing: NDArray[np.bool_]


@dataclass(frozen=True)
class EmbeddingSource(ABC):
    """Embeddings that can be streamed once or more.

    Attributes:
        path: the file or folder, for messages.
        rows, dim: shape of the whole; rows is None where only reading counts them (text).
        dtype: of the values as stored; of the widest where files differ.
        notes: what was recognised and read otherwise than one would think, a line each.
    """

    path: Path
    rows: int | None
    dim: int
    dtype: str
    notes: list[str] = field(default_factory=list)

    @abstractmethod
    def chunks(self) -> Iterator[Chunk]:
        """The rows in order, about CHUNK_BYTES at a time."""

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk, at least 1."""
        return max(1, CHUNK_BYTES // (self.dim * 4))


def open_embeddings(
    path: str | Path, item_id_column: str, embedding_column: str, ids: Path | None = None
) -> EmbeddingSource:
    """Open embeddings without reading them.

    Args:
        path: a file or a folder of files of one kind: arrays (.npy, .npz, .pt, .safetensors; row i is item i, or ids
            are in the archive) or a table (see `sid.tables`) with a column of ids.
        item_id_column, embedding_column: of a table: ids of any type; lists of numbers, or such lists as text. Without
            `embedding_column`, columns of numbers called 0, 1, 2 ... (with any common beginning) are its dimensions.
        ids: a file of the ids in the order of the rows, where they are beside the vectors.

    Raises:
        InputError: nothing there, another kind of file, broken, not 2-D numbers, a column missing or of another
            type, another number of ids than of rows, fewer than two rows.
    """
    path = Path(path)
    beside = [] if ids is None else [ids]
    found = find(path, "prepare.embeddings", KINDS, beside)
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
class _ArraySource(EmbeddingSource):
    parts: tuple[arrays.Matrix, ...] = ()
    names: pl.Series | None = None

    def chunks(self) -> Iterator[Chunk]:
        row = 0
        for part in self.parts:
            for start in range(0, part.rows, self.chunk_rows):
                values = part.read(start, min(start + self.chunk_rows, part.rows))
                stop = row + len(values)
                if self.names is None:
                    ids = pl.Series("item_id", np.arange(row, stop)).cast(pl.String)
                else:
                    ids = self.names[row:stop]
                yield Chunk(ids, values, np.zeros(len(values), np.bool_))
                row = stop


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
    return _ArraySource(path, rows, first.dim, dtype, notes, tuple(parts), names)


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class _TableSource(EmbeddingSource):
    table: Table | None = None
    columns: vectors.Columns | None = None
    item_id_column: str | None = None
    names: pl.Series | None = None

    def chunks(self) -> Iterator[Chunk]:
        assert self.table is not None
        assert self.columns is not None
        wanted = [*self.columns.names, *([self.item_id_column] if self.item_id_column else [])]
        row = 0
        keys = [] if self.item_id_column is None else [self.item_id_column]
        for batch in self.table.batches(wanted, keys, batch_rows=self.chunk_rows):
            if self.item_id_column is not None:
                ids = as_text(batch, self.item_id_column, self.table.say).rename("item_id")
                absent = ids.is_null()
                if absent.any():
                    first = int(absent.arg_max() or 0)
                    raise InputError(f"{batch.at(first)} has no {self.item_id_column}, every row must have an id")
            else:
                assert self.names is not None
                ids = self.names[row : row + batch.rows]
            row += batch.rows
            for start in range(0, batch.rows, self.chunk_rows):
                stop = min(start + self.chunk_rows, batch.rows)
                found, missing = self.columns.read(batch, start, stop, self.dim, ids)
                yield Chunk(ids[start:stop], found, missing)
        if self.names is not None and row != len(self.names):
            raise InputError(f"{self.path}: has {row} rows for {len(self.names)} ids, must have one for each")


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
        rows = sum(row_count(file, table.kind) for file in table.found.files)
        if rows == 0:
            raise InputError(f"{path}: has 0 rows, must have at least 2")
        if names is not None and ids is not None:
            _check_count(path, rows, names, ids)
    dim, dtype = columns.shape(table)
    return _TableSource(
        path, rows, dim, dtype, table.notes, table, columns, None if names is not None else item_id_column, names
    )
