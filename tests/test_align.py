from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from bench.align import hit_rate
from sid.align import methods, within
from sid.align.base import Aligned, Aligner, Behaviour, Inputs, load
from sid.align.behaviour import read_behaviour
from sid.align.directions import Directions, centre_of, normalised
from sid.align.factors import factors
from sid.align.figures import figures
from sid.align.graph import Graph, HeldOut
from sid.align.ridge import Ridge
from sid.align.smoothing import Trial
from sid.align.within import SHRINKAGE, whitening
from sid.arrays import Vectors, in_memory, scratch
from sid.errors import InputError
from sid.interactions import Split
from sid.interactions.read import read_interactions
from sid.params import load as load_params
from sid.quantizers.methods import CONFIGS
from tests.conftest import CATALOGUE, ENVIRONMENT, ROOT, Project, needs_catalogue

PARAMS = load_params(ROOT / "params.yaml", CONFIGS)
METHODS = ("smooth", "contrastive", "fuse")
QUICK: dict[str, dict[str, Any]] = {
    "smooth": {},
    "contrastive": {"pairs": 3000, "batch_size": 64, "hidden": 16, "keep": 0.1, "lr": 0.01},
    "fuse": {"dim": 10},
}


def table(sequences: list[list[int]]) -> Split:
    """The train split of a table: one stretch for each user."""
    lengths = [len(items) for items in sequences]
    return Split(
        "table",
        np.arange(len(sequences), dtype=np.int32),
        np.array([item for items in sequences for item in items], np.int32),
        np.r_[0, np.cumsum(lengths, dtype=np.int64)],
        np.minimum(1, lengths).astype(np.int32),
    )


def lines(rows: list[tuple[int, list[int]]]) -> Split:
    """The train split of .inter files: user, and history with the next item at its end."""
    lengths = [len(items) for _, items in rows]
    return Split(
        "inter",
        np.array([user for user, _ in rows], np.int32),
        np.array([item for _, items in rows for item in items], np.int32),
        np.r_[0, np.cumsum(lengths, dtype=np.int64)],
        np.array(lengths, np.int32) - 1,
    )


def shop(seed: int = 0, items: int = 300, users: int = 400, warm: int = 250) -> tuple[Vectors, Split]:
    """Items of 10 kinds whose vectors know the kind poorly; users stay within a kind. The last items are never used."""
    generator = np.random.default_rng(seed)
    kinds = np.arange(items) % 10
    vectors = generator.normal(size=(10, 16))[kinds] + 1.5 * generator.normal(size=(items, 16)) + 5
    sequences = [
        generator.choice(np.flatnonzero((kinds == user % 10) & (np.arange(items) < warm)), 6).tolist()
        for user in range(users)
    ]
    return vectors.astype(np.float32), table(sequences)


def inputs(vectors: Vectors, split: Split, method: str = "smooth", **changes: Any) -> Inputs:
    shared = {key: changes.pop(key) for key in ("window", "decay", "seed") if key in changes}
    rest = {key: changes.pop(key) for key in ("checkpoints", "behaviour") if key in changes}
    wanted = PARAMS.align.model_copy(update={**shared, "method": method})
    config = getattr(wanted, method).model_copy(update={**QUICK.get(method, {}), **changes})
    return Inputs(vectors, split, wanted, config, **rest)


def align(given: Inputs) -> tuple[Vectors, Aligned]:
    made: list[Vectors] = []

    def make(dim: int) -> Vectors:
        made.append(np.full((len(given.vectors), dim), np.nan, np.float32))
        return made[0]

    done = methods.align(given, make)
    return (made[0] if made else given.vectors), done


def within_kinds(vectors: Vectors, rows: slice = slice(None)) -> float:
    """Mean cosine, seen from the centre, of items of one kind less that of items of different kinds."""
    units = Directions.of(vectors, centre_of(vectors)).units
    kinds = np.arange(len(vectors)) % 10
    near = (units[rows] @ units.T).astype(np.float64)
    same = kinds[rows][:, None] == kinds
    return float(near[same].mean() - near[~same].mean())


# the graph


def dense(graph: Graph) -> np.ndarray:
    return np.asarray(graph.rows(slice(None)).todense())


def by_hand(sequences: list[list[int]], items: int, window: int, decay: float) -> np.ndarray:
    found = np.zeros((items, items))
    for sequence in sequences:
        for later in range(len(sequence)):
            for distance in range(1, min(window, later) + 1):
                one, other = sequence[later], sequence[later - distance]
                if one != other:
                    found[one, other] += decay ** (distance - 1)
                    found[other, one] += decay ** (distance - 1)
    return found


