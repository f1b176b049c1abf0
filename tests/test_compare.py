"""Two indexes compared: the figures by hand, and the page in a browser."""

from __future__ import annotations

import json
import re
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from sid.ids import SemanticIds
from sid.measure.churn import kept_together
from sid.report.comparison import Comparison, Index, page
from tests.conftest import Project
from tests.test_report import HOSTILE, browser

__all__ = ["browser"]  # the fixture


def index(name: str, codes: list[list[int]], items: list[str], **metrics: dict[str, float | None]) -> Index:
    array = np.array(codes, np.int32)
    sizes = tuple(int(size) + 1 for size in array.max(axis=0))
    return Index(name, SemanticIds(pl.Series("item_id", items), array, sizes), metrics, {})


BEFORE = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]]
AFTER = [[5, 3], [5, 4], [2, 0], [4, 0], [4, 1]]


def test_pairs_that_stay_together_dont_depend_on_names() -> None:
    before, after = np.array(BEFORE, np.int32), np.array(AFTER, np.int32)
    assert kept_together(before, after) == {"first_1": 0.5, "all": None}  # 2 of 3 + 1 pairs
    assert kept_together(before, before)["first_1"] == 1
    renamed = before.copy()
    renamed[:, 0] = 7 - renamed[:, 0]
    assert kept_together(before, renamed)["first_1"] == 1
    same = np.zeros((4, 2), np.int32)
    assert kept_together(same, same) == {"first_1": 1.0, "all": 1.0}


def test_the_figures_are_of_the_items_that_both_have() -> None:
    one = index("a", BEFORE, [*"pqrst"])
    other = index("b", [[0, 0], [0, 1], [0, 3], [2, 2]], [*"pqrz"])
    found = Comparison.of(one, other)
    assert found.figures == {
        "common": 3,
        "only_before": 2,
        "only_after": 1,
        "changed": 1,
        "kept": {"first_1": 1.0, "all": 0.666667},
        "together": {"first_1": 1.0, "all": None},
    }
    assert found.changed().tolist() == [2]


@pytest.mark.parametrize(
    ("before", "after", "std", "verdict"),
    [(0.10, 0.12, 0.002, "better"), (0.12, 0.10, 0.002, "worse"), (0.10, 0.101, 0.002, "within the noise")],
)
def test_a_difference_is_judged_by_its_direction_and_noise(
    before: float, after: float, std: float, verdict: str
) -> None:
    one = index("a", BEFORE, [*"pqrst"], evaluate={"ndcg_at_10": before, "ndcg_at_10_std": std}, report={"r2": 0.5})
    other = index("b", AFTER, [*"pqrst"], evaluate={"ndcg_at_10": after, "ndcg_at_10_std": std}, report={"r2": None})
    (row,) = Comparison.of(one, other).headline()
    assert row["verdict"] == verdict
    worse = index("b", AFTER, [*"pqrst"], report={"error_added": 0.2})
    better = index("a", BEFORE, [*"pqrst"], report={"error_added": 0.1})
    assert Comparison.of(worse, better).headline()[0]["verdict"] == "better"


def test_hits_differ_by_chance_as_ndcg_does() -> None:
    def verdict_of(after: float) -> str:
        figures = {"ndcg_at_10": 0.10, "ndcg_at_10_std": 0.002, "hr_at_10": 0.20}
        one = index("a", BEFORE, [*"pqrst"], evaluate=figures)
        other = index("b", AFTER, [*"pqrst"], evaluate={**figures, "hr_at_10": after})
        return str(Comparison.of(one, other).headline()[0]["verdict"])

    # 2 x .002 x sqrt(2 / 3) is 3.3 % of NDCG@10, and so .0065 of HR@10
    assert verdict_of(0.206) == "within the noise"
    assert verdict_of(0.207) == "better"


def test_perplexities_of_codebooks_of_other_sizes_are_not_judged() -> None:
    one = index("a", [[0, 0], [1, 1], [2, 2]], [*"pqr"], report={"least_perplexity": 3.0})
    smaller = index("b", [[0, 0], [1, 1], [1, 2]], [*"pqr"], report={"least_perplexity": 1.9})
    same = index("c", [[0, 0], [1, 1], [2, 2]], [*"pqr"], report={"least_perplexity": 2.9})
    assert Comparison.of(one, smaller).headline()[0]["verdict"] == ""
    assert Comparison.of(one, same).headline()[0]["verdict"] == "worse"


def test_the_page_in_a_browser(finished: Project, browser: Any) -> None:
    sids = SemanticIds.load(finished.path("data/sids.parquet"))
    moved = {item: ["<a_0>", f"<b_{row % 4}>", f"<c_{row // 4}>"] for row, item in enumerate(sids.item_ids)}
    finished.path("other.index.json").write_text(json.dumps(moved))
    items = pl.read_parquet(finished.path("data/prepared/items.parquet"))
    titles = (HOSTILE * 60)[: len(items)]
    items.with_columns(title=pl.Series(titles)).write_parquet(finished.path("data/prepared/items.parquet"))
    done = finished.program(
        "stages.compare", "workspace", "other.index.json", "--page", "compare.html", "--changed", "changed.csv"
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout[: done.stdout.index("\n}") + 2])
    assert figures["common"] == 60
    text = finished.path("compare.html").read_text()
    assert f"{figures['changed']} of 60 items have another Semantic ID in other.index.json" in " ".join(text.split())
    assert "<script" not in text
    assert unescape(text).count("<a_0><b_0><c_0>") >= 1

    context = browser.new_context(viewport={"width": 400, "height": 900}, color_scheme="dark")
    context.set_offline(True)
    shown = context.new_page()
    shown.goto(finished.path("compare.html").as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") == 400
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert re.search(r"Pairs that stay together\s", shown.inner_text("#kept"))
    assert shown.locator("#examples .panel").count() == 12
    context.close()


def test_what_is_nothing_is_said_in_a_line(finished: Project, tmp_path: Path) -> None:
    subprocess.run(
        "git init -q && git -c user.name=t -c user.email=t@example.org commit -q --allow-empty -m start",
        shell=True,
        cwd=finished.folder,
        check=True,
    )
    done = finished.program("stages.compare", "no-such-run", "workspace")
    assert done.returncode == 1
    assert "no-such-run: is neither a file" in done.stderr
    assert "Traceback" not in done.stderr
    done = finished.program("stages.compare", "none.parquet", "workspace")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_page_without_titles_and_changes() -> None:
    one = index("a", BEFORE, [*"pqrst"])
    text = page(Comparison.of(one, one), None)
    assert "0 of 5 items" in text
    assert "<p>None.</p>" in text
