"""Exact sizes: rows shared out among clusters with a least and a most number of rows each, at least cost."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sid.arrays import parts
from sid.clustering.scores import PART_BYTES, Problem
from sid.engine.threads import in_order, one_thread
from sid.errors import InputError

_LEAST_HELD = 4  # rows of each cluster that are held at the least, whatever the budget
_SLACK = 2  # tolerances that a path may be longer than one by a row that isn't held
_COST_STEPS = 10**9  # the flow's costs are integers: this many steps to the largest
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]


def flow_assign(problem: Problem) -> Tensor:
    """The optimal labels, (N,) int64, by OR-tools' minimum cost flow over all N x K pairs.

    Raises:
        InputError: OR-tools is not installed.
    """
    try:
        solver = import_module("ortools.graph.python.min_cost_flow").SimpleMinCostFlow
    except ImportError as error:
        raise InputError("solver 'exact' needs OR-tools: pip install 'ortools>=9.10'") from error
    n, k, lo, hi = problem.size, problem.clusters, int(problem.lo), int(problem.hi)
    values = problem.scores.part(slice(0, n)).double()  # (N, K)
    regrets = (values.amax(1, keepdim=True) - values).cpu().numpy()
    unit = regrets.max() / _COST_STEPS or 1.0
    costs = np.rint(regrets / unit).astype(np.int64)
    rows, clusters, sink = np.arange(n), n + np.arange(k), n + k
    flow = solver()
    pairs = flow.add_arcs_with_capacity_and_unit_cost(
        np.repeat(rows, k), np.tile(clusters, n), np.ones(n * k, np.int64), costs.ravel()
    )
    # A cluster keeps lo rows and passes up to hi - lo on to the sink.
    flow.add_arcs_with_capacity_and_unit_cost(clusters, np.full(k, sink), np.full(k, hi - lo), np.zeros(k, np.int64))
    flow.set_nodes_supplies(np.arange(n + k + 1), np.r_[np.ones(n), np.full(k, -lo), k * lo - n].astype(np.int64))
    status = flow.solve()
    if status != flow.OPTIMAL:
        raise RuntimeError(f"the flow of {n} rows to {k} clusters of {lo} to {hi} ended with status {status}")
    used = flow.flows(pairs).reshape(n, k)
    return torch.from_numpy(used.argmax(1)).to(problem.scores.device)


def settle(problem: Problem, labels: Tensor, prices: Tensor, tolerance: float, leaving: Tensor | None = None) -> Tensor:
    """Labels within the bounds from labels that are least in distance plus price, by shortest paths over clusters.

    With a tolerance of 0 the result is optimal where the rows that may move fit the budget; rows within `tolerance`
    of a path's cost move along with it, which saves paths and costs at most `tolerance` for each such row.

    Args:
        leaving: (N,) float32, what it costs at these prices at the least if a row moves to another cluster; may be
            overwritten. None: found where it is needed.
    """
    graph = _Graph(problem, labels, prices, tolerance, leaving)
    while (graph.excess > 0).any():
        graph.advance()
    return torch.from_numpy(graph.labels).to(labels.device)


class _Graph:
    """Clusters, and the least cost at which a row of one moves to another; node K is the common sink.

    A cluster passes on to the sink what the bounds allow. Rows beyond that are its excess, rows short of it its
    deficit. Residual edges, potentials and reduced costs are those of successive shortest paths (Ahuja, Magnanti &
    Orlin, Network Flows, 1993, 9.7), on K + 1 nodes in place of N + K + 1: edge a -> b is the cheapest row of a.

    Of each cluster only the rows that lie nearest to leaving it are held, as many as the budget allows, with their
    scores for all clusters; `reach` is what the first row that isn't held would cost. Paths that could be shorter
    by such a row wait until the cluster's rows have been chosen again. What leaving costs a row is made once; from
    then on the rows of a cluster have a lower bound, by how far prices have moved, and only the nearest are made again.
    """

    def __init__(
        self, problem: Problem, labels: Tensor, prices: Tensor, tolerance: float, leaving: Tensor | None
    ) -> None:
        k = problem.clusters
        self.problem = problem
        self.tolerance = tolerance
        self.lo, self.hi, self.sink = int(problem.lo), int(problem.hi), k
        self.labels: Ints = labels.cpu().numpy().copy()
        counts = np.bincount(self.labels, minlength=k)
        self.potential: Floats = np.append(prices.cpu().numpy(), 0.0)
        self._centre_prices()
        self.passed = self._passed(counts)
        self.excess: Ints = np.append(counts - self.passed, self.passed.sum() - problem.size)
        self.costs: Floats = np.full((k + 1, k + 1), np.inf)
        held = max(_LEAST_HELD * k, (problem.budget_mib << 17) // k)  # half the budget, in rows of K float32
        self.most = problem.size if held >= problem.size else held // k
        self.rows: list[Ints] = [np.empty(0, np.int64)] * k
        self.scores: list[Singles] = [np.empty((0, k), np.float32)] * k
        self.reach: Floats = np.full(k, np.inf)
        self.since: Floats = np.tile(self.potential[:k], (k, 1))  # potentials at which a cluster's rows were chosen
        unknown = torch.full((problem.size,), -torch.inf)
        self.leaving: Singles = (unknown if leaving is None else leaving).cpu().numpy()  # at the least
        self.sure = np.zeros(problem.size, bool)  # whose leaving is no bound
        self.fresh = np.zeros(k, bool)
        by_cluster = self.labels.argsort(kind="stable")
        self.members: list[Ints] = np.split(by_cluster, np.cumsum(counts)[:-1])
        self.arrived: list[list[Ints]] = [[] for _ in range(k)]
        self._hold(np.arange(k))
        for node in range(k):
            self._link(node)

    def advance(self) -> None:
        """Moves rows along shortest paths, from nodes with an excess to nodes with a deficit."""
        distance, parent = self._shortest()
        targets = np.flatnonzero(self.excess < 0)
        targets = targets[distance[targets].argsort(kind="stable")]
        limit = self._certain(distance) + _SLACK * self.tolerance
        if distance[targets[0]] > limit.min():
            self._hold(np.flatnonzero(limit < distance[targets[0]]))
            return
        reached = 0.0
        for target in targets[distance[targets] <= limit.min()]:
            path = _trace(parent, int(target))
            while self._open(path, distance):
                reached = distance[target]
                self._push(path)
        self.potential -= np.minimum(distance, reached)
        self.potential -= self.potential[self.sink]
        self.fresh[:] = False

    def _centre_prices(self) -> None:
        """Moves all prices alike, which no label feels, so that as many are positive as clusters must be full."""
        if self.hi > self.lo:
            full = (self.problem.size - self.sink * self.lo) // (self.hi - self.lo)
            prices = np.sort(self.potential[:-1])[::-1]
            self.potential[:-1] -= prices[min(full, self.sink - 1)]

    def _passed(self, counts: Ints) -> Ints:
        """Complementary slackness: a positive price means a full cluster, a negative one a cluster at its least."""
        prices = self.potential[: self.sink]
        free = np.clip(counts, self.lo, self.hi)
        passed: Ints = np.where(prices > 0, self.hi, np.where(prices < 0, self.lo, free))
        return passed

    def _link(self, node: int) -> None:
        """The edges between a cluster and the sink, open while the cluster may pass more, or less, on."""
        self.costs[node, self.sink] = 0.0 if self.passed[node] < self.hi else np.inf
        self.costs[self.sink, node] = 0.0 if self.passed[node] > self.lo else np.inf

    def _hold(self, nodes: Ints) -> None:
        """Chooses which rows of these clusters are held, by what leaving costs at the potentials as they are."""
        owned = {node: self._members(node) for node in nodes.tolist()}
        drift = self._drift()
        for node, rows in owned.items():
            if drift[node] > 0:
                self.leaving[rows] -= np.float32(drift[node])
                self.sure[rows] = False
        many = {node: rows for node, rows in owned.items() if len(rows) > self.most}
        self._look(many)
        for node, rows in owned.items():
            self.rows[node], self.reach[node] = self._nearest(rows) if node in many else (rows, np.inf)
        held_rows = np.concatenate([self.rows[node] for node in owned])
        numbers = torch.from_numpy(held_rows).to(self.problem.scores.device)
        found = [np.empty((0, self.sink), np.float32), *(part.cpu().numpy() for part in self.problem.taken(numbers))]
        lengths = np.cumsum([len(self.rows[node]) for node in owned])
        for node, part in zip(nodes.tolist(), np.split(np.concatenate(found), lengths[:-1]), strict=True):
            self.scores[node] = part
            self.costs[node, : self.sink] = self._least(node, part)
        self.since[nodes] = self.potential[: self.sink]
        self.fresh[nodes] = True

    def _members(self, node: int) -> Ints:
        """The rows of a cluster, ascending: those that it had, and those that came, but for those that left."""
        rows = self.members[node]
        if self.arrived[node]:
            rows = np.unique(np.concatenate([rows, *self.arrived[node]]))
            self.arrived[node] = []
        self.members[node] = rows[self.labels[rows] == node]
        return self.members[node]

    def _nearest(self, rows: Ints) -> tuple[Ints, float]:
        """The rows of a cluster to be held, those that leave at the least cost first, and what the next one costs."""
        costs = self.leaving[rows]
        near = costs.argpartition(self.most)[: self.most + 1]
        near = near[np.lexsort((near, costs[near]))]
        return rows[near[:-1]], float(costs[near[-1]])

    def _look(self, owned: dict[int, Ints]) -> None:
        """Makes what leaving costs, at the potentials as they are, for the rows of these clusters that may be held."""
        doubtful = {node: rows[np.isneginf(self.leaving[rows])] for node, rows in owned.items()}
        while doubtful:
            found = np.concatenate(list(doubtful.values()))
            if len(found):
                self.leaving[found], self.sure[found] = self._leaving(found), True
            doubtful = {node: self._doubtful(owned[node]) for node in owned}
            doubtful = {node: rows for node, rows in doubtful.items() if len(rows)}

    def _doubtful(self, rows: Ints) -> Ints:
        """Rows of a cluster that are near to leaving by a bound alone, if any of those is that would be held."""
        costs = self.leaving[rows]
        first = rows[costs.argpartition(self.most)[: self.most + 1]]
        if self.sure[first].all():
            return first[:0]
        some = min(2 * self.most, len(rows) - 1)
        near = np.sort(rows[costs.argpartition(some)[: some + 1]])
        return near[~self.sure[near]]

    def _leaving(self, rows: Ints) -> Singles:
        """(n,) least growth of distance plus price at which each of these rows moves to another cluster."""
        prices = torch.from_numpy(self.potential[: self.sink]).float().to(self.problem.scores.device)
        pieces = ((rows[part], self.labels[rows[part]]) for part in parts(len(rows)))
        work = _Leaving(self.problem, prices)
        return np.concatenate(list(self.problem.engine.map(work, pieces, PART_BYTES)))

    def _least(self, node: int, values: Singles) -> Floats:
        """(K,) least growth of the squared distance at which a row of (n, K) scores moves from here to each cluster."""
        least: Floats = np.full(self.sink, np.inf)
        if len(values):
            least[:] = 2 * (values[:, node, None] - values).min(axis=0)
        least[node] = np.inf
        return least

    def _shortest(self) -> tuple[Floats, Ints]:
        """Least reduced cost from any node with an excess, and the node before on the way (-1 at a start)."""
        distance = np.where(self.excess > 0, 0.0, np.inf)
        parent: Ints = np.full(len(distance), -1)
        front = np.flatnonzero(self.excess > 0)
        nodes = np.arange(len(distance))
        while len(front):
            reduced = self.costs[front] + self.potential - self.potential[front, None]
            through = distance[front, None] + np.maximum(reduced, 0.0)  # rounding may leave some below 0
            first = through.argmin(0)
            best = through[first, nodes]
            better = best < distance
            distance = np.where(better, best, distance)
            parent = np.where(better, front[first], parent)
            front = np.flatnonzero(better)
        return distance, parent

    def _certain(self, distance: Floats) -> Floats:
        """(K,) length up to which no row that a cluster doesn't hold could make a path shorter; inf where just chosen.

        Since its rows were chosen, the cost of an edge has changed by what the potentials of its two ends have.
        """
        ahead = distance[: self.sink] + np.maximum(self.reach - self._drift(), 0.0)
        certain: Floats = np.where(self.fresh, np.inf, ahead)
        return certain

    def _drift(self) -> Floats:
        """(K,) by how much at most leaving a cluster has become cheaper since its rows were chosen."""
        prices = self.potential[: self.sink]
        drift: Floats = (prices - self.since.diagonal()) - (prices - self.since).min(axis=1)
        return drift

    def _open(self, path: list[tuple[int, int]], distance: Floats) -> bool:
        """Whether rows are to move along a path, and it is still a shortest one, within the tolerance at each edge."""
        if self.excess[path[0][0]] <= 0 or self.excess[path[-1][1]] >= 0:
            return False
        starts, ends = np.transpose(path)
        reduced = self.costs[starts, ends] + self.potential[ends] - self.potential[starts]
        through = distance[starts] + np.maximum(reduced, 0.0)
        return bool((through <= distance[ends] + self.tolerance).all())

    def _push(self, path: list[tuple[int, int]]) -> None:
        """Moves as many rows along a path as its start can spare, its end can take and its edges bear."""
        source, target = path[0][0], path[-1][1]
        amount = int(min(self.excess[source], -self.excess[target]))
        movable = []
        for a, b in path:
            rows = None if self.sink in (a, b) else self._movable(a, b, amount)
            amount = min(amount, self._room(a, b) if rows is None else len(rows))
            movable.append(rows)
        self.excess[source] -= amount
        self.excess[target] += amount
        self._move(path, movable, amount)

    def _movable(self, a: int, b: int, most: int) -> Ints:
        """Up to `most` positions among the held rows of a that move to b at about the edge's cost."""
        regrets = 2 * (self.scores[a][:, a] - self.scores[a][:, b])
        most = min(most, len(regrets))
        least = regrets.argpartition(most - 1)[:most]
        least = least[regrets[least].argsort(kind="stable")]
        found: Ints = least[regrets[least] <= regrets[least[0]] + self.tolerance]
        return found

    def _room(self, a: int, b: int) -> int:
        """How much more a cluster may pass on to the sink, or how much less."""
        return int(self.hi - self.passed[a]) if b == self.sink else int(self.passed[b] - self.lo)

    def _move(self, path: list[tuple[int, int]], movable: list[Ints | None], amount: int) -> None:
        arrivals: list[tuple[int, Ints, Singles]] = []
        losers = set()
        for (a, b), positions in zip(path, movable, strict=True):
            if positions is None:
                node, change = (a, amount) if b == self.sink else (b, -amount)
                self.passed[node] += change
                self._link(node)
                continue
            stay = np.ones(len(self.rows[a]), bool)
            stay[positions[:amount]] = False
            arrivals.append((b, self.rows[a][~stay], self.scores[a][~stay]))
            self.rows[a], self.scores[a] = self.rows[a][stay], self.scores[a][stay]
            losers.add(a)
        for node, rows, values in arrivals:
            self.labels[rows] = node
            self.leaving[rows], self.sure[rows] = -np.inf, False  # nothing is known
            self.arrived[node].append(rows)
            self.rows[node] = np.concatenate([self.rows[node], rows])
            self.scores[node] = np.concatenate([self.scores[node], values])
            if node not in losers:
                self.costs[node, : self.sink] = np.minimum(self.costs[node, : self.sink], self._least(node, values))
        for node in losers:
            self.costs[node, : self.sink] = self._least(node, self.scores[node])


@dataclass(frozen=True)
class _Leaving:
    """Row numbers and the rows' clusters -> what leaving these costs."""

    problem: Problem
    prices: Tensor  # (K,) float32

    @one_thread(torch.device("cpu"))
    def __call__(self, piece: tuple[Ints, Ints]) -> Singles:
        """(n,)."""
        rows, owners = (torch.from_numpy(each).to(self.prices.device) for each in piece)

        def leaving(part: slice) -> Tensor:
            values = 2 * self.problem.scores.take(rows[part]) - self.prices
            own = owners[part][:, None]
            stay = values.gather(1, own)
            return stay.flatten() - values.scatter_(1, own, -torch.inf).amax(1)

        found = [costs for _, costs in in_order(self.problem.chunks(len(rows)), leaving, self.prices.device)]
        made: Singles = torch.cat(found).cpu().numpy()
        return made


def _trace(parent: Ints, node: int) -> list[tuple[int, int]]:
    """The edges of the path that ends at a node, first one first."""
    path = []
    while parent[node] >= 0:
        path.append((int(parent[node]), node))
        node = int(parent[node])
    return path[::-1]
