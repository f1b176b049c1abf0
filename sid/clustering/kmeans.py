"""k-means by Lloyd's iterations, in memory or in chunks; on a GPU by `device`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sid.arrays import chunks, parts
from sid.clustering import device as on_device
from sid.clustering import memory
from sid.clustering.distances import (
    Product,
    add_rows,
    largest,
    move_rows,
    multiplies_ones,
    nearest,
    squared_distances,
    with_ones,
)
from sid.clustering.points import (
    Centred,
    Points,
    centred,
    draw_rows,
    inside,
    with_labels,
    within,
    work_chunks,
)
from sid.clustering.scores import PART_BYTES
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.engine.threads import in_order, one_thread
from sid.errors import InputError

__all__ = ["Clustering", "kmeans", "nearest", "squared_distances"]

_POOL = 64  # rows a centroid from which seeds are drawn
_CANDIDATES = 4  # seeds drawn for each one kept; 2 costs 4 % in MSE on residuals of 384 dimensions, 8 gains 1 %
_GAIN_BYTES = 1 << 20  # of distances that gains are made of at once: they stay in the cache
_FEW, _AT_ONCE = 8, 32  # candidates that are looked at one after the other if there are no more, else at once
_ROUNDS = 4  # draws between two updates of the distances, as in k-means||; 5 take longer for the same error
_TOGETHER = 4096  # most candidates that are compared with each other; above, rows are seeded in groups
_MANY_ROWS = 8  # times the pool: from then on work on the pool costs little beside an iteration, and so there are
_MORE, _STEPS = 6, 2  # more candidates, and some of Lloyd's iterations over the pool
_IN_GROUP = 1024  # candidates of a group, about
_NEAR, _NEAR_STEPS = 8, 2  # groups whose centroids a row looks at beside its own's, in so many iterations
_COARSE, _COARSE_ITERS = 16, 3  # clusters for a group, of which it is made whole
_SPARE = 2  # times its share of the centroids that a group may get
_POWER = 6  # steps towards the direction in which rows vary most


@dataclass(frozen=True)
class Clustering:
    """A codebook of one level and the codes of the rows.

    Attributes:
        centroids: (K, D) float32.
        labels: (N,) int64 in [0, K).
        inertia: sum of squared distances of the rows to their centroids after each iteration; the last is that of
            `centroids` and `labels`.
    """

    centroids: Tensor
    labels: Tensor
    inertia: tuple[float, ...]


def kmeans(
    vectors: Tensor | Points,
    k: int,
    *,
    max_iters: int = 25,
    tol: float = 1e-4,
    restarts: int = 1,
    seed: int = 0,
    budget_mib: int = 256,
    on_iteration: Callable[[int, float], None] | None = None,
    start: Tensor | None = None,
    engine: Engine = LOCAL,
) -> Clustering:
    """Lloyd's k-means (IEEE Trans. Inf. Theory 28, 1982) from D^2 seeds (k-means++, Arthur & Vassilvitskii, 2007).

    With at least K distinct rows every code is used, always. With fewer, the distinct rows themselves are the
    first centroids, and each surplus centroid behind them is a copy of centroid 0, which `nearest` never chooses.
    The same arguments give the same bits on the same device and number of threads.

    Args:
        vectors: (N, D) float32, any device: a tensor, which may be a read-only memory map, or `Points`, which read
            the rows one part at a time. Never written to; copied where the copy takes at most half of `budget_mib`.
        k: number of centroids, 1 <= k <= N.
        max_iters: bound on Lloyd's iterations; 10 to 50 is sane.
        tol: stop once an iteration lowers the inertia by less than this share; 0 runs until no label changes.
        restarts: independent runs, of which the one with the lowest inertia is kept.
        seed: of the random draws.
        budget_mib: bound on the scratch memory of rows and distances, in MiB; 64 to 4096 is sane. Beside it there are
            about 40 bytes for each row, and 16 KD bytes for sums and seeds. An accelerator's is that of `memory.limit`.
        on_iteration: called with (iteration from 0, inertia) after each iteration of each restart.
        start: (K, D) centroids to begin with, once; None draws seeds.
        engine: runs the passes over the rows of `Points` that aren't held. It changes no bit.

    Returns:
        Clustering; `labels` equals `nearest(vectors, centroids)`.

    Raises:
        InputError: not a float32 matrix, fewer rows than k, NaN or infinite values, or an argument out of range.
    """
    points = Points.of(vectors)
    _check(len(points), k, max_iters, tol, restarts)
    with one_thread(points.device):
        return _kmeans(points, k, max_iters, tol, restarts, seed, budget_mib, on_iteration, start, engine)


def _kmeans(
    points: Points,
    k: int,
    max_iters: int,
    tol: float,
    restarts: int,
    seed: int,
    budget_mib: int,
    on_iteration: Callable[[int, float], None] | None,
    start: Tensor | None,
    engine: Engine,
) -> Clustering:
    generator = torch.Generator().manual_seed(seed)
    rows = centred(points, budget_mib, engine, multiplies_ones(points.device))
    runs = []
    for _ in range(restarts if start is None else 1):
        table = seed_centroids(rows, k, budget_mib, generator) if start is None else start - rows.shift
        if memory.accelerated(points.device):
            runs.append(on_device.lloyd(rows, table, max_iters, tol, on_iteration))
        else:
            runs.append(_lloyd(rows, table, max_iters, tol, budget_mib, on_iteration, engine))
    table, history = min(runs, key=lambda run: run[1][-1])
    centroids, labels = _use_every_code(points, table + rows.shift, budget_mib, engine)
    last = _inertia(points, centroids, labels, engine)
    return Clustering(centroids, labels, (*history, last))


def _check(rows: int, k: int, max_iters: int, tol: float, restarts: int) -> None:
    least = {"k": (k, 1), "max_iters": (max_iters, 1), "restarts": (restarts, 1), "tol": (tol, 0)}
    problems = [f"{name} is {value}; it must be at least {low}" for name, (value, low) in least.items() if value < low]
    if rows < k:
        problems.append(f"{rows} rows cannot fill {k} clusters; k must be at most the number of rows")
    if problems:
        raise InputError(problems)


def seed_centroids(rows: Centred, k: int, budget_mib: int, generator: torch.Generator) -> Tensor:
    """(K, D) seeds: more candidates than needed by D^2 draws in rounds, then the best K of them by greedy choice.

    The rounds are k-means|| (Bahmani et al., VLDB 2012). The choice takes, again and again, the candidate which
    lowers the weighted inertia of all candidates most.
    """
    if memory.accelerated(rows.shift.device) and on_device.fits(rows, k):
        return on_device.seeds(rows, k, generator)
    floats = budget_mib << 18
    n = len(rows)
    size = min(n, max(2 * k, min(_POOL * k, floats // (4 * rows.dim))))
    if size == n:
        pool, squares = rows.part(slice(0, n)), rows.squares
    else:
        picked = draw_rows(n, size, generator).to(rows.shift.device)
        pool, squares = rows.take(picked), rows.squares[picked]
    most = int((floats // 4) ** 0.5)  # candidates
    if min(size, _CANDIDATES * k) <= min(_TOGETHER, most):
        many = n >= _MANY_ROWS * size
        count = min(size, _MORE * k, _TOGETHER, most) if many else min(size, _CANDIDATES * k)
        chosen, _ = _seeds(pool, squares, k, k, max(k, count), generator)
        return _stepped(pool, pool[chosen], _everywhere(pool, k), _STEPS) if many else pool[chosen]
    return _grouped(pool, k, max(1, size * min(_IN_GROUP, most) // (2 * _CANDIDATES * k)), generator)


def _grouped(pool: Tensor, k: int, most: int, generator: torch.Generator) -> Tensor:
    """(K, D) seeds, chosen within groups of near rows, which share K out by what each one gains.

    Some of Lloyd's iterations follow, in which a row looks only at the centroids that began in its own group and in
    those next to it: with its own alone, the error after all iterations would be .2 % higher on normal data.

    With 4 K candidates at once their distances would take 64 K^2 bytes, and their search K times the pool.

    Args:
        most: rows of a group.
    """
    groups = _groups(pool, k, most, generator)
    seeds = torch.randint(1 << 62, (len(groups),), generator=generator).tolist()

    def chosen(piece: tuple[Tensor, int]) -> tuple[Tensor, Tensor]:
        rows, seed = piece
        some = pool[rows]
        some -= some.mean(0)
        share = -(-k * len(rows) // len(pool))
        most = min(len(rows), _SPARE * share)
        count = max(most, min(len(rows), _CANDIDATES * share))
        own = torch.Generator().manual_seed(seed)
        found, gains = _seeds(some, some.square().sum(1), share, most, count, own)
        return rows[found], gains

    found = [one for _, one in in_order(zip(groups, seeds, strict=True), chosen, pool.device)]
    gains = torch.cat([gain for _, gain in found])
    best = torch.zeros(len(gains), dtype=torch.bool, device=pool.device)
    best[gains.argsort(descending=True, stable=True)[:k]] = True
    kept = torch.split(best, [len(gain) for _, gain in found])
    seeds = [rows[held] for (rows, _), held in zip(found, kept, strict=True)]
    numbers = torch.split(torch.arange(k, device=pool.device), [len(some) for some in seeds])
    middles = torch.stack([pool[rows].mean(0) for rows in groups])  # (G, D)
    apart = torch.cdist(middles, middles, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(-1)
    nearest_groups = apart.argsort(dim=1, stable=True)[:, : 1 + _NEAR].tolist()
    looks = [torch.cat([numbers[group] for group in line]) for line in nearest_groups]
    return _stepped(pool, pool[torch.cat(seeds)], list(zip(groups, looks, strict=True)), _NEAR_STEPS)


def _everywhere(pool: Tensor, k: int) -> list[tuple[Tensor, Tensor]]:
    """Pieces for `_stepped` in which each row looks at all of K centroids."""
    numbers, centroids = torch.arange(len(pool), device=pool.device), torch.arange(k, device=pool.device)
    return [(numbers[part], centroids) for part in work_chunks(len(pool), max(k, pool.shape[1]), pool.device)]


def _stepped(pool: Tensor, table: Tensor, pieces: list[tuple[Tensor, Tensor]], steps: int) -> Tensor:
    """(K, D) centroids after some of Lloyd's iterations over the pool; those that no row chooses stay.

    Args:
        pieces: numbers of rows, and of the centroids that they choose from.
    """
    for _ in range(steps):
        sums = torch.zeros(table.shape, dtype=torch.float64, device=table.device)
        counts = torch.zeros(len(table), dtype=torch.int64, device=table.device)

        def chosen(piece: tuple[Tensor, Tensor], table: Tensor = table) -> tuple[Tensor, Tensor]:
            rows, looks = pool[piece[0]], piece[1]
            product = Product(table[looks])
            parts = work_chunks(len(rows), max(len(looks), rows.shape[1]), rows.device)
            return rows, looks[torch.cat([largest(product(rows[part]))[0] for part in parts])]

        for _, (rows, code) in in_order(pieces, chosen, pool.device):
            add_rows(sums, code, rows.double())
            counts += torch.bincount(code, minlength=len(table))
        table = torch.where((counts > 0)[:, None], (sums / counts.clamp(min=1)[:, None]).float(), table)
    return table


def _groups(pool: Tensor, k: int, most: int, generator: torch.Generator) -> list[Tensor]:
    """The pool's row numbers in groups of up to `most` near rows: whole clusters of a coarse k-means, side by side.

    So few of the clusters that the rows may have are cut in two.
    """
    coarse = max(1, min(k // 2, _COARSE * -(-len(pool) // most)))  # fewer than K, or this would never end
    seed = int(torch.randint(1 << 62, (1,), generator=generator))
    some = pool
    if len(pool) > _POOL * coarse:
        some = pool[draw_rows(len(pool), _POOL * coarse, generator).to(pool.device)]
    found = kmeans(some, coarse, max_iters=_COARSE_ITERS, seed=seed)
    labels = found.labels if some is pool else nearest(pool, found.centroids)
    leaves = 1 << (coarse - 1).bit_length()
    order = torch.cat(_halved(found.centroids, torch.arange(coarse, device=pool.device), leaves))
    rows = torch.argsort(order.argsort()[labels], stable=True)
    groups: list[Tensor] = []
    held: list[Tensor] = []
    for cluster in torch.split(rows, torch.bincount(labels, minlength=coarse)[order].tolist()):
        if held and sum(map(len, held)) + len(cluster) > most:
            groups.append(torch.cat(held))
            held = []
        if len(cluster) > most:
            groups += _halved(pool, cluster, 1 << (-(-len(cluster) // most) - 1).bit_length())
        elif len(cluster):
            held.append(cluster)
    return groups if not held else [*groups, torch.cat(held)]


def _halved(table: Tensor, rows: Tensor, parts: int) -> list[Tensor]:
    """Row numbers of a table in `parts` (a power of 2) of one size, by halves across where those rows vary most."""
    if parts == 1 or len(rows) < 2:
        return [rows]
    some = table[rows]
    some -= some.mean(0)
    along = some[some.square().sum(1).argmax()]
    for _ in range(_POWER):
        along = torch.nn.functional.normalize(along, dim=0)
        along = (some @ along) @ some
    order = (some @ along).argsort(stable=True)
    middle = len(rows) // 2
    halves = rows[order[:middle]], rows[order[middle:]]
    return [part for half in halves for part in _halved(table, half, parts // 2)]


def _seeds(
    pool: Tensor, squares: Tensor, k: int, most: int, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The numbers of `most` rows of the pool, and what each one gained after those before it; the first infinitely.

    Args:
        squares: (n,) squared norms of the rows (n, D).
        k: at least so many are wanted.
        count: candidates that are drawn, at least `most`.
    """
    drawn, weights = _candidates(pool, squares, count, generator)
    if count < 2 * k:  # too few to choose from
        gains = -torch.arange(most, dtype=torch.float32, device=pool.device)
        gains[0] = torch.inf
        return drawn[:most], gains
    chosen, gains = _greedy(pool[drawn], weights, most)
    return drawn[chosen], gains


