"""`trie.parquet`: the Semantic IDs that exist, sorted, with their items; `sid.decoding.trie.Trie.load` reads it."""

from __future__ import annotations

from pathlib import Path

from sid.export.source import Format, Source


def _write(folder: Path, source: Source) -> int:
    source.trie.save(folder / "trie.parquet")
    return len(source.trie.codes)


FORMAT = Format(write=_write)
