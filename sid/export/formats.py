"""The table of export formats: a new one is a module of that name beside this one, and a line here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from sid.export import (
    alpaca,
    grammar,
    grid,
    index,
    lcrec,
    messages,
    minionerec,
    parquet,
    prompt_completion,
    tokens,
    transitions,
    trie,
)
from sid.export.prompts import TASKS
from sid.export.source import Format

FORMATS: Mapping[str, Format] = MappingProxyType(
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
        "transitions": transitions.FORMAT,
        "grammar": grammar.FORMAT,
    }
)

CHOICES: Mapping[str, Collection[str]] = MappingProxyType({"export.formats": FORMATS, "export.tasks": TASKS})
"""The names that params.yaml may choose from, for `sid.params.load`."""
