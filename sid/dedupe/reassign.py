"""`reassign`: items of a collision move to free codes, at the least distortion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sid.arrays import Codes, check_codes, chunks
from sid.dedupe import costs as asking
from sid.dedupe.costs import After, Costs, Doubles, parents, slices
from sid.dedupe.groups import Groups, RowNumbers
from sid.dedupe.matching import Integers, match
from sid.dedupe.matching_many import match_many
from sid.dedupe.occupancy import Beside, beside
from sid.dedupe.work import Work
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.errors import InputError
from sid.ids import sid_text
from sid.measure.metrics import prefix_ids
from sid.params import Dedupe, check_capacity

Flags = NDArray[np.bool_]

_MATCH = 1 << 26  # costs of one matching, 512 MiB
_FEW = 32  # rows of a prefix up to which prefixes are matched together
_FEW_BYTES = 8 << 20  # of costs of prefixes that are matched together: they stay in the cache
_NAMED = 3  # prefixes in a message
_CANDIDATES = 16  # prefixes an item remembers while prefixes spill


def resolve(work: Work, wanted: Dedupe) -> tuple[Codes, tuple[int, ...]]:
    """The strategy as `strategies.STRATEGIES` has it: `reassign` of codes (n, L), at the quantizer's costs."""
    after = reassign(
        work.codes,
        work.costs,
        max_items_per_sid=wanted.max_items_per_sid,
        move=wanted.move,
        taken=work.raw_taken,
        popularity=work.popularity,
        engine=work.engine,
    )
    return after, work.costs.code_sizes


def reassign(
    codes: Codes,
    costs: Costs,
    *,
    max_items_per_sid: int = 1,
    move: Literal["colliding", "any"] = "colliding",
    taken: Codes | None = None,
    popularity: Integers | None = None,
    engine: Engine = LOCAL,
) -> Codes:
    """Move items to free codes so that no Semantic ID has more than `max_items_per_sid` items.

    Within a prefix (all levels but the last) that has a collision, the items that may move are matched to the
    places at last-level codes that the others leave, at the least total cost (`matching.match`). A prefix with more
    items than places first sends those that lose least to the nearest prefixes with room, under as long a common
    prefix as room allows.

    Args:
        codes: (N, L).
        costs: squared distances, asked for the rows that may move alone.
        max_items_per_sid: items that may share a Semantic ID, at least 1; a collision is a group of more.
        move: `colliding`: only items of a collision may move; `any`: all items of a prefix with a collision may,
            which costs a little less and moves more items.
        taken: (t, L) codes that others hold and keep, whatever collides.
        popularity: (N,) interactions with each item: of each group of equal codes the most popular items keep them,
            as far as they aren't taken. None: no item has a right to stay, the least total cost decides.
        engine: matches the items of prefixes to codes, many prefixes at once. It changes no code.

    Returns:
        (N, L) int32 new codes; equal rows are separated like any others. Memory grows with N by a few numbers a row
        beside at most 512 MiB for a matching: a prefix with more items times codes is matched in parts, each at the
        least cost that the parts before it leave.

    Raises:
        InputError: N is larger than the number of different codes times `max_items_per_sid`, less what is taken.
    """
    sizes = costs.code_sizes
    codes = check_codes(codes, sizes, "codes")
    after = codes.copy()
    if taken is None or not len(taken):
        check_capacity(len(codes), sizes, max_items_per_sid)
        near = Beside(codes[:0], np.arange(len(codes)), 0)
    else:
        near = beside(check_codes(taken, sizes, "taken codes"), codes, sizes, max_items_per_sid)
        _check_room(codes, near, taken, sizes, max_items_per_sid)
        costs = After(costs, len(near.taken), near.rows)
    after[near.rows] = _settled(
        codes[near.rows], near.taken, costs, max_items_per_sid, move, popularity, near.rows, engine
    )
    return after


def _settled(
    codes: Codes,
    held: Codes,
    costs: Costs,
    limit: int,
    move: Literal["colliding", "any"],
    popularity: Integers | None,
    rows: RowNumbers,
    engine: Engine,
) -> Codes:
    """New codes of rows beside `held` ones, which are rows before them to `costs`."""
    every = np.concatenate([held, codes])
    ids = prefix_ids(every)
    colliding = _above(ids[-1], limit)
    if not colliding.any():
        return codes
    movable = colliding.copy() if move == "colliding" else np.ones(len(every), bool)
    movable[: len(held)] = False
    if popularity is not None:
        keepers = len(held) + _keepers(codes, held, limit, popularity[rows])
        movable[keepers[colliding[keepers]]] = False
    work = _Work(every, costs)
    for level in range(every.shape[1] - 1):
        capacity = math.prod(costs.code_sizes[level + 1 :]) * limit
        if np.bincount(ids[level]).max() > capacity:
            _spill(work, movable, level, capacity)
            ids = prefix_ids(every)
    _match_last_level(work, movable, limit, ids, engine)
    return every[len(held) :]


