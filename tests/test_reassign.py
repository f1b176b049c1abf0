"""`reassign` against brute force, scipy's optimum and promises that any catalogue must keep."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from sid.arrays import Codes
from sid.dedupe import costs
from sid.dedupe import reassign as module
from sid.dedupe.groups import in_groups_above
from sid.dedupe.reassign import reassign
from sid.errors import InputError
from tests.books import Books, books, distances, encode, error, group_sizes, normal, unique


def test_items_that_collide_with_nobody_stay() -> None:
    codebooks, latents = books((4, 4, 8)), normal(60)
    codes = encode(latents, codebooks)
    after = reassign(codes, Books(latents, codebooks))
    assert unique(after) == 60
    alone = group_sizes(codes) == 1
    assert alone.any()
    np.testing.assert_array_equal(after[alone], codes[alone])


def test_no_input_is_changed_and_nothing_moves_without_a_collision() -> None:
    codebooks = books((2, 4))
    codes = np.zeros((4, 2), np.int32)
    reassign(codes, Books(np.zeros((4, 3), np.float32), codebooks))
    assert not codes.any()
    apart = np.array([[0, 0], [0, 1], [1, 3]], np.int32)  # far from nearest, and yet none of reassign's business
    for move in ("colliding", "any"):
        np.testing.assert_array_equal(reassign(apart, Books(normal(3), codebooks), move=move), apart)


@pytest.mark.parametrize("move", ["colliding", "any"])
@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_within_a_prefix_the_total_distortion_is_the_least_there_is(seed: int, limit: int, move: str) -> None:
    """Brute force over all ways to give the items that may move places that nobody else holds."""
    codebooks = books((1, 5), seed=seed)
    latents = normal(6 if limit == 2 else 5, seed=seed, scale=1 / 3)
    codes = encode(latents, codebooks)
    moving = np.flatnonzero(group_sizes(codes) > limit)
    if move == "any" and len(moving):
        moving = np.arange(len(codes))
    fixed = np.bincount(np.delete(codes[:, 1], moving), minlength=5)
    places = np.repeat(np.arange(5), limit - np.minimum(fixed, limit))
    best = np.inf
    for choice in set(itertools.permutations(places.tolist(), len(moving))):
        tried = codes.copy()
        tried[moving, 1] = choice
        best = min(best, error(latents, tried, codebooks))
    after = reassign(codes, Books(latents, codebooks), max_items_per_sid=limit, move=move)
    assert group_sizes(after).max() <= limit
    assert error(latents, after, codebooks) == pytest.approx(best, rel=1e-9)


def test_many_prefixes_each_reach_scipys_optimum() -> None:
    """Batches, fixed items and prefixes of all sizes: each prefix against linear_sum_assignment on plain distances."""
    codebooks, latents = books((6, 6, 250), dim=8), normal(900, dim=8, scale=1.2)
    codes = encode(latents, codebooks)
    after = reassign(codes, Books(latents, codebooks))
    np.testing.assert_array_equal(after[:, :2], codes[:, :2])  # nothing had to spill
    cost = distances(latents, codes, codebooks)
    colliding = group_sizes(codes) > 1
    compared = 0
    for prefix in np.unique(codes[:, :2], axis=0):
        rows = np.flatnonzero((codes[:, :2] == prefix).all(axis=1) & colliding)
        held = codes[(codes[:, :2] == prefix).all(axis=1) & ~colliding, 2]
        free = np.setdiff1d(np.arange(250), held)
        best = cost[np.ix_(rows, free)]
        assert cost[rows, after[rows, 2]].sum() == pytest.approx(
            best[linear_sum_assignment(best)].sum(), rel=1e-12, abs=1e-12
        )
        compared += len(rows) > 0
    assert compared > 20


def test_matching_in_parts_still_parts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    codebooks, latents = books((1, 64)), normal(60, scale=0.1)
    codes = encode(latents, codebooks)
    whole = reassign(codes, Books(latents, codebooks))
    monkeypatch.setattr(module, "_MATCH", 64 * 7)
    parts = reassign(codes, Books(latents, codebooks))
    assert unique(whole) == unique(parts) == 60
    assert error(latents, whole, codebooks) <= error(latents, parts, codebooks)


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    codebooks = books((4, 4, 4))
    latents = np.concatenate([normal(20), np.zeros((40, 3), np.float32)])
    codes = encode(latents, codebooks)
    at_once = reassign(codes, Books(latents, codebooks))
    monkeypatch.setattr(costs, "BATCH_BYTES", 8)
    np.testing.assert_array_equal(reassign(codes, Books(latents, codebooks)), at_once)


def test_equal_rows_in_different_groups_are_not_swapped_for_nothing() -> None:
    """Codes from a balanced assignment: equal rows hold different codes, and both codes collide."""
    book = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32)
    latents = np.full((4, 1), 0.5, np.float32)
    for codes in itertools.product(range(2), repeat=4):
        before = np.array(codes, np.int32)[:, None]
        after = reassign(before, Books(latents, [book]))
        assert unique(after) == 4
        assert (after != before).sum() == 4 - unique(before)


def test_costs_are_asked_for_the_rows_that_may_move_alone() -> None:
    codebooks, latents = books((4, 4, 8)), normal(60)
    codes = encode(latents, codebooks)
    asked: set[int] = set()

    class Watched(Books):
        def __call__(self, rows: np.ndarray, prefix: Codes) -> np.ndarray:
            asked.update(rows.tolist())
            return super().__call__(rows, prefix)

    after = reassign(codes, Watched(latents, codebooks))
    assert unique(after) == 60
    assert asked == set(np.flatnonzero(group_sizes(codes) > 1).tolist())


def test_equal_rows_fill_prefix_after_prefix() -> None:
    codebooks = books((16, 16, 16))
    latents = np.ones((1000, 3), np.float32)
    after = reassign(encode(latents, codebooks), Books(latents, codebooks))
    assert unique(after) == 1000
    # four first-level codes hold 1000 items at 256 each: no more of them are touched than that
    assert len(np.unique(after[:, 0])) == 4


def test_equal_rows_that_fill_every_place_or_are_one_too_many() -> None:
    codebooks = books((16, 16, 16))
    latents = np.ones((4097, 3), np.float32)
    codes = encode(latents, codebooks)
    assert unique(reassign(codes[:4096], Books(latents[:4096], codebooks))) == 4096
    with pytest.raises(InputError, match=r"\[16, 16, 16\] makes 4096 Semantic IDs for 4097 items"):
        reassign(codes, Books(latents, codebooks))
    shared = reassign(codes, Books(latents, codebooks), max_items_per_sid=2)
    assert group_sizes(shared).max() == 2


def test_a_full_prefix_sends_its_cheapest_items_to_the_nearest_one() -> None:
    first = np.array([[0.0], [1.0], [10.0]], np.float32)
    last = np.array([[0.0], [0.1]], np.float32)
    latents = np.array([[0.0], [0.02], [0.3], [0.29]], np.float32)
    codes = encode(latents, [first, last])
    assert codes[:, 0].tolist() == [0, 0, 0, 0]
    after = reassign(codes, Books(latents, [first, last]))
    assert unique(after) == 4
    assert after[:, 0].tolist() == [0, 0, 1, 1]


def test_items_that_find_the_nearest_prefixes_full_go_on_to_the_next() -> None:
    """More targets than an item remembers: 40 equal rows and a last level of one code fill 40 prefixes in order."""
    first = np.arange(48, dtype=np.float32)[:, None]
    latents = np.zeros((40, 1), np.float32)
    after = reassign(np.zeros((40, 2), np.int32), Books(latents, [first, np.zeros((1, 1), np.float32)]))
    assert sorted(after[:, 0].tolist()) == list(range(40))


def test_a_single_level_and_a_single_item() -> None:
    codebooks = books((8,))
    latents = np.ones((8, 3), np.float32)
    assert unique(reassign(encode(latents, codebooks), Books(latents, codebooks))) == 8
    assert reassign(np.zeros((1, 1), np.int32), Books(latents[:1], codebooks)).tolist() == [[0]]


@settings(max_examples=1500, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.integers(0, 1 << 32),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from([1e-4, 1.0, 1e4]),
    st.sampled_from(["colliding", "any"]),
    st.sampled_from([1, 1, 2, 3]),
)
def test_any_catalogue_that_fits_ends_without_collisions(
    sizes: list[int], seed: int, fill: float, copies: float, scale: float, move: str, limit: int
) -> None:
    generator = np.random.default_rng(seed)
    rows = max(1, round(fill * int(np.prod(sizes)) * limit))
    distinct = max(1, round((1 - copies) * rows))
    latents = scale * generator.normal(size=(distinct, 2))[generator.integers(distinct, size=rows)]
    latents = latents.astype(np.float32)
    codebooks = [book * np.float32(scale) for book in books(tuple(sizes), 2, seed=rows)]
    codes = encode(latents, codebooks)
    if seed % 3 == 0:  # codes that are nobody's nearest, as a balanced assignment gives them
        codes = generator.integers(0, sizes, size=codes.shape).astype(np.int32)
    after = reassign(codes, Books(latents, codebooks), max_items_per_sid=limit, move=move)
    assert group_sizes(after).max() <= limit
    assert after.dtype == np.int32
    assert ((after >= 0) & (after < np.array(sizes))).all()
    again = reassign(codes, Books(latents, codebooks), max_items_per_sid=limit, move=move)
    np.testing.assert_array_equal(after, again)
    stays = ~in_groups_above(codes, limit)
    if move == "colliding" or stays.all():
        np.testing.assert_array_equal(after[stays], codes[stays])
