"""Exact sizes: rows shared out among clusters with a least and a most number of rows each, at least cost."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sid.clustering.distances import Rows, chunks, half_norms, scores
from sid.errors import InputError

_COST_STEPS = 10**9  # the flow's costs are integers: this many steps to the largest
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Problem:
    """Rows to share out among clusters of `lo` to `hi` rows; of a sample of rows the two are scaled, and fractions."""

    rows: Rows
    lo: float
    hi: float
    budget_mib: int

    @property
    def size(self) -> int:
        return len(self.rows.squares)


def flow_assign(problem: Problem, table: Tensor) -> Tensor:
    """The optimal labels, (N,) int64, by OR-tools' minimum cost flow over all N x K pairs.

    Raises:
        InputError: OR-tools is not installed.
    """
    try:
        solver = import_module("ortools.graph.python.min_cost_flow").SimpleMinCostFlow
    except ImportError as error:
        raise InputError("solver 'exact' needs OR-tools: pip install k-means-constrained") from error
    n, k, lo, hi = problem.size, len(table), int(problem.lo), int(problem.hi)
    values = scores(problem.rows.part(0, n), table, half_norms(table)).double()  # (N, K)
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
    return torch.from_numpy(used.argmax(1)).to(table.device)


def settle(problem: Problem, table: Tensor, labels: Tensor, prices: Tensor, tolerance: float) -> Tensor:
    """Labels within the bounds from labels that are least in distance plus price, by shortest paths over clusters.

    With a tolerance of 0 the result is optimal; rows within `tolerance` of a path's cost move along with it, which
    saves paths and costs at most `tolerance` for each such row.
    """
    graph = _Graph(problem, table, labels, prices, tolerance)
    while (graph.excess > 0).any():
        graph.augment()
    return graph.labels()


class _Graph:
    """Clusters, and the least cost at which a row of one moves to another; node K is the common sink.

    A cluster passes on to the sink what the bounds allow. Rows beyond that are its excess, rows short of it its
    deficit. Residual edges, potentials and reduced costs are those of successive shortest paths (Ahuja, Magnanti &
    Orlin, Network Flows, 1993, 9.7), on K + 1 nodes in place of N + K + 1: edge a -> b is the cheapest row of a.
    """

    def __init__(self, problem: Problem, table: Tensor, labels: Tensor, prices: Tensor, tolerance: float) -> None:
        k = len(table)
        self.problem, self.table, self.half = problem, table, half_norms(table)
        self.tolerance = tolerance
        self.lo, self.hi, self.sink = int(problem.lo), int(problem.hi), k
        counts = torch.bincount(labels, minlength=k).tolist()
        self.members = list(torch.split_with_sizes(labels.argsort(stable=True), counts))
        self.potential: Floats = np.append(prices.cpu().numpy(), 0.0)
        self._centre_prices()
        self.passed = self._passed(np.array(counts))
        self.excess: Ints = np.append(np.array(counts) - self.passed, self.passed.sum() - problem.size)
        self.costs: Floats = np.full((k + 1, k + 1), np.inf)
        for node in range(k):
            self._link(node)
            self.costs[node, :k] = self._least(node, self.members[node])

    def labels(self) -> Tensor:
        """(N,) int64 labels of the members as they are now."""
        labels = torch.empty(self.problem.size, dtype=torch.int64, device=self.table.device)
        for node, members in enumerate(self.members):
            labels[members] = node
        return labels

    def augment(self) -> None:
        """Moves rows along the shortest path from a node with an excess to one with a deficit."""
        distance, parent = self._shortest()
        short = np.where(self.excess < 0, distance, np.inf)
        node = int(short.argmin())
        self.potential -= np.minimum(distance, short[node])
        self.potential -= self.potential[self.sink]
        amount = -int(self.excess[node])
        path = []
        target = node
        while parent[node] >= 0:
            path.append((int(parent[node]), node))
            node = int(parent[node])
        amount = min(amount, int(self.excess[node]))
        movable = [self._movable(a, b, amount) for a, b in path]
        amount = min(
            [
                amount,
                *(
                    len(rows) if rows is not None else self._room(*edge)
                    for rows, edge in zip(movable, path, strict=True)
                ),
            ]
        )
        self.excess[node] -= amount
        self.excess[target] += amount
        self._move(path, movable, amount)

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

    def _least(self, node: int, members: Tensor) -> Floats:
        """(K,) least growth of the squared distance at which one of the members moves to each cluster."""
        least = torch.full((self.sink,), torch.inf, device=self.table.device)
        width, device = self.table.shape[1], self.table.device
        for start, stop in chunks(len(members), self.sink, width, device, self.problem.budget_mib):
            values = scores(self.problem.rows.take(members[start:stop]), self.table, self.half)  # (n, K)
            least = torch.minimum(least, 2 * (values[:, node, None] - values).amin(0))
        least[node] = torch.inf
        result: Floats = least.double().cpu().numpy()
        return result

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
            front = np.flatnonzero(better & (distance < distance[self.excess < 0].min()))
        return distance, parent

    def _movable(self, a: int, b: int, most: int) -> Tensor | None:
        """Up to `most` positions of members of a that move to b at about the edge's cost; None at the sink."""
        if self.sink in (a, b):
            return None
        members = self.members[a]
        regrets = torch.empty(len(members), device=self.table.device)
        pair = torch.tensor([a, b], device=self.table.device)
        width, device = self.table.shape[1], self.table.device
        for start, stop in chunks(len(members), 2, width, device, self.problem.budget_mib):
            values = scores(self.problem.rows.take(members[start:stop]), self.table[pair], self.half[pair])
            regrets[start:stop] = 2 * (values[:, 0] - values[:, 1])
        least = regrets.topk(min(most, len(regrets)), largest=False, sorted=True)
        count = int((least.values <= least.values[0] + self.tolerance).sum())
        return least.indices[:count]

    def _room(self, a: int, b: int) -> int:
        """How much more a cluster may pass on to the sink, or how much less."""
        return int(self.hi - self.passed[a]) if b == self.sink else int(self.passed[b] - self.lo)

    def _move(self, path: list[tuple[int, int]], movable: list[Tensor | None], amount: int) -> None:
        arrivals: dict[int, Tensor] = {}
        losers = set()
        for (a, b), rows in zip(path, movable, strict=True):
            if rows is None:
                node, change = (a, amount) if b == self.sink else (b, -amount)
                self.passed[node] += change
                self._link(node)
                continue
            stay = torch.ones(len(self.members[a]), dtype=torch.bool, device=rows.device)
            stay[rows[:amount]] = False
            arrivals[b] = self.members[a][~stay]
            self.members[a] = self.members[a][stay]
            losers.add(a)
        for node, rows in arrivals.items():
            self.members[node] = torch.cat([self.members[node], rows])
            if node not in losers:
                self.costs[node, : self.sink] = np.minimum(self.costs[node, : self.sink], self._least(node, rows))
        for node in losers:
            self.costs[node, : self.sink] = self._least(node, self.members[node])
