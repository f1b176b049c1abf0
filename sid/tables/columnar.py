"""Parquet and Arrow files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sid.errors import InputError
from sid.tables.batches import Batch, Column
from sid.tables.text import open_bytes

BATCH_ROWS = 1 << 20
_PLAIN = (".parquet", ".pq", ".parq", ".arrow", ".feather", ".ipc")


def schema(path: Path, kind: str) -> pa.Schema:
    """The columns of a file and their types.

    Raises:
        InputError: broken, or another kind of file.
    """
    return _parquet(path).schema_arrow if kind == "parquet" else next(_arrow(path)).schema


def row_count(path: Path, kind: str) -> int:
    """How many rows a file says that it has."""
    if kind == "parquet":
        return int(_parquet(path).metadata.num_rows)
    return sum(len(batch) for batch in _arrow(path))


def group_rows(path: Path) -> list[int] | None:
    """Rows of each row group of a Parquet file; None for one that is compressed as a whole and so read as a whole."""
    if path.suffix.lower() not in _PLAIN:
        return None
    metadata = _parquet(path).metadata
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def uuid_columns(path: Path, kind: str) -> set[str]:
    """The columns of 16 bytes that Parquet itself calls UUIDs."""
    if kind != "parquet":
        return set()
    columns = _parquet(path).schema
    return {columns.column(n).name for n in range(len(columns)) if columns.column(n).logical_type.type == "UUID"}


def read_batches(
    path: Path,
    kind: str,
    columns: Sequence[str],
    batch_rows: int,
    groups: Sequence[int] | None = None,
    start: int = 0,
) -> Iterator[Batch]:
    """The rows of a file: each column as Arrow has it; UUIDs as text.

    Args:
        groups: of a Parquet file, the row groups to read; None: all.
        start: the number of the first row that is read.

    Raises:
        InputError: broken.
    """
    uuids = uuid_columns(path, kind)
    for batch in _parts(path, kind, columns, batch_rows, groups):
        found: dict[str, Column] = {name: _plain(batch.column(name), name in uuids) for name in columns}
        yield Batch(path, len(batch), found, partial(_row, start))
        start += len(batch)
    if groups is None and start != (rows := row_count(path, kind)):
        raise InputError(f"{path}: {start} of {rows} rows could be read")


def _row(start: int, row: int) -> str:
    return f"row {start + row}"


def _parts(
    path: Path, kind: str, columns: Sequence[str], batch_rows: int, groups: Sequence[int] | None
) -> Iterator[pa.RecordBatch]:
    try:
        if kind == "parquet":
            file = _parquet(path)
            yield from file.iter_batches(batch_size=batch_rows, row_groups=groups, columns=list(columns))
            return
        for batch in _arrow(path):
            chosen = batch.select(list(columns))
            for start in range(0, len(batch), batch_rows):
                yield chosen.slice(start, batch_rows)
    except (OSError, pa.ArrowException) as error:
        raise _broken(path, kind, error) from None


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        known = None
        if path.suffix.lower() in _PLAIN:
            told = path.stat()
            known = _footer(path, (told.st_ino, told.st_mtime_ns, told.st_size))
        return pq.ParquetFile(_source(path), metadata=known)
    except (OSError, pa.ArrowException) as error:
        raise _broken(path, "parquet", error) from None


@lru_cache(maxsize=16)
def _footer(path: Path, version: tuple[int, ...]) -> pq.FileMetaData:
    """What a file says of itself, kept since the parts of one are read by the hundred."""
    return pq.ParquetFile(_source(path)).metadata


def _arrow(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of a file or a stream, at least one, which may be empty."""
    try:
        try:
            file = pa.ipc.open_file(_source(path))
            found = map(file.get_batch, range(file.num_record_batches))
        except pa.ArrowInvalid:
            file = pa.ipc.open_stream(_source(path))
            found = iter(file)
        yield pa.RecordBatch.from_pylist([], schema=file.schema)
        yield from found
    except (OSError, pa.ArrowException) as error:
        raise _broken(path, "arrow", error) from None


def _source(path: Path) -> pa.NativeFile:
    if path.suffix.lower() in _PLAIN:
        return pa.memory_map(str(path))
    with open_bytes(path) as file:  # compressed as a whole
        return pa.BufferReader(file.read())


def _broken(path: Path, kind: str, error: Exception) -> InputError:
    reason = next(iter(str(error).splitlines()), "")
    with path.open("rb") as file:
        if file.read(4) == b"FEA1":
            return InputError(f"{path}: is Feather of version 1: write it as version 2, or as Parquet")
    name = {"parquet": "a Parquet", "arrow": "an Arrow"}[kind]
    return InputError(f"{path}: broken, or not {name} file ({reason})")


def _plain(column: pa.Array, uuid: bool) -> pa.Array:
    """A column without wrappings: encodings decoded, UUIDs as text, what extensions are made of."""
    if isinstance(column.type, pa.BaseExtensionType):
        uuid = uuid or column.type.extension_name == "arrow.uuid"
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_run_end_encoded(column.type):
        column = pa.compute.run_end_decode(column)
    if uuid and pa.types.is_fixed_size_binary(column.type) and column.type.byte_width == 16:
        texts = [None if raw is None else raw.hex() for raw in column.to_pylist()]
        column = pa.array([t and f"{t[:8]}-{t[8:12]}-{t[12:16]}-{t[16:20]}-{t[20:]}" for t in texts], pa.string())
    return column
