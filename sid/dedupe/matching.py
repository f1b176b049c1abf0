"""Rows matched to codes that have room for a few rows each, at the least total cost: a transport problem."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sid.dedupe.costs import Doubles, slices
from sid.dedupe.groups import Groups, RowNumbers

Integers = NDArray[np.int64]

_SMALL = 1 << 25  # rows x rows x places up to which rows are matched to single places, which is cubic but starts fast
_SAME = 1e-12  # costs that differ by less than this share of the largest are the same but for rounding
# Temperatures at which prices are found, as shares of the spread of costs: from hot to cold, each _FALL of the one
# before. While it is hot a sample of the rows is enough.
_HOT, _WARM, _COLD, _FALL = 1.0, 0.05, 0.003, 0.3
_SAMPLE = 32  # rows per code
_STEPS = 12  # most Newton steps at a temperature
_CLOSE = 1e-2  # share of the rows at the wrong code at which they stop
_REACH = 60.0  # most temperatures that a step moves a price
_FAINT = -60.0  # logarithm of a share that is nothing


def match(cost: Doubles, room: Integers, held: Integers) -> Integers:
    """New codes (n,) at the least total cost; of equal totals, one that leaves more rows where they are.

    The total is the least but for rounding: within n times 1e-12 of the largest cost.

    Args:
        cost: (n, K) of each row at each code, finite.
        room: (K,) rows that each code can take, n in all at least.
        held: (n,) codes now.
    """
    room = np.minimum(room, len(cost))
    if room.max() <= 1 or len(cost) ** 2 * int(room.sum()) <= _SMALL:
        places = np.repeat(np.arange(len(room)), room)
        chosen: Integers = places[linear_sum_assignment(cost[:, places])[1]]
    else:
        open_ = np.flatnonzero(room)
        chosen = open_[transport(cost if len(open_) == len(room) else cost[:, open_], room[open_])]
    settle(cost, held, chosen)
    return chosen


def transport(cost: Doubles, room: Integers) -> Integers:
    """(n,) codes of least total cost for (n, K) costs, within (K,) room of at least 1 each and n in all."""
    graph = _Graph(cost, room, _prices(cost, room))
    while (graph.excess > 0).any():
        graph.advance()
    return graph.labels


def _prices(cost: Doubles, room: Integers) -> Doubles:
    """(K,) prices near the best, by Newton steps on the entropic dual in a falling temperature.

    The first are those at which all codes are alike to the mean row, but for codes that can stay empty.
    """
    n, k = cost.shape
    mean = cost.mean(axis=0)
    order = mean.argsort(kind="stable")[::-1]
    empty = int(np.searchsorted(room[order].cumsum(), room.sum() - n))
    prices: Doubles = np.maximum(-mean, -mean[order[min(empty, k - 1)]])
    sample = cost[np.random.default_rng(0).choice(n, _SAMPLE * k, replace=False)] if n > _SAMPLE * k else cost
    spread = float(np.abs(sample - mean - (sample - mean).mean(axis=1)[:, None]).mean())
    if spread <= _SAME * float(np.abs(cost).max()):
        return prices
    share = _HOT
    while share >= _COLD:
        some = sample if share > _WARM else cost
        prices = _newton(some, room * (len(some) / n), prices, share * spread)
        share *= _FALL
    return prices


def _newton(cost: Doubles, room: Doubles, prices: Doubles, heat: float) -> Doubles:
    """Prices (K,) near the maximum of the dual at one temperature; damping grows where a step would lower it."""
    dual = _dual(cost, room, prices, heat)
    ridge = 1e-3
    for _ in range(_STEPS):
        if np.abs(dual.gradient).sum() <= 2 * _CLOSE * len(cost):
            break
        damping = ridge * np.maximum(room, room + dual.gradient)
        step = np.linalg.solve(dual.curvature + np.diag(damping), dual.gradient)  # in temperatures
        trial = prices + heat * step * min(1.0, _REACH / float(np.abs(step).max()))
        ahead = _dual(cost, room, trial, heat)
        if ahead.value >= dual.value:
            prices, dual, ridge = trial, ahead, ridge / 10
        else:
            ridge *= 30
    return prices


@dataclass(frozen=True)
class _Dual:
    """The entropic dual at some prices, in units of the temperature."""

    value: float
    gradient: Doubles  # (K,) rows and blanks that each code gets, less its room
    curvature: Doubles  # (K, K), positive semidefinite


def _dual(cost: Doubles, room: Doubles, prices: Doubles, heat: float) -> _Dual:
    """One pass over the rows (Cuturi, Sinkhorn Distances, NeurIPS 2013).

    At temperature h each row is shared out by softmax(-(cost + price) / h). So is the room that will be left over, as
    blanks of cost 0.
    """
    n, k = cost.shape
    spare = float(room.sum()) - n
    logits = -prices / heat
    blank = np.exp(logits - logits.max())
    value = -spare * float(logits.max() + np.log(blank.sum())) - float(room @ prices) / heat
    blank /= blank.sum()
    supply = spare * blank
    shared = spare * np.outer(blank, blank)
    for part in slices(n, 8 * k):
        logits = (cost[part] + prices) / -heat  # (rows, K)
        top = logits.max(axis=1)
        shares = np.exp(np.maximum(logits - top[:, None], _FAINT).astype(np.float32))
        total = shares.sum(axis=1)
        value -= float((top + np.log(total)).sum())
        shares /= total[:, None]
        shares[shares < 1e-12] = 0  # products near float32's least take a processor many times as long
        supply += shares.sum(axis=0)
        shared += shares.T @ shares
    return _Dual(value, supply - room, np.diag(supply) - shared)


class _Graph:
    """Codes, and the least cost at which a row of one moves to another.

    The problem's dual has a price for each code: at the right prices every row takes the code where cost plus price is
    least. From any prices, rows take those codes; codes with more rows than room then send rows on along shortest
    paths to codes with fewer (successive shortest paths: Ahuja, Magnanti & Orlin, Network Flows, 1993, 9.7, on K nodes
    in place of n + K: edge a -> b is the cheapest row of a). Room that will be left over is held by blanks, which cost
    nothing anywhere, so that in the end each code is exactly full.

    The nearer the prices are to the best, the fewer rows are left to move.
    """

    def __init__(self, cost: Doubles, room: Integers, prices: Doubles) -> None:
        k = len(room)
        self.cost = cost
        self.prices = prices - prices.min()
        self.same = _SAME * float(np.abs(cost).max())
        self.labels = np.empty(len(cost), np.int64)
        for part in slices(len(cost), k):
            self.labels[part] = (cost[part] + self.prices).argmin(axis=1)
        groups = Groups.of(
            np.append(self.labels, np.arange(k))
        )  # with a last row of each code, so that none is missing
        self.rows = [groups[code][:-1] for code in range(k)]
        counts = groups.sizes - 1
        self.blanks = self._placed(room - counts, int(room.sum()) - len(cost))
        self.excess: Integers = counts + self.blanks - room
        self.edges = np.empty((k, k))
        for code in range(k):
            self._update(code)

    def _placed(self, lack: Integers, spare: int) -> Integers:
        """(K,) blanks, `spare` in all: at the cheapest codes, where they fill what those lack first."""
        cheapest = np.flatnonzero(self.prices <= self.same)
        filled = np.minimum(np.maximum(lack[cheapest], 0).cumsum(), spare)
        blanks = np.zeros(len(lack), np.int64)
        blanks[cheapest] = np.diff(filled, prepend=0)
        blanks[cheapest[0]] += spare - filled[-1]
        return blanks

    def _update(self, a: int) -> None:
        """The edges from a code, by the rows and blanks that it has now."""
        self.edges[a] = 0.0 if self.blanks[a] else np.inf
        self._offer(a, self.rows[a])

    def _offer(self, a: int, rows: RowNumbers) -> None:
        """Lower the edges from a code to what these rows of it ask for."""
        if len(rows):
            some = self.cost[rows]
            np.minimum(self.edges[a], (some - some[:, a, None]).min(axis=0), out=self.edges[a])
        self.edges[a, a] = np.inf

    def advance(self) -> None:
        """Move rows along shortest paths that share no code, from codes with an excess to codes with a deficit."""
        distance, parent = self._shortest()
        targets = np.flatnonzero(self.excess < 0)
        targets = targets[distance[targets].argsort(kind="stable")]
        touched = np.zeros(len(distance), bool)
        reached = 0.0
        for target in targets.tolist():
            path = [target]
            while parent[path[0]] >= 0:
                path.insert(0, int(parent[path[0]]))
            if len(path) > 1 and not touched[path].any():
                touched[path] = True
                reached = float(distance[target])
                self._push(path)
        self.prices -= np.minimum(distance, reached)

    def _shortest(self) -> tuple[Doubles, Integers]:
        """(K,) least reduced cost from any code with an excess, and the code before on the way (-1 at a start)."""
        distance = np.where(self.excess > 0, 0.0, np.inf)
        parent = np.full(len(distance), -1)
        front = np.flatnonzero(self.excess > 0)
        codes = np.arange(len(distance))
        while len(front):
            reduced = self.edges[front] + self.prices - self.prices[front, None]
            through = distance[front, None] + np.maximum(reduced, 0.0)  # rounding and shares may leave some below 0
            first = through.argmin(axis=0)
            best = through[first, codes]
            better = best < distance
            distance = np.where(better, best, distance)
            parent = np.where(better, front[first], parent)
            front = np.flatnonzero(better)
        return distance, parent

    def _push(self, path: list[int]) -> None:
        """Move as many rows along a path as its start can spare, its end can take and its edges bear."""
        steps = list(pairwise(path))
        amount = int(min(self.excess[path[0]], -self.excess[path[-1]]))
        moving = []
        for a, b in steps:
            rows = self._movable(a, b, amount)
            moving.append(rows)
            amount = min(amount, int(self.blanks[a]) if rows is None else len(rows))
        self.excess[path[0]] -= amount
        self.excess[path[-1]] += amount
        for (a, b), rows in zip(steps, moving, strict=True):
            if rows is None:
                self.blanks[a] -= amount
                self.blanks[b] += amount
            else:
                rows = rows[:amount]
                self.labels[rows] = b
        for (a, b), rows in zip(steps, moving, strict=True):
            if rows is not None:
                self.rows[a] = self.rows[a][self.labels[self.rows[a]] == a]
                self.rows[b] = np.append(self.rows[b], rows[:amount])
        for a in path[:-1]:
            self._update(a)
        if (rows := moving[-1]) is None:
            self.edges[path[-1]] = np.minimum(self.edges[path[-1]], 0.0)
            self.edges[path[-1], path[-1]] = np.inf
        else:
            self._offer(path[-1], rows[:amount])

    def _movable(self, a: int, b: int, most: int) -> RowNumbers | None:
        """Up to `most` rows of a that move to b at about the edge's cost, the cheapest first; None: blanks do."""
        rows = self.rows[a]
        growth = self.cost[rows, b] - self.cost[rows, a]
        if self.blanks[a] and (not len(rows) or growth.min() >= 0):
            return None
        least = growth.argpartition(most - 1)[:most] if most < len(rows) else np.arange(len(rows))
        least = least[growth[least].argsort(kind="stable")]
        alike = int(np.searchsorted(growth[least], growth[least[0]] + self.same, "right"))
        moving: RowNumbers = rows[least[:alike]]
        return moving


def settle(cost: Doubles, held: Integers, chosen: Integers) -> None:
    """Exchange the codes of two rows wherever one then stays, no more rows move and the total is the same."""
    guests: dict[int, RowNumbers] = {}  # rows at a code that didn't hold it, of the codes looked at so far
    for row in np.flatnonzero(chosen != held).tolist():
        own, new = int(held[row]), int(chosen[row])
        if own == new:
            continue
        if own not in guests:
            guests[own] = ((chosen == own) & (held != own)).nonzero()[0]
        if not len(others := guests[own]):
            continue
        change = cost[row, own] + cost[others, new] - (cost[row, new] + cost[others, own])
        if (free := change <= 0).any():
            other = int(others[free.argmax()])
            chosen[row], chosen[other] = own, new
            guests[own] = others[others != other]
            guests.pop(new, None)
