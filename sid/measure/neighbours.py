"""Exact nearest neighbours of some items among all, and how much of them codes keep.

A float32 matrix product proposes; whatever its rounding can't rule out is settled in float64. Equal rows are searched
once, so that a catalogue of copies isn't slower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sid.arrays import Codes, Rows, Vectors, chunks, parts, rows_of
from sid.catalogue.duplicates import first_equal
from sid.engine.base import Engine
from sid.engine.local import LOCAL

NEIGHBOURS = 10
ALL_QUERIES = 5000  # up to so many items, each of them is a query
SOME_QUERIES = 2000  # drawn from more, up to 2,000,000 items
FEW_QUERIES = 500  # the least that are drawn

_SEED = 0
_PAIRS = 4_000_000_000  # of queries and items, beyond which fewer queries are drawn
_SAMPLE = 8192  # points that give a first bound on each query's distances
_POINTS, _QUERIES = 4096, 512  # scores of one block, 8 MiB
_PART_BYTES = 256 << 20  # of a part of the points, beside the queries
_PROPOSED = 1 << 22  # proposals that are held before they are settled

RowNumbers = NDArray[np.int64]
Doubles = NDArray[np.float64]
Read = Callable[[RowNumbers], Vectors]


@dataclass(frozen=True)
class Neighbours:
    """Some items' nearest other items.

    Attributes:
        queries: (Q,) row numbers, ascending.
        rows: (Q, k) row numbers of each query's neighbours, nearest first, items at one distance in row order.
    """

    queries: RowNumbers
    rows: RowNumbers


def query_rows(count: int) -> RowNumbers:
    """The items whose neighbours are looked up: all up to ALL_QUERIES of them, else `query_count` of them, drawn with a
    fixed seed; ascending."""
    if count <= ALL_QUERIES:
        return np.arange(count)
    return np.sort(np.random.default_rng(_SEED).choice(count, query_count(count), replace=False))


def query_count(count: int) -> int:
    """How many of so many items are queries: the time of a search must not grow with them without end."""
    return count if count <= ALL_QUERIES else min(SOME_QUERIES, max(FEW_QUERIES, _PAIRS // count))


def search(vectors: Vectors | Rows, engine: Engine = LOCAL) -> Neighbours:
    """The NEIGHBOURS nearest rows of each of `query_rows`, by squared Euclidean distance, the query left out.

    Args:
        vectors: (N, D) float32, finite, N >= 1; may be a memory map, read in chunks. Fewer rows than NEIGHBOURS + 1
            give N - 1 neighbours each.
        engine: runs the pass over the rows.
    """
    all_rows = rows_of(vectors)
    count = len(all_rows)
    queries, kept = query_rows(count), min(NEIGHBOURS, count - 1)
    members, points = _distinct(first_equal(all_rows, np.arange(count)))
    order = np.argsort(members, kind="stable")
    ends = np.cumsum(np.bincount(members))
    found, distances = _nearest(_Points(all_rows, points), len(points), all_rows.take(queries), kept + 1, engine=engine)
    rows = np.empty((len(queries), kept), np.int64)
    for place, query in enumerate(queries.tolist()):
        near = [order[ends[point - 1] if point else 0 : ends[point]][: kept + 1] for point in found[place].tolist()]
        every = np.concatenate(near)
        apart = np.repeat(distances[place], [len(part) for part in near])
        ranked = every[np.lexsort((every, apart))]
        rows[place] = ranked[ranked != query][:kept]
    return Neighbours(queries, rows)


def _distinct(first: RowNumbers) -> tuple[RowNumbers, RowNumbers]:
    """Of `first_equal` of all rows (N,), the dense number of each row's value, and the first row of each value."""
    own = first == np.arange(len(first))
    return (np.cumsum(own) - 1)[first], np.flatnonzero(own)


@dataclass(frozen=True)
class _Points:
    """(n,) point numbers -> those of some rows."""

    rows: Rows
    points: RowNumbers

    def __call__(self, numbers: RowNumbers) -> Vectors:
        """(n, D)."""
        return self.rows.take(self.points[numbers])


def purity(near: Neighbours, ids: RowNumbers) -> float:
    """The share of the neighbours whose prefix is the query's, from dense ids (N,) of `metrics.prefix_ids`; 0..1."""
    if near.rows.size == 0:
        return 0.0
    return float((ids[near.rows] == ids[near.queries][:, None]).mean())