@pytest.mark.parametrize(("window", "decay"), [(1, 1.0), (3, 0.5), (50, 1.0)])
def test_pairs_of_a_table(window: int, decay: float) -> None:
    generator = np.random.default_rng(0)
    sequences = [generator.integers(12, size=generator.integers(0, 9)).tolist() for _ in range(30)]
    graph = Graph.of(table(sequences), 12, window, decay)
    np.testing.assert_allclose(dense(graph), by_hand(sequences, 12, window, decay), rtol=1e-6)
    np.testing.assert_allclose(graph.degrees, dense(graph).sum(axis=1), rtol=1e-6)


def test_lines_that_repeat_what_came_before_count_each_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = [[0, 1, 2, 3, 1], [4, 4, 5], [6, 7, 8, 9, 10, 11]]
    rows = [(user, items[:stop]) for user, items in enumerate(sequences) for stop in range(2, len(items) + 1)]
    rows = [*rows[:-3], rows[-1]]  # a file may leave lines out: pairs before the first one's target count
    del rows[0:2]
    wanted = by_hand([*sequences[:2], sequences[2]], 12, 3, 0.5)
    lost = by_hand([sequences[2][:5]], 12, 3, 0.5) - by_hand([sequences[2][:3]], 12, 3, 0.5)
    for places in (1 << 22, 4):
        monkeypatch.setattr("sid.align.graph._PLACES", places)
        np.testing.assert_allclose(dense(Graph.of(lines(rows), 12, 3, 0.5)), wanted - lost, atol=1e-6)


def test_places_can_be_left_out() -> None:
    sequences = [[0, 1, 2, 3], [4, 5, 6]]
    split = table(sequences)
    held = HeldOut.of(split, seed=0)
    assert (held.places.tolist(), held.queries.tolist(), held.targets.tolist()) == ([3, 6], [2, 5], [3, 6])
    without = Graph.of(split, 7, 2, 1.0, held.places)
    assert (dense(without) == by_hand([[0, 1, 2], [4, 5]], 7, 2, 1.0)).all()


def test_held_out_steps_lead_elsewhere_and_leave_something() -> None:
    split = lines([(0, [0, 1]), (0, [0, 1, 2]), (1, [3, 4]), (2, [5, 6, 6]), (0, [0, 1, 2, 3])])
    held = HeldOut.of(split, seed=0)
    assert held.targets.tolist() == [3]
    assert split.items[held.places].tolist() == [3]
    assert held.places.tolist() == [len(split.items) - 1]


def test_means_are_weighted_and_zero_without_neighbours() -> None:
    graph = Graph.of(table([[0, 1], [0, 1], [0, 2]]), 4, 1, 1.0)
    vectors = np.eye(4, dtype=np.float32)
    means = graph.means(slice(None), vectors, None)
    np.testing.assert_allclose(means[0], [0, 2 / 3, 1 / 3, 0], rtol=1e-6)
    assert not means[3].any()
    weights = np.array([1, 1, 4, 1], np.float32)
    np.testing.assert_allclose(graph.means(np.array([0]), vectors, weights)[0], [0, 1 / 3, 2 / 3, 0], rtol=1e-6)


# directions and ridge


def test_directions_come_back_as_they_were() -> None:
    vectors = np.random.default_rng(0).normal(3, 1, (50, 6)).astype(np.float32)
    found = Directions.of(vectors, centre_of(vectors))
    np.testing.assert_allclose(found.placed(found.units), vectors, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found.units, axis=1), 1, rtol=1e-6)


def test_the_centre_is_no_single_rows() -> None:
    vectors = np.random.default_rng(0).normal(size=(101, 4)).astype(np.float32)
    vectors[7] = 1e30
    assert np.abs(centre_of(vectors)).max() < 1
    assert np.isfinite(Directions.of(vectors, centre_of(vectors)).units).all()


def test_equal_rows_have_no_direction() -> None:
    found = Directions.of(np.ones((20, 3), np.float32), np.ones(3, np.float32))
    assert not found.units.any()
    assert (found.placed(found.units) == 1).all()


def test_ridge_finds_a_map_and_admits_that_there_is_none() -> None:
    generator = np.random.default_rng(0)
    given = generator.normal(size=(400, 8)).astype(np.float32)
    true = generator.normal(size=(8, 3)).astype(np.float32)
    whole, noise = Ridge(8, 3), Ridge(8, 3)
    for part in (slice(0, 150), slice(150, 400)):
        numbers = np.arange(400)[part]
        whole.add(given[part], (given @ true)[part], numbers)
        noise.add(given[part], generator.normal(size=(400, 3)).astype(np.float32)[part], numbers)
    found, explained = whole.fit()
    np.testing.assert_allclose(found, true, atol=0.01)
    assert explained > 0.99
    found, explained = noise.fit()
    assert explained < 0.02
    assert np.abs(found).max() < 0.1


# every method


