"""Lloyd's k-means on an accelerator: no iteration waits for the host, and few launches are made, each of them large.

What `kmeans` does there in place of its own seeds and iterations. Codes come from the matrix units (see `units`), whose
doubtful rows an iteration leaves as they are: they lie between two centroids. `nearest` settles them in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sid.clustering import memory
from sid.clustering.distances import Product, half_norms
from sid.clustering.points import Centred
from sid.clustering.sums import Sums
from sid.clustering.units import UnitProduct, unit_rounding

_LOOK = 4  # iterations between two looks at the inertia, for which the host waits
_LONG = 8  # pieces of a pass from which on looking costs nothing beside it
_TIGHT, _MOST_TIGHT = 16, 0.1  # a pass is float32 where more of the rows lie so few roundings from their centroids
_COPIES = 4  # of a piece's rows that are there at once, in float32: as whole numbers each takes two
_FAR = 64  # rows that lie farthest from their centroids, which empty clusters get: so many each iteration

_POOL = 64  # rows a centroid from which seeds are drawn
_CANDIDATES = 4  # seeds drawn for each one kept
_ROUNDS = 5  # draws between two updates of the distances
_GROWTH = 6  # of the seeds chosen so far, a round looks at one part in so many more
_SLACK = 2  # times as many are looked at, since some stand in each other's way


@dataclass(frozen=True)
class _Pass:
    """What one pass over the rows found.

    Attributes:
        table: (K, D) float32, the centroids of the next.
        inertia: () float64, of the rows about the means of their clusters.
        tight: () int64, rows so close to their centroids that the matrix units' rounding matters to them.
    """

    table: Tensor
    inertia: Tensor
    tight: Tensor


def lloyd(
    rows: Centred, table: Tensor, max_iters: int, tol: float, on_iteration: Callable[[int, float], None] | None
) -> tuple[Tensor, list[float]]:
    """Lloyd's iterations from (K, D) seeds; the centred centroids and the inertia after each iteration.

    The result is that of looking after each iteration: those beyond the one that `tol` ends with change nothing.
    """
    device = table.device
    sums = Sums(len(table), rows.dim, len(rows), rows.squares.max().sqrt())
    total = rows.squares.sum(dtype=torch.float64)
    pieces = list(memory.pieces(len(rows), max(len(table), _COPIES * rows.dim), device))
    look = 1 if len(pieces) >= _LONG else _LOOK
    done = torch.zeros((), dtype=torch.bool, device=device)
    coarse = False  # the first pass says whether the matrix units will do
    found = torch.zeros(max_iters, dtype=torch.float64, device=device)
    history: list[float] = []
    for iteration in range(max_iters):
        one = _iterate(rows, table, pieces, sums, total, coarse)
        if iteration == 0:
            coarse = int(one.tight) <= _MOST_TIGHT * len(rows)
        table = torch.where(done, table, one.table)
        found[iteration] = one.inertia.clamp(min=0)
        if iteration:
            done = done | (found[iteration - 1] - found[iteration] <= tol * found[iteration - 1])
        looks = (iteration + 1) % look == 0 or iteration + 1 == max_iters
        if looks and _shown(found[: iteration + 1].tolist(), tol, history, on_iteration):
            break
    return table, history


def _shown(
    found: list[float], tol: float, history: list[float], on_iteration: Callable[[int, float], None] | None
) -> bool:
    """Adds what isn't in the history yet, and says whether `tol` ended it."""
    for iteration in range(len(history), len(found)):
        history.append(found[iteration])
        if on_iteration is not None:
            on_iteration(iteration, history[-1])
        if iteration and history[-2] - history[-1] <= tol * history[-2]:
            return True
    return False


def _iterate(rows: Centred, table: Tensor, pieces: list[slice], sums: Sums, total: Tensor, coarse: bool) -> _Pass:
    """Each row to its nearest centroid, by the matrix units if `coarse`; the means of the clusters."""
    half = half_norms(table)
    product = UnitProduct(table, half) if coarse else Product(table, half)
    tight = torch.zeros((), dtype=torch.int64, device=table.device)
    sums.clear()
    count = min(_FAR, len(table), len(rows))
    gaps = torch.full((count,), -torch.inf, device=table.device)
    far = torch.zeros(count, rows.dim, device=table.device)
    for part in pieces:
        some = rows.part(part)  # (n, D)
        best, code = product(some).max(1)
        sums.add(code, some)
        gap = rows.squares[part] - 2 * best
        if not coarse:
            tight += (gap < _TIGHT * unit_rounding(some, half)).sum()
        gap, which = gap.topk(min(count, len(code)))
        gaps, order = torch.cat([gaps, gap]).topk(count)
        far = torch.cat([far, some[which]])[order]
    empty = sums.counts == 0
    place = empty.cumsum(0) - 1  # of an empty cluster among the empty ones
    given = empty & (place < count) & (gaps[place.clamp(0, count - 1)] > 0)
    means = sums.means(table)
    exact = means.double()
    inertia = total - 2 * (exact * sums.sums).sum() + (sums.counts * exact.square().sum(1)).sum()
    return _Pass(torch.where(given[:, None], far[place.clamp(0, count - 1)], means), inertia, tight)


