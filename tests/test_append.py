"""The strategies that add a level: `append` and `append_colliding`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sid.dedupe.append import append
from sid.dedupe.append_colliding import append_colliding
from sid.errors import InputError

CODES = np.array([[3, 1], [0, 0], [3, 1], [2, 2], [3, 1], [0, 0]], np.int32)


def test_append_numbers_groups_in_row_order() -> None:
    after, size = append(CODES, max_suffix=3)
    assert after.tolist() == [[3, 1, 0], [0, 0, 0], [3, 1, 1], [2, 2, 0], [3, 1, 2], [0, 0, 1]]
    assert size == 3
    assert after.dtype == np.int32


def test_append_where_nothing_collides() -> None:
    after, size = append(np.array([[0], [1]], np.int32), max_suffix=2)
    assert (after[:, 1].tolist(), size) == ([0, 0], 1)


def test_append_needs_a_code_for_each_item_of_the_largest_group_and_no_more() -> None:
    after, size = append(np.zeros((256, 2), np.int32), max_suffix=256)
    assert (after[:, 2].tolist(), size) == (list(range(256)), 256)
    with pytest.raises(InputError, match=r"257 items and needs a suffix level of 257 codes, dedupe\.max_suffix is 256"):
        append(np.zeros((257, 2), np.int32), max_suffix=256)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 40))
def test_a_newcomer_renames_nobody_under_append(codes: list[int], earlier: int) -> None:
    grown = np.array(codes, np.int32)[:, None]
    before, _ = append(grown[:earlier], max_suffix=40)
    after, size = append(grown, max_suffix=40)
    np.testing.assert_array_equal(after[:earlier], before)
    assert len(np.unique(after, axis=0)) == len(codes)
    assert size == after[:, 1].max() + 1


def test_append_colliding_leaves_items_alone_without_a_token() -> None:
    after, size = append_colliding(CODES, max_suffix=3)
    assert after.tolist() == [[3, 1, 0], [0, 0, 0], [3, 1, 1], [2, 2, -1], [3, 1, 2], [0, 0, 1]]
    assert size == 3
    assert after.dtype == np.int32
    with pytest.raises(InputError, match=r"append_colliding: .* 3 items and needs a suffix level of 3 codes, .* is 2"):
        append_colliding(CODES, max_suffix=2)


def test_append_colliding_renames_the_item_that_was_alone_as_its_docstring_says() -> None:
    after, _ = append_colliding(np.array([[0], [1], [1], [0]], np.int32), max_suffix=2)
    before, _ = append_colliding(np.array([[0], [1], [1]], np.int32), max_suffix=2)
    assert (before[:, 1].tolist(), after[:3, 1].tolist()) == ([-1, 0, 1], [0, 0, 1])


def test_append_colliding_adds_nothing_where_nothing_collides() -> None:
    codes = np.array([[0, 1], [1, 1]], np.int32)
    after, size = append_colliding(codes, max_suffix=2)
    assert (after.tolist(), size) == ([[0, 1], [1, 1]], 0)
    assert after is not codes
