"""`new_tokens.json`: a JSON list of every token there can be, for a tokenizer's add_tokens.

For the new items of an index that continues a release, those that the release didn't have: none, as a rule.
"""

from __future__ import annotations

from pathlib import Path

from sid.export.jsonfiles import write_list
from sid.export.source import Format, Source
from sid.ids import vocabulary


def _write(folder: Path, source: Source) -> int:
    known = set(vocabulary(source.known_sizes))
    return write_list(
        folder / "new_tokens.json", [one for one in vocabulary(source.sids.code_sizes) if one not in known]
    )


FORMAT = Format(write=_write)
