"""Sinkhorn in the log domain: against the textbook iteration, at any temperature, on batches of any shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sid.clustering.sinkhorn import balanced_labels, sinkhorn
from sid.errors import InputError


def costs(n: int, k: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows, table = torch.randn(n, 4, generator=generator), torch.randn(k, 4, generator=generator)
    return torch.cdist(rows, table).square()


def textbook(distances: torch.Tensor, epsilon: float) -> torch.Tensor:
    """The plan by scaling exp(-d / epsilon) itself, until it stands still."""
    plan = torch.exp(-distances.double() / epsilon)
    n, k = plan.shape
    for _ in range(5000):
        plan = plan / plan.sum(0, keepdim=True) / k
        plan = plan / plan.sum(1, keepdim=True) / n
    return plan


@pytest.mark.parametrize(("n", "k"), [(12, 4), (50, 7), (5, 9), (1, 3), (8, 1)])
@pytest.mark.parametrize("epsilon", [0.5, 3.0])
def test_it_is_the_plan_of_the_textbook(n: int, k: int, epsilon: float) -> None:
    distances = costs(n, k)
    found = sinkhorn(distances, epsilon, 2000).exp()
    torch.testing.assert_close(found, textbook(distances, epsilon), rtol=1e-6, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40),
    k=st.integers(1, 30),
    exponent=st.floats(-6, 3),
    scale=st.sampled_from([1e-12, 1.0, 1e12]),
    seed=st.integers(0, 99),
)
def test_nothing_under_or_overflows(n: int, k: int, exponent: float, scale: float, seed: int) -> None:
    distances = costs(n, k, seed) * scale
    log_plan = sinkhorn(distances, 10**exponent, 20)
    assert not log_plan.isnan().any()
    assert (log_plan < torch.inf).all()
    torch.testing.assert_close(log_plan.exp().sum(1), torch.full((n,), 1 / n, dtype=torch.float64))
    labels = balanced_labels(distances, 10**exponent, 20)
    assert labels.shape == (n,)
    assert 0 <= int(labels.min()) <= int(labels.max()) < k


@pytest.mark.parametrize(("n", "k"), [(512, 16), (500, 16), (37, 5)])
@pytest.mark.parametrize("epsilon", [1e-2, 1e-1, 1.0])
def test_columns_get_their_even_share_where_rows_do_not_divide(n: int, k: int, epsilon: float) -> None:
    columns = sinkhorn(costs(n, k), epsilon, 300).exp().sum(0)
    np.testing.assert_allclose(columns.numpy(), 1 / k, rtol=0.05)


@pytest.mark.parametrize("epsilon", [1e-6, 1e-3, 1e-2])
def test_cold_labels_are_far_more_even_than_the_nearest(epsilon: float) -> None:
    distances = costs(500, 16) + torch.linspace(0, 20, 16)  # the first columns are nearest to nearly all rows
    nearest = torch.bincount(distances.argmin(1), minlength=16)
    balanced = torch.bincount(balanced_labels(distances, epsilon, 100), minlength=16)
    assert int(nearest.max()) > 150
    assert int(balanced.max()) <= 1.5 * 500 / 16
    assert int(balanced.min()) >= 500 / 16 / 2


def test_a_very_hot_plan_is_uniform() -> None:
    np.testing.assert_allclose(sinkhorn(costs(20, 5), 1e6, 10).exp().numpy(), 1 / 100, rtol=1e-3)


def test_labels_do_not_depend_on_scale_or_shift() -> None:
    distances = costs(100, 8).double()
    labels = balanced_labels(distances, 0.01, 50)
    torch.testing.assert_close(balanced_labels(distances * 1024, 0.01, 50), labels)
    torch.testing.assert_close(balanced_labels(distances + 64, 0.01, 50), labels)


def test_equal_rows_get_equal_labels_and_equal_costs_raise_nothing() -> None:
    rows = costs(1, 6).repeat(9, 1)
    assert len(balanced_labels(rows, 0.01, 50).unique()) == 1
    assert balanced_labels(torch.ones(7, 3), 0.01, 50).tolist() == [0] * 7


@pytest.mark.parametrize(
    ("distances", "epsilon", "iters", "message"),
    [
        (torch.ones(3), 1.0, 1, r"shape \(3,\); they must be \(n, K\)"),
        (torch.ones(0, 3), 1.0, 1, r"shape \(0, 3\)"),
        (torch.full((2, 2), torch.nan), 1.0, 1, "NaN or infinity"),
        (torch.ones(2, 2), 0.0, 1, "epsilon is 0.0; it must be above 0"),
        (torch.ones(2, 2), 1.0, 0, "iters is 0; it must be at least 1"),
    ],
)
def test_what_it_refuses(distances: torch.Tensor, epsilon: float, iters: int, message: str) -> None:
    for function in (sinkhorn, balanced_labels):
        with pytest.raises(InputError, match=message):
            function(distances, epsilon, iters)
