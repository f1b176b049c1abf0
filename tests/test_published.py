"""What a published Semantic ID may count on, whatever comes beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sid.arrays import Codes
from sid.dedupe.resolve import ADDED_LEVELS, resolve
from sid.dedupe.strategies import STRATEGIES
from sid.dedupe.work import Published
from sid.errors import InputError
from sid.ids import sid_text
from sid.quantizers.base import Scaling
from sid.quantizers.residual import ResidualQuantizer
from sid.releases.beside import appended, origins, refreshed, settling_order
from sid.releases.encode import encode_beside
from sid.releases.folder import Release
from tests.books import books
from tests.test_strategies import wanted


def release_of(ids: list[str], codes: Codes, raw: Codes, sizes: tuple[int, ...], name: str = "day1") -> Release:
    series = pl.Series("item_id", ids, pl.String)
    return Release(
        Path("nowhere"), name, {}, series, codes, raw, pl.Series("release", [name] * len(ids), pl.String), sizes
    )


class Shop:
    """Items by number, with ids in no order, vectors of which some are equal, and interactions with each."""

    def __init__(self, sizes: tuple[int, ...], items: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.quantizer = ResidualQuantizer(tuple(books(sizes, 2, seed=seed)), Scaling.identity(2))
        distinct = generator.normal(size=(max(1, items * 2 // 3), 2)).astype(np.float32)
        self.vectors = distinct[generator.integers(len(distinct), size=items)]
        self.ids = [f"{number:x}" for number in generator.permutation(3 * items)[:items].tolist()]
        self.counts = generator.integers(3, size=items)

    def first(self, rows: np.ndarray, **changes: Any) -> Release:
        raw = self.quantizer.encode(self.vectors[rows])
        codes, sizes = resolve(raw, self.quantizer, self.vectors[rows], wanted(**changes))
        return release_of([self.ids[row] for row in rows], codes, raw, sizes)

    def next(
        self, release: Release, rows: np.ndarray, retired: Any = "keep", popular: bool = False, **changes: Any
    ) -> tuple[Codes, Published, Codes]:
        item_ids = pl.Series("item_id", [self.ids[row] for row in rows])
        raw, _ = encode_beside(release, self.quantizer, self.vectors[rows], item_ids)
        held = appended(release, item_ids, retired)
        counts = self.counts[rows] if popular else None
        codes, _ = resolve(raw, self.quantizer, self.vectors[rows], wanted(**changes), held, counts)
        return codes, held, raw


def texts(codes: Codes) -> list[str]:
    return [sid_text(row) for row in codes.tolist()]


@settings(max_examples=250, deadline=None)
@given(
    st.lists(st.integers(2, 4), min_size=1, max_size=3),
    st.integers(0, 1 << 32),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(sorted(STRATEGIES)),
    st.sampled_from(["keep", "free"]),
    st.booleans(),
    st.sampled_from([1, 1, 2]),
    st.sampled_from(["colliding", "any"]),
)
def test_no_published_semantic_id_moves_and_new_items_get_free_ones(
    sizes: list[int],
    seed: int,
    fill: float,
    share: float,
    strategy: str,
    retired: str,
    popular: bool,
    limit: int,
    move: str,
) -> None:
    generator = np.random.default_rng(seed)
    room = int(np.prod(sizes)) * limit
    shop = Shop(tuple(sizes), max(2, round(fill * room)), seed)
    changes = {"strategy": strategy, "max_items_per_sid": limit, "move": move, "max_suffix": 1 << 20}
    everyone = generator.permutation(len(shop.ids))
    early = everyone[: max(1, round(share * len(everyone)))]
    release = shop.first(early, **changes)
    stayed = early[generator.random(len(early)) < 0.8]
    rows = generator.permutation(np.union1d(stayed, everyone[len(early) :]))
    if not len(rows):
        return
    codes, _, raw = shop.next(release, rows, retired, popular, **changes)

    had = dict(zip(release.item_ids, texts(release.codes), strict=True))
    now = dict(zip((shop.ids[row] for row in rows), texts(codes), strict=True))
    assert all(now[one] == had[one] for one in now.keys() & had.keys())

    taken = [*(had[one] for one in had if one in now or retired == "keep")]
    new = [one for one in now if one not in had]
    if strategy == "reassign":
        most = max([limit, *(taken.count(sid) for sid in set(taken))])
        everything = [*taken, *(now[one] for one in new)]
        assert all(everything.count(now[one]) <= limit for one in new)
        assert max(map(everything.count, everything)) <= most
    elif strategy in ADDED_LEVELS:
        assert len({now[one] for one in new} | set(taken)) == len(new) + len(set(taken))
    elif strategy == "sinkhorn":
        last = sizes[-1]
        everything = [*taken, *(now[one] for one in new)]
        for one in new:  # shared only where the prefix has no free code
            if everything.count(now[one]) > 1:
                prefix = now[one].rsplit("<", 1)[0]
                assert len({sid for sid in everything if sid.rsplit("<", 1)[0] == prefix}) == last
    else:
        assert all(now[one] == sid for one, sid in zip(now, texts(raw), strict=True) if one in new)

    other = generator.permutation(rows)
    again, _, _ = shop.next(release, other, retired, popular, **changes)
    assert dict(zip((shop.ids[row] for row in other), texts(again), strict=True)) == now


def test_the_costs_of_published_items_are_never_asked_for() -> None:
    shop = Shop((4, 8), 30, seed=1)
    release = shop.first(np.arange(20), strategy="reassign")
    shop.vectors[:20] = np.nan  # the quantizer refuses them
    codes, held, _ = shop.next(release, np.arange(30), strategy="reassign")
    np.testing.assert_array_equal(codes[:20], release.codes)
    assert len(held.order) == 10


def test_retired_places_are_kept_or_freed() -> None:
    """One prefix of four places: three are published, one of which has left, and two items come."""
    quantizer = ResidualQuantizer(tuple(books((1, 4), 2)), Scaling.identity(2))
    vectors = np.zeros((4, 2), np.float32)
    ids = pl.Series("item_id", ["b", "c", "n", "m"])
    release = release_of(
        ["a", "b", "c"], np.array([[0, 0], [0, 1], [0, 2]], np.int32), np.zeros((3, 2), np.int32), (1, 4)
    )
    raw, _ = encode_beside(release, quantizer, vectors, ids)
    with pytest.raises(InputError) as refused:
        resolve(raw, quantizer, vectors, wanted(strategy="reassign"), appended(release, ids, "keep"))
    assert str(refused.value).startswith(
        "dedupe.strategy reassign: 2 new items, but 1 free places of 4 (3 are taken by published or reserved Semantic "
        "IDs); most wanted: <a_0> 2 items, 1 free places; "
    )
    codes, _ = resolve(raw, quantizer, vectors, wanted(strategy="reassign"), appended(release, ids, "free"))
    assert sorted(codes[2:, 1].tolist()) == [0, 3]
    back = pl.Series("item_id", ["a", "n"])
    raw, _ = encode_beside(release, quantizer, vectors[:2], back)
    codes, _ = resolve(raw, quantizer, vectors[:2], wanted(strategy="reassign"), appended(release, back, "keep"))
    assert codes.tolist() == [[0, 0], [0, 3]]  # who comes back has its own again


def test_append_goes_on_with_the_next_number_and_fills_what_was_freed() -> None:
    quantizer = ResidualQuantizer(tuple(books((1,), 2)), Scaling.identity(2))
    vectors = np.zeros((3, 2), np.float32)
    release = release_of(
        ["a", "b", "c"], np.array([[0, 0], [0, 1], [0, 2]], np.int32), np.zeros((3, 1), np.int32), (1, 3)
    )
    ids = pl.Series("item_id", ["c", "y", "x"])
    raw, _ = encode_beside(release, quantizer, vectors, ids)
    kept, sizes = resolve(raw, quantizer, vectors, wanted(strategy="append"), appended(release, ids, "keep"))
    assert (kept[:, 1].tolist(), sizes) == ([2, 4, 3], (1, 5))  # x before y, by id
    freed, sizes = resolve(raw, quantizer, vectors, wanted(strategy="append"), appended(release, ids, "free"))
    assert (freed[:, 1].tolist(), sizes) == ([2, 1, 0], (1, 3))
    popular, _ = resolve(
        raw, quantizer, vectors, wanted(strategy="append"), appended(release, ids, "keep"), np.array([0, 9, 1])
    )
    assert popular[:, 1].tolist() == [2, 3, 4]
    with pytest.raises(InputError, match=r"level of 5 codes, dedupe.max_suffix is 4; it is <a_0>: raise"):
        resolve(raw, quantizer, vectors, wanted(strategy="append", max_suffix=4), appended(release, ids, "keep"))


def test_an_item_alone_stays_alone_under_append_colliding() -> None:
    quantizer = ResidualQuantizer(tuple(books((1,), 2)), Scaling.identity(2))
    release = release_of(["a"], np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int32), (1,))
    ids = pl.Series("item_id", ["z", "a", "y"])
    raw, _ = encode_beside(release, quantizer, np.zeros((3, 2), np.float32), ids)
    vectors = np.zeros((3, 2), np.float32)
    codes, sizes = resolve(raw, quantizer, vectors, wanted(strategy="append_colliding"), appended(release, ids, "keep"))
    assert (texts(codes), sizes) == (["<a_0><b_1>", "<a_0>", "<a_0><b_0>"], (1, 2))


@pytest.mark.parametrize(("strategy", "added"), [("reassign", 1), ("append", 0), ("none", 1)])
def test_a_strategy_that_adds_other_levels_is_refused(strategy: str, added: int) -> None:
    quantizer = ResidualQuantizer(tuple(books((2, 2), 2)), Scaling.identity(2))
    raw = np.zeros((1, 2), np.int32)
    release = release_of(["a"], np.zeros((1, 2 + added), np.int32), raw, (2, 2, 2)[: 2 + added])
    held = appended(release, pl.Series("item_id", ["a"]), "keep")
    with pytest.raises(InputError, match=rf"dedupe.strategy is '{strategy}': must be the strategy of the published"):
        resolve(raw, quantizer, np.zeros((1, 2), np.float32), wanted(strategy=strategy), held)


def test_the_popular_keep_a_contested_semantic_id() -> None:
    shop = Shop((1, 8), 6, seed=2)
    shop.vectors[:] = shop.vectors[0]
    raw = shop.quantizer.encode(shop.vectors)
    for strategy in ("reassign", "sinkhorn"):
        for row in range(6):
            counts = np.zeros(6, np.int64)
            counts[row] = 1
            codes, _ = resolve(raw, shop.quantizer, shop.vectors, wanted(strategy=strategy), None, counts)
            np.testing.assert_array_equal(codes[row], raw[row])
            assert len(set(texts(codes))) == 6
    codes, _ = resolve(raw, shop.quantizer, shop.vectors, wanted(strategy="append"), None, np.arange(6))
    assert codes[:, -1].tolist() == [5, 4, 3, 2, 1, 0]


def test_ids_settle_shorter_first_then_as_text() -> None:
    ids = pl.Series("item_id", ["10", "9", "b", "é", "a"])
    assert settling_order(ids, np.array([True, True, True, True, False])).tolist() == [1, 2, 0, 3]


def test_a_refreshed_index_keeps_what_kept_its_raw_codes() -> None:
    raw = np.array([[0, 1], [1, 1], [1, 0]], np.int32)
    release = release_of(["a", "b", "c"], np.array([[0, 1], [1, 2], [1, 0]], np.int32), raw, (2, 3))
    ids = pl.Series("item_id", ["c", "new", "b", "a"])
    now = np.array([[1, 1], [0, 0], [1, 1], [0, 1]], np.int32)
    held = refreshed(release, ids, now, (2, 3), "reassign")
    assert held.rows.tolist() == [2, 3]
    assert held.codes.tolist() == [[1, 2], [0, 1]]
    assert len(held.reserved) == 0
    now = np.array([[1, 1], [0, 0], [1, 2], [0, 1]], np.int32)
    assert origins(release, ids, now).to_list() == [None, None, "day1", "day1"]
    assert refreshed(
        release, ids, np.array([[1, 1], [0, 0], [1, 1], [0, 1]], np.int32), (2, 2), "none"
    ).rows.tolist() == [3]
    assert len(refreshed(release, ids, now, (2, 3), "append").rows) == 0
