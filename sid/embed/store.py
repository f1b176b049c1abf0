"""Vectors of texts that were encoded before, in shards that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sid.arrays import Vectors

_DIGEST_BYTES = 16


class Store:
    """The vectors of one model by what was encoded: what is there needs no encoding again, whatever was interrupted.

    Args:
        folder: of this model with these settings alone; made if it isn't there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._places: dict[bytes, tuple[int, int]] = {}
        self._shards: list[Vectors] = []
        for path in sorted(folder.glob("*.parquet")):
            self._load(path)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, text: str) -> bool:
        return digest(text) in self._places

    def add(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Keep the (n, D) float32 vectors of (n,) texts, on disk when this returns."""
        keys = [digest(text) for text in texts]
        path = self._folder / f"{hashlib.sha256(b''.join(keys)).hexdigest()[:32]}.parquet"
        flat = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors).ravel()), vectors.shape[1])
        partial = path.with_suffix(".partial")
        pq.write_table(pa.table({"text": pa.array(keys, pa.binary(_DIGEST_BYTES)), "vector": flat}), partial)
        os.replace(partial, path)
        self._keep(keys, vectors)

    def of(self, texts: Sequence[str]) -> Vectors:
        """(n, D) float32 of (n,) texts, n > 0, which are all there."""
        places = [self._places[digest(text)] for text in texts]
        return np.stack([self._shards[shard][row] for shard, row in places])

    def _load(self, path: Path) -> None:
        try:
            table = pq.read_table(pa.memory_map(str(path)))
        except (OSError, pa.ArrowException):  # encoded again
            return
        vectors = table["vector"].combine_chunks()
        dim = vectors.type.list_size
        self._keep(table["text"].to_pylist(), vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim))

    def _keep(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        self._places.update((key, (len(self._shards), row)) for row, key in enumerate(keys))
        self._shards.append(vectors)


def digest(text: str) -> bytes:
    """What a text is known by."""
    return hashlib.sha256(text.encode()).digest()[:_DIGEST_BYTES]


def write_vectors(path: Path, ids: pl.Series, there: pl.Series, vectors: Vectors, columns: tuple[str, str]) -> None:
    """Write ids and vectors as Parquet, for `prepare.embeddings` to name.

    Args:
        ids: (N,) text.
        there: (N,) bool: which have a vector; the others' is null.
        vectors: (n, D) float32, those of the former.
        columns: what ids and vectors are called.
    """
    offsets = np.r_[0, np.cumsum(there.to_numpy())].astype(np.int64) * vectors.shape[1]
    flat = pa.array(np.ascontiguousarray(vectors).ravel())
    lists = pa.LargeListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(~there.to_numpy()))
    pq.write_table(pa.table({columns[0]: ids.to_arrow().cast(pa.large_string()), columns[1]: lists}), path)


def write_nothing(path: Path, columns: tuple[str, str]) -> None:
    """Write what `write_vectors` would for no item at all."""
    types = (pa.large_string(), pa.large_list(pa.float32()))
    pq.write_table(pa.table({name: pa.array([], kind) for name, kind in zip(columns, types, strict=True)}), path)
