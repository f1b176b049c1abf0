"""`transitions.npz`: the Semantic IDs that exist as CSR arrays; `sid.decoding.transitions.Transitions.load` reads it.

Its tokens are places in new_tokens.json, which the format `tokens` writes.
"""

from __future__ import annotations

from pathlib import Path

from sid.decoding.transitions import Transitions
from sid.export.source import Format, Source


def _write(folder: Path, source: Source) -> int:
    found = Transitions.of(source.trie)
    found.save(folder / "transitions.npz")
    return len(found.tokens)


FORMAT = Format(write=_write)
