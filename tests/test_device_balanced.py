"""Balanced k-means as accelerators do it, on CPU tensors: exact sizes, about the CPU's cost, few waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sid.clustering import prices
from sid.clustering.balanced import balanced_assign, balanced_kmeans, share_out, size_bounds
from sid.clustering.device_balanced import settle_on_device
from sid.clustering.points import Points, centred
from sid.clustering.scores import HeldScores, Problem, TableScores
from sid.clustering.transport import settle
from tests.devices import Watched, as_accelerator
from tests.test_clustering import NASTY, inertia, mixture


def cost(vectors: torch.Tensor, table: torch.Tensor, labels: torch.Tensor) -> float:
    return float((vectors.double() - table.double()[labels]).square().sum())


@pytest.mark.parametrize("slack", [0, 1, 5])
@pytest.mark.parametrize("change", NASTY.values(), ids=NASTY)
def test_sizes_are_within_the_bounds_on_data_that_hurts(
    change: Callable[[torch.Tensor], torch.Tensor], slack: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = change(mixture(301)).contiguous()
    with as_accelerator(monkeypatch, 1 << 13):
        found, again = (balanced_kmeans(vectors, 16, slack=slack, max_iters=4) for _ in range(2))
    lo, hi = size_bounds(301, 16, slack)
    sizes = torch.bincount(found.labels, minlength=16)
    assert lo <= int(sizes.min())
    assert int(sizes.max()) <= hi
    assert torch.isfinite(found.centroids).all()
    assert torch.equal(found.labels, again.labels)
    assert torch.equal(found.centroids, again.centroids)


def test_it_costs_about_what_the_cpus_does(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = mixture(4000, 12, centres=60)
    start = vectors[::100].contiguous()
    expected = balanced_kmeans(vectors, 40, start=start)
    with as_accelerator(monkeypatch, 1 << 18):
        found = balanced_kmeans(vectors, 40, start=start)
    assert found.inertia[-1] <= 1.005 * expected.inertia[-1]
    assert found.inertia[-1] == pytest.approx(inertia(vectors, found.centroids, found.labels), rel=1e-5)


@pytest.mark.parametrize("slack", [0, 1])
def test_sizes_settle_about_as_well_as_by_shortest_paths(slack: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = mixture(3000, 8, centres=50)
    rows = centred(Points.of(vectors), 256)
    table = vectors[::100].contiguous()
    problem = Problem(TableScores(rows, table - rows.shift), *size_bounds(3000, 30, slack), 256)
    spread = prices.spread_of(problem)
    with as_accelerator(monkeypatch):
        found = prices.cooled(problem, prices.from_none(problem, spread), spread)
    labels = torch.cat([code for _, code in prices.choices(problem, found)])
    best = settle(problem, labels, found, 0.0)
    ours = settle_on_device(problem, found, prices.COLD * spread)
    assert cost(vectors, table, ours) <= 1.003 * cost(vectors, table, best)
    far = settle_on_device(problem, torch.zeros(30, dtype=torch.float64), prices.COLD * spread)  # from no prices
    lo, hi = size_bounds(3000, 30, slack)
    sizes = torch.bincount(far, minlength=30)
    assert lo <= int(sizes.min())
    assert int(sizes.max()) <= hi


def test_equal_rows_end(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = HeldScores(torch.zeros(1000, 200))
    with as_accelerator(monkeypatch):
        labels = share_out(scores, size_min=5, size_max=5)
    assert (torch.bincount(labels, minlength=200) == 5).all()


def test_bounds_of_any_kind_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, table = mixture(500), mixture(9, seed=4)
    for low, high in ((0, 500), (55, 56), (0, 56), (20, 100), (55, 500)):
        with as_accelerator(monkeypatch):
            labels = balanced_assign(vectors, table, size_min=low, size_max=high)
        sizes = torch.bincount(labels, minlength=9)
        assert low <= int(sizes.min())
        assert int(sizes.max()) <= high
        reference = cost(vectors, table, balanced_assign(vectors, table, size_min=low, size_max=high))
        assert cost(vectors, table, labels) <= 1.01 * reference


def test_settling_waits_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = mixture(4000, 8, centres=50)
    rows = centred(Points.of(vectors), 256)
    problem = Problem(TableScores(rows, vectors[::100] - rows.shift), 99, 101, 256)
    spread = prices.spread_of(problem)
    found = prices.from_none(problem, spread)
    with as_accelerator(monkeypatch), Watched() as watched:
        settle_on_device(problem, found, spread / 1000)
    assert watched.waits["_local_scalar_dense"] <= 3 + 64
    assert watched.waits["nonzero"] <= 64
    assert watched.launches < 6000  # K = 40 and N = 4,000: not one for each row, nor for each cluster in each round
