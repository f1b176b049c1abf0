"""`sinkhorn`: colliding items move to free last-level codes by an entropic transport, as MiniOneRec does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from sid.arrays import Codes, check_codes
from sid.dedupe.costs import After, Costs, Doubles, last_level, parents, slices
from sid.dedupe.groups import Groups, RowNumbers
from sid.dedupe.matching import Integers
from sid.dedupe.work import Work
from sid.params import Dedupe


def resolve(work: Work, wanted: Dedupe) -> tuple[Codes, tuple[int, ...]]:
    """The strategy as `strategies.STRATEGIES` has it: `sinkhorn` of codes (n, L), at the quantizer's costs."""
    import torch

    from sid.clustering import sinkhorn as entropic

    def log_plan(square: Doubles) -> Doubles:
        return entropic.sinkhorn(torch.from_numpy(square), wanted.sk_epsilon, wanted.sk_iters).numpy()

    return sinkhorn(work.codes, work.costs, log_plan, work.raw_taken, work.popularity), work.costs.code_sizes


def sinkhorn(
    codes: Codes,
    costs: Costs,
    log_plan: Callable[[Doubles], Doubles],
    taken: Codes | None = None,
    popularity: Integers | None = None,
) -> Codes:
    """Give the items of each group of equal codes last-level codes that are free, by an entropic transport.

    MiniOneRec's scheme (rq/generate_indices.py) with three corrections: codes that others of the prefix hold count as
    taken, every code has one place, and equal rows are separated, since the plan is rounded to a matching, its largest
    entries first. A prefix with more items than codes keeps collisions. The number of different codes never falls.

    MiniOneRec repeats its pass up to 20 times. Here once is enough: a group only keeps a collision once it has taken
    every free code of its prefix, and none becomes free later, since a group that keeps a collision stays and the
    groups after it find their own code alone.

    Args:
        codes: (N, L).
        costs: squared distances, asked for colliding rows alone.
        log_plan: the logarithm of the transport plan with even marginals for a square matrix of costs, which are
            scaled to half their range, as `sid.clustering.sinkhorn.sinkhorn` gives it.
        taken: (t, L) codes that others hold and keep.
        popularity: (N,) interactions with each item: the most popular item of a group keeps its code, if that isn't
            taken. None: the plan decides.

    Returns:
        (N, L) int32 new codes, which differ in the last level alone.
    """
    codes = check_codes(codes, costs.code_sizes, "codes")
    held = 0
    if taken is not None and len(taken):
        held = len(taken)
        codes, costs = np.concatenate([check_codes(taken, costs.code_sizes, "taken codes"), codes]), After(costs, held)
    codes = codes.copy()
    last = len(costs.code_sizes) - 1
    size = costs.code_sizes[last]
    keys = parents(codes, last)
    families = Groups.of(keys)
    groups = [_leaving(rows, held, popularity) for rows in Groups.of_equal(codes).larger_than(1)]
    pieces = [rows[part] for rows in groups for part in slices(len(rows), size)]
    found = last_level(costs, codes, pieces)
    for rows, cost in tqdm(found, "dedupe", len(pieces), unit="group", disable=None):
        own = int(codes[rows[0], last])
        others = np.bincount(codes[families[keys[rows[0]]], last], minlength=size)
        others[own] -= len(rows)
        if len(free := np.flatnonzero(others == 0)):
            codes[rows, last] = _separate(cost[:, free], free, own, cost[:, own], log_plan)
    return codes[held:]


def _leaving(rows: RowNumbers, held: int, popularity: Integers | None) -> RowNumbers:
    """The rows of a group that look for a code: not those below `held`, nor the most popular if it may stay."""
    ours = rows[rows >= held]
    if popularity is None or len(ours) < len(rows):
        return ours
    return np.delete(ours, popularity[ours - held].argmax())


def _separate(
    cost: Doubles, free: Integers, own: int, stay: Doubles, log_plan: Callable[[Doubles], Doubles]
) -> Integers:
    """New codes (n,) for the items of one group, or of a piece of one that is too large to hold.

    Args:
        cost: (n, F) of the free codes.
        free: (F,) free codes; the group's own is among them but where another piece of the group holds it.
        own: the code of the group; items that find no place keep it.
        stay: (n,) cost of the group's own code.
    """
    chosen = np.full(len(cost), own, np.int64)
    leaving = np.arange(len(cost))
    if len(cost) > len(free):
        gain = np.where(free == own, np.inf, cost).min(axis=1) - stay
        leaving = np.sort(np.argsort(gain, kind="stable")[: len(free)])
    n = len(leaving)
    nearest = np.unique(np.argsort(cost[leaving], axis=1, kind="stable")[:, :n])
    distances = cost[leaving][:, nearest]
    half = (distances.max() - distances.min()) / 2
    # rows that aren't items take the places that are left over
    square = np.zeros((len(nearest), len(nearest)))
    square[:n] = (distances - distances.min()) / (half if half > 0 else 1.0)
    mass = log_plan(square)[:n]
    order = np.argsort(-mass, axis=None, kind="stable")
    seated, full = np.zeros(n, bool), np.zeros(len(nearest), bool)
    for row, column in zip(*np.unravel_index(order, mass.shape), strict=True):
        if not seated[row] and not full[column]:
            seated[row] = full[column] = True
            chosen[leaving[row]] = free[nearest[column]]
            if seated.all():
                break
    return chosen
