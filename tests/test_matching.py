"""Rows matched to codes with room for a few each, against SciPy's optimum of single places."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from sid.dedupe import matching
from sid.dedupe.matching_many import match_many
from tests.conftest import ROOT


def crowd(rows: int, codes: int, kind: str, seed: int, dim: int = 4) -> np.ndarray:
    """(rows, codes) squared distances of points that differ, are equal, nearly equal, or half of them equal."""
    generator = np.random.default_rng(seed)
    points, one = generator.normal(size=(rows, dim)), generator.normal(size=dim)
    if kind == "equal":
        points[:] = one
    elif kind == "near":
        points = one + 1e-5 * points
    elif kind == "half":
        points[::2] = one
    elif kind == "grid":
        points = points.round()
    table = generator.normal(size=(codes, dim))
    if kind == "grid":  # ties everywhere, and codes that are equal
        table = table.round()
    return ((points[:, None] - table) ** 2).sum(axis=2)


def least(cost: np.ndarray, room: np.ndarray) -> float:
    single = cost[:, np.repeat(np.arange(len(room)), np.minimum(room, len(cost)))]
    return float(single[linear_sum_assignment(single)].sum())


KINDS = ("different", "equal", "near", "half", "grid")


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 60),
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.sampled_from(KINDS),
    st.sampled_from([1e-6, 1.0, 1e6]),
    st.integers(0, 1 << 32),
)
def test_transport_reaches_the_optimum_of_single_places(
    rows: int, rooms: list[int], kind: str, scale: float, seed: int
) -> None:
    room = np.array(rooms)
    cost = scale * crowd(min(rows, int(room.sum())), len(room), kind, seed)
    chosen = matching.transport(cost, room)
    assert (np.bincount(chosen, minlength=len(room)) <= room).all()
    total = float(cost[np.arange(len(cost)), chosen].sum())
    assert total == pytest.approx(least(cost, room), rel=1e-9, abs=1e-10 * cost.max())


@pytest.mark.parametrize("kind", KINDS)
def test_transport_of_larger_groups(kind: str) -> None:
    """More rows than the sample on which prices are found, uneven rooms, one row less than there are places."""
    room = np.random.default_rng(1).integers(1, 150, 6)
    cost = crowd(int(room.sum()) - 1, 6, kind, seed=2)
    chosen = matching.transport(cost, room)
    assert (np.bincount(chosen, minlength=6) <= room).all()
    total = float(cost[np.arange(len(cost)), chosen].sum())
    assert total == pytest.approx(least(cost, room), rel=1e-9)


@pytest.mark.parametrize("small", [0, 1 << 30])
def test_match_uses_no_code_without_room_and_moves_no_more_rows_than_it_must(
    small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal rows hold three codes, one of them without room: who can stay stays, either way of matching."""
    monkeypatch.setattr(matching, "_SMALL", small)
    held = np.repeat([0, 1, 2], 10)
    cost = np.tile(np.array([[1.0, 1.0, 1.0, 1.0]]), (30, 1))
    chosen = matching.match(cost, np.array([12, 0, 9, 9]), held)
    assert np.bincount(chosen, minlength=4)[1] == 0
    assert (np.bincount(chosen, minlength=4) <= [12, 0, 9, 9]).all()
    assert (chosen[:10] == 0).all()
    assert (chosen[20:] == 2).sum() == 9


def test_a_large_group_needs_no_place_of_its_own_for_each_row() -> None:
    """The peak of memory in a process of its own: 4,800 rows at 32 codes of 200 places; places would be 246 MB."""
    code = """
import json, re
import numpy as np
from sid.dedupe.matching import match
from tests.test_matching import crowd
cost = crowd(4800, 32, "different", 0)
held = cost.argmin(axis=1)

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

before = peak()
chosen = match(cost, np.full(32, 200), held)
print(json.dumps({"largest": int(np.bincount(chosen).max()), "added": peak() - before, "peak": peak()}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["largest"] <= 200
    assert found["added"] < 60


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "codes"), [(1, 5), (2, 5), (2, 9), (3, 20), (5, 40), (8, 30)])
def test_many_matchings_at_once_each_reach_the_optimum(rows: int, codes: int, kind: str) -> None:
    generator = np.random.default_rng(rows)
    cost = np.stack([crowd(rows, codes, kind, seed) for seed in range(60)])
    held = cost.argmin(axis=2)
    full = generator.random((60, codes)) < 0.3
    full[:, :rows] = False
    open_ = np.where(full[:, None], np.inf, cost)
    chosen = match_many(open_.copy(), held)
    for problem, found in zip(open_, chosen, strict=True):
        assert len(set(found.tolist())) == rows
        best = problem[linear_sum_assignment(problem)].sum()
        assert problem[np.arange(rows), found].sum() == pytest.approx(best, rel=1e-12, abs=1e-12)


def test_many_matchings_move_no_more_rows_than_they_must() -> None:
    """Equal rows at two codes, two of them at each: both codes keep one."""
    for held in itertools.product(range(2), repeat=4):
        chosen = match_many(np.ones((1, 4, 40)), np.array([held]))[0]
        assert (chosen != np.array(held)).sum() == 4 - len(set(held))
