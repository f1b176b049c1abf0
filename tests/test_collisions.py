from __future__ import annotations

import numpy as np
import pytest

from sid.dedupe import groups as collisions
from sid.errors import InputError


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


def test_append_colliding_leaves_items_alone_without_a_token() -> None:
    codes = np.array([[3, 1], [0, 0], [3, 1], [2, 2], [3, 1], [0, 0]], np.int32)
    after, size = collisions.append_colliding(codes, max_suffix=3)
    assert after.tolist() == [[3, 1, 0], [0, 0, 0], [3, 1, 1], [2, 2, -1], [3, 1, 2], [0, 0, 1]]
    assert size == 3
    assert after.dtype == np.int32
    with pytest.raises(InputError, match=r"append_colliding: .* 3 items and needs a suffix level of 3 codes, .* is 2"):
        collisions.append_colliding(codes, max_suffix=2)


def test_append_colliding_adds_nothing_where_nothing_collides() -> None:
    codes = np.array([[0, 1], [1, 1]], np.int32)
    after, size = collisions.append_colliding(codes, max_suffix=2)
    assert (after.tolist(), size) == ([[0, 1], [1, 1]], 0)
    assert after is not codes


def test_who_shares_with_too_many() -> None:
    codes = np.array([[0], [1], [0], [2], [1], [0]], np.int32)
    assert collisions.in_groups_above(codes, 1).tolist() == [True, True, True, False, True, True]
    assert collisions.in_groups_above(codes, 2).tolist() == [True, False, True, False, False, True]
    assert not collisions.in_groups_above(codes, 3).any()
