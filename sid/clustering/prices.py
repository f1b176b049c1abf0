"""Prices on the clusters at which every row, taking the least of distance plus price, fills them within the bounds.

Damped Newton steps on the entropic dual of the transport problem, in a falling temperature.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import threshold

from sid.arrays import parts
from sid.clustering.distances import move_rows, row_argmax
from sid.clustering.points import draw_rows, inside, with_labels
from sid.clustering.scores import PART_BYTES, Problem, TableScores
from sid.engine.threads import in_order, one_thread

# Rows a cluster, and in all, on which even cold prices are found first where there are twice as many or more.
LARGE_SAMPLE, LARGE_ROWS = 1024, 1 << 18
SAMPLE = 128  # rows per cluster on which prices are found while it is warm; only the last, cold ones need all rows
# Temperatures as shares of the spread of the distances. From no prices they fall from hot to cool by a factor a step,
# from k-means' centroids Lloyd's iterations go from warm to cool; then all rows take them from cool to cold.
_HOT, WARM, COOL, COLD = 1.0, 0.15, 0.02, 0.003
_FALL = 0.3
# Share of the rows in the wrong cluster, softly, at which Newton's steps stop in the first of Lloyd's iterations, and
# in the last of the warm ones. That saves steps. From 0.3 on, the inertia would be 1.5 % lower on a catalogue of 3,686
# items, but 14.5 % of them would collide instead of 13.6 %.
EARLY_CLOSE, LATE_CLOSE = 0.1, 0.02
_STEPS = 8  # most Newton steps at a temperature
_CLOSE, _LAST_CLOSE = 2e-2, 2e-3  # share of the rows in the wrong cluster, softly, at which they stop; of all rows
# Most temperatures that a step moves a price: soft sizes change by e for each. Clusters that lie apart share hardly any
# row, and then a step is endless; each price is cut off by itself, else those that are nearly right would stay.
_REACH = 20.0
# A processor takes many times as long over numbers near float32's least: neither shares nor their products go there.
_FAINT, _FAINT_SHARE = -70.0, 1e-12
_CHORDS = 6  # most steps by whole rows
_EVEN = 1e-4  # share of the rows in the wrong cluster at which they stop: few enough for shortest paths
_RIDGE = 1e-3  # damping at the start, as a share of the soft sizes


def sampled(problem: Problem, generator: torch.Generator, rows_a_cluster: int = SAMPLE) -> Problem:
    """The problem on some rows, its bounds scaled down alike; the problem itself where it is small."""
    count = rows_a_cluster * problem.clusters
    if problem.size <= 2 * count:
        return problem
    index = draw_rows(problem.size, count, generator).to(problem.scores.device)
    share = count / problem.size
    return Problem(problem.scores.subset(index), problem.lo * share, problem.hi * share, problem.budget_mib)


def spread_of(problem: Problem) -> float:
    """How far the mean distance of a row lies above its least: the median over the rows, which no outlier moves."""
    gaps = torch.cat([2 * (part.amax(1) - part.mean(1)) for part in _parts(problem)])
    gaps.clamp_(min=0)  # the mean of equal values may round above them
    middle = float(gaps.median())
    return middle or float(gaps.mean()) or 1.0


def _falling(hot: float, cold: float) -> Iterator[float]:
    """Temperatures from hot to cold, each `_FALL` of the one before."""
    while hot > cold:
        yield hot
        hot *= _FALL
    yield cold


def from_none(problem: Problem, spread: float, until: float = COOL) -> Tensor:
    """(K,) float64 prices at a temperature, a share of the spread, found from hot on."""
    prices = torch.zeros(problem.clusters, dtype=torch.float64, device=problem.scores.device)
    for share in _falling(_HOT, until):
        prices = newton(problem, prices, share * spread)
    return prices


def carried(prices: Tensor, before: Tensor, table: Tensor) -> Tensor:
    """(K,) prices for centroids (K, D) about the rows' mean that were elsewhere before.

    Price plus squared norm stays as it is: rows near the mean then like each cluster as well as they did.
    """
    return prices + before.double().square().sum(1) - table.double().square().sum(1)


def cooled(problem: Problem, prices: Tensor, spread: float, some: Problem | None = None) -> Tensor:
    """Prices of all rows at the last temperature, from those of a sample at a warmer one.

    Args:
        some: a larger sample on which they are found first, if there is one: then few steps of all rows are left.
    """
    if some is None or some is problem:
        some = problem
    for share in _falling(COOL * _FALL, COLD):
        prices = newton(some, prices, share * spread, _LAST_CLOSE)
    return prices if some is problem else newton(problem, prices, COLD * spread, _LAST_CLOSE)


def evened(problem: Problem, sample: Problem, prices: Tensor, spread: float) -> tuple[Tensor, Tensor, Tensor]:
    """Prices of all rows at the last temperature, from a large sample's, by whole rows: for more than can be held.

    All rows are looked at once. How many rows each cluster then has too many tells how far its price must move, by the
    curvature of the sample (a chord in place of Newton's tangent), and of the rows only those are looked at again whose
    cluster can change. That ends where it gains nothing more: equal rows jump from one cluster to another.

    Returns:
        Prices (K,) float64, the rows' clusters (N,) int64 as in `choices`, and (N,) float32 what leaving them costs at
        the least.
    """
    k, heat = problem.clusters, COLD * spread
    prices = cooled(sample, prices, spread)
    dual = _evaluate(sample, None, prices, heat)
    factor, failed = torch.linalg.cholesky_ex(dual.curvature + torch.diag(_damping(dual, _RIDGE)))
    labels = torch.empty(problem.size, dtype=torch.int64, device=prices.device)
    leaving = torch.empty(problem.size, device=prices.device)
    _place(problem, prices, parts(problem.size), labels, leaving)
    off = torch.inf
    for _ in range(0 if failed else _CHORDS):
        prices = _levelled(problem, prices, heat)
        demand = problem.lo + (problem.hi - problem.lo) * torch.sigmoid(prices / heat)
        gradient = torch.bincount(labels, minlength=k) - demand
        before, off = off, float(gradient.abs().sum()) / 2
        if off <= max(_EVEN * problem.size, k) or off > before / 2:
            break
        gradient *= sample.size / problem.size
        step = heat * torch.cholesky_solve(gradient[:, None], factor).flatten().clamp_(-_REACH, _REACH)
        prices = prices + step
        leaving -= (step - step.min()).float()[labels]
        left = (leaving <= 0).nonzero().flatten()
        _place(problem, prices, [left[part].clone() for part in parts(len(left))], labels, leaving)
    return prices, labels, leaving


def newton(problem: Problem, prices: Tensor, heat: float, close: float = _CLOSE) -> Tensor:
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
        trial = prices + heat * step.clamp(-_REACH, _REACH)
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


@dataclass(frozen=True)
class _Shares:
    """Slices of a problem's rows -> the sums over them of their shares p, of p p^T, and of the least soft cost."""

    problem: Problem
    scaled: Tensor  # (K,) float64 prices in temperatures
    heat: float

    def __call__(self, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """(K,), (K, K) and () float64."""
        return self.sums(self.problem.scores.part(some) for some in self.problem.within(part))

    def sums(self, parts: Iterable[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The same of scores (n, K) in chunks."""
        k, device = len(self.scaled), self.scaled.device
        supply = torch.zeros(k, dtype=torch.float64, device=device)
        shared = torch.zeros(k, k, dtype=torch.float64, device=device)
        value = torch.zeros((), dtype=torch.float64, device=device)
        offset = self.scaled.float()
        for part in parts:
            values = (part * (2 / self.heat)).sub_(offset)  # (n, K)
            top = values.amax(1, keepdim=True)
            shares = values.sub_(top).clamp_(min=_FAINT).exp_()
            weights = shares.sum(1, keepdim=True)
            value -= (top.double() + weights.double().log()).sum()
            shares = shares.div_(weights)
            supply += shares.sum(0)
            shares = threshold(shares, _FAINT_SHARE, 0.0, inplace=True)
            shared += torch.mm(shares.t(), shares)
        return supply, shared, value


def _evaluate(problem: Problem, held: list[Tensor] | None, prices: Tensor, heat: float) -> _Dual:
    """One pass over the rows: sums of their shares p, of p p^T, and of the least soft cost."""
    scaled, spare = prices / heat, problem.hi - problem.lo
    work = _Shares(problem, scaled, heat)
    if held is not None:
        supply, shared, value = work.sums(held)
    else:
        found = problem.engine.map(work, parts(problem.size), PART_BYTES + 8 * len(prices) ** 2)
        supply, shared, value = next(found)
        for one in found:
            supply, shared, value = supply + one[0], shared + one[1], value + one[2]
    full = torch.sigmoid(scaled)
    value = value - (problem.lo * scaled + spare * torch.nn.functional.softplus(scaled)).sum()
    curvature = torch.diag(supply + spare * full * (1 - full)) - shared
    return _Dual(float(value), supply, supply - problem.lo - spare * full, curvature)


def _levelled(problem: Problem, prices: Tensor, heat: float) -> Tensor:
    """Prices all moved alike, which no row feels, such that the clusters ask for as many rows as there are."""
    if problem.hi == problem.lo:  # clusters ask for the same at any price: the search below would find no end
        return prices - prices.mean()
    low = -prices.abs().max() - 40 * heat  # beyond, exp(-p / h) is 0 or its inverse is
    width = -2 * low
    grid = torch.arange(65, dtype=torch.float64, device=prices.device)
    for _ in range(5):
        width = width / 64
        shifts = low + width * grid
        open_ = torch.sigmoid((prices + shifts[:, None]) / heat).sum(1)  # (65,), rising
        short = len(prices) * problem.lo + (problem.hi - problem.lo) * open_ < problem.size
        low = low + width * (short.sum() - 1).clamp(min=0)
    return prices + low


@dataclass(frozen=True)
class _Choose:
    """Slices of a problem's rows -> the (n,) int64 clusters of least distance plus price."""

    problem: Problem
    offset: Tensor  # (K,) float32, half the prices

    def __call__(self, part: slice) -> Tensor:
        """(n,)."""
        scores = self.problem.scores
        return torch.cat([row_argmax(scores.part(some, self.offset)) for some in self.problem.within(part)])


def choices(problem: Problem, prices: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The (n,) clusters of least distance plus price, for one part of the rows after the other."""
    slices = parts(problem.size)
    return zip(slices, problem.engine.map(_Choose(problem, prices.float() / 2), slices, PART_BYTES), strict=True)


@dataclass(frozen=True)
class _Place:
    """Slices of a problem's rows, or (n,) numbers of some -> clusters as by `_Choose`, and what leaving these costs."""

    problem: Problem
    offset: Tensor  # (K,) float32, half the prices

    @one_thread(torch.device("cpu"))
    def __call__(self, piece: slice | Tensor) -> tuple[Tensor, Tensor]:
        """(n,) int64 and (n,) float32."""
        scores = self.problem.scores
        slices = self.problem.within(piece) if isinstance(piece, slice) else self.problem.chunks(len(piece))

        def best(some: slice) -> tuple[Tensor, Tensor]:
            if isinstance(piece, slice):
                values = scores.part(some, self.offset)
            else:
                values = scores.take(piece[some]).sub_(self.offset)
            code = row_argmax(values)
            own = code[:, None]
            stay = values.gather(1, own).flatten()
            return code, 2 * (stay - values.scatter_(1, own, -torch.inf).amax(1))

        found = [pair for _, pair in in_order(slices, best, scores.device)]
        return torch.cat([code for code, _ in found]), torch.cat([costs for _, costs in found])


def _place(problem: Problem, prices: Tensor, pieces: Sequence[slice | Tensor], labels: Tensor, leaving: Tensor) -> None:
    """Writes the clusters of the rows of these pieces, and what leaving them costs, in place."""
    found = problem.engine.map(_Place(problem, prices.float() / 2), pieces, PART_BYTES)
    for piece, (code, costs) in zip(pieces, found, strict=True):
        labels[piece], leaving[piece] = code, costs


@dataclass(frozen=True)
class _Move:
    """A part of a problem of `TableScores` and its labels -> new ones, and what the clusters' sums gain."""

    choose: _Choose

    def __call__(self, piece: tuple[slice, Tensor]) -> tuple[Tensor, Tensor]:
        """(n,) int64 and (K, D) float64."""
        part, labels = piece
        problem = self.choose.problem
        assert isinstance(problem.scores, TableScores)
        gained = torch.zeros(problem.scores.table.shape, dtype=torch.float64, device=labels.device)
        code = self.choose(part)
        for some in problem.within(part):
            here = inside(part, some)
            move_rows(gained, problem.scores.rows.part(some), labels[here], code[here])
        return code, gained


def moves(problem: Problem, prices: Tensor, labels: Tensor) -> Iterator[tuple[slice, tuple[Tensor, Tensor]]]:
    """As `choices`, of a problem of `TableScores`, and what the clusters' sums (K, D) gain on those of `labels`."""
    slices = parts(problem.size)
    work = _Move(_Choose(problem, prices.float() / 2))
    return zip(slices, problem.engine.map(work, with_labels(slices, labels), PART_BYTES), strict=True)
