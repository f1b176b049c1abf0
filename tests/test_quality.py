from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from sid import arrays
from sid.arrays import CHUNK_BYTES, chunks
from sid.errors import InputError
from sid.ids import SemanticIds
from sid.measure import metrics, neighbours, quality
from sid.quantizers.base import Scaling
from sid.quantizers.residual import ResidualQuantizer
from sid.report.figures import headline, measure
from tests.conftest import Project, catalogue


def test_groups_of_equal_vectors_by_hand() -> None:
    ids = np.array([0, 0, 1, 2, 2, 2, 3])
    vectors = np.array([[1], [1], [2], [3], [3], [4], [5]], np.float32)
    figures = quality.collisions(ids, vectors)
    assert (figures["groups_of_equal_vectors"], figures["groups_by_quantizer"]) == (1, 1)
    assert figures["collision_groups"] == 2


@pytest.mark.parametrize("seed", range(5))
def test_groups_of_equal_vectors_against_a_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    vectors = generator.integers(0, 2, (300, 3)).astype(np.float32)
    ids = metrics.prefix_ids(np.c_[generator.integers(0, 40, 300), vectors[:, :2]].astype(np.int32))[-1]
    equal = mixed = 0
    for group in range(ids.max() + 1):
        rows = vectors[ids == group]
        if len(rows) > 1:
            equal += bool((rows == rows[0]).all())
            mixed += not (rows == rows[0]).all()
    assert equal
    assert mixed
    figures = quality.collisions(ids, vectors)
    assert (figures["groups_of_equal_vectors"], figures["groups_by_quantizer"]) == (equal, mixed)


def test_no_collision_has_no_groups() -> None:
    figures = quality.collisions(np.arange(5), catalogue(5))
    assert (figures["groups_of_equal_vectors"], figures["groups_by_quantizer"], figures["largest_group"]) == (0, 0, 1)


BOOK = np.array([[0], [2], [5]], np.float32)


def decode(codes: np.ndarray) -> np.ndarray:
    return BOOK[codes[:, 0]]


def column(*codes: int) -> np.ndarray:
    return np.array(codes, np.int32)[:, None]


@pytest.mark.parametrize("budget", [1, 1 << 20])
def test_reconstruction_and_error_added_by_hand(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "chunks", lambda count, row_bytes: chunks(count, row_bytes, budget))
    # 5 copies of the rows: errors 0, 1, 0, 1 before; the second stays as far off, the last goes from 1 to 4
    vectors = np.tile(np.array([[0], [1], [2], [4]], np.float32), (5, 1))
    before, after = np.tile(column(0, 1, 1, 2), (5, 1)), np.tile(column(0, 0, 1, 1), (5, 1))
    assert quality.reconstruction(decode, vectors, before, after) == {
        "mse": 0.5,
        "r2": pytest.approx(1 - 2 / 8.75, abs=1e-6),
        "cosine": 0.75,  # a row of zeros counts 0
        "mse_added": 0.75,
        "mse_added_share": 1.5,
    }
    back = quality.reconstruction(decode, vectors, after, before)
    assert (back["mse"], back["mse_added"], back["mse_added_share"]) == (1.25, -0.75, -0.6)
    unmoved = quality.reconstruction(decode, vectors, before, before)
    assert (unmoved["mse_added"], unmoved["mse_added_share"]) == (0, 0)


def test_error_added_to_none_has_no_share() -> None:
    vectors = np.array([[0], [2], [5]], np.float32)
    exact, moved = column(0, 1, 2), column(0, 1, 1)
    found = quality.reconstruction(decode, vectors, exact, moved)
    assert (found["mse"], found["mse_added"], found["mse_added_share"]) == (0, 3, None)
    assert quality.reconstruction(decode, vectors, exact, exact)["mse_added_share"] == 0


def test_every_row_is_decoded_once_and_moved_ones_twice_in_chunks_that_fit_their_width() -> None:
    dim, rows = 65536, 90
    asked: list[int] = []

    def wide(codes: np.ndarray) -> np.ndarray:
        asked.append(len(codes))
        return np.zeros((len(codes), dim), np.float32)

    before = np.zeros((rows, 1), np.int32)
    after = before.copy()
    after[7] = 1
    quality.reconstruction(wide, np.ones((rows, dim), np.float32), before, after)
    assert sum(asked) == rows + 1
    assert max(asked) * dim * 4 * metrics.Reconstruction.ROW_COPIES <= CHUNK_BYTES