def recall(
    near: Neighbours, codes: Codes, ids: RowNumbers, decode: Callable[[Codes], Vectors], engine: Engine = LOCAL
) -> float:
    """The share of the neighbours that are found again among as many nearest items by decoded codes; 0..1.

    Args:
        near: the neighbours in the input space.
        codes: (N, L) what `decode` takes.
        ids: (N,) dense ids of the codes, the last of `metrics.prefix_ids`.
        decode: (n, L) codes -> (n, D) vectors.
        engine: runs the pass over the codes.

    Items of the same codes can't be ranked: where only some of them have room in the list, each counts with its
    chance of being among them. Different codes at one distance rank in their lexicographic order.
    """
    if near.rows.size == 0:
        return 0.0
    kept = near.rows.shape[1]
    sizes = np.bincount(ids)
    sample = np.empty(len(sizes), np.int64)  # of each code tuple, an item that has it
    sample[ids[::-1]] = np.arange(len(ids))[::-1]
    own = ids[near.queries]
    read = _Decoded(decode, codes[sample])
    found, _ = _nearest(read, len(sizes), decode(codes[near.queries]), kept + 1, own, engine)
    held = sizes[found] - (found == own[:, None])  # (Q, kept + 1)
    room = kept - (np.cumsum(held, axis=1) - held)
    chance = np.clip(room / np.maximum(held, 1), 0, 1)
    hits = (ids[near.rows][:, :, None] == found[:, None, :]) * chance[:, None, :]
    return float(hits.sum() / near.rows.size)


@dataclass(frozen=True)
class _Decoded:
    """(n,) point numbers -> what their codes (U, L) decode to."""

    decode: Callable[[Codes], Vectors]
    codes: Codes

    def __call__(self, numbers: RowNumbers) -> Vectors:
        """(n, D)."""
        return self.decode(self.codes[numbers])


def _nearest(
    read: Read,
    count: int,
    queries: Vectors,
    kept: int,
    first: RowNumbers | None = None,
    engine: Engine = LOCAL,
) -> tuple[RowNumbers, Doubles]:
    """The `kept` nearest of `count` points to each query, ties to the lower point.

    Args:
        read: (n,) point numbers -> (n, D) points.
        queries: (Q, D).
        first: (Q,) a point that is first whatever rounding makes of its distance: the query's own.
        engine: runs the pass over the points.

    Returns:
        (Q, kept) points and their squared distances; with fewer points, fewer columns.
    """
    kept = min(kept, count)
    scores = _Scores(read(np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))), queries, kept)
    work = _Search(read, queries, kept, scores, first)
    best = _Best(queries, kept, read, scores, first)
    slices = parts(count)
    found = engine.map(work, slices, _PART_BYTES + 8 * queries.nbytes)
    for one in tqdm(found, "neighbours", len(slices), unit="part", disable=None):
        best.merge(*one)
    return best.result()


@dataclass(frozen=True)
class _Search:
    """Slices of points -> the nearest of them to some queries: queries, points and squared distances, (m,) each.

    What one part teaches `scores` about the distances makes the next parts faster, and changes no result.
    """

    read: Read
    queries: Vectors
    kept: int
    scores: _Scores
    first: RowNumbers | None

    def __call__(self, points: slice) -> tuple[RowNumbers, RowNumbers, Doubles]:
        best = _Best(self.queries, self.kept, self.read, self.scores, self.first)
        for start in range(points.start, points.stop, _POINTS):
            part = np.arange(start, min(start + _POINTS, points.stop))
            columns, half = self.scores.columns(self.read(part))
            for block in range(0, len(self.queries), _QUERIES):
                query, point, value = self.scores.proposals(slice(block, block + _QUERIES), columns, half)
                best.add(query, part[point], value)
        return best.found()


