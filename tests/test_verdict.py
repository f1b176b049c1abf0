"""The verdict: each bound from both sides, and the bounds in the docs."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sid.report import verdict
from tests.conftest import ROOT


def graded(**changes: Any) -> dict[str, Any]:
    """Reports of an index that is good in every respect, but for some figures by dotted path."""
    level = {"size": 256, "perplexity": 200.0, "purity": 0.5, "purity_random": 0.01}
    state = {"collision_rate": 0.0, "largest_group": 1, "items_in_collision": 0, "groups_by_quantizer": 0}
    after = {**state, "recall_at_10": 0.5, "recall_at_10_random": 0.001, "levels": {"level_1": dict(level)}}
    reports = {
        "report": {
            "r2": 0.8,
            "mse_added_share": 0.0,
            "before": {**state, "levels": {"level_1": level}},
            "after": after,
            "trials": {},
        },
        "dedupe": {"items": 5000, "max_items_per_sid": 1, "moved_share": 0.0},
        "prepare": {
            "items": 5000,
            "duplicate_rows": 0,
            "outliers": "keep",
            "outlier_rows": 0,
            "outlier_row_ids": [str(row) for row in range(5)],
            "dominant_dimensions": [],
            "dominant_share": 0.6,
            "saturated_rows": 0,
            "clipped_share": 0.0,
        },
    }
    for path, value in changes.items():
        part: Any = reports
        *sections, name = path.split("__")
        for section in sections:
            part = part[section]
        assert name in part
        part[name] = value
    return reports


LEVEL_1 = "report__after__levels__level_1__"


@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({}, "good"),
        ({"report__after__collision_rate": 0.01, "report__after__largest_group": 2}, "fair"),
        ({"report__after__collision_rate": 0.011, "report__after__largest_group": 2}, "poor"),
        (
            {
                "report__after__collision_rate": 0.3,
                "report__after__largest_group": 2,
                "dedupe__max_items_per_sid": 2,
            },
            "fair",
        ),
        (
            {
                "report__after__collision_rate": 0.3,
                "report__after__largest_group": 3,
                "dedupe__max_items_per_sid": 2,
            },
            "poor",
        ),
        ({"report__after__recall_at_10": 0.3}, "good"),
        ({"report__after__recall_at_10": 0.29}, "fair"),
        ({"report__after__recall_at_10": 0.1}, "fair"),
        ({"report__after__recall_at_10": 0.09}, "poor"),
        ({"report__after__recall_at_10": 0.2, "report__after__recall_at_10_random": 0.04}, "poor"),
        ({"report__after__recall_at_10": 0.2, "report__after__recall_at_10_random": 0.039}, "fair"),
        ({"report__after__recall_at_10": 0.0, "report__after__recall_at_10_random": 0.5}, "good"),
        ({"report__after__recall_at_10": 0.0, "report__after__recall_at_10_random": 0.49}, "poor"),
        ({LEVEL_1 + "perplexity": 128.0}, "good"),
        ({LEVEL_1 + "perplexity": 127.0}, "fair"),
        ({LEVEL_1 + "perplexity": 30.0, "dedupe__items": 60}, "good"),
        ({"report__r2": 0.5}, "good"),
        ({"report__r2": 0.49}, "fair"),
        ({LEVEL_1 + "purity": 0.1, LEVEL_1 + "purity_random": 0.0}, "good"),
        ({LEVEL_1 + "purity": 0.09, LEVEL_1 + "purity_random": 0.0}, "fair"),
        ({LEVEL_1 + "purity": 0.01, LEVEL_1 + "purity_random": 0.0}, "poor"),
        ({LEVEL_1 + "purity": 0.5, LEVEL_1 + "purity_random": 0.48}, "fair"),
        ({LEVEL_1 + "purity": 1.0, LEVEL_1 + "purity_random": 1.0}, "poor"),
        ({"report__before__items_in_collision": 5000}, "poor"),
        ({"report__before__items_in_collision": 4999}, "good"),
        ({"report__before__items_in_collision": 5000, "report__before__groups_by_quantizer": 1}, "good"),
        ({"prepare__duplicate_rows": 2500}, "good"),
        ({"prepare__duplicate_rows": 2501}, "fair"),
        ({"prepare__outlier_rows": 1}, "poor"),
        ({"prepare__outlier_rows": 7, "prepare__outliers": "clip"}, "fair"),
        ({"prepare__outlier_rows": 7, "prepare__outliers": "drop"}, "fair"),
        ({"prepare__dominant_dimensions": [3]}, "poor"),
        ({"prepare__saturated_rows": 1}, "fair"),
        ({"prepare__clipped_share": 0.01}, "fair"),
        ({"dedupe__moved_share": 0.2, "report__mse_added_share": 0.05}, "good"),
        ({"dedupe__moved_share": 0.21}, "fair"),
        ({"dedupe__moved_share": 0.1, "report__mse_added_share": 0.06}, "fair"),
        ({"dedupe__moved_share": 0.55, "report__mse_added_share": 0.17}, "fair"),
        ({"dedupe__moved_share": 0.61}, "poor"),
        ({"dedupe__moved_share": 0.1, "report__mse_added_share": 0.31}, "poor"),
        ({"dedupe__moved_share": 0.1, "report__mse_added_share": None}, "good"),
    ],
)
def test_the_verdict(changes: dict[str, Any], grade: str) -> None:
    assert verdict.verdict(graded(**changes)).grade == grade


@pytest.mark.parametrize(
    ("policy", "said"), [("warn", "codes and R² describe that distance"), ("clip", "was moved in")]
)
def test_the_verdict_names_the_item_that_lies_far_from_all_others(policy: str, said: str) -> None:
    changes = {"prepare__outlier_rows": 1, "prepare__outlier_row_ids": ["B0 <far>"], "prepare__outliers": policy}
    (point,) = [point for point in verdict.verdict(graded(**changes)).points if "far from all others" in point.text]
    assert "Item B0 <far> lies far" in point.text
    assert said in point.text


@pytest.mark.parametrize(
    ("own", "std", "chance", "grade"),
    [(0.08, 0.002, 0.06, "good"), (0.06, None, 0.05, "good"), (0.061, 0.002, 0.06, "fair"), (0.05, 0.0, 0.06, "fair")],
)
def test_a_recommender_must_gain_by_the_index(own: float, std: float | None, chance: float, grade: str) -> None:
    evaluation = {
        "seeds": [0, 1, 2],
        "test": {"ndcg_at_10": {"mean": own, "std": std}},
        "controls": {"random": {"test": {"ndcg_at_10": chance}}},
    }
    assert verdict.verdict({**graded(), "evaluate": evaluation}).grade == grade
    without = {**evaluation, "controls": {}}
    assert len(verdict.verdict({**graded(), "evaluate": without}).points) == len(verdict.verdict(graded()).points)


@pytest.mark.parametrize(
    ("counts", "popular", "said"),
    [
        (0.09, 0.01, "Counting which items are used together, without Semantic IDs, recommends better than the index"),
        (0.079, 0.01, "Counting which items are used together, without Semantic IDs, recommends as well as the index"),
        (0.07, 0.09, "The same list of popular items for everyone recommends better than the index"),
        (0.07, 0.01, None),
    ],
)
def test_an_index_that_simple_counts_beat_is_not_good(counts: float, popular: float, said: str | None) -> None:
    controls = {"random": 0.05, "popularity": popular, "co_occurrence": counts}
    evaluation = {
        "seeds": [0, 1, 2],
        "test": {"ndcg_at_10": {"mean": 0.08, "std": 0.002}},
        "controls": {name: {"test": {"ndcg_at_10": value}} for name, value in controls.items()},
    }
    found = verdict.verdict({**graded(), "evaluate": evaluation})
    assert found.grade == ("good" if said is None else "fair")
    (first, *rest) = found.points[-(1 if said is None else 2) :]
    assert first.grade == "good"
    assert [point.text.split(":")[0] for point in rest] == ([] if said is None else [said])
    assert all(f"{max(counts, popular):.4f} and 0.0800" in point.text for point in rest)


@pytest.mark.parametrize(("equal", "said"), [(0.31, "31 % instead of 5.0 % in quick trials"), (0.04, "balanced evens")])
def test_uneven_codes_are_to_be_balanced_only_where_that_makes_no_more_collisions(equal: float, said: str) -> None:
    trials = {"rqkmeans": {"collision_rate": 0.05}, "rqkmeans_constrained": {"collision_rate": equal}}
    found = verdict.verdict(graded(**{LEVEL_1 + "perplexity": 30.0}, report__trials=trials))
    (point,) = [point for point in found.points if point.grade != "good"]
    assert said in point.advice


def test_a_weak_point_says_what_to_do() -> None:
    trial = {"method": "rqkmeans", "num_emb_list": "256 x 256", "collision_rate": 0.08, "r2": 0.7}
    changes = {"dedupe__moved_share": 0.55, "report__mse_added_share": 0.17, "report__before__collision_rate": 0.5}
    found = verdict.verdict(graded(**changes, report__trials={"larger": trial}))
    (point,) = [point for point in found.points if point.grade != "good"]
    assert point.text == "Dedupe moved 55 % of the items to other codes, which added 17 % to the error."
    assert point.advice == (
        "Try quant.method rqkmeans with quant.num_emb_list [256,256]: 8.0 % collisions before dedupe in a quick trial "
        "on this catalogue, instead of 50 %."
    )
    worse = {**trial, "collision_rate": 0.5}
    (point,) = [
        point for point in verdict.verdict(graded(**changes, report__trials={"larger": worse})).points if point.advice
    ]
    assert "more codes per level" in point.advice


def test_the_least_even_level_is_one_of_the_quantizers() -> None:
    reports = graded()
    after = reports["report"]["after"]["levels"]
    after["level_2"] = {**after["level_1"], "perplexity": 1.0}  # a suffix
    assert verdict.least_even(reports) == (1, 200 / 256)


def test_the_bounds_in_the_docs_are_those_of_the_code() -> None:
    bounds = {name: value for name, value in vars(verdict).items() if name.isupper() and name[0] != "_"}
    text = (ROOT / "docs" / "metrics.md").read_text()
    written = {name: float(value) for value, name in re.findall(r"([\d.]+) \(`([A-Z0-9_]+)`\)", text)}
    assert written == bounds
