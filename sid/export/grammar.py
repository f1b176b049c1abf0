"""`<dataset>.ebnf`, `.lark` and `.regex`: what guided decoding of inference servers reads, of the same Semantic IDs."""

from __future__ import annotations

from pathlib import Path

from sid.decoding import grammar
from sid.export.source import Format, Source

MANY = 100_000
"""Above so many Semantic IDs, compiling a grammar takes minutes and the server's memory."""


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
        f"{count:,} Semantic IDs: vLLM and SGLang take minutes to compile such a grammar; the format transitions has "
        "no such limit"
    ]


FORMAT = Format(write=_write, warnings=_warnings)
