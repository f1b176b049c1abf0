"""`<dataset>.ebnf`, `.lark` and `.regex`: what guided decoding of inference servers reads, of the same Semantic IDs."""

from __future__ import annotations

from pathlib import Path

from sid.decoding import grammar
from sid.export.source import Format, Source

MANY = 30_000
"""XGrammar compiles so many Semantic IDs in some seconds; its time grows with the square of their number."""


def _write(folder: Path, source: Source) -> int:
    for name, rules in (("ebnf", grammar.ebnf), ("lark", grammar.lark)):
        with (folder / f"{source.dataset}.{name}").open("w", encoding="utf-8") as file:
            file.writelines(rules(source.trie))
    (folder / f"{source.dataset}.regex").write_text(grammar.regex(source.trie), encoding="utf-8")
    return len(source.trie.codes)


def _warnings(source: Source) -> list[str]:
    count = len(source.trie.codes)
    if count <= MANY:
        return []
    return [
        f"{count:,} Semantic IDs: XGrammar takes minutes to compile such a grammar (llguidance reads the .lark in "
        "seconds); the format transitions has no limit"
    ]


FORMAT = Format(write=_write, warnings=_warnings)
