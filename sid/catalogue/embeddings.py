"""Where embeddings come from: a .npy matrix, a Parquet file or a folder of Parquet shards, read in chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sid.errors import InputError
from sid.files import NPY_ERRORS

CHUNK_BYTES = 64 << 20
"""Bytes of embeddings held at a time while streaming."""

_FLOATS = (np.float16, np.float32, np.float64)


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a source: their ids as text (n,) and their vectors (n, D) in the source's dtype."""

    item_ids: pl.Series
    vectors: NDArray[Any]


@dataclass(frozen=True)
class EmbeddingSource(ABC):
    """Embeddings that can be streamed once or more.

    Attributes:
        path: the file or folder, for messages.
        rows, dim: shape of the whole.
        dtype: of the values as stored: float16, float32 or float64.
    """

    path: Path
    rows: int
    dim: int
    dtype: str

    @abstractmethod
    def chunks(self) -> Iterator[Chunk]:
        """The rows in order, about CHUNK_BYTES at a time."""

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk, at least 1."""
        return max(1, CHUNK_BYTES // (self.dim * np.dtype(self.dtype).itemsize))


def open_embeddings(path: str | Path, item_id_column: str, embedding_column: str) -> EmbeddingSource:
    """Open embeddings without reading them.

    Args:
        path: a .npy file (row i is item i), a .parquet file, or a folder of .parquet shards (in order of name).
        item_id_column, embedding_column: Parquet columns: string or integer ids; list or fixed-size list of float.

    Raises:
        InputError: nothing there, another kind of file, broken, not 2-D floats, a column missing or of another
            type, fewer than two rows.
    """
    path = Path(path)
    if path.is_dir():
        shards = sorted(path.glob("*.parquet"))
        if not shards:
            raise InputError(f"{path}: a folder without .parquet files; must be a .npy file, a .parquet file or shards")
        source: EmbeddingSource = _open_parquet(path, shards, item_id_column, embedding_column)
    elif not path.exists():
        raise InputError(f"{path}: no such file (prepare.embeddings must name a .npy or .parquet file or a folder)")
    elif path.suffix == ".npy":
        source = _open_npy(path)
    elif path.suffix == ".parquet":
        source = _open_parquet(path, [path], item_id_column, embedding_column)
    else:
        raise InputError(f"{path}: unknown kind of file {path.suffix!r}; must be .npy, .parquet or a folder of shards")
    if source.rows < 2:
        raise InputError(f"{path}: has {source.rows} rows, must have at least 2")
    if source.dim < 1:
        raise InputError(f"{path}: its vectors have no values, must have at least 1")
    return source


@dataclass(frozen=True)
class _NpySource(EmbeddingSource):
    def chunks(self) -> Iterator[Chunk]:
        matrix = np.load(self.path, mmap_mode="r", allow_pickle=False)
        for start in range(0, self.rows, self.chunk_rows):
            stop = min(start + self.chunk_rows, self.rows)
            ids = pl.Series("item_id", np.arange(start, stop)).cast(pl.String)
            yield Chunk(ids, matrix[start:stop])


def _open_npy(path: Path) -> EmbeddingSource:
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except NPY_ERRORS as error:
        with path.open("rb") as file:
            is_npy = file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX
        if is_npy and "Python objects" in str(error):
            raise InputError(f"{path}: holds pickled objects, must be a float array (rows, dim)") from None
        reason = str(error) if is_npy else "it doesn't begin as one"
        raise InputError(f"{path}: broken or no .npy file ({reason})") from None
    if not isinstance(matrix, np.ndarray):
        raise InputError(f"{path}: holds an archive, must be one float array (rows, dim)")
    if matrix.dtype not in _FLOATS:
        raise InputError(f"{path}: has dtype {matrix.dtype}, must be float16, float32 or float64")
    if matrix.ndim != 2:
        raise InputError(f"{path}: has shape {matrix.shape}, must be 2-D (rows, dim)")
    return _NpySource(path, matrix.shape[0], matrix.shape[1], matrix.dtype.name)


@dataclass(frozen=True)
class _ParquetSource(EmbeddingSource):
    shards: tuple[Path, ...]
    item_id_column: str
    embedding_column: str

    def chunks(self) -> Iterator[Chunk]:
        row = 0
        for shard in self.shards:
            columns = [self.item_id_column, self.embedding_column]
            with _parquet(shard) as file:
                try:
                    for batch in file.iter_batches(batch_size=self.chunk_rows, columns=columns):
                        yield self._chunk(batch, shard, row)
                        row += len(batch)
                except (OSError, pa.ArrowInvalid) as error:
                    raise InputError(f"{shard}: broken Parquet ({error})") from None

    def _chunk(self, batch: pa.RecordBatch, shard: Path, row: int) -> Chunk:
        ids, lists = batch.column(self.item_id_column), batch.column(self.embedding_column)
        if ids.null_count:
            first = row + ids.is_null().index(True).as_py()
            raise InputError(f"{shard}: row {first} has no {self.item_id_column}, every row must have an id")
        names = pl.Series("item_id", ids.cast(pa.large_string()))
        if lists.null_count:
            first = lists.is_null().index(True).as_py()
            raise InputError(f"{shard}: item {names[first]!r} has no {self.embedding_column}, every row must have one")
        values = lists.flatten()
        if not pa.types.is_fixed_size_list(lists.type):
            lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
            uneven = np.flatnonzero(lengths != self.dim)
            if len(uneven):
                raise InputError(
                    f"{shard}: item {names[int(uneven[0])]!r} has {lengths[uneven[0]]} values in "
                    f"{self.embedding_column}, must have {self.dim} like the first row"
                )
        # A null inside a list is a missing value: it becomes NaN and falls under prepare.invalid_rows.
        return Chunk(names, values.to_numpy(zero_copy_only=False).reshape(len(batch), self.dim))


def _open_parquet(path: Path, shards: list[Path], item_id_column: str, embedding_column: str) -> EmbeddingSource:
    rows, dim, dtype = 0, None, ""
    for shard in shards:
        with _parquet(shard) as file:
            shard_dtype = _check_columns(shard, file.schema_arrow, item_id_column, embedding_column)
            if dtype and shard_dtype != dtype:
                raise InputError(f"{shard}: {embedding_column} holds {shard_dtype}, but {dtype} in {shards[0]}")
            dtype = shard_dtype
            shard_dim = _dim(file, embedding_column)
            if dim is not None and shard_dim is not None and shard_dim != dim:
                raise InputError(f"{shard}: {embedding_column} has {shard_dim} values, but {dim} in {shards[0]}")
            dim = shard_dim if dim is None else dim
            rows += file.metadata.num_rows
    if dim is None:
        raise InputError(f"{path}: has 0 rows, must have at least 2")
    return _ParquetSource(path, rows, dim, dtype, tuple(shards), item_id_column, embedding_column)


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: broken or no Parquet file ({error})") from None


def _check_columns(shard: Path, schema: pa.Schema, item_id_column: str, embedding_column: str) -> str:
    """The dtype of the embedding's values, once both columns are there and of a type that is understood."""
    for key, column in (("item_id_column", item_id_column), ("embedding_column", embedding_column)):
        if column not in schema.names:
            raise InputError(
                f"{shard}: no column {column!r} (prepare.{key}); its columns are {', '.join(schema.names)}"
            )
    ids, lists = schema.field(item_id_column).type, schema.field(embedding_column).type
    if not (pa.types.is_integer(ids) or pa.types.is_string(ids) or pa.types.is_large_string(ids)):
        raise InputError(f"{shard}: column {item_id_column!r} is {ids}, must be string or integer")
    is_list = pa.types.is_list(lists) or pa.types.is_large_list(lists) or pa.types.is_fixed_size_list(lists)
    if not is_list or not pa.types.is_floating(lists.value_type):
        raise InputError(f"{shard}: column {embedding_column!r} is {lists}, must be a list of float")
    return str(np.dtype(lists.value_type.to_pandas_dtype()).name)


def _dim(file: pq.ParquetFile, embedding_column: str) -> int | None:
    """Values of one embedding: of the type where it says, else of the first row; None where there is no row."""
    kind = file.schema_arrow.field(embedding_column).type
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    for batch in file.iter_batches(batch_size=1, columns=[embedding_column]):
        first = batch.column(0)[0].as_py()
        return 0 if first is None else len(first)
    return None
