"""`new_tokens.json`: a JSON list of every token there can be, for a tokenizer's add_tokens."""

from __future__ import annotations

from pathlib import Path

from sid.export.jsonfiles import write_list
from sid.export.source import Format, Source
from sid.ids import vocabulary


def _write(folder: Path, source: Source) -> int:
    return write_list(folder / "new_tokens.json", vocabulary(source.sids.code_sizes))


FORMAT = Format(write=_write)