def _candidates(pool: Tensor, squares: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`count` rows drawn by their distance to those before, at first to 0; how many rows are nearest to each.

    The mean itself isn't a candidate: on the residuals of a level it would take a crowd of rows that differ in all
    directions, and one code in their middle separates few of them.
    """
    drawn: list[Tensor] = []
    closest = squares.clone()
    owner = torch.zeros(len(pool), dtype=torch.int64, device=pool.device)
    factors = with_ones(pool)
    taken = 0
    for step in range(_ROUNDS):
        take = count * (step + 1) // _ROUNDS - taken
        if not take:
            continue
        weight = closest / closest.max().clamp(min=1e-30) + 1e-12  # the rest in case all distances are 0
        draw = torch.multinomial(weight.cpu(), take, generator=generator).to(pool.device)
        table = pool[draw]
        product = Product(table)

        def near(part: slice, product: Product = product) -> tuple[Tensor, Tensor]:
            code, best = largest(product(factors[part]))
            return code, (squares[part] - 2 * best).clamp_(min=0)

        for part, (code, gap) in in_order(work_chunks(len(pool), max(table.shape), pool.device), near, pool.device):
            nearer = (gap < closest[part]) if taken else torch.ones_like(gap, dtype=torch.bool)
            owner[part] = torch.where(nearer, code + taken, owner[part])
            closest[part] = torch.where(nearer, gap, closest[part])
        closest[draw] = 0
        drawn.append(draw)
        taken += take
    return torch.cat(drawn), torch.bincount(owner, minlength=count).float()


def _greedy(table: Tensor, weights: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The K of (M, D) candidates with (M,) weights which lower the inertia most, one after the other, and by how much.

    Gains only fall, so that a candidate whose gain is up to date and not below what the others' once were is the best
    (Minoux, Accelerated greedy algorithms for maximizing submodular set functions, 1978).

    Returns:
        Numbers (K,) and gains (K,), which fall; the first is infinite.
    """
    squares = table.square().sum(1)
    found = torch.empty(len(table), len(table), device=table.device)  # (M, M) squared distances
    product = Product(table, squares / 2)
    for part in work_chunks(len(table), max(table.shape), table.device):
        torch.mul(product(table[part]), -2, out=found[part]).add_(squares[part, None]).clamp_(min=0)
    gaps, weight = found.cpu().numpy(), weights.cpu().numpy()
    first = int((gaps @ weight).argmin())
    closest = gaps[first].copy()
    gains = np.empty(len(table))  # of each candidate when it was last looked at, if it were the next
    for part in chunks(len(table), 4 * len(table), _GAIN_BYTES):
        lost = closest - gaps[part]
        gains[part] = np.maximum(lost, 0, out=lost) @ weight
    chosen, gained = [first], [math.inf]
    gains[first] = -math.inf
    seen = np.zeros(len(table), dtype=np.int64)  # how many were chosen when a candidate was last looked at

    def look(some: NDArray[np.int64] | int) -> None:
        lost = closest - gaps[some]
        gains[some] = np.maximum(lost, 0, out=lost) @ weight
        seen[some] = len(chosen)

    while len(chosen) < k:
        while seen[best := int(gains.argmax())] < len(chosen):
            look(best)
            above = np.flatnonzero(gains > gains[best])
            if len(above) > _FEW:
                look(above[gains[above].argsort()[-_AT_ONCE:]])
        chosen.append(best)
        gained.append(min(gained[-1], float(gains[best])))
        np.minimum(closest, gaps[best], out=closest)
        gains[best] = -math.inf
    return torch.tensor(chosen, device=table.device), torch.tensor(gained, device=table.device)


def _lloyd(
    rows: Centred,
    table: Tensor,
    max_iters: int,
    tol: float,
    budget_mib: int,
    on_iteration: Callable[[int, float], None] | None,
    engine: Engine,
) -> tuple[Tensor, list[float]]:
    """Lloyd's iterations from (K, D) seeds; the centred centroids and the inertia after each iteration."""
    device = table.device
    labels = torch.full((len(rows),), -1, device=device)
    gaps = torch.empty_like(rows.squares)
    sums = torch.zeros(table.shape, dtype=torch.float64, device=device)
    total = rows.squares.sum(dtype=torch.float64)
    history: list[float] = []
    for iteration in range(max_iters):
        if not _reassign(rows, table, labels, sums, gaps, budget_mib, engine):
            break
        counts = torch.bincount(labels, minlength=len(table))
        _fill_empty(rows, labels, gaps, sums, counts)
        table = (sums / counts.clamp(min=1)[:, None]).float()
        exact = table.double()
        # sum |x|^2 - 2 c.s + n |c|^2 over clusters: exact to float64, and no pass over the rows
        inertia = total - 2 * (exact * sums).sum() + (counts * exact.square().sum(1)).sum()
        history.append(max(0.0, float(inertia)))
        if on_iteration is not None:
            on_iteration(iteration, history[-1])
        if len(history) > 1 and history[-2] - history[-1] <= tol * history[-2]:
            break
    return table, history


def _reassign(
    rows: Centred, table: Tensor, labels: Tensor, sums: Tensor, gaps: Tensor, budget_mib: int, engine: Engine
) -> int:
    """One pass: labels (-1 before the first), cluster sums and squared distances in place; how many labels moved."""
    moved = 0
    slices = parts(len(rows))
    work = _Choose(rows, table, budget_mib)
    found = rows.runs_on(engine).map(work, with_labels(slices, labels, rows.squares), PART_BYTES)
    for part, (code, gap, gained, changed) in zip(slices, found, strict=True):
        labels[part], gaps[part] = code, gap
        sums += gained
        moved += changed
    return moved


@dataclass(frozen=True)
class _Choose:
    """A part of the rows, its labels so far and squared norms -> what an iteration makes of it."""

    rows: Centred
    table: Tensor
    budget_mib: int

    @one_thread(torch.device("cpu"))
    def __call__(self, piece: tuple[slice, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor, int]:
        """Labels (n,), squared distances (n,), what the sums (K, D) float64 gain, and how many labels are new."""
        whole, labels, squares = piece
        product, device = Product(self.table), self.table.device
        codes, gaps = torch.empty_like(labels), torch.empty_like(squares)
        gained = torch.zeros(self.table.shape, dtype=torch.float64, device=device)

        def chosen(part: slice) -> tuple[Tensor, Tensor, Tensor]:
            some = self.rows.factors(part)  # (n, D) or (n, D + 1)
            code, best = largest(product(some))
            return some[:, : self.rows.dim], code, squares[inside(whole, part)] - 2 * best

        moved = 0
        pieces = within(whole, self.rows.points, len(self.table), self.budget_mib)
        for part, (some, code, gap) in in_order(pieces, chosen, device):
            here = inside(whole, part)
            moved += move_rows(gained, some, labels[here], code)
            codes[here], gaps[here] = code, gap
        return codes, gaps, gained, moved


def _fill_empty(rows: Centred, labels: Tensor, gaps: Tensor, sums: Tensor, counts: Tensor) -> None:
    """Gives each empty cluster one of the rows that lie farthest from their centroids, in place."""
    empty = (counts == 0).nonzero().flatten().tolist()
    if not empty:
        return
    far = gaps.topk(min(len(gaps), 4 * len(empty))).indices  # some lie alone in their cluster already
    for row in far.tolist():
        donor = int(labels[row])
        if counts[donor] < 2:
            continue
        code = empty.pop()
        value = rows.part(slice(row, row + 1))[0].double()
        sums[donor] -= value
        sums[code] = value
        counts[donor] -= 1
        counts[code] = 1
        labels[row] = code
        if not empty:
            return


def _use_every_code(points: Points, centroids: Tensor, budget_mib: int, engine: Engine) -> tuple[Tensor, Tensor]:
    """Moves unused centroids onto the rows farthest from theirs; the centroids, and the labels to them.

    A centroid that is equal to a row keeps that row, so each round settles one code or more for good, and the
    rounds end: with every code used, or with every row equal to a centroid, where the rest is surplus.
    """
    k = len(centroids)
    labels = nearest(points, centroids, budget_mib=budget_mib, engine=engine)
    counts = torch.bincount(labels, minlength=k)
    while not bool(counts.all()):
        empty = (counts == 0).nonzero().flatten()
        gaps = squared_distances(points, centroids, labels, budget_mib=budget_mib, engine=engine)
        far = gaps.topk(len(empty))
        targets = torch.unique(points.take(far.indices[far.values > 0]), dim=0)
        if 0 < len(targets) < len(empty):  # many rows of few values: one of each cluster, or there are as many rounds
            others = points.take(_farthest(gaps, labels, k))
            targets = torch.unique(torch.cat([targets, others]), dim=0)[: len(empty)]
        if not len(targets):
            order = torch.argsort((counts == 0).long(), stable=True)
            centroids = centroids[order]
            centroids[k - len(empty) :] = centroids[0].clone()
            return centroids, nearest(points, centroids, budget_mib=budget_mib, engine=engine)
        centroids = centroids.clone()
        centroids[empty[: len(targets)]] = targets
        labels = nearest(points, centroids, budget_mib=budget_mib, engine=engine)
        counts = torch.bincount(labels, minlength=k)
    return centroids, labels


def _farthest(gaps: Tensor, labels: Tensor, k: int) -> Tensor:
    """The row of each cluster with the largest gap (N,), the first of several; clusters without a gap have none."""
    largest = torch.zeros(k, dtype=gaps.dtype, device=gaps.device).scatter_reduce_(0, labels, gaps, "amax")
    rows = ((gaps == largest[labels]) & (gaps > 0)).nonzero().flatten()
    first = torch.full((k,), len(gaps), device=gaps.device).scatter_reduce_(0, labels[rows], rows, "amin")
    return first[first < len(gaps)]


def _inertia(points: Points, centroids: Tensor, labels: Tensor, engine: Engine) -> float:
    """The sum of squared distances of the rows to their centroids."""
    pieces = with_labels(parts(len(points)), labels)
    return float(sum(points.runs_on(engine).map(_Error(points, centroids), pieces)))


@dataclass(frozen=True)
class _Error:
    """A part of the rows and its labels -> the sum of its squared distances."""

    points: Points
    centroids: Tensor

    def __call__(self, piece: tuple[slice, Tensor]) -> Tensor:
        """() float64."""
        whole, labels = piece
        total = torch.zeros((), dtype=torch.float64, device=labels.device)

        def error(part: slice) -> Tensor:
            gaps = self.points.part(part) - self.centroids[labels[inside(whole, part)]]
            return gaps.square_().sum(1, dtype=torch.float64).sum()

        for _, found in in_order(within(whole, self.points), error, self.points.device):
            total += found
        return total
