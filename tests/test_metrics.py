from __future__ import annotations

import math

import numpy as np
import pytest

from sid.measure import metrics


def test_usage_by_hand() -> None:
    column = np.array([0, 0, 0, 2], np.int32)
    assert metrics.usage(column, 4) == {
        "size": 4,
        "used": 2,
        "utilisation": 0.5,
        "perplexity": pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))), rel=1e-5),
        "entropy": pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), rel=1e-5),
        "gini": pytest.approx(0.625),  # mean absolute difference 1.25 over twice the mean 1
        "largest": 3,
    }


def test_gini_is_half_the_relative_mean_difference() -> None:
    column = np.random.default_rng(0).zipf(1.5, 500).clip(0, 19).astype(np.int32)
    counts = np.bincount(column, minlength=20)
    difference = np.abs(counts[:, None] - counts[None]).mean()
    assert metrics.usage(column, 20)["gini"] == pytest.approx(difference / (2 * counts.mean()), rel=1e-5)


def test_even_use_and_one_code_for_all() -> None:
    even = metrics.usage(np.repeat(np.arange(8), 5).astype(np.int32), 8)
    assert (even["perplexity"], even["gini"], even["utilisation"]) == (8, 0, 1)
    one = metrics.usage(np.zeros(40, np.int32), 8)
    assert (one["perplexity"], one["gini"], one["used"]) == (1, 0.875, 1)


def test_no_token_is_left_out() -> None:
    assert metrics.usage(np.array([-1, -1, 0, 1], np.int32), 2)["largest"] == 1


def test_prefix_ids_against_tuples() -> None:
    codes = np.random.default_rng(0).integers(-1, 3, (200, 4)).astype(np.int32)
    for level, ids in enumerate(metrics.prefix_ids(codes)):
        prefixes = sorted({tuple(row[: level + 1]) for row in codes.tolist()})
        assert ids.tolist() == [prefixes.index(tuple(row[: level + 1])) for row in codes.tolist()]


def test_prefix_ids_of_26_large_levels_do_not_overflow() -> None:
    codes = np.full((3, 26), 2**20 - 1, np.int32)
    codes[1, 25] = 0
    codes[2, 0] = 0
    assert metrics.prefix_ids(codes)[-1].tolist() == [2, 1, 0]


@pytest.mark.parametrize("table", [1, 1 << 20])
def test_prefix_ids_by_table_and_by_sorting(table: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_TABLE", table)
    codes = np.random.default_rng(0).integers(0, 50, (40, 3)).astype(np.int32)
    for level, ids in enumerate(metrics.prefix_ids(codes)):
        np.testing.assert_array_equal(ids, np.unique(codes[:, : level + 1], axis=0, return_inverse=True)[1].reshape(-1))
    assert metrics.prefix_ids(codes[:0])[-1].tolist() == []


def test_collisions_by_hand() -> None:
    ids = np.array([0, 0, 1, 2, 2, 2, 3])
    interactions = np.array([5, 0, 1, 1, 1, 0, 2])
    assert metrics.collisions(ids, interactions) == {
        "unique": 4,
        "collision_rate": pytest.approx(3 / 7, abs=1e-6),
        "items_in_collision": 5,
        "collision_groups": 2,
        "largest_group": 3,
        "interaction_weighted_collision_rate": 0.7,
    }
    assert metrics.collisions(ids)["interaction_weighted_collision_rate"] is None
    assert metrics.collisions(ids, np.zeros(7, np.int64))["interaction_weighted_collision_rate"] is None
    assert metrics.group_sizes(ids) == {1: 2, 2: 1, 3: 1}


def test_levels_by_hand() -> None:
    codes = np.array([[0, 0], [0, 1], [0, 1], [1, 1]], np.int32)
    levels = metrics.levels(codes, (2, 4))
    assert [level["collision_rate"] for level in levels.values()] == [0.5, 0.25]
    assert [level["purity_random"] for level in levels.values()] == [0.5, pytest.approx(1 / 6, abs=1e-6)]
    assert [level["used"] for level in levels.values()] == [2, 2]


def test_collision_rate() -> None:
    assert metrics.collision_rate(np.array([0, 0, 1, 2])) == 0.25
    assert metrics.collision_rate(np.array([0, 1])) == 0
    assert metrics.collision_rate(np.zeros(0, np.int64)) == 0


def reconstruct(x: np.ndarray, y: np.ndarray, chunk: int) -> dict[str, float]:
    sums = metrics.Reconstruction(x.mean(axis=0, dtype=np.float64))
    for start in range(0, len(x), chunk):
        sums.add(x[start : start + chunk], y[start : start + chunk])
    return sums.figures()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("chunk", [7, 1000])
def test_reconstruction_against_numpy(scale: float, chunk: int) -> None:
    generator = np.random.default_rng(0)
    x = ((generator.normal(size=(100, 5)) + 3) * scale).astype(np.float32)
    y = (x + generator.normal(size=(100, 5)) * scale / 5).astype(np.float32)
    figures = reconstruct(x, y, chunk)
    wide_x, wide_y = x.astype(np.float64), y.astype(np.float64)
    assert figures["mse"] == pytest.approx(((wide_x - wide_y) ** 2).mean(), rel=1e-5)
    residual, total = ((wide_x - wide_y) ** 2).sum(), ((wide_x - wide_x.mean(axis=0)) ** 2).sum()
    assert figures["r2"] == pytest.approx(1 - residual / total, abs=1e-5)
    cosine = (wide_x * wide_y).sum(axis=1) / np.linalg.norm(wide_x, axis=1) / np.linalg.norm(wide_y, axis=1)
    assert figures["cosine"] == pytest.approx(cosine.mean(), rel=1e-5)


def test_reconstruction_without_variance_and_of_zero_rows() -> None:
    same = np.ones((4, 2), np.float32)
    assert reconstruct(same, same, 10)["r2"] == 1
    assert reconstruct(same, same * 2, 10)["r2"] == 0
    zeros = np.zeros((4, 2), np.float32)
    assert reconstruct(zeros, zeros, 10) == {"mse": 0, "r2": 1, "cosine": 0}