def _check_room(codes: Codes, near: Beside, taken: Codes, sizes: Sequence[int], limit: int) -> None:
    """Raise InputError where the places that are left don't suffice, naming the prefixes that most want them."""
    places = math.prod(sizes) * limit
    if len(codes) <= places - near.places:
        return
    prefixes = Groups.of(parents(codes, codes.shape[1] - 1))
    fullest = (-prefixes.sizes).argsort(kind="stable")[:_NAMED].tolist()
    named = []
    for group in fullest:
        prefix = codes[prefixes.rows[prefixes.starts[group]], :-1]
        held = np.bincount(taken[(taken[:, :-1] == prefix).all(axis=1), -1], minlength=sizes[-1])
        left = int((limit - np.minimum(held, limit)).sum())
        named.append(f"{sid_text(prefix.tolist()) or 'all'} {prefixes.sizes[group]} items, {left} free places")
    raise InputError(
        f"dedupe.strategy reassign: {len(codes)} new items, but {places - near.places} free places of {places} "
        f"({near.places} are taken by published or reserved Semantic IDs); most wanted: {'; '.join(named)}; free the "
        "places of retired items (release.retired), let items share (dedupe.max_items_per_sid), or refresh with more "
        "or larger levels (release.mode)"
    )


def _keepers(codes: Codes, held: Codes, limit: int, popularity: Integers) -> RowNumbers:
    """The rows that keep their codes: of each group the most popular, as many as there is room for beside `held`."""
    keys = prefix_ids(np.concatenate([held, codes]))[-1]
    ours = keys[len(held) :]
    room = limit - np.bincount(keys[: len(held)], minlength=int(keys.max()) + 1)
    order = np.argsort(-popularity, kind="stable")
    keeps: RowNumbers = order[Groups.of(ours[order]).places() < room[ours[order]]]
    return keeps


@dataclass(frozen=True)
class _Work:
    """The codes, changed in place, and what the next code of a row costs."""

    codes: Codes
    costs: Costs

    def at(self, rows: RowNumbers, level: int) -> NDArray[np.float64]:
        """(n, K) costs of some rows' codes at a level, behind the codes that they have before it."""
        return self.costs(rows, self.codes[rows, :level])

    def encode_below(self, rows: RowNumbers, level: int) -> None:
        """Give rows the cheapest codes from `level` on, after an earlier code of theirs has changed."""
        for below in range(level, len(self.costs.code_sizes)):
            for part in slices(len(rows), self.costs.code_sizes[below]):
                self.codes[rows[part], below] = self.at(rows[part], below).argmin(axis=1)


def _spill(work: _Work, movable: Flags, level: int, capacity: int) -> None:
    """Change codes at `level` (and below) until no prefix of level + 1 codes has more than `capacity` items."""
    size = work.costs.code_sizes[level]
    for rows in Groups.of(parents(work.codes, level)).larger_than(capacity):
        counts = np.bincount(work.codes[rows, level], minlength=size)
        if counts.max() <= capacity:
            continue
        crowd = rows[movable[rows] & (counts[work.codes[rows, level]] > capacity)]
        moved = _evict(work, crowd, level, counts, capacity)
        gone = moved >= 0
        work.codes[crowd[gone], level] = moved[gone]
        work.encode_below(crowd[gone], level + 1)


def _evict(work: _Work, crowd: RowNumbers, level: int, counts: Integers, capacity: int) -> Integers:
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
        """Find the nearest codes with room once more, at most `width`, for (n,) items of the crowd."""
        is_open = np.flatnonzero(counts < capacity)
        kept = min(width, len(is_open))
        for part in slices(len(items), len(counts)):
            some = items[part]
            cost = work.at(crowd[some], level)
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


