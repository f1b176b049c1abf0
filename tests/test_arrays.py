"""Chunks and rows: how everything goes through more rows than memory holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sid.arrays import ArrayRows, chunks


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