class _Scores:
    """q.x - |x|^2 / 2 in float32 about a centre and in a unit that suit the points: the largest is the nearest.

    `floor` (Q,) is what a point must reach, by its computed score, to be among the `kept` nearest.
    """

    def __init__(self, sample: Vectors, queries: Vectors, kept: int) -> None:
        # The median is no outlier's: far from the points' centre, float32 would lose their differences.
        self._origin = np.median(sample, axis=0).astype(np.float32)
        spread = float(np.sqrt(np.mean((sample.astype(np.float64) - self._origin) ** 2)))
        self._unit = np.float32(1 / spread) if spread > 1e-30 else np.float32(1)
        self._make_room()
        with np.errstate(over="ignore", invalid="ignore"):
            self._queries = (queries - self._origin) * self._unit
            self._norms = np.sqrt((self._queries.astype(np.float64) ** 2).sum(axis=1))
        self.slack = np.zeros(len(queries))
        self.floor = np.full(len(queries), -np.inf, np.float32)
        columns, half = self.columns(sample)
        if len(sample) >= kept:
            for block in range(0, len(queries), _QUERIES):
                part = slice(block, block + _QUERIES)
                with np.errstate(over="ignore", invalid="ignore"):
                    values = self._queries[part] @ columns - half
                self.raise_floor(part, -np.partition(-values, kept - 1, axis=1)[:, kept - 1])

    def __getstate__(self) -> dict[str, Any]:
        """Without what is only written to."""
        return {name: value for name, value in vars(self).items() if name not in ("_values", "_below")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """With floors of its own, that rise."""
        vars(self).update(state)
        self.floor, self.slack = self.floor.copy(), self.slack.copy()
        self._make_room()

    def _make_room(self) -> None:
        self._values = np.empty(_QUERIES * _POINTS, np.float32)  # written again for every block
        self._below = np.empty(_QUERIES * _POINTS, bool)

    def columns(self, points: Vectors) -> tuple[Vectors, Vectors]:
        """(n, D) points moved into the unit, as (D, n), which multiplies fastest; half their squared norms (n,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            moved = (points - self._origin) * self._unit
            half = ((moved.astype(np.float64) ** 2).sum(axis=1) / 2).astype(np.float32)
        return np.ascontiguousarray(moved.T), half

    def raise_floor(self, part: slice | RowNumbers, reached: NDArray[np.floating]) -> None:
        """Note the score that `kept` points of some queries reach; what rounding could hide stays above the floor.

        A sum of D products errs by at most (D + 3) u of the products' absolute sum, for a point as near as this by
        less than |q| r, r = |q| + its distance; moving points and queries errs by as much again.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            norms = self._norms[part]
            wide = reached.astype(np.float64)
            reach = 2 * norms + np.sqrt(np.maximum(norms**2 - 2 * wide, 0))
            self.slack[part] = 4 * (self._queries.shape[1] + 8) * 2.0**-24 * reach**2
            found = np.nextafter((wide - self.slack[part]).astype(np.float32), np.float32(-np.inf))
        self.floor[part] = np.fmax(self.floor[part], np.where(np.isfinite(reached), found, -np.inf))

    def proposals(
        self, part: slice, columns: Vectors, half: Vectors
    ) -> tuple[RowNumbers, RowNumbers, NDArray[np.float32]]:
        """Queries (m,), points (m,) and scores (m,) of a block that aren't below the floor."""
        queries = self._queries[part]
        size = len(queries) * len(half)
        values = self._values[:size].reshape(len(queries), len(half))
        below = self._below[:size].reshape(values.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            np.matmul(queries, columns, out=values)
            values -= half
            np.less(values, self.floor[part, None], out=below)
        # 'not below' keeps what overflowed to NaN: float64 settles it
        hits = np.flatnonzero(np.logical_not(below, out=below))
        query, point = np.divmod(hits, len(half))
        return query + part.start, point, values.reshape(-1)[hits]


class _Best:
    """The nearest points so far of each query, and proposals that wait to be compared with them."""

    def __init__(self, queries: Vectors, kept: int, read: Read, scores: _Scores, first: RowNumbers | None) -> None:
        self._queries, self._kept, self._read, self._scores, self._first = queries, kept, read, scores, first
        self._waiting: list[tuple[RowNumbers, RowNumbers, NDArray[np.float32]]] = []
        self._held = 0
        self._query = self._point = np.zeros(0, np.int64)
        self._distance = np.zeros(0)

    def add(self, query: RowNumbers, point: RowNumbers, score: NDArray[np.float32]) -> None:
        """Propose pairs of a query and a point."""
        self._waiting.append((query, point, score))
        self._held += len(query)
        if self._held > _PROPOSED:
            self._settle()

    def found(self) -> tuple[RowNumbers, RowNumbers, Doubles]:
        """Queries, points and squared distances, (m,) each: up to `kept` for each query, nearest first."""
        self._settle()
        return self._query, self._point, self._distance

    def result(self) -> tuple[RowNumbers, Doubles]:
        """(Q, kept) points, nearest first, and their squared distances."""
        self._settle()
        shape = (len(self._queries), self._kept)
        return self._point.reshape(shape), np.maximum(self._distance, 0).reshape(shape)

    def _settle(self) -> None:
        """Compare what waits in float64 and keep the nearest of each query."""
        if not self._waiting:
            return
        query, point, score = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting, self._held = [], 0
        query, point = self._prune(query, point, score)
        distance = np.empty(len(query))
        for part in chunks(len(query), 32 * self._queries.shape[1]):
            apart = self._read(point[part]).astype(np.float64) - self._queries[query[part]]
            distance[part] = (apart * apart).sum(axis=1)
        if self._first is not None:
            distance[point == self._first[query]] = -1
        self.merge(query, point, distance)

    def merge(self, query: RowNumbers, point: RowNumbers, distance: Doubles) -> None:
        """Keep the nearest of each query among those so far and others, (m,) each."""
        query = np.concatenate([self._query, query])
        point = np.concatenate([self._point, point])
        distance = np.concatenate([self._distance, distance])
        order = np.lexsort((point, distance, query))
        order = order[_rank(query[order]) < self._kept]
        self._query, self._point, self._distance = query[order], point[order], distance[order]

    def _prune(self, query: RowNumbers, point: RowNumbers, score: NDArray[np.float32]) -> tuple[RowNumbers, RowNumbers]:
        """Leave out what rounding can't bring among the nearest."""
        score = np.where(np.isnan(score), np.float32(np.inf), score)
        order = np.lexsort((-score, query))
        query, point, score = query[order], point[order], score[order]
        last = _rank(query) == self._kept - 1
        self._scores.raise_floor(query[last], score[last])
        near = ~(score < self._scores.floor[query])
        return query[near], point[near]


def _rank(sorted_keys: RowNumbers) -> RowNumbers:
    """(n,) sorted -> (n,) the place of each within the run of its equals, from 0."""
    places = np.arange(len(sorted_keys))
    starts = np.r_[True, sorted_keys[1:] != sorted_keys[:-1]] if len(sorted_keys) else np.zeros(0, bool)
    return places - np.maximum.accumulate(np.where(starts, places, 0))
