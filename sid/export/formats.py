"""The table of export formats: a new one is a module beside this, a line here and its name in `sid.params`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sid.export import (
    alpaca,
    grid,
    index,
    lcrec,
    messages,
    minionerec,
    parquet,
    prompt_completion,
    tokens,
    trie,
)
from sid.export.source import Format
from sid.params import FormatName

FORMATS: Mapping[FormatName, Format] = MappingProxyType(
    {
        "index": index.FORMAT,
        "minionerec": minionerec.FORMAT,
        "lcrec": lcrec.FORMAT,
        "grid": grid.FORMAT,
        "alpaca": alpaca.FORMAT,
        "messages": messages.FORMAT,
        "prompt_completion": prompt_completion.FORMAT,
        "parquet": parquet.FORMAT,
        "tokens": tokens.FORMAT,
        "trie": trie.FORMAT,
    }
)
