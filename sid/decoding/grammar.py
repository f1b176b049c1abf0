"""The existing Semantic IDs as a grammar or a regular expression, for the guided decoding of inference servers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN
from sid.decoding.trie import Trie
from sid.ids import SemanticIds, token


def ebnf(sids: SemanticIds | Trie) -> Iterator[str]:
    """An EBNF grammar, line by line, as XGrammar reads it (the default of vLLM and SGLang): `root` and one rule per
    prefix. Prefixes that the same tokens may follow share a rule.
    """
    return _rules(Trie.of(sids), "root", " ::= ", '"')


def lark(sids: SemanticIds | Trie) -> Iterator[str]:
    """The same in Lark's syntax, as llguidance reads it (vLLM's and SGLang's backend `guidance`, `llguidance`).

    llguidance treats added tokens of the form <...> as special tokens, which a grammar has to name without quotes and
    a regular expression can't name.
    """
    return _rules(Trie.of(sids), "start", ": ", "")


def _rules(trie: Trie, root: str, becomes: str, quote: str) -> Iterator[str]:
    rules: list[str] = []
    known: dict[str, str] = {}
    below = [""] * len(trie.level_codes[-1])
    for level in reversed(range(len(trie.code_sizes))):
        texts = [
            '""' if code == NO_TOKEN else f"{quote}{token(level, code)}{quote}{rest}"
            for code, rest in zip(trie.level_codes[level].tolist(), below, strict=True)
        ]
        below = []
        for start, stop in pairwise(_children(trie, level)):
            body = " | ".join(texts[start:stop])
            if level == 0:
                rules.append(f"{root}{becomes}{body}\n")
                continue
            name = known.setdefault(body, f"n{len(known)}")
            if len(known) > len(rules):
                rules.append(f"{name}{becomes}{body}\n")
            below.append(f" {name}")
    yield from reversed(rules)


def _children(trie: Trie, level: int) -> list[int]:
    """Where the children of each prefix of `level` tokens begin among the codes of that level, and their number."""
    starts: NDArray[np.int64] = np.array([0, len(trie.level_codes[0])]) if level == 0 else trie.first_child[level - 1]
    return [int(start) for start in starts]


def regex(sids: SemanticIds | Trie) -> str:
    """A regular expression of groups and alternatives alone, one group per prefix; it matches a whole Semantic ID."""
    trie = Trie.of(sids)
    below = [""] * len(trie.level_codes[-1])
    for level in reversed(range(len(trie.code_sizes))):
        starts = _children(trie, level)
        texts = [
            "" if code == NO_TOKEN else f"{token(level, code)}{rest}"
            for code, rest in zip(trie.level_codes[level].tolist(), below, strict=True)
        ]
        below = [_group(texts[start:stop]) for start, stop in pairwise(starts)]
    return below[0]


def _group(texts: list[str]) -> str:
    """Alternatives in brackets; an empty one makes the others optional."""
    some = [text for text in texts if text]
    return f"({'|'.join(some)})" + ("?" if len(some) < len(texts) else "") if some else ""
