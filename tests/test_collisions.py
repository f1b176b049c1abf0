from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sid import collisions, matching
from sid.codes import Codes, Vectors
from sid.errors import InputError
from sid.quantizers.residual import sum_codewords


def books(sizes: tuple[int, ...], dim: int = 3, seed: int = 0) -> list[Vectors]:
    generator = np.random.default_rng(seed)
    return [(generator.normal(size=(size, dim)) / 4**level).astype(np.float32) for level, size in enumerate(sizes)]


def encode(latents: Vectors, codebooks: list[Vectors]) -> Codes:
    residual, codes = latents.astype(np.float64), []
    for book in codebooks:
        labels = ((residual[:, None] - book[None]) ** 2).sum(axis=2).argmin(axis=1)
        residual = residual - book[labels]
        codes.append(labels)
    return np.stack(codes, axis=1).astype(np.int32)


def unique(codes: Codes) -> int:
    return len(np.unique(codes, axis=0))


def error(latents: Vectors, codes: Codes, codebooks: list[Vectors]) -> float:
    return float(((latents.astype(np.float64) - sum_codewords(codes, codebooks)) ** 2).sum())


def test_groups_against_a_dictionary() -> None:
    keys = np.random.default_rng(0).integers(0, 20, 50)
    groups = collisions.Groups.of(keys)
    expected = {key: np.flatnonzero(keys == key).tolist() for key in np.unique(keys)}
    assert groups.sizes.tolist() == [len(rows) for rows in expected.values()]
    assert [rows.tolist() for rows in groups.larger_than(2)] == [r for r in expected.values() if len(r) > 2]


def test_groups_of_nothing() -> None:
    groups = collisions.Groups.of(np.zeros(0, np.int64))
    assert len(groups.sizes) == 0
    assert list(groups.larger_than(0)) == []


def test_figures_by_hand() -> None:
    codes = np.array([[0, 0], [0, 0], [0, 1], [1, 1], [1, 1], [1, 1], [2, 0]], np.int32)
    vectors = np.array([[1], [1], [2], [3], [3], [4], [5]], np.float32)
    assert collisions.figures(codes, vectors) == {
        "unique": 4,
        "collision_rate": pytest.approx(3 / 7, abs=1e-6),
        "items_in_collision": 5,
        "collision_groups": 2,
        "groups_of_equal_vectors": 1,
        "groups_by_quantiser": 1,
        "largest_group": 3,
    }


def test_append_numbers_groups_in_row_order() -> None:
    codes = np.array([[3, 1], [0, 0], [3, 1], [2, 2], [3, 1], [0, 0]], np.int32)
    after, size = collisions.append(codes, max_suffix=10)
    assert after.tolist() == [[3, 1, 1], [0, 0, 1], [3, 1, 2], [2, 2, 0], [3, 1, 3], [0, 0, 2]]
    assert size == 4
    assert after.dtype == np.int32


def test_append_where_nothing_collides() -> None:
    after, size = collisions.append(np.array([[0], [1]], np.int32), max_suffix=2)
    assert (after[:, 1].tolist(), size) == ([0, 0], 1)


def test_append_refuses_more_than_max_suffix() -> None:
    codes = np.zeros((5, 2), np.int32)
    assert collisions.append(codes, max_suffix=6)[1] == 6
    with pytest.raises(InputError, match=r"5 items and needs a suffix level of 6 codes, dedupe\.max_suffix is 5"):
        collisions.append(codes, max_suffix=5)


def test_reassign_leaves_items_alone_that_collide_with_nobody() -> None:
    codebooks = books((4, 4, 8))
    latents = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
    codes = encode(latents, codebooks)
    after = matching.reassign(codes, latents, codebooks)
    assert unique(after) == 60
    _, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    alone = counts[inverse.reshape(-1)] == 1
    assert alone.any()
    np.testing.assert_array_equal(after[alone], codes[alone])


