"""Items that share a Semantic ID: which they are, and resolvers that tell them apart. Arrays in, new arrays out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sid.codes import Codes, Vectors, check_codes
from sid.errors import InputError
from sid.files import round6
from sid.metrics import prefix_ids

Rows = NDArray[np.int64]
Doubles = NDArray[np.float64]
Books = Sequence[Doubles]


@dataclass(frozen=True)
class Groups:
    """Rows with equal keys, brought together.

    Attributes:
        rows: all row numbers, sorted by key, ascending within a key.
        starts: (G + 1,) where each of the G groups begins in `rows`, and the end.
    """

    rows: Rows
    starts: Rows

    @classmethod
    def of(cls, keys: Rows) -> Groups:
        """Group (N,) integer keys."""
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        edges = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        return cls(order, np.r_[0, edges, len(keys)] if len(keys) else np.zeros(1, np.int64))

    @property
    def sizes(self) -> Rows:
        """(G,) rows in each group."""
        return np.diff(self.starts)

    def larger_than(self, size: int) -> Iterator[Rows]:
        """The rows of every group of more than `size` rows, in key order."""
        for group in np.flatnonzero(self.sizes > size).tolist():
            yield self.rows[self.starts[group] : self.starts[group + 1]]


def figures(codes: Codes, vectors: Vectors) -> dict[str, Any]:
    """How far the codes tell items apart.

    Args:
        codes: (N, L).
        vectors: (N, D), to tell groups of equal vectors, which no quantiser can part, from its own.

    Returns:
        `unique` SIDs, `collision_rate` (N - unique) / N, `items_in_collision`, `collision_groups`,
        `groups_of_equal_vectors` (all rows of the group equal) and `groups_by_quantiser` (the others),
        `largest_group`.
    """
    groups = Groups.of(prefix_ids(codes)[-1])
    sizes = groups.sizes
    shared = sizes[sizes > 1]
    equal = sum(bool((vectors[rows] == vectors[rows[0]]).all()) for rows in groups.larger_than(1))
    return {
        "unique": len(sizes),
        "collision_rate": round6((len(codes) - len(sizes)) / len(codes)),
        "items_in_collision": int(shared.sum()),
        "collision_groups": len(shared),
        "groups_of_equal_vectors": equal,
        "groups_by_quantiser": len(shared) - equal,
        "largest_group": int(sizes.max()),
    }


def append(codes: Codes, max_suffix: int) -> tuple[Codes, int]:
    """Tell items apart by one more level on all of them: 0 for an item alone, 1..n within a group of n.

    Args:
        codes: (N, L); numbering follows the order of rows.
        max_suffix: the size that the new level may have at most.

    Returns:
        (N, L + 1) codes and the new level's size, the largest group's n plus 1.

    Raises:
        InputError: the new level would be larger than `max_suffix`.
    """
    groups = Groups.of(prefix_ids(codes)[-1])
    largest = int(groups.sizes.max())
    size = largest + 1 if largest > 1 else 1
    if size > max_suffix:
        raise InputError(
            f"dedupe.strategy append: the largest group of equal codes has {largest} items and needs a suffix level "
            f"of {size} codes, dedupe.max_suffix is {max_suffix}"
        )
    within = np.arange(len(codes)) - np.repeat(groups.starts[:-1], groups.sizes) + 1
    suffix = np.empty(len(codes), np.int32)
    suffix[groups.rows] = np.where(np.repeat(groups.sizes, groups.sizes) > 1, within, 0)
    return np.column_stack([codes, suffix]), size


def check_capacity(items: int, code_sizes: Sequence[int]) -> None:
    """Raise InputError where there are more items than different Semantic IDs of L code sizes."""
    capacity = math.prod(code_sizes)
    if items > capacity:
        raise InputError(
            f"params.yaml: quant.num_emb_list {list(code_sizes)} makes {capacity} Semantic IDs for {items} items: must "
            "make at least as many, or dedupe.strategy must be append"
        )


def reassign(codes: Codes, latents: Vectors, codebooks: Sequence[Vectors]) -> Codes:
    """Move colliding items to free codes so that every item has a Semantic ID of its own.

    Items that share their codes with nobody stay as they are. Within a prefix (all levels but the last), the
    colliding items are matched to the last-level codes that nobody else holds, at the least total squared distance
    (linear_sum_assignment). A prefix with more items than it has codes first sends the items that lose least to
    the nearest prefixes with room, under as long a common prefix as room allows.

    Args:
        codes: (N, L).
        latents: (N, e_dim) what the codebooks quantise, as from `Quantizer.latents`.
        codebooks: L arrays (K, e_dim).

    Returns:
        (N, L) new codes without a collision, equal rows included.

    Raises:
        InputError: N is larger than the number of different codes.
    """
    sizes = [len(book) for book in codebooks]
    codes = check_codes(codes, sizes, "codes").copy()
    check_capacity(len(codes), sizes)
    books = [book.astype(np.float64) for book in codebooks]
    groups = Groups.of(prefix_ids(codes)[-1])
    movable = np.empty(len(codes), bool)
    movable[groups.rows] = np.repeat(groups.sizes > 1, groups.sizes)
    for level in range(len(sizes) - 1):
        _spill(codes, latents, books, movable, level)
    _match_last_level(codes, latents, books, movable)
    return codes


def _residuals(rows: Rows, codes: Codes, latents: Vectors, books: Books, level: int) -> Doubles:
    """What the levels before `level` leave of some rows, (n, e_dim) float64."""
    left = latents[rows].astype(np.float64)
    for before in range(level):
        left -= books[before][codes[rows, before]]
    return left


def _distances(residuals: Doubles, book: Doubles) -> Doubles:
    """(n, e) and (K, e) -> (n, K) squared Euclidean distances."""
    squared = (residuals**2).sum(axis=1)[:, None] - 2 * residuals @ book.T + (book**2).sum(axis=1)
    return np.asarray(np.maximum(squared, 0))


def _parents(codes: Codes, level: int) -> Rows:
    """A key (N,) of the first `level` codes, 0 for the root."""
    return prefix_ids(codes[:, :level])[-1] if level else np.zeros(len(codes), np.int64)


def _spill(codes: Codes, latents: Vectors, books: Books, movable: NDArray[np.bool_], level: int) -> None:
    """Change codes at `level` (and below) until no prefix of level + 1 codes has more items than Semantic IDs."""
    capacity = math.prod(len(book) for book in books[level + 1 :])
    for rows in Groups.of(_parents(codes, level)).larger_than(capacity):
        counts = np.bincount(codes[rows, level], minlength=len(books[level]))
        if counts.max() <= capacity:
            continue
        crowd = rows[movable[rows] & (counts[codes[rows, level]] > capacity)]
        cost = _distances(_residuals(crowd, codes, latents, books, level), books[level])
        moved = _evict(codes[crowd, level], cost, counts, capacity)
        codes[crowd[moved >= 0], level] = moved[moved >= 0]
        _encode_below(crowd[moved >= 0], codes, latents, books, level + 1)


def _evict(held: NDArray[np.int32], cost: Doubles, counts: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """Where the crowd's items go: (n,) new codes, -1 for those who stay. The cheapest moves are taken first.

    Args:
        held: (n,) codes now, all of them over capacity.
        cost: (n, K) distance of each item to each code.
        counts: (K,) items per code now, those that can't move among them; brought within capacity here.
        capacity: items a code may have.
    """
    moved = np.full(len(held), -1, np.int64)
    extra = cost - cost[np.arange(len(held)), held][:, None]
    while (over := np.flatnonzero(counts > capacity)).size:
        waiting = np.flatnonzero((moved < 0) & np.isin(held, over))
        room = capacity - counts
        offers = np.where(room > 0, extra[waiting], np.inf)
        target = offers.argmin(axis=1)
        gain = offers[np.arange(len(waiting)), target]
        for pick in np.lexsort((waiting, gain)):
            item, code = waiting[pick], target[pick]
            if counts[held[item]] > capacity and room[code] > 0:
                moved[item] = code
                counts[held[item]] -= 1
                counts[code] += 1
                room[code] -= 1
    return moved


def _encode_below(rows: Rows, codes: Codes, latents: Vectors, books: Books, level: int) -> None:
    """Give rows the nearest codes from `level` on, after an earlier code of theirs has changed."""
    residuals = _residuals(rows, codes, latents, books, level)
    for below in range(level, len(books)):
        nearest = _distances(residuals, books[below]).argmin(axis=1)
        codes[rows, below] = nearest
        residuals -= books[below][nearest]


def _match_last_level(codes: Codes, latents: Vectors, books: Books, movable: NDArray[np.bool_]) -> None:
    """In each prefix with a collision, match movable items to last-level codes that no fixed item holds."""
    last = len(books) - 1
    crowded = Groups.of(prefix_ids(codes)[-1])
    colliding = np.zeros(len(codes), bool)
    colliding[crowded.rows] = np.repeat(crowded.sizes > 1, crowded.sizes)
    for rows in Groups.of(_parents(codes, last)).larger_than(1):
        if not colliding[rows].any():
            continue
        moving = rows[movable[rows]]
        held = codes[rows[~movable[rows]], last]
        free = np.setdiff1d(np.arange(len(books[last])), held)
        cost = _distances(_residuals(moving, codes, latents, books, last), books[last][free])
        item, choice = linear_sum_assignment(cost)
        codes[moving[item], last] = free[choice]