def _match_last_level(work: _Work, movable: Flags, limit: int, ids: Sequence[RowNumbers], engine: Engine) -> None:
    """In each prefix with a collision, match movable items to places at last-level codes that no fixed item holds.

    Args:
        ids: `prefix_ids` of the codes.
    """
    last = len(work.costs.code_sizes) - 1
    size = work.costs.code_sizes[last]
    parent = ids[-2] if last else np.zeros(len(work.codes), np.int64)
    busy = np.zeros(int(parent.max()) + 1, bool)
    busy[parent[_above(ids[-1], limit)]] = True
    inside = np.flatnonzero(busy[parent])
    number = (np.cumsum(busy) - 1)[parent[inside]]
    moving = _Prefixes.of(inside[movable[inside]], number[movable[inside]], int(busy.sum()))
    fixed = _Prefixes.of(inside[~movable[inside]], number[~movable[inside]], int(busy.sum()))
    few = moving.sizes <= (_FEW if limit == 1 else 1)
    matching = _Matching(work.costs, limit)

    def asked(batches: list[Integers]) -> Iterator[_Asked]:
        return (_Asked.of(work.codes, moving, fixed, some, size) for some in batches)

    small = [
        alike[part]
        for n in np.unique(moving.sizes[few & (moving.sizes > 0)]).tolist()
        for alike in (np.flatnonzero(few & (moving.sizes == n)),)
        for part in chunks(len(alike), 8 * n * size, min(_FEW_BYTES, asking.BATCH_BYTES))
    ]
    large = _batches(np.flatnonzero(~few), moving.sizes, 8 * size)
    most = 32 * size * min(_MATCH // size, max((int(moving.sizes[some].sum()) for some in large), default=0))
    with tqdm(desc="dedupe", total=int((moving.sizes > 0).sum()), unit="prefix", disable=None) as bar:
        alike = engine.each(matching.alike, asked(small), 8 * _FEW_BYTES)
        others = engine.map(matching.one_by_one, asked(large), most)
        for some, (rows, chosen) in zip([*small, *large], chain(alike, others), strict=True):
            work.codes[rows, last] = chosen
            bar.update(len(some))


def _batches(prefixes: Integers, sizes: RowNumbers, row_bytes: int) -> list[Integers]:
    """Prefixes in batches of bounded costs, in their order; a larger one is a batch of its own."""
    batches: list[list[int]] = []
    held = 0
    for prefix in prefixes.tolist():
        took = int(sizes[prefix]) * row_bytes
        if not batches or held + took > asking.BATCH_BYTES:
            batches.append([])
            held = 0
        batches[-1].append(prefix)
        held += took
    return [np.array(batch) for batch in batches]


@dataclass(frozen=True)
class _Asked:
    """Some prefixes to match: all that is to be known of them, so that they can be matched elsewhere."""

    rows: RowNumbers  # (n,) that may move, one prefix after the other
    codes: Codes  # (n, L) theirs now
    starts: RowNumbers  # (P + 1,) where each prefix's rows start
    held: Integers  # (P, K) how many items stay at each last-level code

    @classmethod
    def of(cls, codes: Codes, moving: _Prefixes, fixed: _Prefixes, some: Integers, size: int) -> _Asked:
        """The prefixes of these numbers."""
        rows, _ = moving.together(some)
        others, place = fixed.together(some)
        held = np.bincount(place * size + codes[others, -1], minlength=len(some) * size).reshape(-1, size)
        return cls(rows, codes[rows], np.r_[0, np.cumsum(moving.sizes[some])], held)


@dataclass(frozen=True)
class _Matching:
    """Matches rows to last-level codes with room: rows (n,) and their new codes (n,)."""

    costs: Costs
    limit: int

    def alike(self, asked: _Asked) -> tuple[RowNumbers, Integers]:
        """Of prefixes with as many rows each, where a code has room for one of them."""
        prefixes, size = asked.held.shape
        cost = self.costs(asked.rows, asked.codes[:, :-1]).reshape(prefixes, -1, size)
        np.copyto(cost, np.inf, where=(asked.held >= self.limit)[:, None, :])
        chosen = match_many(cost, asked.codes[:, -1].astype(np.int64).reshape(prefixes, -1))
        return asked.rows, chosen.ravel()

    def one_by_one(self, asked: _Asked) -> tuple[RowNumbers, Integers]:
        """Of any prefixes; one whose costs are too many is matched in parts."""
        size = asked.held.shape[1]
        chosen = np.empty(len(asked.rows), np.int64)
        step = max(1, _MATCH // size)
        cost = self._costs(asked, slice(0, len(asked.rows))) if len(asked.rows) <= step else None
        for room, start, stop in zip(self.limit - asked.held, asked.starts, asked.starts[1:], strict=False):
            for part in (slice(first, min(first + step, stop)) for first in range(start, stop, step)):
                own = self._costs(asked, part) if cost is None else cost[part]
                chosen[part] = match(own, room, asked.codes[part, -1].astype(np.int64))
                room = room - np.bincount(chosen[part], minlength=size)
        return asked.rows, chosen

    def _costs(self, asked: _Asked, part: slice) -> Doubles:
        return self.costs(asked.rows[part], asked.codes[part, :-1])


@dataclass(frozen=True)
class _Prefixes:
    """Rows by the prefix that they are in, prefixes without a row among them."""

    rows: RowNumbers
    starts: RowNumbers  # (P + 1,)

    @classmethod
    def of(cls, rows: RowNumbers, numbers: RowNumbers, count: int) -> _Prefixes:
        """Rows and their prefixes' numbers 0..count-1."""
        sizes = np.bincount(numbers, minlength=count)
        return cls(rows[Groups.of(numbers).rows], np.r_[0, np.cumsum(sizes)])

    @property
    def sizes(self) -> RowNumbers:
        """(P,) rows in each prefix."""
        return np.diff(self.starts)

    def together(self, some: Integers) -> tuple[RowNumbers, RowNumbers]:
        """The rows of some prefixes, one prefix after the other, and the place in `some` of each row's prefix."""
        starts, lengths = self.starts[some], self.starts[some + 1] - self.starts[some]
        place = np.repeat(np.arange(len(some)), lengths)
        ahead = np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self.rows[starts[place] + np.arange(len(place)) - ahead], place


def _above(ids: RowNumbers, limit: int) -> Flags:
    """Which rows (N,) of dense ids are of an id that more than `limit` rows have."""
    above: Flags = (np.bincount(ids) > limit)[ids]
    return above