def test_reassign_does_not_change_its_input() -> None:
    codebooks = books((2, 4))
    codes = np.zeros((4, 2), np.int32)
    matching.reassign(codes, np.zeros((4, 3), np.float32), codebooks)
    assert not codes.any()


@pytest.mark.parametrize("seed", range(20))
def test_within_a_prefix_the_total_distortion_is_the_least_there_is(seed: int) -> None:
    """Brute force over all ways to give the colliding items of one prefix codes that nobody else holds."""
    codebooks = books((1, 6), seed=seed)
    latents = (np.random.default_rng(seed).normal(size=(5, 3)) / 3).astype(np.float32)
    codes = encode(latents, codebooks)
    after = matching.reassign(codes, latents, codebooks)
    _, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    moving = np.flatnonzero(counts[inverse.reshape(-1)] > 1)
    free = sorted(set(range(6)) - set(codes[np.setdiff1d(np.arange(5), moving), 1].tolist()))
    best = np.inf
    for choice in itertools.permutations(free, len(moving)):
        tried = codes.copy()
        tried[moving, 1] = choice
        best = min(best, error(latents, tried, codebooks))
    assert error(latents, after, codebooks) == pytest.approx(best, rel=1e-9)


def test_equal_rows_fill_prefix_after_prefix() -> None:
    codebooks = books((16, 16, 16))
    latents = np.ones((1000, 3), np.float32)
    after = matching.reassign(encode(latents, codebooks), latents, codebooks)
    assert unique(after) == 1000
    # four first-level codes hold 1000 items at 256 each: no more of them are touched than that
    assert len(np.unique(after[:, 0])) == 4


def test_a_full_prefix_sends_its_cheapest_items_to_the_nearest_one() -> None:
    first = np.array([[0.0], [1.0], [10.0]], np.float32)
    last = np.array([[0.0], [0.1]], np.float32)
    latents = np.array([[0.0], [0.02], [0.3], [0.29]], np.float32)
    codes = encode(latents, [first, last])
    assert codes[:, 0].tolist() == [0, 0, 0, 0]
    after = matching.reassign(codes, latents, [first, last])
    assert unique(after) == 4
    assert after[:, 0].tolist() == [0, 0, 1, 1]


def test_filled_to_the_last_code() -> None:
    codebooks = books((3, 4, 5))
    latents = np.zeros((60, 3), np.float32)
    assert unique(matching.reassign(encode(latents, codebooks), latents, codebooks)) == 60


def test_one_item_too_many_is_refused_with_both_numbers() -> None:
    with pytest.raises(InputError, match=r"\[3, 4, 5\] makes 60 Semantic IDs for 61 items"):
        matching.reassign(np.zeros((61, 3), np.int32), np.zeros((61, 3), np.float32), books((3, 4, 5)))


def test_a_single_level() -> None:
    codebooks = books((8,))
    latents = np.ones((8, 3), np.float32)
    assert unique(matching.reassign(encode(latents, codebooks), latents, codebooks)) == 8


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_catalogue_that_fits_ends_without_collisions(data: st.DataObject) -> None:
    sizes = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    capacity = int(np.prod(sizes))
    rows = data.draw(st.integers(1, capacity))
    distinct = data.draw(st.integers(1, rows))
    generator = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    latents = generator.normal(size=(distinct, 2)).astype(np.float32)[generator.integers(distinct, size=rows)]
    scale = data.draw(st.sampled_from([1e-4, 1.0, 1e4]))
    codebooks = [book * np.float32(scale) for book in books(sizes, 2, seed=rows)]
    codes = encode(latents * np.float32(scale), codebooks)
    after = matching.reassign(codes, latents * np.float32(scale), codebooks)
    assert unique(after) == rows
    assert ((after >= 0) & (after < np.array(sizes))).all()
    np.testing.assert_array_equal(after, matching.reassign(codes, latents * np.float32(scale), codebooks))
    _, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    alone = counts[inverse.reshape(-1)] == 1
    np.testing.assert_array_equal(after[alone], codes[alone])
