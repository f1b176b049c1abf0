"""k-means with bounded cluster sizes, by prices on the clusters.

Assigning N rows to K clusters of lo to hi rows each is a transport problem. Its dual has one price for each cluster:
at the right prices every row simply takes the cluster where distance plus price is least. `scalable` finds the prices
by damped Newton steps on the entropic dual in a falling temperature, N x K work and K x K memory, carries them from
one iteration of Lloyd's to the next, and ends in exact sizes by shortest paths over the K clusters. `exact` hands the
whole transport problem to OR-tools.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from sid.arrays import parts
from sid.clustering import memory
from sid.clustering.device_balanced import settle_on_device
from sid.clustering.distances import add_rows, check_pair
from sid.clustering.kmeans import Clustering, kmeans
from sid.clustering.points import Centred, Points, centred, draw_rows, inside, sub_seed, with_labels, within
from sid.clustering.prices import (
    COLD,
    COOL,
    EARLY_CLOSE,
    LARGE_ROWS,
    LARGE_SAMPLE,
    LATE_CLOSE,
    SAMPLE,
    WARM,
    carried,
    choices,
    cooled,
    evened,
    from_none,
    moves,
    newton,
    sampled,
    spread_of,
)
from sid.clustering.scores import HeldScores, Problem, Scores, TableScores
from sid.clustering.sums import Sums
from sid.clustering.transport import flow_assign, settle
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.errors import InputError

__all__ = ["balanced_assign", "balanced_kmeans", "share_out", "size_bounds"]

Solver = Literal["scalable", "exact"]


def size_bounds(n: int, k: int, slack: int = 1) -> tuple[int, int]:
    """Cluster sizes around n / k: max(1, n // k - slack) to max(ceil(n / k), n // k + slack).

    A slack of 1 gives 13 to 15 for n = 3686 and k = 256; 0 the tightest sizes possible.

    Raises:
        InputError: n < k, k < 1 or slack < 0.
    """
    problems = [f"{name} is {value}; it must be at least 0" for name, value in (("slack", slack),) if value < 0]
    if k < 1:
        problems.append(f"k is {k}; it must be at least 1")
    elif n < k:
        problems.append(f"{n} rows cannot fill {k} clusters; k must be at most the number of rows")
    if problems:
        raise InputError(problems)
    return max(1, n // k - slack), max(-(-n // k), n // k + slack)


def balanced_kmeans(
    vectors: Tensor | Points,
    k: int,
    *,
    slack: int = 1,
    solver: Solver = "scalable",
    max_iters: int = 12,
    seed: int = 0,
    budget_mib: int = 256,
    on_iteration: Callable[[int, float], None] | None = None,
    start: Tensor | None = None,
    engine: Engine = LOCAL,
) -> Clustering:
    """k-means whose cluster sizes are within `size_bounds(N, k, slack)`, always.

    After Bradley, Bennett & Demiriz, Constrained K-Means Clustering (MSR-TR-2000-65), with the assignment by
    entropic prices (Cuturi, NeurIPS 2013) in place of a flow over all N x K pairs.

    Args:
        vectors: (N, D) float32, any device: a tensor, which may be a read-only memory map, or `Points`.
        k: number of centroids, 1 <= k <= N.
        slack: how far sizes may be from N // k; 0 is the tightest, 1 the seed's, larger lowers the inertia.
        solver: `scalable`, linear in N; or `exact`, OR-tools' minimum cost flow at each iteration, for up to
            about 10,000 rows.
        max_iters: assignments; 8 to 25 is sane.
        seed: of the random draws: of the start, which is plain k-means on a sample, and of the rows that prices are
            found on.
        budget_mib: bound on the scratch memory of rows and distances, in MiB; 64 to 4096 is sane. Beside it there are
            about 40 bytes for each row, and 40 K^2 + 16 KD bytes; `exact` holds all N x K distances.
        on_iteration: called with (iteration from 0, inertia) after each iteration.
        start: (K, D) centroids to begin with; None finds some on a sample.
        engine: runs the passes over the rows of `Points` that aren't held. It changes no bit.

    Returns:
        Clustering; each centroid is the mean of its rows. Labels are not those of `nearest`. Before the last
        entry, `inertia` is that of sizes which may be some rows off the bounds.

    Raises:
        InputError: not a float32 matrix, fewer rows than k, NaN or infinite values, or an argument out of range.
    """
    points = Points.of(vectors)
    budget_mib = _budget(budget_mib, points.device)
    lo, hi = size_bounds(len(points), k, slack)
    _check_solver(solver)
    if max_iters < 1:
        raise InputError(f"max_iters is {max_iters}; it must be at least 1")
    generator = torch.Generator().manual_seed(sub_seed(seed, 0))
    runs = points.runs_on(engine)
    table = _first(points, k, seed, budget_mib, generator, runs) if start is None else start
    rows = centred(points, budget_mib, runs)
    problem = Problem(TableScores(rows, table - rows.shift), lo, hi, budget_mib, runs)
    if solver == "exact":
        table, labels, history = _exact_iterations(problem, rows, max_iters, on_iteration)
    else:
        table, labels, history = _iterations(problem, rows, max_iters, sub_seed(seed, 2), on_iteration)
    return Clustering(table + rows.shift, labels, tuple(history))


def _budget(budget_mib: int, device: torch.device) -> int:
    """The budget in MiB, on an accelerator at least one of pieces that are worth a launch."""
    return max(budget_mib, memory.piece_bytes(device) >> 19) if memory.accelerated(device) else budget_mib


def _settled(problem: Problem, labels: Tensor, prices: Tensor, spread: float) -> Tensor:
    """Labels within the bounds from those that are least in distance plus price."""
    if memory.accelerated(problem.scores.device):
        return settle_on_device(problem, prices, COLD * spread)
    return settle(problem, labels, prices, 2 * COOL * spread)


def _first(points: Points, k: int, seed: int, budget_mib: int, generator: torch.Generator, engine: Engine) -> Tensor:
    """(K, D) centroids of plain k-means on a sample."""
    some = points
    if len(points) > SAMPLE * k:
        some = points.subset(draw_rows(len(points), SAMPLE * k, generator))
    own = sub_seed(seed, 1)
    return kmeans(some, k, max_iters=3, seed=own, budget_mib=budget_mib, engine=engine).centroids


def balanced_assign(
    vectors: Tensor,
    centroids: Tensor,
    *,
    size_min: int,
    size_max: int,
    solver: Solver = "scalable",
    seed: int = 0,
    budget_mib: int = 256,
) -> Tensor:
    """The labels of least squared distance in sum with size_min to size_max rows for each centroid.

    `scalable` is within about 0.1 % of the optimum (1 % is tested), `exact` within the rounding of the costs,
    1e-9 of the largest.

    Args:
        vectors: (N, D) float32.
        centroids: (K, D) float32 on the same device; any, also where all rows are nearest to one of them.
        size_min: least rows of a cluster, 0 <= size_min, K * size_min <= N.
        size_max: most rows of a cluster, K * size_max >= N.
        solver: as in `balanced_kmeans`.
        seed: of the sample on which the first prices are found.
        budget_mib: bound on scratch memory, in MiB.

    Returns:
        Labels, (N,) int64.

    Raises:
        InputError: the shapes do not fit, a value is not finite, or no assignment has such sizes.
    """
    points = Points.of(vectors)
    check_pair(points, centroids)
    rows = centred(points, budget_mib)
    wanted = TableScores(rows, centroids - rows.shift)
    return share_out(wanted, size_min=size_min, size_max=size_max, solver=solver, seed=seed, budget_mib=budget_mib)


def share_out(
    scores: Scores,
    *,
    size_min: int,
    size_max: int,
    solver: Solver = "scalable",
    seed: int = 0,
    budget_mib: int = 256,
    engine: Engine = LOCAL,
) -> Tensor:
    """`balanced_assign` by scores from anywhere: the labels of the largest sum of scores within the bounds.

    Args:
        scores: finite; those of a row are asked for some tens of times unless they are `HeldScores`.
        engine: runs the passes over the rows, of scores that aren't held.

    Other arguments, result and errors: as `balanced_assign`.
    """
    _check_solver(solver)
    n, k = len(scores), scores.clusters
    if not (0 <= size_min <= size_max and k * size_min <= n <= k * size_max):
        raise InputError(
            f"{n} rows cannot be split into {k} clusters of {size_min} to {size_max} rows:"
            f" {k} * size_min <= {n} <= {k} * size_max must hold"
        )
    budget_mib = _budget(budget_mib, scores.device)
    problem = Problem(scores, size_min, size_max, budget_mib, LOCAL if isinstance(scores, HeldScores) else engine)
    if solver == "exact":
        return flow_assign(problem)
    generator = torch.Generator().manual_seed(seed)
    sample = sampled(problem, generator)
    spread = spread_of(sample)
    prices = from_none(sample, spread)
    large = sampled(problem, generator, max(LARGE_SAMPLE, LARGE_ROWS // k))
    if large is not problem and not memory.accelerated(scores.device):
        prices, labels, leaving = evened(problem, large, prices, spread)
        return settle(problem, labels, prices, 2 * COOL * spread, leaving)
    prices = cooled(problem, prices, spread, large)
    labels = torch.empty(n, dtype=torch.int64, device=scores.device)
    for part, code in choices(problem, prices):
        labels[part] = code
    return _settled(problem, labels, prices, spread)


def _check_solver(solver: str) -> None:
    if solver not in ("scalable", "exact"):
        raise InputError(f"solver is {solver!r}; it must be 'scalable' or 'exact'")


def _iterations(
    problem: Problem,
    rows: Centred,
    max_iters: int,
    seed: int,
    on_iteration: Callable[[int, float], None] | None,
) -> tuple[Tensor, Tensor, list[float]]:
    """Lloyd's iterations at falling temperature; exact sizes at the end. Centroids, labels, inertia."""
    table = _table(problem)
    labels = torch.full((problem.size,), -1, device=table.device)
    sums = torch.zeros(table.shape, dtype=torch.float64, device=table.device)
    total = rows.squares.sum(dtype=torch.float64)
    sample = sampled(problem, torch.Generator().manual_seed(seed))
    spread = spread_of(sample)
    prices = from_none(sample, spread, WARM)
    history: list[float] = []
    afresh = memory.accelerated(table.device)  # to find which rows moved, the host would have to wait
    for iteration in range(max_iters):
        last = iteration == max_iters - 1
        past = iteration / max(1, max_iters - 2)
        share, close = WARM * (COOL / WARM) ** past, EARLY_CLOSE * (LATE_CLOSE / EARLY_CLOSE) ** past
        if last:
            prices = newton(sample, prices, share * spread)
            prices = cooled(problem, prices, spread)
        else:
            prices = newton(sample, prices, share * spread, close)
        if last or afresh:
            for part, code in choices(problem, prices):
                labels[part] = code
            if last:
                labels = _settled(problem, labels, prices, spread)
            sums = _sums(rows, labels, len(table), problem.engine)
        else:
            for part, (code, gained) in moves(problem, prices, labels):
                labels[part] = code
                sums += gained
        before = table
        table, inertia = _means(sums, labels, table, total)
        prices = carried(prices, before, table)
        problem, sample = _with_table(problem, table), _with_table(sample, table)
        history.append(inertia)
        if on_iteration is not None:
            on_iteration(iteration, inertia)
    return table, labels, history


def _table(problem: Problem) -> Tensor:
    """The (K, D) centroids of a problem of `TableScores`, about the rows' mean."""
    assert isinstance(problem.scores, TableScores)
    return problem.scores.table


def _with_table(problem: Problem, table: Tensor) -> Problem:
    """The same rows and bounds, other centroids."""
    assert isinstance(problem.scores, TableScores)
    return replace(problem, scores=TableScores(problem.scores.rows, table))


def _sums(rows: Centred, labels: Tensor, k: int, engine: Engine) -> Tensor:
    """(K, D) float64 sums of the rows of each cluster."""
    if memory.accelerated(labels.device):
        exact = Sums(k, rows.dim, len(labels), rows.squares.max().sqrt())
        for part in memory.pieces(len(labels), 4 * rows.dim, labels.device):
            exact.add(labels[part], rows.part(part))
        return exact.sums
    sums = torch.zeros(k, rows.dim, dtype=torch.float64, device=labels.device)
    for found in engine.map(_Sums(rows, k), with_labels(parts(len(rows)), labels)):
        sums += found
    return sums


@dataclass(frozen=True)
class _Sums:
    """A part of the rows and its labels -> (K, D) float64, the sums of its rows by label."""

    rows: Centred
    k: int

    def __call__(self, piece: tuple[slice, Tensor]) -> Tensor:
        """(K, D)."""
        whole, labels = piece
        sums = torch.zeros(self.k, self.rows.dim, dtype=torch.float64, device=labels.device)
        for part in within(whole, self.rows.points, self.k):
            add_rows(sums, labels[inside(whole, part)], self.rows.part(part).double())
        return sums


def _exact_iterations(
    problem: Problem,
    rows: Centred,
    max_iters: int,
    on_iteration: Callable[[int, float], None] | None,
) -> tuple[Tensor, Tensor, list[float]]:
    """Lloyd's iterations with an optimal assignment in each, until no label changes. Centroids, labels, inertia."""
    table = _table(problem)
    labels = torch.full((problem.size,), -1, device=table.device)
    total = rows.squares.sum(dtype=torch.float64)
    history: list[float] = []
    for iteration in range(max_iters):
        before, labels = labels, flow_assign(problem)
        if torch.equal(before, labels):
            break
        table, inertia = _means(_sums(rows, labels, len(table), problem.engine), labels, table, total)
        problem = _with_table(problem, table)
        history.append(inertia)
        if on_iteration is not None:
            on_iteration(iteration, inertia)
    return table, labels, history


def _means(sums: Tensor, labels: Tensor, table: Tensor, total: Tensor) -> tuple[Tensor, float]:
    """The means of the clusters, (K, D), where they have rows, and the inertia, from sums and sum |x|^2 alone."""
    counts = torch.bincount(labels, minlength=len(table))
    means = (sums / counts.clamp(min=1)[:, None]).float()
    table = torch.where((counts > 0)[:, None], means, table)
    exact = table.double()
    inertia = total - 2 * (exact * sums).sum() + (counts * exact.square().sum(1)).sum()
    return table, max(0.0, float(inertia))
