"""Resolvers that give colliding items other codes: `reassign` at the least distortion, `sinkhorn` as MiniOneRec does.

Both work on residuals of the latents, in float64 and at squared Euclidean distances. Arrays in, new arrays out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from sid.arrays import Codes, Vectors, check_codes
from sid.dedupe.groups import Groups, Rows, in_groups_above
from sid.measure.metrics import prefix_ids
from sid.params import check_capacity

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_BATCH = 1 << 24  # distances held at once, 128 MiB
_MATCH = 1 << 26  # distances of one matching
_CANDIDATES = 16  # prefixes an item remembers while prefixes spill
_ROUNDS = 20


class Latents(Protocol):
    """What the codebooks quantize: an (N, e_dim) array, or what makes some rows of it when they are asked for."""

    def __getitem__(self, rows: Rows, /) -> Vectors:
        """(n,) row numbers -> (n, e_dim) float32."""
        ...


def reassign(
    codes: Codes,
    latents: Latents,
    codebooks: Sequence[Vectors],
    *,
    max_items_per_sid: int = 1,
    move: Literal["colliding", "any"] = "colliding",
) -> Codes:
    """Move items to free codes so that no Semantic ID has more than `max_items_per_sid` items, where that is possible.

    Within a prefix (all levels but the last) that has a collision, the items that may move are matched to the
    places at last-level codes that the others leave, at the least total squared distance (the modified
    Jonker-Volgenant algorithm of scipy's linear_sum_assignment). A prefix with more items than places first
    sends those that lose least to the nearest prefixes with room, under as long a common prefix as room allows.

    Args:
        codes: (N, L).
        latents: (N, e_dim), asked for the rows that may move alone.
        codebooks: L arrays (K, e_dim) in the space of `latents`.
        max_items_per_sid: items that may share a Semantic ID, at least 1; a collision is a group of more.
        move: `colliding`: items of a collision alone may move, the others stay where they are; `any`: all items
            of a prefix with a collision may, which is cheaper by a little and moves more items.

    Returns:
        (N, L) int32 new codes; equal rows are parted like any others.

    Raises:
        InputError: N is larger than the number of different codes times `max_items_per_sid`.
    """
    sizes = [len(book) for book in codebooks]
    codes = check_codes(codes, sizes, "codes").copy()
    check_capacity(len(codes), sizes, max_items_per_sid)
    colliding = in_groups_above(codes, max_items_per_sid)
    if not colliding.any():
        return codes
    work = _Work(codes, latents, [book.astype(np.float64) for book in codebooks])
    movable = colliding if move == "colliding" else np.ones(len(codes), bool)
    for level in range(len(sizes) - 1):
        _spill(work, movable, level, math.prod(sizes[level + 1 :]) * max_items_per_sid)
    _match_last_level(work, movable, max_items_per_sid)
    return codes


def sinkhorn(
    codes: Codes,
    latents: Latents,
    codebooks: Sequence[Vectors],
    log_plan: Callable[[Doubles], Doubles],
) -> Codes:
    """Part each group of equal codes by an entropic transport to free last-level codes, in at most 20 rounds.

    MiniOneRec's scheme (generate_indices.py), with three faults mended: codes that others of the prefix hold are
    taken, every code has one place, and equal rows are parted, since the plan is rounded to a matching, its
    largest entries first. A prefix with more items than codes keeps collisions. The number of different codes
    never falls.

    Args:
        codes: (N, L).
        latents: (N, e_dim), asked for colliding rows alone.
        codebooks: L arrays (K, e_dim) in the space of `latents`.
        log_plan: the logarithm of the transport plan with even marginals for a square matrix of distances,
            which are scaled to half their range, as `sid.clustering.sinkhorn.sinkhorn` gives it.

    Returns:
        (N, L) int32 new codes, that differ in the last level alone.
    """
    codes = check_codes(codes, [len(book) for book in codebooks], "codes").copy()
    work = _Work(codes, latents, [book.astype(np.float64) for book in codebooks])
    last = len(codebooks) - 1
    size = len(codebooks[last])
    for turn in range(_ROUNDS):
        parents = _parents(codes, last)
        families = Groups.of(parents)
        before = codes[:, last].copy()
        groups = list(Groups.of(prefix_ids(codes)[-1]).larger_than(1))
        for rows in tqdm(groups, f"dedupe, round {turn + 1}", unit="group", disable=None):
            own = int(codes[rows[0], last])
            taken = np.zeros(size, bool)
            taken[codes[families[parents[rows[0]]], last]] = True
            taken[own] = False
            free = np.flatnonzero(~taken)
            rows = rows[: _BATCH // size]  # of more items than that, far more than there are codes, the rest stay
            cost = _distances(work.residuals(rows, last), work.books[last][free])
            codes[rows, last] = _part(cost, free, own, log_plan)
        if (codes[:, last] == before).all():
            break
    return codes


@dataclass(frozen=True)
class _Work:
    """The codes, changed in place, and what their distances are measured by."""

    codes: Codes
    latents: Latents
    books: Sequence[Doubles]

    def residuals(self, rows: Rows, level: int) -> Doubles:
        """What the levels before `level` leave of some rows, (n, e_dim)."""
        left = self.latents[rows].astype(np.float64)
        for before in range(level):
            left -= self.books[before][self.codes[rows, before]]
        return left

    def encode_below(self, rows: Rows, level: int) -> None:
        """Give rows the nearest codes from `level` on, after an earlier code of theirs has changed."""
        for part in _parts(len(rows), max(len(book) for book in self.books)):
            left = self.residuals(rows[part], level)
            for below in range(level, len(self.books)):
                nearest = _distances(left, self.books[below]).argmin(axis=1)
                self.codes[rows[part], below] = nearest
                left -= self.books[below][nearest]


def _distances(residuals: Doubles, book: Doubles) -> Doubles:
    """(n, e) and (K, e) -> (n, K) squared Euclidean distances."""
    squared = residuals @ book.T
    squared *= -2
    squared += (residuals**2).sum(axis=1)[:, None]
    squared += (book**2).sum(axis=1)
    return np.asarray(np.maximum(squared, 0, out=squared))


def _parts(count: int, columns: int) -> Iterator[slice]:
    """Slices of `count` rows such that a part times `columns` numbers can be held."""
    step = max(1, _BATCH // columns)
    for start in range(0, count, step):
        yield slice(start, start + step)


def _parents(codes: Codes, level: int) -> Integers:
    """A key (N,) of the first `level` codes, 0 for the root."""
    return prefix_ids(codes[:, :level])[-1] if level else np.zeros(len(codes), np.int64)


def _spill(work: _Work, movable: Flags, level: int, capacity: int) -> None:
    """Change codes at `level` (and below) until no prefix of level + 1 codes has more than `capacity` items."""
    size = len(work.books[level])
    for rows in Groups.of(_parents(work.codes, level)).larger_than(capacity):
        counts = np.bincount(work.codes[rows, level], minlength=size)
        if counts.max() <= capacity:
            continue
        crowd = rows[movable[rows] & (counts[work.codes[rows, level]] > capacity)]
        moved = _evict(work, crowd, level, counts, capacity)
        gone = moved >= 0
        work.codes[crowd[gone], level] = moved[gone]
        work.encode_below(crowd[gone], level + 1)


def _evict(work: _Work, crowd: Rows, level: int, counts: Integers, capacity: int) -> Integers:
    """Where the crowd's items go: (n,) new codes, -1 for those who stay. The cheapest moves are taken first.

    Args:
        crowd: (n,) rows whose codes at `level` are over capacity.
        counts: (K,) items per code now, those that can't move among them; brought within capacity here.
        capacity: items a code may have.
    """
    held = work.codes[crowd, level].astype(np.int64)
    moved = np.full(len(crowd), -1, np.int64)
    width = min(_CANDIDATES, len(counts))
    targets = np.zeros((len(crowd), width), np.int32)
    extra = np.zeros((len(crowd), width))
    place = np.full(len(crowd), width)

    def aim(items: Integers) -> None:
        """Find the nearest codes with room anew, `width` or as many as there are, for (n,) items of the crowd."""
        is_open = np.flatnonzero(counts < capacity)
        kept = min(width, len(is_open))
        for part in _parts(len(items), len(counts)):
            some = items[part]
            cost = _distances(work.residuals(crowd[some], level), work.books[level])
            own = cost[np.arange(len(some)), held[some]]
            cost = cost[:, is_open]
            nearest = np.sort(np.argpartition(cost, kept - 1, axis=1)[:, :kept], axis=1)
            order = np.argsort(np.take_along_axis(cost, nearest, axis=1), axis=1, kind="stable")
            nearest = np.take_along_axis(nearest, order, axis=1)
            targets[some, width - kept :] = is_open[nearest]
            extra[some, width - kept :] = np.take_along_axis(cost, nearest, axis=1) - own[:, None]
        place[items] = width - kept

    waiting = np.arange(len(crowd))
    while len(waiting := waiting[counts[held[waiting]] > capacity]):
        lost = waiting
        while len(lost := lost[(place[lost] == width) | (counts[targets[lost, place[lost] % width]] >= capacity)]):
            place[lost] += place[lost] < width
            if (spent := lost[place[lost] == width]).size:
                aim(spent)
        ordered = waiting[np.lexsort((waiting, extra[waiting, place[waiting]]))]
        leaving = ordered[Groups.of(held[ordered]).places() < (counts - capacity)[held[ordered]]]
        aims = targets[leaving, place[leaving]].astype(np.int64)
        arrives = Groups.of(aims).places() < (capacity - counts)[aims]
        moved[leaving[arrives]] = aims[arrives]
        counts -= np.bincount(held[leaving[arrives]], minlength=len(counts))
        counts += np.bincount(aims[arrives], minlength=len(counts))
        waiting = waiting[moved[waiting] < 0]
    return moved


def _buckets(codes: Codes, wanted: Flags, columns: int) -> Iterator[list[Rows]]:
    """The rows of each prefix (all levels but the last) with a wanted row, in batches.

    The rows of a batch times `columns` numbers can be held, unless one prefix alone has more.
    """
    parents = _parents(codes, codes.shape[1] - 1)
    busy = np.zeros(parents.max() + 1, bool)
    busy[parents[wanted]] = True
    chosen = np.flatnonzero(busy[parents])
    batch: list[Rows] = []
    held = 0
    for inside in Groups.of(parents[chosen]).larger_than(0):
        if batch and (held + len(inside)) * columns > _BATCH:
            yield batch
            batch, held = [], 0
        batch.append(chosen[inside])
        held += len(inside)
    yield batch


def _match_last_level(work: _Work, movable: Flags, limit: int) -> None:
    """In each prefix with a collision, match movable items to places at last-level codes that no fixed item holds."""
    last = len(work.books) - 1
    book = work.books[last]
    colliding = in_groups_above(work.codes, limit)
    if not colliding.any():
        return
    batches = list(_buckets(work.codes, colliding, len(book)))
    with tqdm(total=sum(map(len, batches)), desc="dedupe", unit="prefix", disable=None) as bar:
        for batch in batches:
            moving = [rows[movable[rows]] for rows in batch]
            residuals = work.residuals(np.concatenate(moving), last)
            start = 0
            for all_rows, rows in zip(batch, moving, strict=True):
                fixed = all_rows[~movable[all_rows]]
                room = limit - np.bincount(work.codes[fixed, last], minlength=len(book))
                end = start + len(rows)
                work.codes[rows, last] = _match(residuals[start:end], book, work.codes[rows, last], room)
                start = end
                bar.update()


def _match(residuals: Doubles, book: Doubles, held: NDArray[np.int32], room: Integers) -> Integers:
    """New codes (n,) at the least total distance; of equal totals, one that leaves more items where they are.

    Args:
        residuals: (n, e_dim).
        held: (n,) codes now.
        room: (K,) places at each code, n in all at least; brought up to date here.

    Where n x places outgrows memory, items are matched in parts, each at the least distance that the parts
    before it leave.
    """
    chosen = np.empty(len(held), np.int64)
    step = max(1, _MATCH // len(book))
    for start in range(0, len(held), step):
        part = slice(start, start + step)
        some = residuals[part]
        places = np.repeat(np.arange(len(book)), np.minimum(room, len(some)))
        cost = _distances(some, book)
        chosen[part] = places[linear_sum_assignment(cost[:, places])[1]]
        _settle(cost, held[part], chosen[part])
        room -= np.bincount(chosen[part], minlength=len(book))
    return chosen


def _settle(cost: Doubles, held: NDArray[np.int32], chosen: Integers) -> None:
    """Exchange the codes of two items wherever one then stays, no more items move and the total is the same."""
    items = np.arange(len(held))
    for item in np.flatnonzero(chosen != held).tolist():
        if chosen[item] == held[item]:
            continue
        own, new = held[item], chosen[item]
        others = items[(chosen == own) & (held != own)]
        change = cost[item, own] + cost[others, new] - (cost[item, new] + cost[others, own])
        if len(others) and (free := change <= 0).any():
            other = others[free.argmax()]
            chosen[item], chosen[other] = own, new


def _part(cost: Doubles, free: Integers, own: int, log_plan: Callable[[Doubles], Doubles]) -> Integers:
    """New codes (n,) for the items of one group.

    Args:
        cost: (n, F) distances to the free codes.
        free: (F,) free codes, the group's own among them.
        own: the code of the group; items that find no place keep it.
    """
    chosen = np.full(len(cost), own, np.int64)
    leaving = np.arange(len(cost))
    if len(cost) > len(free):
        gain = np.where(free == own, np.inf, cost).min(axis=1) - cost[:, (free == own).argmax()]
        leaving = np.sort(np.argsort(gain, kind="stable")[: len(free)])
    n = len(leaving)
    nearest = np.unique(np.argsort(cost[leaving], axis=1, kind="stable")[:, :n])
    distances = cost[leaving][:, nearest]
    half = (distances.max() - distances.min()) / 2
    # rows that stand for nobody take the places that are left over
    square = np.zeros((len(nearest), len(nearest)))
    square[:n] = (distances - distances.min()) / (half if half > 0 else 1.0)
    mass = log_plan(square)[:n]
    order = np.argsort(-mass, axis=None, kind="stable")
    seated, full = np.zeros(n, bool), np.zeros(len(nearest), bool)
    for row, column in zip(*np.unravel_index(order, mass.shape), strict=True):
        if not seated[row] and not full[column]:
            seated[row] = full[column] = True
            chosen[leaving[row]] = free[nearest[column]]
            if seated.all():
                break
    return chosen
