"""Many small matchings at once: a few rows of each prefix to codes with room for one."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from sid.dedupe.costs import Doubles
from sid.dedupe.matching import Integers, settle


def match_many(cost: Doubles, held: Integers) -> Integers:
    """Different new codes for the n rows of each of B prefixes, (B, n), each at the least total cost; see `match`.

    The n cheapest codes of a row are enough: with more than the others take, one of them is free at the best.

    Args:
        cost: (B, n, K) of each row at each code, infinite where there is no room; each row has n codes with room.
            Overwritten.
        held: (B, n) codes now.
    """
    prefixes, n, size = cost.shape
    if n * n >= size:
        chosen = np.empty((prefixes, n), np.int64)
        for some, found in zip(cost, chosen, strict=True):
            found[:] = linear_sum_assignment(some)[1]
    else:
        codes, costs = _cheapest(cost.reshape(-1, size), n)
        codes, costs = codes.reshape(prefixes, n, n), costs.reshape(prefixes, n, n)
        cost.reshape(-1, size)[np.arange(prefixes * n)[:, None], codes.reshape(-1, n)] = costs.reshape(-1, n)
        if n == 1:
            return codes[:, :, 0]
        chosen = _two(codes, costs) if n == 2 else _several(cost, codes)
    _settle_many(cost, held, chosen)
    return chosen


def _cheapest(cost: Doubles, count: int) -> tuple[Integers, Doubles]:
    """The `count` cheapest codes of each row of (m, K) costs and what they cost, in order; those become infinite."""
    codes, costs = np.empty((len(cost), count), np.int64), np.empty((len(cost), count))
    rows = np.arange(len(cost))
    for place in range(count):
        code = cost.argmin(axis=1)
        codes[:, place], costs[:, place] = code, cost[rows, code]
        cost[rows, code] = np.inf
    return codes, costs


def _two(codes: Integers, costs: Doubles) -> Integers:
    """(B, 2) codes from the two cheapest of each row, (B, 2, 2): where both want the same, one takes its second."""
    chosen = codes[:, :, 0].copy()
    same = chosen[:, 0] == chosen[:, 1]
    loss = costs[:, :, 1] - costs[:, :, 0]
    leaves = (loss[:, 0] < loss[:, 1]).astype(np.int64) ^ 1
    pairs = np.flatnonzero(same)
    chosen[pairs, leaves[pairs]] = codes[pairs, leaves[pairs], 1]
    return chosen


def _several(cost: Doubles, codes: Integers) -> Integers:
    """(B, n) codes among the cheapest n of each row, (B, n, n)."""
    prefixes, n, _ = codes.shape
    wanted = np.sort(codes.reshape(prefixes, n * n), axis=1)
    some = np.take_along_axis(cost, wanted[:, None, :], axis=2)  # (B, n, n * n)
    again = wanted[:, 1:] == wanted[:, :-1]
    some[:, :, 1:][np.broadcast_to(again[:, None], (prefixes, n, n * n - 1))] = np.inf
    columns = np.empty((prefixes, n), np.int64)
    for one, found in zip(some, columns, strict=True):
        found[:] = linear_sum_assignment(one)[1]
    return np.take_along_axis(wanted, columns, axis=1)


def _settle_many(cost: Doubles, held: Integers, chosen: Integers) -> None:
    """`settle` of the prefixes in which a row is at a code that another has left."""
    moved = chosen != held
    guest = moved[:, :, None] & moved[:, None, :] & (chosen[:, :, None] == held[:, None, :])
    for prefix in np.flatnonzero(guest.any(axis=(1, 2))).tolist():
        settle(cost[prefix], held[prefix], chosen[prefix])
