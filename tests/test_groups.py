from __future__ import annotations

import numpy as np

from sid.dedupe.groups import Groups, in_groups_above


def test_groups_against_a_dictionary() -> None:
    keys = np.random.default_rng(0).integers(0, 20, 50)
    groups = Groups.of(keys)
    expected = {key: np.flatnonzero(keys == key).tolist() for key in np.unique(keys)}
    assert groups.sizes.tolist() == [len(rows) for rows in expected.values()]
    assert [rows.tolist() for rows in groups.larger_than(2)] == [r for r in expected.values() if len(r) > 2]


def test_groups_of_nothing() -> None:
    groups = Groups.of(np.zeros(0, np.int64))
    assert len(groups.sizes) == 0
    assert list(groups.larger_than(0)) == []


def test_who_shares_with_too_many() -> None:
    codes = np.array([[0], [1], [0], [2], [1], [0]], np.int32)
    assert in_groups_above(codes, 1).tolist() == [True, True, True, False, True, True]
    assert in_groups_above(codes, 2).tolist() == [True, False, True, False, False, True]
    assert not in_groups_above(codes, 3).any()


def test_places_count_the_rows_of_the_group_that_come_before() -> None:
    groups = Groups.of(np.array([7, 3, 7, 7, 3]))
    assert groups.places().tolist() == [0, 0, 1, 2, 1]
