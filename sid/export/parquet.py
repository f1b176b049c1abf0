"""Every field of every record as Parquet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sid.export.records import Record
from sid.export.source import Format, Source

_GROUP_ROWS = 1 << 16
_GROUP_CHARACTERS = 1 << 24
_SCHEMA = pa.schema(
    [
        pa.field(name, pa.list_(pa.string()) if name == "history" else pa.string(), nullable=False)
        for name in Record._fields
    ]
)


class _Split:
    """The file of one split; records are gathered into row groups."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, _SCHEMA)
        self._rows: list[Record] = []
        self._characters = 0

    def add(self, record: Record) -> None:
        self._rows.append(record)
        self._characters += len(record.input) + len(record.output)
        if len(self._rows) >= _GROUP_ROWS or self._characters >= _GROUP_CHARACTERS:
            self._flush()

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns = zip(zip(*self._rows, strict=True), _SCHEMA, strict=True)
        arrays = [pa.array(column, field.type) for column, field in columns]
        self._writer.write_table(pa.table(arrays, schema=_SCHEMA))
        self._rows, self._characters = [], 0


class _Parquet:
    def __init__(self, folder: Path, source: Source) -> None:
        self._folder = folder
        self._splits: dict[str, _Split] = {}

    def add(self, record: Record) -> None:
        if record.split not in self._splits:
            self._splits[record.split] = _Split(self._folder / f"{record.split}.parquet")
        self._splits[record.split].add(record)

    def close(self) -> None:
        for split in self._splits.values():
            split.close()


FORMAT = Format(open=_Parquet)
