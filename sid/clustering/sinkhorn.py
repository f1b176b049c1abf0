"""Entropic balanced assignment in the log domain: every row takes one unit, every column gets its even share."""

from __future__ import annotations

import torch
from torch import Tensor

from sid.errors import InputError

_FALL = 0.25  # from one temperature of the annealing to the next
_SWEEPS = 4  # sweeps at each temperature before the last


def sinkhorn(distances: Tensor, epsilon: float, iters: int) -> Tensor:
    """The logarithm of the transport plan with even marginals that minimises <P, d> - epsilon H(P).

    Sinkhorn's iterations (Cuturi, Sinkhorn Distances, NeurIPS 2013) on potentials, so that no epsilon under- or
    overflows; they start hot and cool down to `epsilon`, so that few sweeps do where it is small.

    Args:
        distances: (n, K) finite costs of any size and sign; n needn't be a multiple of K.
        epsilon: temperature in the unit of the distances, > 0. Far below the gaps between distances the plan
            nears a hard balanced assignment; far above it is uniform.
        iters: sweeps at the last temperature, 10 to 100 is sane.

    Returns:
        (n, K) float64. Rows of its exp sum to 1 / n; columns to 1 / K as nearly as the sweeps reached.

    Raises:
        InputError: no matrix, no entries, NaN or Inf, epsilon <= 0 or iters < 1.
    """
    _check(distances, epsilon, iters)
    cost = distances.double()  # (n, K)
    cost = cost - cost.amin(dim=1, keepdim=True)
    prices = _prices(cost, epsilon, iters)
    log_rows = torch.log_softmax((prices - cost) / epsilon, dim=1)
    return log_rows - torch.log(torch.tensor(float(len(cost)), dtype=torch.float64))


def balanced_labels(distances: Tensor, epsilon: float, iters: int) -> Tensor:
    """The likeliest column of each row under the balanced plan, (n,) int64.

    Args:
        distances: (n, K) finite, float32 or float64.
        epsilon: temperature as a share of half the range of the distances, > 0; 0.003 to 0.1 is sane.
        iters: sweeps, 10 to 100 is sane.

    Raises:
        InputError: as `sinkhorn`.
    """
    _check(distances, epsilon, iters)
    cost = distances.double()
    half_range = (cost.max() - cost.min()) / 2
    # all distances equal: any scale will do, and the first column takes all
    cost = (cost - cost.min()) / torch.where(half_range > 0, half_range, torch.ones_like(half_range))
    return (cost - _prices(cost, epsilon, iters)).argmin(dim=1)


def _prices(cost: Tensor, epsilon: float, iters: int) -> Tensor:
    """(K,) what each column pays its rows, for (n, K) float64 costs."""
    n, k = cost.shape
    prices = torch.zeros(k, dtype=torch.float64, device=cost.device)
    log_share = torch.log(torch.tensor(n / k, dtype=torch.float64)).item()  # rows a column should get
    hot = max(float(cost.max() - cost.min()), epsilon)
    while True:
        last = hot <= epsilon
        temperature = epsilon if last else hot
        for _ in range(iters if last else _SWEEPS):
            log_rows = torch.log_softmax((prices - cost) / temperature, dim=1)  # (n, K)
            got = torch.logsumexp(log_rows, dim=0)  # (K,) log of the rows each column gets
            prices = prices + temperature * (log_share - got)
        if last:
            return prices
        hot *= _FALL


def _check(distances: Tensor, epsilon: float, iters: int) -> None:
    problems = []
    if distances.ndim != 2 or 0 in distances.shape:
        problems.append(f"distances have shape {tuple(distances.shape)}; they must be (n, K) with n, K >= 1")
    elif not bool(torch.isfinite(distances).all()):
        problems.append("distances hold NaN or infinity; every value must be finite")
    if not 0 < epsilon < float("inf"):
        problems.append(f"epsilon is {epsilon}; it must be above 0 and finite")
    if iters < 1:
        problems.append(f"iters is {iters}; it must be at least 1")
    if problems:
        raise InputError(problems)