@pytest.mark.parametrize("method", METHODS)
def test_items_used_together_come_nearer(method: str) -> None:
    vectors, split = shop()
    before = within_kinds(vectors)
    given = inputs(vectors, split, method)
    aligned, done = align(given)
    assert aligned.dtype == np.float32
    assert np.isfinite(aligned).all()
    assert within_kinds(aligned) > before + 0.05
    if method != "fuse":  # whose guesses for items that were never used are shorter than what it knows of the others
        assert within_kinds(aligned, slice(250, None)) > within_kinds(vectors, slice(250, None)) - 0.02
    found = figures(given, done, aligned)
    assert found["used_together_after"] > found["used_together_before"]
    assert 0 < found["neighbours_kept"] < 1
    assert found["cold_items"] == 50
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_bytes_again_and_nothing_written_to_the_input(method: str) -> None:
    vectors, split = shop()
    vectors.flags.writeable = False
    one, first = align(inputs(vectors, split, method))
    two, second = align(inputs(vectors, split, method))
    assert one.tobytes() == two.tobytes()
    assert first.figures == second.figures


@pytest.mark.parametrize("method", METHODS)
def test_a_saved_aligner_takes_new_items_where_equal_ones_without_interactions_are(method: str, tmp_path: Path) -> None:
    vectors, split = shop()
    aligned, done = align(inputs(vectors, split, method))
    done.aligner.save(tmp_path / "aligner")
    loaded = load(tmp_path / "aligner")
    np.testing.assert_allclose(loaded.apply(vectors[250:]), aligned[250:], rtol=1e-5, atol=1e-5)
    alone = np.concatenate([loaded.apply(vectors[row : row + 1]) for row in range(250, 300)])
    np.testing.assert_allclose(alone, aligned[250:], rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match=r"shape \(3, 5\): must be \(n, 16\)"):
        loaded.apply(np.zeros((3, 5), np.float32))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["equal", "huge", "tiny", "outlier", "zeros"])
def test_vectors_that_hurt(method: str, kind: str) -> None:
    vectors, split = shop()
    if kind == "equal":
        vectors[:] = 3
    elif kind == "huge":
        vectors *= np.float32(1e15)
    elif kind == "tiny":
        vectors *= np.float32(1e-20)
    elif kind == "outlier":
        vectors[3] = 1e20
    else:
        vectors[5:40] = 0
    sane = vectors.copy()
    aligned, _ = align(inputs(vectors, split, method))
    assert np.isfinite(aligned).all()
    if kind == "outlier":
        assert np.abs(np.delete(aligned, 3, axis=0)).max() < 1e3
    elif method != "fuse":
        assert np.abs(aligned).max() <= 4 * max(np.abs(sane).max(), 1e-30)


@pytest.mark.parametrize("method", ["none", *METHODS])
@pytest.mark.parametrize("sequences", [[], [[3]], [[1, 1, 1], [2]]])
def test_without_an_edge_nothing_moves(method: str, sequences: list[list[int]]) -> None:
    vectors, _ = shop()
    given = inputs(vectors, table(sequences), method)
    aligned, done = align(given)
    assert aligned is vectors
    assert done.aligner.apply(vectors) is vectors
    found = figures(given, done, None)
    assert (found["applied"], found["moved"], found["neighbours_kept"]) == ("none", 0.0, 1.0)
    assert bool(found["warnings"]) == (method != "none")


# smooth


def test_smooth_by_hand() -> None:
    vectors, _ = shop()
    split = table([[0, 1], [0, 1], [0, 2], [3, 4]])
    aligned, _ = align(inputs(vectors, split, evidence=2.0, alpha=0.8, whiten=0))
    centre = np.median(vectors.astype(np.float64), axis=0)
    apart = vectors - centre
    length = np.linalg.norm(apart, axis=1, keepdims=True)
    units = apart / length
    share = 0.8 * 3 / (3 + 2)
    moved = (1 - share) * units[0] + share * (2 * units[1] + units[2]) / 3
    np.testing.assert_allclose(aligned[0], centre + length[0] * moved / np.linalg.norm(moved), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": 0.3},
        {"evidence": 3.0},
        {"evidence": "auto"},
        {"hops": 2},
        {"popularity": 0.5},
        {"whiten": 0.1},
        {"window": 1},
        {"decay": 0.1},
    ],
)
def test_every_option_of_smooth_counts(changes: dict[str, Any]) -> None:
    vectors, split = shop()
    assert not np.array_equal(align(inputs(vectors, split))[0], align(inputs(vectors, split, **changes))[0])


def test_alpha_0_moves_nothing() -> None:
    vectors, split = shop()
    np.testing.assert_allclose(align(inputs(vectors, split, alpha=0.0, evidence=1.0, whiten=0))[0], vectors, atol=1e-5)