def fits(rows: Centred, k: int) -> bool:
    """Whether the candidates' distances to each other fit: else seeds are chosen within groups, as on a CPU."""
    count = min(len(rows), _CANDIDATES * k)
    return 3 * 4 * count**2 <= memory.large_bytes(rows.shift.device)


def seeds(rows: Centred, k: int, generator: torch.Generator) -> Tensor:
    """(K, D) seeds, as `kmeans.seed_centroids` chooses them, but several at a time.

    Candidates are drawn as in k-means|| (Bahmani et al., VLDB 2012). Of these a round takes all that would lower the
    weighted inertia most, but for those that lie nearer to a better one of the same round than to any seed so far.
    """
    device = rows.shift.device
    size = min(len(rows), _POOL * k)
    draws = torch.empty(_ROUNDS, size).exponential_(generator=generator)  # on the host: the same on any device
    picked = _spread(len(rows), size, generator).to(device)
    pool, squares = rows.take(picked), rows.squares[picked]
    count = max(k, min(size, _CANDIDATES * k))
    drawn, weights = _candidates(pool, squares, count, draws.to(device))
    if count < 2 * k:  # too few to choose from
        return pool[drawn[:k]]
    table = pool[drawn]
    return table[_chosen(table, weights, k)]


def _spread(n: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` of `n` row numbers, ascending: one at random from each of `count` stretches of about equal length."""
    ends = torch.arange(count + 1) * n // count
    lengths = ends[1:] - ends[:-1]
    shift = (torch.rand(count, generator=generator, dtype=torch.float64) * lengths).long()
    return ends[:-1] + torch.minimum(shift, lengths - 1)


def _candidates(pool: Tensor, squares: Tensor, count: int, draws: Tensor) -> tuple[Tensor, Tensor]:
    """`count` rows drawn by their distance to those before, at first to 0; how many rows are nearest to each.

    Args:
        draws: (rounds, n) exponential random numbers: the largest weights divided by these are a draw by weight
            without replacement.
    """
    drawn: list[Tensor] = []
    closest = squares.clone()
    owner = torch.zeros(len(pool), dtype=torch.int64, device=pool.device)
    taken = 0
    for step in range(_ROUNDS):
        take = count * (step + 1) // _ROUNDS - taken
        if not take:
            continue
        weight = closest / closest.max().clamp(min=1e-30) + 1e-12  # the rest in case all distances are 0
        draw = (weight / draws[step]).topk(take).indices
        table = pool[draw]
        product = Product(table)
        for part in memory.pieces(len(pool), max(table.shape), pool.device):
            best, code = product(pool[part]).max(1)
            gap = (squares[part] - 2 * best).clamp_(min=0)
            nearer = gap < closest[part] if taken else torch.ones_like(gap, dtype=torch.bool)
            owner[part] = torch.where(nearer, code + taken, owner[part])
            closest[part] = torch.where(nearer, gap, closest[part])
        closest[draw] = 0
        drawn.append(draw)
        taken += take
    weights = torch.zeros(count, dtype=torch.int64, device=pool.device)
    return torch.cat(drawn), weights.index_add_(0, owner, torch.ones_like(owner)).float()


def _chosen(table: Tensor, weights: Tensor, k: int) -> Tensor:
    """The numbers (K,) of K of (M, D) candidates with (M,) weights which lower the inertia most."""
    m, device = len(table), table.device
    squares = table.square().sum(1)
    product = Product(table, squares / 2)
    gaps = torch.empty(m, m, device=device)  # squared distances
    pieces = list(memory.pieces(m, m, device))
    for part in pieces:
        torch.mul(product(table[part]), -2, out=gaps[part]).add_(squares[part, None]).clamp_(min=0)
    first = (gaps @ weights).argmin()[None]  # a number alone would be read by the host
    closest = gaps[first].flatten()
    rank = torch.full((m,), m * m, dtype=torch.int64, device=device)  # the order in which candidates are taken
    rank[first] = 0
    started, seen = 1, 1
    while True:
        gains = torch.cat([(closest - gaps[part]).clamp_(min=0) @ weights for part in pieces])
        gains = torch.where(rank < m * m, -1.0, gains)
        if seen >= k:
            break
        step = max(1, seen // _GROWTH)
        best = gains.topk(min(m, _SLACK * step)).indices  # (B,)
        near = gaps[best]  # (B, M)
        blocked = near[:, best] < closest[best]  # (B, B): the column's is nearer to the row's than to any seed
        free = ~blocked.triu(1).any(0)
        rank[best] = torch.where(free, started + torch.arange(len(best), device=device), rank[best])
        closest = torch.minimum(closest, near.where(free[:, None], torch.inf).amin(0))
        started, seen = started + len(best), seen + step
    rest = gains.argsort(descending=True, stable=True)
    last = torch.empty_like(rest).scatter_(0, rest, torch.arange(m, device=device))
    order = torch.where(rank < m * m, rank, m * m + last)
    return order.topk(k, largest=False, sorted=True).indices
