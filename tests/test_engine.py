"""Passes over the rows come to the same bits on any engine, and on Ray whatever happens to its workers."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from sid import arrays
from sid.arrays import ArrayRows, parts
from sid.clustering.balanced import share_out
from sid.engine import engines
from sid.engine.local import LOCAL
from sid.errors import InputError, MissingExtra
from sid.measure import metrics, neighbours, quality
from sid.params import Engine, Index
from sid.quantizers import assignment, methods
from sid.quantizers.assignment import CostScores, assign
from sid.quantizers.base import Quantizer
from tests.conftest import catalogue
from tests.test_contract import settings

Result = TypeVar("Result")


class Posted:
    """An engine that does what a remote one does to its work: pickles it for each part, and runs parts in any order."""

    def __init__(self) -> None:
        self.ran = 0

    def map(self, work: Callable[[slice], Result], parts: Sequence[slice], part_bytes: int = 0) -> Iterator[Result]:
        sent = pickle.dumps(work)
        found = {part.start: pickle.loads(sent)(part) for part in reversed(parts)}
        self.ran += len(parts)
        return (pickle.loads(pickle.dumps(found[part.start])) for part in parts)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "PART_ROWS", 64)
    monkeypatch.setattr(assignment, "_HELD_BYTES", 0)


@pytest.fixture
def mapped(tmp_path: Path) -> np.ndarray:
    np.save(tmp_path / "vectors.npy", catalogue(400))
    found: np.ndarray = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    return found


def index(quantizer: Quantizer, how: str, vectors: np.ndarray, engine: Any) -> np.ndarray:
    return assign(quantizer, vectors, Index(assignment=how, slack=None), engine)[0]  # type: ignore[arg-type]


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
def test_where_prices_are_found_changes_no_bit(mapped: np.ndarray) -> None:
    quantizer, engine = methods.fit(mapped, settings("rqkmeans")).quantizer, Posted()
    scores = CostScores(quantizer, ArrayRows(mapped), np.zeros((400, 0), np.int32))
    size = 400 // quantizer.code_sizes[0]
    bounds = {"size_min": size - 1, "size_max": size + 1, "budget_mib": 0}  # no scores are held
    here = share_out(scores, **bounds)  # type: ignore[arg-type]
    there = share_out(scores, **bounds, engine=engine)  # type: ignore[arg-type]
    assert torch.equal(here, there)
    assert engine.ran > 7 * 10


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
            quantizer = methods.fit(mapped, settings(method)).quantizer
            for how in ("nearest", "balanced"):
                np.testing.assert_array_equal(
                    index(quantizer, how, mapped, engine), index(quantizer, how, mapped, LOCAL)
                )
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
