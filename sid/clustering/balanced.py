"""k-means with bounded cluster sizes, by prices on the clusters.

Assigning N rows to K clusters of lo to hi rows each is a transport problem. Its dual has one price for each cluster:
at the right prices every row simply takes the cluster where distance plus price is least. `scalable` finds the prices
by damped Newton steps on the entropic dual in a falling temperature, N x K work and K x K memory, carries them from
one iteration of Lloyd's to the next, and ends in exact sizes by shortest paths over the K clusters. `exact` hands the
whole transport problem to OR-tools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import threshold

from sid.clustering.distances import add_rows, check_pair, move_rows, row_argmax
from sid.clustering.kmeans import Clustering, kmeans
from sid.clustering.points import Centred, Points, centred, draw_rows, sub_seed, work_chunks
from sid.clustering.transport import Problem, Scores, TableScores, flow_assign, settle
from sid.errors import InputError

__all__ = ["balanced_assign", "balanced_kmeans", "share_out", "size_bounds"]

Solver = Literal["scalable", "exact"]

_SAMPLE = 128  # rows a cluster on which prices are found while it is warm; only the last, cold ones need all rows
# Temperatures as shares of the spread of the distances. From no prices they fall from hot to cool by a factor a step,
# from k-means' centroids Lloyd's iterations go from warm to cool; then all rows take them from cool to cold.
_HOT, _WARM, _COOL, _COLD = 1.0, 0.15, 0.02, 0.003
_FALL = 0.3
_STEPS = 8  # most Newton steps at a temperature
_CLOSE, _LAST_CLOSE = 2e-2, 1e-3  # share of the rows in the wrong cluster, softly, at which they stop; of all rows
_REACH = 60.0  # most temperatures that a step moves a price: soft sizes change by e for each
# A processor takes many times as long over numbers near float32's least: neither shares nor their products go there.
_FAINT, _FAINT_SHARE = -70.0, 1e-12
_RIDGE = 1e-3  # damping at the start, as a share of the soft sizes


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
) -> Clustering:
    """k-means whose cluster sizes lie within `size_bounds(N, k, slack)`, always.

    After Bradley, Bennett & Demiriz, Constrained K-Means Clustering (MSR-TR-2000-65), with the assignment by
    entropic prices (Cuturi, NeurIPS 2013) in place of a flow over all N x K pairs.

    Args:
        vectors: (N, D) float32, any device: a tensor, which may be a read-only memory map, or `Points`.
        k: number of centroids, 1 <= k <= N.
        slack: how far sizes may lie from N // k; 0 is the tightest, 1 the seed's, larger lowers the inertia.
        solver: `scalable`, linear in N; or `exact`, OR-tools' minimum cost flow at each iteration, for up to
            about 10,000 rows.
        max_iters: assignments; 8 to 25 is sane.
        seed: of the random draws: of the start, which is plain k-means on a sample, and of the rows that prices are
            found on.
        budget_mib: bound on the scratch memory of rows and distances, in MiB; 64 to 4096 is sane. Beside it there are
            about 40 bytes for each row, and 40 K^2 + 16 KD bytes; `exact` holds all N x K distances.
        on_iteration: called with (iteration from 0, inertia) after each iteration.

    Returns:
        Clustering; each centroid is the mean of its rows. Labels are not those of `nearest`. Before the last
        entry, `inertia` is that of sizes which may be some rows off the bounds.

    Raises:
        InputError: not a float32 matrix, fewer rows than k, NaN or infinite values, or an argument out of range.
    """
    points = Points.of(vectors)
    lo, hi = size_bounds(len(points), k, slack)
    _check_solver(solver)
    if max_iters < 1:
        raise InputError(f"max_iters is {max_iters}; it must be at least 1")
    generator = torch.Generator().manual_seed(sub_seed(seed, 0))
    start = points
    if len(points) > _SAMPLE * k:
        start = Points(points.take(draw_rows(len(points), _SAMPLE * k, generator)))
    table = kmeans(start, k, max_iters=3, seed=sub_seed(seed, 1), budget_mib=budget_mib).centroids
    rows = centred(points, budget_mib)
    problem = Problem(TableScores(rows, table - rows.shift), lo, hi, budget_mib)
    if solver == "exact":
        table, labels, history = _exact_iterations(problem, rows, max_iters, on_iteration)
    else:
        table, labels, history = _iterations(problem, rows, max_iters, sub_seed(seed, 2), on_iteration)
    return Clustering(table + rows.shift, labels, tuple(history))


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

    `scalable` lies within about 0.1 % of the optimum (1 % is tested), `exact` within the rounding of the costs,
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
) -> Tensor:
    """`balanced_assign` by scores from anywhere: the labels of the largest sum of scores within the bounds.

    Args:
        scores: finite; those of a row are asked for some tens of times unless they are `HeldScores`.

    Other arguments, result and errors: as `balanced_assign`.
    """
    _check_solver(solver)
    n, k = len(scores), scores.clusters
    if not (0 <= size_min <= size_max and k * size_min <= n <= k * size_max):
        raise InputError(
            f"{n} rows cannot be split into {k} clusters of {size_min} to {size_max} rows:"
            f" {k} * size_min <= {n} <= {k} * size_max must hold"
        )
    problem = Problem(scores, size_min, size_max, budget_mib)
    if solver == "exact":
        return flow_assign(problem)
    sample = _sample(problem, torch.Generator().manual_seed(seed))
    spread = _spread(sample)
    prices = torch.zeros(k, dtype=torch.float64, device=scores.device)
    for share in _falling(_HOT, _COOL):
        prices = _newton(sample, prices, share * spread, _CLOSE)
    prices = _cooled(problem, prices, spread)
    labels = torch.empty(n, dtype=torch.int64, device=scores.device)
    for part, code in _choices(problem, prices):
        labels[part] = code
    return settle(problem, labels, prices, _COLD * spread / 8)


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
    sample = _sample(problem, torch.Generator().manual_seed(seed))
    spread = _spread(sample)
    prices = torch.zeros(len(table), dtype=torch.float64, device=table.device)
    history: list[float] = []
    for iteration in range(max_iters):
        last = iteration == max_iters - 1
        share = _WARM * (_COOL / _WARM) ** (iteration / max(1, max_iters - 2))
        prices = _newton(sample, prices, share * spread, _CLOSE)
        if last:
            prices = _cooled(problem, prices, spread)
        for part, code in _choices(problem, prices):
            move_rows(sums, rows.part(part), labels[part], code)
            labels[part] = code
        if last:
            labels = settle(problem, labels, prices, _COLD * spread / 8)
            sums = _sums(rows, labels, len(table))
        table, inertia = _means(sums, labels, table, total)
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


def _sums(rows: Centred, labels: Tensor, k: int) -> Tensor:
    """(K, D) float64 sums of the rows of each cluster."""
    sums = torch.zeros(k, rows.dim, dtype=torch.float64, device=labels.device)
    for part in work_chunks(len(labels), max(k, rows.dim), labels.device):
        add_rows(sums, labels[part], rows.part(part).double())
    return sums


def _sample(problem: Problem, generator: torch.Generator) -> Problem:
    """The problem on some rows, its bounds scaled down alike; the problem itself where it is small."""
    count = _SAMPLE * problem.clusters
    if problem.size <= 2 * count:
        return problem
    index = draw_rows(problem.size, count, generator).to(problem.scores.device)
    share = count / problem.size
    return Problem(problem.scores.subset(index), problem.lo * share, problem.hi * share, problem.budget_mib)


def _spread(problem: Problem) -> float:
    """How far the mean distance of a row lies above its least: the median over the rows, which no outlier moves."""
    gaps = torch.cat([2 * (part.amax(1) - part.mean(1)) for part in _parts(problem)])
    gaps.clamp_(min=0)  # the mean of equal values may round above them
    middle = float(gaps.median())
    return middle or float(gaps.mean()) or 1.0


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
        table, inertia = _means(_sums(rows, labels, len(table)), labels, table, total)
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


def _falling(hot: float, cold: float) -> Iterator[float]:
    """Temperatures from hot to cold, each `_FALL` of the one before."""
    while hot > cold:
        yield hot
        hot *= _FALL
    yield cold


def _cooled(problem: Problem, prices: Tensor, spread: float) -> Tensor:
    """Prices of all rows at the last temperature, from those of a sample at a warmer one."""
    for share in _falling(_COOL * _FALL, _COLD):
        prices = _newton(problem, prices, share * spread, _LAST_CLOSE)
    return prices


def _newton(problem: Problem, prices: Tensor, heat: float, close: float) -> Tensor:
    """Prices, (K,) float64, near the maximum of the entropic dual at one temperature.

    At temperature h each row is shared out by softmax(-(distance + price) / h), and a cluster of price p asks for
    lo + (hi - lo) / (1 + exp(-p / h)) rows: full where its price is positive, at its least where it is negative, as
    the optimum wants it. Supply less demand is the gradient of a concave function. Its second derivative couples
    the clusters, so that a step moves the prices of whole regions, where Sinkhorn's sweeps take thousands; damping
    (Levenberg-Marquardt) grows where a step would lower the dual.
    """
    prices = _levelled(problem, prices, heat)
    held = list(_parts(problem)) if 4 * problem.size * problem.clusters <= problem.budget_mib << 19 else None
    dual = _evaluate(problem, held, prices, heat)
    ridge = _RIDGE
    for _ in range(_STEPS):
        if float(dual.gradient.abs().sum()) <= 2 * close * problem.size:
            break
        factor, failed = torch.linalg.cholesky_ex(dual.curvature + torch.diag(_damping(dual, ridge)))
        if failed:
            ridge *= 30
            continue
        step = torch.cholesky_solve(dual.gradient[:, None], factor).flatten()  # in temperatures
        trial = prices + heat * step * (_REACH / step.abs().max().clamp(min=_REACH))
        trial = _levelled(problem, trial, heat)
        ahead = _evaluate(problem, held, trial, heat)
        if ahead.value >= dual.value:
            prices, dual, ridge = trial, ahead, ridge / 10
        else:
            ridge *= 30
    return prices


@dataclass(frozen=True)
class _Dual:
    """The entropic dual at some prices, in units of the temperature."""

    value: float
    supply: Tensor  # (K,) soft sizes
    gradient: Tensor  # (K,) supply less demand
    curvature: Tensor  # (K, K), positive semidefinite


def _damping(dual: _Dual, ridge: float) -> Tensor:
    """(K,) what is added to the curvature's diagonal: a share of the supply, and more where a cluster is starved.

    There the supply grows e-fold a temperature and a Newton step is far too long. With the logarithmic mean of
    supply s and demand t in place of s, a cluster alone takes Sinkhorn's step, log(s / t), which meets t at once.
    """
    supply = dual.supply.clamp(min=1e-30)
    demand = (dual.supply - dual.gradient).clamp(min=1e-30)
    starved = demand > supply * (1 + 1e-6)
    mean = (demand - supply) / torch.log(demand / supply)
    return ridge * torch.maximum(supply, demand) + torch.where(starved, mean - supply, 0.0)


def _parts(problem: Problem) -> Iterator[Tensor]:
    """The scores (n, K) of one chunk of rows after the other."""
    for part in problem.chunks(problem.size):
        yield problem.scores.part(part)


def _evaluate(problem: Problem, held: list[Tensor] | None, prices: Tensor, heat: float) -> _Dual:
    """One pass over the rows: sums of their shares p, of p p^T, and of the least soft cost."""
    k, device = problem.clusters, prices.device
    supply = torch.zeros(k, dtype=torch.float64, device=device)
    shared = torch.zeros(k, k, dtype=torch.float64, device=device)
    value = torch.zeros((), dtype=torch.float64, device=device)
    scaled, spare = prices / heat, problem.hi - problem.lo
    offset = scaled.float()
    for part in held or _parts(problem):
        values = (part * (2 / heat)).sub_(offset)  # (n, K)
        top = values.amax(1, keepdim=True)
        shares = values.sub_(top).clamp_(min=_FAINT).exp_()
        weights = shares.sum(1, keepdim=True)
        value -= (top.double() + weights.double().log()).sum()
        shares = shares.div_(weights)
        supply += shares.sum(0)
        shares = threshold(shares, _FAINT_SHARE, 0.0, inplace=True)
        shared += torch.mm(shares.t(), shares)
    full = torch.sigmoid(scaled)
    value -= (problem.lo * scaled + spare * torch.nn.functional.softplus(scaled)).sum()
    curvature = torch.diag(supply + spare * full * (1 - full)) - shared
    return _Dual(float(value), supply, supply - problem.lo - spare * full, curvature)


def _levelled(problem: Problem, prices: Tensor, heat: float) -> Tensor:
    """Prices all moved alike, which no row feels, such that the clusters ask for as many rows as there are."""
    low = -float(prices.abs().max()) - 40 * heat  # beyond, exp(-p / h) is 0 or its inverse is
    width = -2 * low
    grid = torch.arange(65, dtype=torch.float64, device=prices.device)
    for _ in range(5):
        width /= 64
        shifts = low + width * grid
        open_ = torch.sigmoid((prices + shifts[:, None]) / heat).sum(1)  # (65,), rising
        short = len(prices) * problem.lo + (problem.hi - problem.lo) * open_ < problem.size
        low += width * max(0, int(short.sum()) - 1)
    return prices + low


def _choices(problem: Problem, prices: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The (n,) clusters of least distance plus price, for one chunk of rows after the other."""
    offset = prices.float() / 2
    for part in problem.chunks(problem.size):
        yield part, row_argmax(problem.scores.part(part, offset))