def test_the_stages_agree_on_the_codes(finished: Project) -> None:
    """Index and dedupe say of codes what the report measures. Where nothing moved, before and after are one."""
    index, dedupe, report = (finished.report(name) for name in ("index", "dedupe", "report"))
    before, after = report["before"], report["after"]
    assert index == {
        "items": 60,
        "assignment": "nearest",
        "code_sizes": [4, 4, 8],
        "collision_rate": before["collision_rate"],
    }
    assert dedupe["collision_rate"] == after["collision_rate"]
    assert [level["size"] for level in after["levels"].values()] == dedupe["code_sizes"] == [4, 4, 8]
    assert 0 < before["recall_at_10_random"] < before["recall_at_10"] < 1
    moved = dedupe["moved_by_level"]
    assert list(moved) == ["level_1", "level_2", "level_3"]
    assert sum(moved.values()) == dedupe["moved"] > 0
    assert report["mse_added_share"] == pytest.approx(report["mse_added"] / report["mse"], rel=1e-5) != 0
    assert report["interactions"] == 4
    assert after["interaction_weighted_collision_rate"] == 0
    finished.params(dedupe__strategy="append", interactions__source="data/none")
    finished.succeed("interactions", "dedupe", "report")
    appended = finished.report("report")
    assert appended["before"] == {**before, "interaction_weighted_collision_rate": None}
    assert appended["after"]["recall_at_10"] == before["recall_at_10"]
    first_three = {name: level for name, level in appended["after"]["levels"].items() if name != "level_4"}
    assert first_three == before["levels"]
    assert appended["after"]["levels"]["level_4"]["purity"] == 0
    assert appended["interactions"] is None
    assert appended["after"]["interaction_weighted_collision_rate"] is None
    sizes = [line.split(",") for line in finished.path("reports/groups.csv").read_text().splitlines()[1:]]
    assert sum(int(size) * int(groups) for when, size, groups in sizes if when == "before") == 60
    assert [row for row in sizes if row[0] == "after"] == [["after", "1", "60"]]


def shop(rows: int, items: int) -> tuple[ResidualQuantizer, np.ndarray, np.ndarray, SemanticIds]:
    """A model of one level, vectors and codes of some rows, and Semantic IDs of some items."""
    model = ResidualQuantizer((np.eye(8, dtype=np.float32),), Scaling.identity(8))
    vectors = catalogue(rows)
    codes = model.encode(vectors)
    after = (codes[:items] + 1) % 8
    return model, vectors, codes, SemanticIds(pl.Series([str(row) for row in range(items)]), after, (8,))


def test_neighbours_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    search = neighbours.search
    monkeypatch.setattr(neighbours, "search", lambda rows, engine: (searched.append(len(rows)), search(rows))[1])
    figures, near, _ = measure(*shop(40, 40))
    assert searched == [40]
    assert len(near.queries) == 40
    assert figures["before"]["recall_at_10"] != figures["after"]["recall_at_10"]


def test_vectors_and_semantic_ids_of_different_catalogues_are_refused() -> None:
    with pytest.raises(InputError, match="40 vectors, 40 rows of codes and 39 Semantic IDs"):
        measure(*shop(40, 39))


def test_headline_metrics_are_few_and_those_of_the_details(finished: Project) -> None:
    details = {name: finished.report(name) for name in ("prepare", "index", "dedupe", "report")}
    headline = {name: finished.report(f"metrics/{name}") for name in details}
    report, levels = details["report"], details["report"]["after"]["levels"]
    assert headline == {
        "prepare": {"items": 60},
        "index": {"collision_rate_before": details["index"]["collision_rate"]},
        "dedupe": {"collision_rate": 0, "moved": details["dedupe"]["moved"]},
        "report": {
            "r2": report["r2"],
            "error_added": report["mse_added_share"],
            "recall_at_10": report["after"]["recall_at_10"],
            "purity": levels["level_1"]["purity"],
            "least_perplexity": min(level["perplexity"] for level in levels.values()),
        },
    }


def test_a_suffix_is_no_level_of_the_headline() -> None:
    level = {"perplexity": 5.0, "purity": 0.5}
    after = {"recall_at_10": 0.4, "levels": {"level_1": level, "level_2": {**level, "perplexity": 1.01}}}
    found = {"r2": 0.9, "mse_added_share": None, "before": {"levels": {"level_1": level}}, "after": after}
    assert headline(found) == {
        "r2": 0.9,
        "error_added": None,
        "recall_at_10": 0.4,
        "purity": 0.5,
        "least_perplexity": 5.0,
    }
