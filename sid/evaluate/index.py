"""The index under evaluation, as a recommender reads and writes it; and indexes to compare it with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN, Codes
from sid.decoding.trie import Trie
from sid.ids import SemanticIds
from sid.measure.metrics import prefix_ids

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Index:
    """Every item's codes, and the Semantic IDs that exist.

    Attributes:
        codes: (N, L) int32, 0 <= codes[:, l] < code_sizes[l]; 'no token' at the end is a code of its own, 0.
        code_sizes: L of them.
        leaves: (N,) int64, each item's Semantic ID as its row in the trie.
        items: (U,) int64, how many items have each Semantic ID.
        trie: of the codes.
    """

    codes: Codes
    code_sizes: tuple[int, ...]
    leaves: Ints
    items: Ints
    trie: Trie

    @classmethod
    def of(cls, codes: Codes, code_sizes: tuple[int, ...]) -> Index:
        """An index of codes (N, L), N >= 1; in the last column alone -1 may mean 'no token'."""
        if (codes[:, -1] == NO_TOKEN).any():
            codes = codes.copy()
            codes[:, -1] += 1
            code_sizes = (*code_sizes[:-1], code_sizes[-1] + 1)
        leaves = prefix_ids(codes)[-1]
        rows = pl.int_range(len(codes), eager=True).cast(pl.String)
        return cls(codes, code_sizes, leaves, np.bincount(leaves), Trie.of(SemanticIds(rows, codes, code_sizes)))


def random_index(items: int, code_sizes: tuple[int, ...], seed: int) -> Index:
    """Codes that say nothing of the items: Semantic IDs drawn at random, all different where there are enough.

    Args:
        items: N, 1 or more.
        code_sizes: codes at each level.
        seed: of the draw.
    """
    draw = np.random.default_rng(seed)
    places = math.prod(code_sizes)
    if places <= items:  # each as often as the others, or once more
        chosen = draw.permutation(np.arange(items) % places)
    elif places <= 1 << 20:
        chosen = draw.choice(places, items, replace=False)
    else:
        chosen = np.empty(0, np.int64)
        while len(chosen) < items:  # in the order drawn, since sorted ones would be alike
            chosen = np.r_[chosen, draw.integers(min(places, 1 << 62), size=items)]
            chosen = chosen[np.sort(np.unique(chosen, return_index=True)[1])]
        chosen = chosen[:items]
    codes = np.empty((items, len(code_sizes)), np.int32)
    for level in reversed(range(len(code_sizes))):
        codes[:, level] = chosen % code_sizes[level]
        chosen = chosen // code_sizes[level]
    return Index.of(codes, code_sizes)


def item_index(items: int) -> Index:
    """One level with a code for each item: the recommender then is SASRec with cross-entropy over all items."""
    return Index.of(np.arange(items, dtype=np.int32)[:, None], (items,))
