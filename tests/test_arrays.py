"""Chunks and rows: how everything goes through more rows than memory holds."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from sid.arrays import ArrayRows, chunks, in_memory, new_matrix, rows_of, sampled, scratch


@pytest.mark.parametrize(
    ("count", "row_bytes", "budget", "step"),
    [
        (1000, 10, 1 << 20, 1000),
        (1000, 10, 1000, 96),  # 100 rows fit, and a chunk has a multiple of 16
        (1000, 10, 1, 16),  # at least 16, whatever they take
        (1000, 1 << 40, 1 << 20, 16),
        (7, 1, 1 << 20, 7),
        (0, 1, 1 << 20, None),
    ],
)
def test_chunks_cover_every_row_once_within_the_budget(count: int, row_bytes: int, budget: int, step: int) -> None:
    found = list(chunks(count, row_bytes, budget))
    assert [row for part in found for row in range(part.start, part.stop)] == list(range(count))
    assert all(part.stop - part.start == step for part in found[:-1])
    assert not found or found[0].stop == step


def test_wider_rows_make_smaller_chunks() -> None:
    assert next(chunks(10**9, 4 * 64)).stop == 64 * next(chunks(10**9, 4 * 4096)).stop


def test_rows_of_a_memory_map_are_views_of_parts_and_copies_of_choices(tmp_path: Path) -> None:
    vectors = np.arange(40, dtype=np.float32).reshape(10, 4)
    np.save(tmp_path / "rows.npy", vectors)
    rows = ArrayRows(np.load(tmp_path / "rows.npy", mmap_mode="r"))
    assert (len(rows), rows.dim) == (10, 4)
    np.testing.assert_array_equal(rows.part(2, 5), vectors[2:5])
    assert np.shares_memory(rows.part(2, 5), rows.vectors)
    taken = rows.take(np.array([7, 0, 7]))
    np.testing.assert_array_equal(taken, vectors[[7, 0, 7]])
    assert taken.flags.writeable
    assert not np.shares_memory(taken, rows.vectors)


def test_a_memory_map_travels_as_the_name_of_its_file(tmp_path: Path) -> None:
    vectors = np.arange(4000, dtype=np.float32).reshape(1000, 4)
    np.save(tmp_path / "rows.npy", vectors)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    sent = pickle.dumps(ArrayRows(mapped))
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent).part(3, 9), vectors[3:9])
    for held in (vectors, mapped[10:20]):  # what isn't a whole file travels as it is
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(ArrayRows(held))).vectors, held)


@pytest.mark.parametrize("count", [1, 90, 100, 200, None])
def test_a_sample_is_some_rows_in_their_order(count: int | None) -> None:
    vectors = np.arange(200, dtype=np.float32).reshape(100, 2)
    rows = sampled(vectors, count, 3)
    assert len(rows) == min(100, 100 if count is None else count)
    found = rows.part(0, len(rows))
    assert (np.diff(found[:, 0]) > 0).all()
    assert {tuple(row) for row in found} <= {tuple(row) for row in vectors}
    np.testing.assert_array_equal(rows.take(np.array([0])), found[:1])
    np.testing.assert_array_equal(sampled(rows_of(vectors), count, 3).part(0, len(rows)), found)


def test_a_scratch_matrix_leaves_no_file(tmp_path: Path) -> None:
    matrix = scratch(tmp_path)((300, 5))
    assert list(tmp_path.iterdir()) == []
    matrix[:] = np.arange(1500, dtype=np.float32).reshape(300, 5)
    assert (matrix.dtype, matrix.shape, matrix.sum()) == (np.float32, (300, 5), 1500 * 1499 / 2)
    assert scratch(tmp_path)((0, 5)).shape == in_memory((0, 5)).shape == (0, 5)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="only some systems can take room on a disk")
def test_room_for_a_map_is_taken_before_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_matrix(tmp_path / "a.npy", (1000, 100))[:] = 1
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 400_000
    assert np.load(tmp_path / "a.npy").sum() == 100_000

    def full(_file: int, _start: int, _size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    for make in (scratch(tmp_path), lambda shape: new_matrix(tmp_path / "b.npy", shape)):
        with pytest.raises(OSError, match="No space left"):
            make((10, 10))
