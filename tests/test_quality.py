from __future__ import annotations

import numpy as np
import pytest

from sid.measure import metrics, quality
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


def test_the_stages_agree_on_the_raw_codes(finished: Project) -> None:
    """Index and dedupe measure the same codes: the same figures. Where nothing moved, before and after are one."""
    index, collisions = finished.report("index"), finished.report("collisions")
    before = collisions["before"]
    assert before["levels"] == index["levels"]
    for name in ("collision_rate", "recall_at_10", "recall_at_10_random"):
        assert before[name] == index[name]
    assert 0 < before["recall_at_10_random"] < before["recall_at_10"] < 1
    moved = collisions["moved_by_level"]
    assert list(moved) == ["level_1", "level_2", "level_3"]
    assert sum(moved.values()) == collisions["moved"] > 0
    assert collisions["interactions"] == 4
    assert collisions["after"]["interaction_weighted_collision_rate"] == 0
    finished.params(dedupe__strategy="append", interactions__source="data/none")
    finished.succeed("dedupe")
    appended = finished.report("collisions")
    assert appended["before"]["levels"] == index["levels"]
    assert appended["after"]["recall_at_10"] == index["recall_at_10"]
    first_three = {name: level for name, level in appended["after"]["levels"].items() if name != "level_4"}
    assert first_three == index["levels"]
    assert appended["after"]["levels"]["level_4"]["purity"] == 0
    assert appended["interactions"] is None
    assert appended["after"]["interaction_weighted_collision_rate"] is None
    sizes = [line.split(",") for line in finished.path("reports/groups.csv").read_text().splitlines()[1:]]
    assert sum(int(size) * int(groups) for when, size, groups in sizes if when == "before") == 60
    assert [row for row in sizes if row[0] == "after"] == [["after", "1", "60"]]