@pytest.mark.parametrize("power", [0.25, 0.5])
def test_whitening_by_hand(power: float) -> None:
    vectors, split = shop()
    found = Directions.of(vectors, centre_of(vectors)).units
    graph = Graph.of(split, 300, 2, 0.7)
    rows, columns = dense(graph).nonzero()
    apart = (found[rows] - found[columns]).astype(np.float64)
    spread = (apart * dense(graph)[rows, columns][:, None]).T @ apart
    spread = (1 - SHRINKAGE) * spread / (np.trace(spread) / 16) + SHRINKAGE * np.eye(16)
    by = whitening(graph, found, power)
    assert by is not None
    times = round(1 / power)
    np.testing.assert_allclose(np.linalg.matrix_power(by.astype(np.float64), times) @ spread, np.eye(16), atol=1e-3)
    aligned, _ = align(inputs(vectors, split, alpha=0.0, window=2, decay=0.7, whiten=power))
    wanted = normalised(found @ by)
    np.testing.assert_allclose(Directions.of(aligned, centre_of(vectors)).units, wanted, atol=1e-4)


def test_whitening_brings_items_of_a_kind_together_that_a_loud_direction_keeps_apart() -> None:
    vectors, split = shop()
    vectors = vectors + 12 * np.random.default_rng(1).normal(size=(300, 1)).astype(np.float32) * np.eye(16)[0]
    vectors = vectors.astype(np.float32)
    cold = slice(250, 300)
    plain = align(inputs(vectors, split, alpha=0.0, whiten=0))[0]
    white = align(inputs(vectors, split, alpha=0.0, whiten=0.25))[0]
    assert within_kinds(white, cold) > 1.3 * within_kinds(plain, cold)


