"""Passes over the rows come to the same bits on any engine, and on Ray whatever happens to its workers."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from sid import arrays
from sid.arrays import ArrayRows, parts
from sid.clustering import balanced, points
from sid.clustering.balanced import share_out
from sid.dedupe.resolve import resolve
from sid.engine import engines
from sid.engine.local import LOCAL
from sid.errors import InputError, MissingExtra
from sid.measure import metrics, neighbours, quality
from sid.params import Engine, Index
from sid.quantizers import assignment, methods
from sid.quantizers.assignment import CostScores, assign
from sid.quantizers.base import Fit, Quantizer
from sid.quantizers.residual import ResidualQuantizer
from stages import pipeline
from tests.conftest import ROOT, catalogue
from tests.test_contract import settings

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Posted:
    """An engine that does what a remote one does: pickles work and pieces, and runs the pieces in any order."""

    def __init__(self) -> None:
        self.ran = self.most_bytes = 0

    def map(self, work: Callable[[Piece], Result], pieces: Iterable[Piece], piece_bytes: int = 0) -> Iterator[Result]:
        sent, posted = pickle.dumps(work), [pickle.dumps(piece) for piece in pieces]
        self.most_bytes = max([self.most_bytes, len(sent), *map(len, posted)])
        found = [pickle.dumps(pickle.loads(sent)(pickle.loads(piece))) for piece in reversed(posted)]
        self.ran += len(posted)
        return map(pickle.loads, reversed(found))

    each = map


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "PART_ROWS", 64)
    monkeypatch.setattr(assignment, "_HELD_BYTES", 0)
    monkeypatch.setattr(points, "_HELD_BYTES", 0)
    monkeypatch.setattr(points, "_SUBSET_BYTES", 0)


@pytest.fixture
def mapped(tmp_path: Path) -> np.ndarray:
    np.save(tmp_path / "vectors.npy", catalogue(400))
    found: np.ndarray = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    return found


def index(quantizer: Quantizer, how: str, vectors: np.ndarray, engine: Any) -> np.ndarray:
    return assign(quantizer, vectors, Index(assignment=how, slack=None), engine)[0]  # type: ignore[arg-type]


def books(fitted: Fit) -> tuple[np.ndarray, ...]:
    assert isinstance(fitted.quantizer, ResidualQuantizer)
    return fitted.quantizer.codebooks


def figures(quantizer: Quantizer, vectors: np.ndarray, engine: Any) -> dict[str, Any]:
    codes = quantizer.encode(vectors)
    after = codes.copy()
    after[::3, -1] = 0
    near = neighbours.search(vectors, engine)
    recall = quality.recall(quantizer.decode, near, codes, engine)
    found = quality.reconstruction(quantizer.decode, vectors, codes, after, engine)
    return {"near": near.rows.tolist(), "recall": recall, **found}


def test_parts_cover_all_rows_in_order() -> None:
    assert parts(0) == []
    assert parts(10) == [slice(0, 10)]
    found = parts(3 * arrays.PART_ROWS + 1)
    assert [part.start for part in found] == [number * arrays.PART_ROWS for number in range(4)]
    assert found[-1].stop == 3 * arrays.PART_ROWS + 1


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("method", ["rqkmeans", "rqkmeans_constrained"])
def test_where_a_pass_runs_changes_no_bit(method: str, mapped: np.ndarray) -> None:
    quantizer = methods.fit(mapped, settings(method)).quantizer
    engine = Posted()
    for how in ("nearest", "balanced"):
        here = index(quantizer, how, mapped, LOCAL)
        np.testing.assert_array_equal(here, index(quantizer, how, mapped, engine))
    assert figures(quantizer, mapped, LOCAL) == figures(quantizer, mapped, engine)
    assert engine.ran > 7 * 6


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("method", ["rqkmeans", "rqkmeans_constrained"])
def test_where_it_is_fitted_changes_no_bit(method: str, tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", np.tile(catalogue(400), (1, 8)))
    rows = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    engine, params = Posted(), settings(method)
    here, there = (methods.fit(rows, params, engine=each) for each in (LOCAL, engine))
    for one, other in zip(books(here), books(there), strict=True):
        np.testing.assert_array_equal(one, other)
    assert here.curve == there.curve
    assert engine.ran > 7 * 10
    assert engine.most_bytes < rows.nbytes  # they are read where they are


@pytest.mark.usefixtures("small_parts")
def test_rows_of_few_values_fit_alike_anywhere(tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", np.repeat(catalogue(5), 40, axis=0))  # codes are left over
    rows = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    here, there = (books(methods.fit(rows, settings("rqkmeans"), engine=each)) for each in (LOCAL, Posted()))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("strategy", ["reassign", "sinkhorn", "append"])
def test_where_collisions_are_resolved_changes_no_code(strategy: str, limit: int, mapped: np.ndarray) -> None:
    quantizer, engine = methods.fit(mapped, settings("rqkmeans")).quantizer, Posted()
    codes = np.tile(quantizer.encode(mapped[:50]), (5, 1))
    wanted = settings("rqkmeans").dedupe.model_copy(update={"strategy": strategy, "max_items_per_sid": limit})
    here, there = (resolve(codes, quantizer, mapped[:250], wanted, engine=each)[0] for each in (LOCAL, engine))
    np.testing.assert_array_equal(here, there)
    assert not np.array_equal(here, codes)
    assert (engine.ran > 0) == (strategy == "reassign")


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("sampled", [False, True], ids=["prices of all rows", "prices of a sample"])
def test_where_prices_are_found_changes_no_bit(
    mapped: np.ndarray, monkeypatch: pytest.MonkeyPatch, sampled: bool
) -> None:
    if sampled:
        monkeypatch.setattr(balanced, "LARGE_SAMPLE", 16)
        monkeypatch.setattr(balanced, "LARGE_ROWS", 0)
    quantizer, engine = methods.fit(mapped, settings("rqkmeans")).quantizer, Posted()
    scores = CostScores(quantizer, ArrayRows(mapped), np.zeros((400, 0), np.int32))
    size = 400 // quantizer.code_sizes[0]
    bounds = {"size_min": size - 1, "size_max": size + 1, "budget_mib": 0}  # no scores are held
    here = share_out(scores, **bounds)  # type: ignore[arg-type]
    there = share_out(scores, **bounds, engine=engine)  # type: ignore[arg-type]
    assert torch.equal(here, there)
    assert engine.ran >= (7 if sampled else 7 * 10)


@pytest.mark.usefixtures("small_parts")
def test_many_parts_find_what_one_finds(mapped: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    quantizer = methods.fit(mapped, settings("rqkmeans")).quantizer
    codes, found = index(quantizer, "nearest", mapped, LOCAL), figures(quantizer, mapped, LOCAL)
    monkeypatch.setattr(arrays, "PART_ROWS", 1000)
    np.testing.assert_array_equal(codes, index(quantizer, "nearest", mapped, LOCAL))
    whole = figures(quantizer, mapped, LOCAL)
    assert {name: value for name, value in found.items() if name != "near"} == pytest.approx(
        {name: value for name, value in whole.items() if name != "near"}
    )
    assert found["near"] == whole["near"]


def test_sums_of_parts_are_those_of_all() -> None:
    vectors = catalogue(300)
    whole, half = (metrics.Reconstruction(vectors.mean(axis=0, dtype=np.float64)) for _ in range(2))
    whole.add(vectors, vectors + 1)
    for part in (slice(0, 100), slice(100, 300)):
        one = metrics.Reconstruction(vectors.mean(axis=0, dtype=np.float64))
        one.add(vectors[part], vectors[part] + 1)
        half.merge(one)
    assert half.figures() == whole.figures()


def test_switching_the_engine_makes_no_stage_stale() -> None:
    for declared in pipeline.declared(ROOT).values():
        assert not [key for keys in declared.params.values() for key in keys if key.startswith("engine")]
        assert not [path for path in declared.deps if path.startswith("sid/engine")]


def test_without_ray_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sid.errors.find_spec", lambda _name: None)
    with (
        pytest.raises(MissingExtra, match=r"ray is not installed: pip install 'sid\[ray\]'"),
        engines.opened(Engine(name="ray", address=None)),
    ):
        pass


def test_the_local_engine_needs_no_opening() -> None:
    with engines.opened(Engine(name="local", address=None)) as engine:
        assert engine is LOCAL


# A cluster takes half a minute to start, and Ray a quarter of a gigabyte: pip install 'sid[ray]' to run what follows.


def _die_once(part: slice, marks: Path) -> int:
    mark = marks / str(part.start)
    if part.start == 64 and not mark.exists():
        mark.touch()
        os._exit(1)
    return part.start


class Fails:
    def __call__(self, part: slice) -> int:
        raise InputError(["row 3: is wrong", "row 4: is too"])


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    pytest.importorskip("ray", reason="Ray isn't installed (pip install 'sid[ray]')")
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "180", "RAY_worker_niceness": "0"}
    from ray.cluster_utils import Cluster

    node = {"num_cpus": torch.get_num_threads(), "object_store_memory": 80 << 20, "memory": 1 << 30}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    cluster.add_node(**{**node, "memory": 100 << 20})  # too small for most parts
    yield cluster.address
    cluster.shutdown()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("small_parts")
def test_a_ray_cluster_gives_the_bytes_of_this_process(address: str, mapped: np.ndarray, tmp_path: Path) -> None:
    with engines.opened(Engine(name="ray", address=address)) as engine:
        for method in ("rqkmeans", "rqkmeans_constrained"):
            here, there = (methods.fit(mapped, settings(method), engine=each) for each in (LOCAL, engine))
            for one, other in zip(books(here), books(there), strict=True):
                np.testing.assert_array_equal(one, other)
            quantizer = here.quantizer
            for how in ("nearest", "balanced"):
                np.testing.assert_array_equal(
                    index(quantizer, how, mapped, engine), index(quantizer, how, mapped, LOCAL)
                )
            codes, wanted = np.tile(quantizer.encode(mapped[:50]), (5, 1)), settings(method).dedupe
            after = [resolve(codes, quantizer, mapped[:250], wanted, engine=each)[0] for each in (LOCAL, engine)]
            np.testing.assert_array_equal(*after)
        assert figures(quantizer, mapped, engine) == figures(quantizer, mapped, LOCAL)
        found = engine.map(lambda part: _die_once(part, tmp_path), parts(400))
        assert list(found) == [part.start for part in parts(400)]  # a worker was killed in the middle
        assert (tmp_path / "64").exists()
        with pytest.raises(InputError) as failed:
            list(engine.map(Fails(), parts(400)))
        assert failed.value.problems == ("row 3: is wrong", "row 4: is too")
        with pytest.raises(InputError, match=r"needs 1,907 MiB, but no machine of the cluster offers more than 1,024"):
            list(engine.map(Fails(), parts(400), 2_000_000_000))
        gone = ArrayRows(mapped)
        (tmp_path / "vectors.npy").unlink()
        with pytest.raises(InputError, match=r"a worker can't open its rows \(.*vectors\.npy'\): all machines must"):
            list(engine.map(lambda part: gone.part(part.start, part.stop), parts(400)))


@pytest.mark.filterwarnings("ignore")
def test_no_cluster_at_an_address_is_one_line() -> None:
    pytest.importorskip("ray", reason="Ray isn't installed (pip install 'sid[ray]')")
    with (
        pytest.raises(InputError, match=r"engine\.address is '127\.0\.0\.1:1': no Ray cluster could be reached"),
        engines.opened(Engine(name="ray", address="127.0.0.1:1")),
    ):
        pass
