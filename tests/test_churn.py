"""What is measured between an index and the release before it, and the names by which they agree."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from sid.errors import InputError
from sid.measure import drift
from sid.measure.churn import by_popularity, churn, kept_levels
from sid.quantizers import methods
from sid.quantizers.base import Scaling
from sid.quantizers.renaming import agreeing_names, as_before, renamed
from sid.quantizers.residual import ResidualQuantizer
from tests.books import books, normal
from tests.conftest import catalogue
from tests.test_contract import METHODS, settings


def test_kept_levels_count_from_the_first() -> None:
    before = np.array([[0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2]], np.int32)
    after = np.array([[0, 1, 2], [0, 1, 0], [0, 0, 2], [1, 1, 2]], np.int32)
    assert kept_levels(before, after).tolist() == [3, 2, 1, 0]
    assert churn(before, after) == {
        "items": 4,
        "changed": 3,
        "kept": {"first_1": 0.75, "first_2": 0.5, "all": 0.25},
        "by_popularity": None,
    }


def test_a_level_that_is_not_there_is_no_token() -> None:
    assert kept_levels(np.array([[1], [1]], np.int32), np.array([[1, -1], [1, 0]], np.int32)).tolist() == [2, 1]
    assert churn(np.zeros((0, 2), np.int32), np.zeros((0, 2), np.int32))["kept"] == {"first_1": 0.0, "all": 0.0}


def test_quarters_by_popularity_begin_with_the_most_popular() -> None:
    found = by_popularity(np.array([0, 1, 1, 1, 0]), 1, np.array([1, 5, 9, 0, 0]))
    assert [quarter["items"] for quarter in found] == [2, 1, 1, 1]
    assert [quarter["interactions"] for quarter in found] == [14, 1, 0, 0]
    assert [quarter["kept"] for quarter in found] == [{"all": share} for share in (1.0, 0.0, 1.0, 0.0)]


@pytest.mark.parametrize("seed", range(5))
def test_names_agree_as_well_as_any_at_the_first_level_and_never_worse_than_none(seed: int) -> None:
    generator = np.random.default_rng(seed)
    codes, wanted = (generator.integers(4, size=(30, 2)).astype(np.int32) for _ in range(2))
    names = agreeing_names(codes, wanted, (4, 4))
    first = (names[0][codes[:, 0]] == wanted[:, 0]).sum()
    assert first == max((np.array(one)[codes[:, 0]] == wanted[:, 0]).sum() for one in itertools.permutations(range(4)))
    agree = names[0][codes[:, 0]] == wanted[:, 0]
    both = (agree & (names[1][codes[:, 1]] == wanted[:, 1])).sum()
    assert both == max(
        (agree & (np.array(one)[codes[:, 1]] == wanted[:, 1])).sum() for one in itertools.permutations(range(4))
    )


def test_names_reach_over_other_sizes_and_levels() -> None:
    codes = np.array([[4, 0], [3, 1], [3, 1]], np.int32)
    names = agreeing_names(codes, np.array([[0], [2], [9]], np.int32), (5, 2))
    assert (names[0][4], names[0][3]) == (0, 2)
    assert sorted(names[0].tolist()) == list(range(5))
    assert names[1].tolist() == [0, 1]


def test_a_renamed_quantizer_is_the_same_but_for_names(tmp_path: Path) -> None:
    quantizer = ResidualQuantizer(tuple(books((5, 4), 3)), Scaling.identity(3))
    names = [np.array([3, 1, 4, 0, 2]), np.array([1, 2, 3, 0])]
    other = renamed(quantizer, names)
    vectors = normal(50)
    codes, named = quantizer.encode(vectors), other.encode(vectors)
    np.testing.assert_array_equal(named, np.stack([own[codes[:, level]] for level, own in enumerate(names)], axis=1))
    np.testing.assert_array_equal(quantizer.decode(codes), other.decode(named))
    other.save(tmp_path / "model.pth")
    loaded = methods.load(tmp_path / "model.pth", "cpu")
    np.testing.assert_array_equal(as_before(loaded, named), codes)
    assert as_before(quantizer, codes) is None


@pytest.mark.parametrize("method", METHODS)
def test_a_warm_start_begins_where_the_other_ended(method: str) -> None:
    vectors = catalogue(120)
    chosen = settings(method)
    first = methods.fit(vectors, chosen).quantizer
    again = methods.fit(vectors, chosen, None, first)
    same = (again.quantizer.encode(vectors) == first.encode(vectors)).mean()
    cold = methods.fit(vectors, settings(method, seed=7)).quantizer
    assert same > (cold.encode(vectors) == first.encode(vectors)).mean() + 0.2
    with pytest.raises(InputError, match=r"the warm start is .* must be .* or set release.warm_start: false"):
        methods.fit(vectors, settings(method, num_emb_list=(6, 5, 8)), None, first)


def test_drift_of_items_from_elsewhere() -> None:
    quantizer = ResidualQuantizer(tuple(books((4, 8), 3)), Scaling.identity(3))
    vectors = np.concatenate([normal(200), normal(50, seed=5) + 9])
    codes = quantizer.encode(vectors)
    old, new = np.arange(200), np.arange(200, 250)
    errors = drift.errors(quantizer.decode, vectors, codes, old, new)
    assert errors["new"]["mse"] > 10 * errors["old"]["mse"]
    assert errors["beyond"] == 1.0
    alike = drift.errors(quantizer.decode, vectors[:200], codes[:200], old[:100], old[100:])
    assert alike["beyond"] < 0.1
    figures = {"errors": errors, "settling": {"left_prefix": 0.0}, "places": {"free": 1000}}
    assert drift.verdict(figures)["say"] == "refresh"
    assert len(drift.verdict(figures)["because"]) == 2
    assert drift.verdict({**figures, "errors": alike})["say"] == "append"
    crowded = {**figures, "errors": alike, "settling": {"left_prefix": 0.5}, "places": {"free": 1}}
    assert [reason.split()[-1] for reason in drift.verdict(crowded)["because"]] == ["prefix", "items"]
    nothing = drift.errors(quantizer.decode, vectors, codes, old, np.zeros(0, np.int64))
    assert (nothing["new"], nothing["beyond"]) == (None, None)
    assert drift.verdict({**figures, "errors": nothing})["say"] == "append"
    lost = drift.errors(quantizer.decode, vectors, codes, np.zeros(0, np.int64), new)
    assert drift.verdict({**figures, "errors": lost})["say"] == "refresh"


def test_places_and_settling_by_hand() -> None:
    raw = np.array([[0, 0], [0, 1], [0, 0], [0, 0], [1, 0]], np.int32)
    after = np.array([[0, 0], [0, 1], [1, 1], [0, 0], [1, 0]], np.int32)
    new = np.array([2, 3, 4])
    assert drift.settling(raw, after, after[:2], new) == {
        "items": 3,
        "collided": 0.666667,
        "moved": 0.333333,
        "left_prefix": 0.333333,
        "colliding_after": 0.333333,
    }
    found = drift.places(after, (3, 2), new)
    assert (found["all"], found["taken"], found["free"]) == (6, 4, 2)
    assert found["prefixes"] == {"all": 3, "used": 2, "full": 2}
    assert found["free_near"] == 0
