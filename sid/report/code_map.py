"""The map of codes on the page: the nodes of its treemap, and what the page says of each code."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN, Codes
from sid.dedupe.groups import Groups
from sid.ids import SemanticIds, sid_text, tokens
from sid.report import typical_words
from sid.report.markup import short

FIRST_CODES, SECOND_CODES = 300, 2000  # areas of the map; smaller codes are drawn as one

_EXAMPLES = 3


def code_map(
    sids: SemanticIds, prefixes: list[NDArray[np.int64]], titles: pl.Series, shared: NDArray[np.bool_]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The treemap's nodes, and what the page says of each code: Semantic ID, items, words, examples, by node id.

    Args:
        shared: (N,) whether the item's raw codes were another's too.
    """
    first = _Prefixes(sids.codes[:, :1], prefixes[0], shared)
    kept = first.largest(FIRST_CODES)
    levels = [(first, kept)]
    if len(prefixes) > 1:
        second = _Prefixes(sids.codes[:, :2], prefixes[1], shared)
        parents = prefixes[0][second.example]
        levels.append((second, second.largest(SECOND_CODES, np.isin(parents, kept))))
    groups = [np.where(np.isin(prefix.ids, chosen), prefix.ids, -1) for prefix, chosen in levels]
    words = typical_words.typical(titles, groups)
    nodes = [_node("all", "", "all items", len(titles), [], float(shared.mean()))]
    codes: dict[str, Any] = {}
    for depth, (prefix, chosen) in enumerate(levels):
        for number in chosen.tolist():
            row = prefix.codes[prefix.example[number]].tolist()
            name, parent = ".".join(map(str, row)), str(row[0]) if depth else "all"
            found = words[depth].get(number, [])
            label = "no further token" if row[-1] == NO_TOKEN else tokens(row)[-1]
            nodes.append(_node(name, parent, label, prefix.sizes[number], found, prefix.shared[number]))
            codes[name] = [sid_text(row), int(prefix.sizes[number]), found, prefix.titles(number, titles)]
    return nodes + _rests(levels, prefixes), codes


def _node(name: str, parent: str, label: str, items: int, words: list[str], shared: float) -> dict[str, Any]:
    return {
        "id": name,
        "parent": parent,
        "label": label,
        "items": int(items),
        "words": words,
        "shared": round(float(shared), 3),
    }


class _Prefixes:
    """The distinct prefixes of one length.

    Attributes:
        codes: (N, l); ids: (N,) dense; sizes: (P,) items; shared: (P,) share of them that collided; example: (P,) the
            first row of each.
    """

    def __init__(self, codes: Codes, ids: NDArray[np.int64], shared: NDArray[np.bool_]) -> None:
        self.codes, self.ids = codes, ids
        self.groups = Groups.of(ids)
        self.sizes = self.groups.sizes
        self.shared = np.bincount(ids, weights=shared) / self.sizes
        self.example = self.groups.rows[self.groups.starts[:-1]]

    def largest(self, count: int, among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """The ids of the `count` prefixes with the most items, in order of the codes."""
        order = np.argsort(-self.sizes, kind="stable")
        if among is not None:
            order = order[among[order]]
        return np.sort(order[:count])

    def titles(self, number: int, titles: pl.Series) -> list[str]:
        """A few different titles of a prefix's items, the first there are."""
        some = titles.gather(self.groups[number][: 4 * _EXAMPLES]).to_list()
        return list(dict.fromkeys(text for title in some if (text := short(title))))[:_EXAMPLES]


def _rests(
    levels: list[tuple[_Prefixes, NDArray[np.int64]]], prefixes: list[NDArray[np.int64]]
) -> list[dict[str, Any]]:
    """A node for the codes that are too small to be drawn, one below the root and one below each drawn code."""
    found = []
    first, kept = levels[0]
    left = np.setdiff1d(np.arange(len(first.sizes)), kept)
    if len(left):
        found.append(_rest("all", left, first))
    if len(levels) > 1:
        second, chosen = levels[1]
        left = np.setdiff1d(np.arange(len(second.sizes)), chosen)
        parents = prefixes[0][second.example[left]]
        for parent in np.intersect1d(parents, kept).tolist():
            name = str(int(first.codes[first.example[parent], 0]))
            found.append(_rest(name, left[parents == parent], second))
    return found


def _rest(parent: str, left: NDArray[np.int64], prefix: _Prefixes) -> dict[str, Any]:
    items = int(prefix.sizes[left].sum())
    shared = float((prefix.shared[left] * prefix.sizes[left]).sum()) / items
    return _node(f"{parent}.rest", parent, f"{len(left):,} smaller codes", items, [], shared)