@pytest.mark.parametrize("method", ["smooth", "fuse"])
@pytest.mark.parametrize(("copies", "warm"), [(2, 1), (10, 20)])
def test_items_used_together_with_equal_vectors_stay_finite(method: str, copies: int, warm: int) -> None:
    vectors = np.repeat(np.random.default_rng(0).normal(size=(200 // copies, 8)), copies, axis=0).astype(np.float32)
    aligned, done = align(inputs(vectors, table([[*range(copies * k, copies * (k + 1))] for k in range(warm)]), method))
    assert np.isfinite(aligned).all()
    assert all(np.isfinite(array).all() for array in done.aligner.arrays.values())
    assert "whiten" not in done.aligner.arrays


@pytest.mark.parametrize("equal", [120, 200])
def test_behaviour_counts_where_most_items_have_one_vector(equal: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    vectors[:equal] = vectors[0]
    users = [np.random.default_rng(user).choice(200, 6).tolist() for user in range(80)]
    aligned, _ = align(inputs(vectors, table(users), "fuse", share=0.5))
    assert aligned[:, 8:].var(axis=0).sum() > 0.1 * max(aligned[:, :8].var(axis=0).sum(), 1e-3)


def test_whitening_by_half_of_the_items_is_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, split = shop(warm=300)
    units, graph = Directions.of(vectors, centre_of(vectors)).units, Graph.of(split, 300, 5, 0.7)
    whole = whitening(graph, units, 0.25)
    monkeypatch.setattr(within, "_ROWS", 150)
    half = whitening(graph, units, 0.25)
    assert whole is not None
    assert half is not None
    assert 0 < np.abs(half - whole).max() < 0.2


def test_items_used_together_that_are_all_alike_leave_nothing_to_whiten() -> None:
    graph = Graph.of(table([[0, 1], [1, 0]]), 4, 1, 1.0)
    units = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    assert whitening(graph, units, 0.25) is None
    assert whitening(graph, units[::-1].copy(), 0.0) is None
    assert whitening(graph, units[[0, 2, 2, 3]], 0.25) is not None


def test_more_evidence_moves_further() -> None:
    vectors, _ = shop()
    split = table([[0, 10]] * 30 + [[20, 10]])
    aligned, _ = align(inputs(vectors, split, evidence=8.0))
    moves = np.linalg.norm(aligned - vectors, axis=1) / np.linalg.norm(vectors - centre_of(vectors), axis=1)
    assert moves[0] > 2 * moves[20] > 0


def test_auto_takes_what_foretells_steps_best_and_says_what_it_tried() -> None:
    vectors, split = shop()
    _, done = align(inputs(vectors, split, evidence="auto"))
    tried = done.figures["evidence_tried"]
    best = max(tried, key=lambda entry: entry["mrr"])
    assert best["evidence"] == done.figures["evidence"]
    assert tried[-1]["evidence"] is None
    assert best["mrr"] > tried[-1]["mrr"]


def test_the_ranks_of_a_trial_are_those_of_all_pairs() -> None:
    vectors, split = shop()
    held = HeldOut.of(split, 0)
    graph = Graph.of(split, 300, 3, 0.7, held.places)
    found = Directions.of(vectors, centre_of(vectors)).units
    share = (graph.degrees / (graph.degrees + 4))[:, None]
    moved = (1 - share) * found + share * graph.means(slice(None), found, None)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    near = moved[held.queries] @ moved.T
    near[np.arange(len(near)), held.queries] = -np.inf
    wanted = (near > near[np.arange(len(near)), held.targets][:, None]).sum(axis=1)
    ranks = Trial.of(graph, held, found, None, 0).ranks(1.0, 4.0)
    assert np.abs(ranks - wanted).max() <= 1  # where two are as near but for rounding


def test_a_graph_of_other_items_moves_nothing() -> None:
    """The control: the same graph, its items permuted, foretells nothing of what the text says."""
    vectors, split = shop()
    moved = []
    for seed in range(5):
        permuted = np.random.default_rng(seed).permutation(300).astype(np.int32)
        given = inputs(vectors, dataclasses.replace(split, items=permuted[split.items]))
        # the permuted users keep to the images of a kind, which is learnable: shuffle who did what as well
        shuffled = np.random.default_rng(seed).permutation(given.split.items)
        given = inputs(vectors, dataclasses.replace(split, items=shuffled), evidence="auto")
        aligned, done = align(given)
        moved.append(aligned is not vectors)
        assert within_kinds(aligned) < within_kinds(vectors) + 0.02
        if aligned is vectors:
            assert "no vector was moved" in done.warnings[0]
    assert sum(moved) <= 2


# fuse


def test_the_share_of_the_variance_is_the_one_asked_for() -> None:
    vectors, split = shop(warm=300)
    for share in (0.0, 0.25, 0.8):
        aligned, _ = align(inputs(vectors, split, "fuse", share=share))
        assert aligned.shape == (300, 26)
        text, beside = aligned[:, :16].var(axis=0).sum(), aligned[:, 16:].var(axis=0).sum()
        assert beside / (text + beside) == pytest.approx(share, abs=0.03)


def test_factors_are_those_of_a_dense_decomposition() -> None:
    generator = np.random.default_rng(0)
    graph = Graph.of(table([generator.choice(40, 8, p=np.arange(40) / 780).tolist() for _ in range(60)]), 40, 3, 0.7)
    known = np.flatnonzero(graph.degrees > 0)
    found = factors(graph, 4, 0, in_memory)[known]
    scale = np.sqrt(graph.degrees[known])
    values, turn = np.linalg.eigh(dense(graph)[known][:, known] / scale[:, None] / scale)
    wanted = turn[:, -4:] * values[-4:]
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    wanted *= (graph.degrees[known] / (graph.degrees[known] + 8))[:, None]
    np.testing.assert_allclose(found @ found.T, wanted @ wanted.T, atol=5e-3)


def test_factors_of_groups_that_are_apart_and_of_a_single_pair() -> None:
    apart = Graph.of(table([[3 * k, 3 * k + 1, 3 * k + 2] for k in range(20)]), 70, 3, 0.7)
    found = factors(apart, 30, 0, in_memory)
    assert found.shape == (70, 30)
    assert not found[60:].any()
    near = normalised(found[:60]) @ normalised(found[:60]).T
    same = np.arange(60)[:, None] // 3 == np.arange(60) // 3
    assert near[same].min() > 0.3 > np.abs(near[~same]).mean() + 0.1
    pair, _ = align(inputs(shop()[0], table([[4, 9]]), "fuse", whiten=0.0))
    assert pair.shape == (300, 17)
    assert not pair[:, 16].any()  # both items get the same number, which tells nothing


@pytest.mark.parametrize("length", [2, 3])
def test_factors_of_many_short_histories_keep_what_is_used_together(length: int) -> None:
    """Pairs and chains have two sides, so for each eigenvalue there is one of the other sign."""
    users = [list(range(length * k, length * (k + 1))) for k in range(200)]
    graph = Graph.of(table(users), length * 200, 1, 1.0)
    found = normalised(factors(graph, 64, 0, in_memory))
    assert min(float(found[user[0]] @ found[user[1]]) for user in users) > 0.99


def test_factors_do_not_depend_on_where_they_lie_and_on_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    graph = Graph.of(table([draw.choice(300, 6).tolist() for _ in range(400)]), 300, 3, 0.7)
    whole = factors(graph, 8, 0, in_memory)
    monkeypatch.setattr("sid.align.factors._BLOCK_BYTES", 16 * 24 * 50)
    there = factors(graph, 8, 0, scratch(tmp_path))
    np.testing.assert_allclose(there @ there.T, whole @ whole.T, atol=1e-3)


def test_there_are_fewer_factors_than_items_with_neighbours() -> None:
    vectors, _ = shop()
    aligned, done = align(inputs(vectors, table([[0, 1, 2], [3, 4, 1]]), "fuse", dim=64))
    assert aligned.shape == (300, 16 + 4)
    assert done.figures["behaviour_dim"] == 4
    assert np.isfinite(aligned).all()


def test_fuse_smooths_the_text_as_smooth_would() -> None:
    vectors, split = shop()
    beside, done = align(inputs(vectors, split, "fuse", alpha=0.3, whiten=0.1))
    smooth, alone = align(inputs(vectors, split, "smooth", alpha=0.3, whiten=0.1))
    plain, _ = align(inputs(vectors, split, "fuse", alpha=0.0, whiten=0.0))
    centre, scale = centre_of(vectors), done.aligner.arrays["scales"][0]
    np.testing.assert_allclose(beside[:, :16], (smooth - centre) * scale, atol=1e-5)
    np.testing.assert_allclose(plain[:, :16], (vectors - centre) * scale, atol=1e-5)
    np.testing.assert_array_equal(beside[:, 16:], plain[:, 16:])
    assert alone.figures.items() <= done.figures.items()


def behaviour_file(path: Path, ids: list[str], vectors: list[list[float]]) -> Path:
    kind = pl.Array(pl.Float32, len(vectors[0]))
    pl.DataFrame({"item_id": ids, "embedding": pl.Series(vectors, dtype=kind)}).write_parquet(path)
    return path


def test_a_users_own_vectors_of_behaviour(tmp_path: Path) -> None:
    vectors, split = shop()
    kinds = np.eye(10, dtype=np.float32)[np.arange(300) % 10]
    ids = pl.Series([str(row) for row in range(300)])
    file = behaviour_file(tmp_path / "b.parquet", [*ids[:200].to_list(), "other"], [*kinds[:200].tolist(), [0.0] * 10])
    behaviour, warnings = read_behaviour(file, ids, "item_id", "embedding")
    assert warnings == (f"{file}: 1 vectors belong to items that aren't in the catalogue and were left out",)
    aligned, done = align(inputs(vectors, split, "fuse", behaviour=behaviour))
    assert aligned.shape == (300, 26)
    assert done.warnings == ("100 items have no vector in align.behaviour and get one predicted from their text",)
    guessed, own = aligned[200:, 16:], np.arange(200, 300) % 10
    assert guessed[np.arange(100), own].mean() > guessed.mean() + 0.1 * np.abs(guessed).mean()


@pytest.mark.parametrize(
    ("ids", "value", "problem"),
    [
        (["0", "0"], 1.0, "has item '0' twice"),
        (["0", "1"], float("nan"), "the vector of item '1' has NaN or Inf"),
        (["8", "9"], 1.0, "has none of the 3 prepared items"),
    ],
)
def test_a_broken_file_of_behaviour_is_refused(ids: list[str], value: float, problem: str, tmp_path: Path) -> None:
    file = behaviour_file(tmp_path / "b.parquet", ids, [[1.0, 2.0], [value, 2.0]])
    with pytest.raises(InputError, match=problem):
        read_behaviour(file, pl.Series(["0", "1", "2"]), "item_id", "embedding")


def test_behaviour_that_cannot_be_told_whose_it_is(tmp_path: Path) -> None:
    ids = pl.Series(["0", "1", "2"])
    np.save(tmp_path / "b.npy", np.ones((3, 2), np.float32))
    with pytest.raises(InputError, match=r"b\.npy: has vectors without ids, align\.behaviour needs a column item_id"):
        read_behaviour(tmp_path / "b.npy", ids, "item_id", "embedding")
    with pytest.raises(InputError, match=r"\(align\.behaviour must name one"):
        read_behaviour(tmp_path / "none.parquet", ids, "item_id", "embedding")
    pl.DataFrame({"item_id": ["0", "1"], "embedding": [[1.0, 2.0], None]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match="item '1' has no vector"):
        read_behaviour(tmp_path / "b.parquet", ids, "item_id", "embedding")


def test_behaviour_of_equal_vectors_adds_nothing_and_says_so() -> None:
    vectors, split = shop()
    behaviour = Behaviour(np.ones((300, 3), np.float32), np.arange(300))
    aligned, done = align(inputs(vectors, split, "fuse", behaviour=behaviour))
    assert not aligned[:, 16:].any()
    assert done.warnings == ("all items that have behaviour have the same, so that it adds nothing to the text",)


# contrastive


@pytest.mark.parametrize("changes", [{"hidden": 8}, {"pairs": 640}, {"batch_size": 32}, {"temperature": 1.0}])
def test_every_option_of_contrastive_counts(changes: dict[str, Any]) -> None:
    vectors, split = shop()
    assert not np.array_equal(
        align(inputs(vectors, split, "contrastive", pairs=960))[0],
        align(inputs(vectors, split, "contrastive", **{"pairs": 960, **changes}))[0],
    )


def test_keep_holds_vectors_where_they_are() -> None:
    vectors, split = shop()
    moved = [
        float(np.linalg.norm(align(inputs(vectors, split, "contrastive", keep=keep))[0] - vectors))
        for keep in (0.0, 3.0, 1000.0)
    ]
    assert moved[0] > moved[1] > moved[2]


def test_a_training_goes_on_where_it_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sid.align import contrastive
    from sid.quantizers.training import states

    vectors, split = shop()
    whole, done = align(inputs(vectors, split, "contrastive"))
    loss, calls = contrastive._loss, []

    def cut(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return loss(*given)

    monkeypatch.setattr(contrastive, "_loss", cut)
    monkeypatch.setattr(states.Checkpoints, "due", lambda self: True)
    with pytest.raises(KeyboardInterrupt):
        align(inputs(vectors, split, "contrastive", checkpoints=tmp_path))
    assert states.left_at(tmp_path) == "after step 19"
    again, more = align(inputs(vectors, split, "contrastive", checkpoints=tmp_path))
    assert len(calls) == 20 + 3000 // 64 - 19
    assert again.tobytes() == whole.tobytes()
    assert more.figures == done.figures
    align(inputs(vectors, split, "contrastive", checkpoints=tmp_path, lr=0.02))
    assert len(list(tmp_path.iterdir())) == 2  # another training has a folder of its own


def test_a_loss_that_is_not_finite_is_named() -> None:
    vectors, split = shop()
    with pytest.raises(InputError, match=r"align\.contrastive: training failed at step"):
        align(inputs(vectors, split, "contrastive", temperature=1e-38))


# aligners


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY"])
def test_a_broken_aligner_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz: can't be read as an aligner"):
        load(tmp_path / "a.npz")


def test_an_aligner_holds_nothing_but_numbers(tmp_path: Path) -> None:
    Aligner("smooth", {"centre": np.array([np.nan], np.float32)}).save(tmp_path / "a.npz")
    with pytest.raises(InputError, match="centre must be finite float32"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", centre=np.zeros(3, np.float32))
    with pytest.raises(InputError, match="holds no aligner of format"):
        load(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", format=np.array(["x"]))
    with pytest.raises(InputError, match="holds no aligner of format"):
        load(tmp_path / "c.npz")
    (tmp_path / "d.npz").write_text("x")
    with pytest.raises(InputError, match=r"run the align stage \(it is no \.npz file\)"):
        load(tmp_path / "d.npz")


@pytest.mark.parametrize(
    "arrays", [{"shift": np.ones((2, 2))}, {"centre": np.ones(3), "shift": np.ones((2, 2))}, {"centre": np.float32(1)}]
)
def test_arrays_that_fit_no_aligner_are_refused(arrays: dict[str, Any], tmp_path: Path) -> None:
    Aligner("smooth", {name: np.asarray(array, np.float32) for name, array in arrays.items()}).save(tmp_path / "a.npz")
    with pytest.raises(InputError, match=r"a\.npz: its arrays \w+(, shift)? don't fit together, run the align stage"):
        load(tmp_path / "a.npz")


# the stage


def shop_project(project: Project, users: int = 40) -> Project:
    generator = np.random.default_rng(0)
    rows = [
        {"user_id": user, "item_id": str(item), "timestamp": step}
        for user in range(users)
        for step, item in enumerate(generator.choice(np.arange(user % 6, 60, 6), 7).tolist())
    ]
    pl.DataFrame(rows).write_csv(project.path("acts.csv"))
    project.params(interactions__source="acts.csv", align__method="smooth", align__smooth__evidence=2.0)
    return project


def test_the_stage_and_what_follows_it(project: Project) -> None:
    shop_project(project).succeed()
    vectors, aligned = (np.load(project.path(f"data/{name}.npy")) for name in ("prepared/embeddings", "aligned"))
    assert (vectors != aligned).any(axis=1).sum() > 50
    report = project.report("align")
    assert report["applied"] == "smooth"
    assert project.report("metrics/align") == {
        "neighbours_kept": report["neighbours_kept"],
        "used_together_after": report["used_together_after"],
    }
    after = project.report("report")["after"]
    assert after["recall_at_10"] != after["recall_at_10_original"]
    assert after["levels"]["level_1"]["purity"] != after["levels"]["level_1"]["purity_original"]
    assert load(project.path("data/aligner.npz")).method == "smooth"


def test_none_links_what_it_leaves_alone(project: Project) -> None:
    shop_project(project).params(align__method="none")
    project.succeed()
    one, two = (project.path(f"data/{name}.npy") for name in ("prepared/embeddings", "aligned"))
    assert os.path.samefile(one, two)
    after = project.report("report")["after"]
    assert after["recall_at_10"] == after["recall_at_10_original"]
    project.succeed("prepare")  # replaces its file, and leaves the other as it is
    assert not os.path.samefile(one, two)
    assert one.read_bytes() == two.read_bytes()


def test_a_copy_where_links_are_not_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sid.files import link_or_copy

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "one").write_bytes(b"content")
    link_or_copy(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_bytes() == b"content"


def test_what_is_held_out_is_never_seen(project: Project) -> None:
    """Other targets of valid and test, and not a byte of the aligned vectors changes; the stage opens neither file."""
    for name in ("one", "two"):
        copied = Project(Path(shutil.copytree(project.folder, project.folder.parent / name, symlinks=True)))
        shop_project(copied)
        if name == "two":
            table = pl.read_csv(copied.path("acts.csv"), schema_overrides={"item_id": pl.String})
            held = pl.col("timestamp") >= 5
            table = table.with_columns(pl.when(held).then(pl.lit("7")).otherwise("item_id").alias("item_id"))
            table = table.with_columns((pl.col("timestamp") * 2 + held * pl.col("user_id")).alias("timestamp"))
            table.write_csv(copied.path("acts.csv"))
        copied.succeed("prepare", "interactions")
        for held_out in ("valid", "test", "users", "counts"):
            copied.path(f"data/interactions/{held_out}.parquet").write_bytes(b"not to be opened")
        copied.succeed("align")
    one, two = (project.folder.parent / name / "data" / "aligned.npy" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    declared = subprocess.run(
        [sys.executable, "-c", "from stages import pipeline; print(*pipeline.declared()['align'].deps)"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert "data/interactions/train.parquet" in declared.stdout
    assert not any(f"interactions/{name}" in declared.stdout for name in ("valid", "test", "counts"))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"align__smooth__alpha": 1.5}, "align.smooth.alpha is 1.5: must be less than or equal to 1"),
        ({"align__smooth__evidence": "much"}, "align.smooth.evidence"),
        ({"align__method": "fuse", "align__behaviour": "items.json"}, "items.json: no column embedding"),
        ({"align__method": "swing"}, "align.method is 'swing': must be"),
    ],
)
def test_a_users_mistake_is_one_line(project: Project, changes: dict[str, Any], problem: str) -> None:
    shop_project(project).succeed("prepare", "interactions")
    project.params(**changes)
    done = project.run("align")
    assert done.returncode == 1
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert not project.path("data/aligned.npy").exists()


def test_a_graph_with_no_edge_is_a_warning(project: Project) -> None:
    project.params(align__method="smooth", interactions__source="data/none")
    project.succeed("prepare", "interactions")
    done = project.run("align")
    assert done.returncode == 0
    assert done.stderr == "align: warning: no two items were used together in the train split: no vector was moved\n"
    assert os.path.samefile(project.path("data/prepared/embeddings.npy"), project.path("data/aligned.npy"))


@needs_catalogue
def test_on_the_real_catalogue_the_next_item_of_valid_is_found_more_often() -> None:
    vectors = np.load(CATALOGUE / "embeddings.npy")
    ids = pl.Series([str(row) for row in range(len(vectors))])
    train, valid, _ = read_interactions(CATALOGUE, ids, PARAMS.interactions).interactions.splits

    aligned, done = align(inputs(vectors, train, alpha=1.0, evidence="auto"))
    assert done.figures["evidence"] == 8.0
    assert hit_rate(aligned, valid) > 1.1 * hit_rate(vectors, valid)
    permuted = np.random.default_rng(0).permutation(len(vectors)).astype(np.int32)
    shuffled = dataclasses.replace(train, items=permuted[train.items])
    control, _ = align(inputs(vectors, shuffled, alpha=1.0, evidence="auto"))
    assert hit_rate(control, valid) <= 1.02 * hit_rate(vectors, valid)


def test_beside_a_release_its_aligner_takes_every_item(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Published codes are of vectors in its space: new interactions must not move it."""
    shop_project(project)
    project.succeed("prepare", "interactions", "align")
    kept = project.path("kept.npz")
    shutil.copy(project.path("data/aligner.npz"), kept)
    aligner = load(kept)
    assert aligner.arrays
    monkeypatch.setattr("stages.align.open_release", lambda folder: SimpleNamespace(aligner=kept))
    project.params(published="releases/day1", align__method="none")
    project.succeed("align")
    vectors = np.load(project.path("data/prepared/embeddings.npy"))
    np.testing.assert_array_equal(np.load(project.path("data/aligned.npy")), aligner.apply(vectors))
    assert "by their text alone" in project.report("align")["warnings"][0]
    project.params(release__mode="refresh")
    project.succeed("align")
    np.testing.assert_array_equal(np.load(project.path("data/aligned.npy")), vectors)
