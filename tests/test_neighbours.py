"""Neighbours, purity and recall against plain float64 references on data that hurts."""

from __future__ import annotations

import numpy as np
import pytest

from sid.catalogue.duplicates import first_equal
from sid.measure import metrics, neighbours
from sid.measure.neighbours import Neighbours


def brute(vectors: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, k) nearest other rows, ties to the lower row."""
    wide = vectors.astype(np.float64)
    count = len(wide)
    apart = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    kept = min(neighbours.NEIGHBOURS, count - 1)
    return np.stack([np.lexsort((np.arange(count), row))[:kept] for row in apart])


def outliers(generator: np.random.Generator) -> np.ndarray:
    rows = generator.normal(size=(300, 3))
    rows[0], rows[1], rows[2], rows[3] = 1e6, -1e9, 1e30, 3e38
    return rows


def catalogues() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(300, 7))
    found = {
        "ordinary": rows,
        "shifted": rows + 1e4,
        "tiny": rows * 1e-20,
        "huge": rows * 1e18,
        "wide": generator.normal(size=(60, 2000)),
        "few distinct": generator.integers(0, 2, (300, 4)),
        "ties at many distances": generator.integers(0, 2, (500, 10)),
        "copies": generator.normal(size=(20, 3))[generator.integers(20, size=400)],
        "all equal": np.ones((50, 3)),
        "outliers": outliers(generator),
        "one column": generator.normal(size=(40, 1)),
        "two rows": rows[:2],
        "one row": rows[:1],
    }
    return {name: value.astype(np.float32) for name, value in found.items()}


@pytest.mark.parametrize("small_blocks", [False, True], ids=["", "in small blocks"])
@pytest.mark.parametrize(("name", "vectors"), catalogues().items())
def test_neighbours_are_exact(
    name: str, vectors: np.ndarray, small_blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small_blocks:
        for constant, value in (("_SAMPLE", 13), ("_POINTS", 17), ("_QUERIES", 7), ("_PROPOSED", 50)):
            monkeypatch.setattr(neighbours, constant, value)
    near = neighbours.search(vectors)
    assert near.queries.tolist() == list(range(len(vectors)))
    np.testing.assert_array_equal(near.rows, brute(vectors))


def test_of_many_items_some_are_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ALL_QUERIES", 100)
    monkeypatch.setattr(neighbours, "SOME_QUERIES", 30)
    vectors = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    near = neighbours.search(vectors)
    assert len(near.queries) == len(set(near.queries.tolist())) == 30
    assert (np.diff(near.queries) > 0).all()
    np.testing.assert_array_equal(near.rows, brute(vectors)[near.queries])
    np.testing.assert_array_equal(near.queries, neighbours.search(vectors).queries)


@pytest.mark.parametrize(
    ("items", "queries"),
    [(0, 0), (5000, 5000), (5001, 2000), (2_000_000, 2000), (4_000_000, 1000), (10_000_000, 500), (10**9, 500)],
)
def test_a_search_takes_fewer_queries_where_there_are_very_many_items(items: int, queries: int) -> None:
    assert neighbours.query_count(items) == queries


def test_purity_by_hand() -> None:
    near = Neighbours(np.array([0, 3]), np.array([[1, 2], [1, 4]]))
    assert neighbours.purity(near, np.array([7, 7, 1, 5, 5])) == 0.5  # of 0: 1 and not 2; of 3: 4 and not 1
    assert neighbours.purity(near, np.zeros(5, np.int64)) == 1
    assert neighbours.purity(Neighbours(np.array([0]), np.empty((1, 0), np.int64)), np.array([0])) == 0


def test_purity_of_random_codes_is_the_random_purity() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(3000, 3)).astype(np.float32)
    ids = np.minimum(generator.geometric(0.3, 3000) - 1, 5)
    pairs = [(a == b) for a in ids[:300] for b in ids[:300]]
    small = metrics.purity_random(ids[:300])
    assert small == pytest.approx((sum(pairs) - 300) / (300 * 299))
    assert neighbours.purity(neighbours.search(vectors), ids) == pytest.approx(metrics.purity_random(ids), abs=0.01)


def reference_recall(vectors: np.ndarray, codes: np.ndarray, decoded: np.ndarray) -> float:
    """The mean over random orders of the items, by which ties between equal codes are broken."""
    true = brute(vectors)
    count, kept = true.shape
    apart = ((decoded[:, None].astype(np.float64) - decoded[None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    _, ids = np.unique(codes, axis=0, return_inverse=True)
    ids = ids.reshape(-1)
    generator = np.random.default_rng(0)
    hits = []
    for _ in range(300):
        luck = generator.random(count)
        for row in range(count):
            distance = np.where(ids == ids[row], -1.0, apart[row])
            distance[row] = np.inf
            found = np.lexsort((luck, ids, distance))[:kept]
            hits.append(len(set(found) & set(true[row])) / kept)
    return float(np.mean(hits))


@pytest.mark.parametrize("sizes", [(3, 3), (2, 2), (8, 8)])
def test_recall_is_the_expectation_over_ties(sizes: tuple[int, ...]) -> None:
    generator = np.random.default_rng(1)
    vectors = generator.normal(size=(40, 2)).astype(np.float32)
    books = [generator.normal(size=(size, 2)).astype(np.float32) for size in sizes]
    codes = np.stack([generator.integers(size, size=40) for size in sizes], axis=1).astype(np.int32)

    def decode(rows: np.ndarray) -> np.ndarray:
        return books[0][rows[:, 0]] + books[1][rows[:, 1]]

    found = neighbours.recall(neighbours.search(vectors), codes, metrics.prefix_ids(codes)[-1], decode)
    assert found == pytest.approx(reference_recall(vectors, codes, decode(codes)), abs=0.01)


def test_recall_of_codes_that_say_everything_and_nothing() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    near = neighbours.search(vectors)
    codes = np.arange(50, dtype=np.int32)[:, None]
    assert neighbours.recall(near, codes, codes[:, 0].astype(np.int64), lambda rows: vectors[rows[:, 0]]) == 1
    nothing = np.zeros((50, 1), np.int32)
    found = neighbours.recall(near, nothing, nothing[:, 0].astype(np.int64), lambda rows: vectors[rows[:, 0]])
    assert found == pytest.approx(10 / 49)
    alone = neighbours.search(vectors[:1])
    assert neighbours.recall(alone, nothing[:1], np.zeros(1, np.int64), lambda rows: vectors[rows[:, 0]]) == 0


@pytest.mark.parametrize("values", [2, 100])
def test_first_equal_against_a_dictionary(values: int) -> None:
    vectors = np.random.default_rng(0).integers(0, values, (500, 3)).astype(np.float32)
    vectors[vectors == 0] *= np.random.default_rng(1).choice([-1, 1], (vectors == 0).sum())  # -0.0 equals 0.0
    rows = np.arange(3, 500)
    seen: dict[tuple[float, ...], int] = {}
    expected = [seen.setdefault(tuple(vectors[row].tolist()), row) for row in rows]
    assert first_equal(vectors, rows).tolist() == expected
    assert first_equal(vectors, rows, np.zeros(len(rows), np.uint64)).tolist() == expected
    assert first_equal(vectors, rows[:0]).tolist() == []
