from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sid.catalogue import cleaning as items
from sid.catalogue import embeddings
from sid.catalogue.cleaning import Cleaning
from sid.catalogue.embeddings import open_embeddings
from sid.catalogue.items import FIELDS
from sid.catalogue.metadata import Metadata, read_metadata
from sid.errors import InputError
from tests.conftest import CATALOGUE, catalogue, needs_catalogue


def prepare(
    tmp_path: Path, source: Path, metadata: Metadata | None = None, **cleaning: Any
) -> tuple[dict[str, Any], np.ndarray, pl.DataFrame]:
    vectors_path, items_path = tmp_path / "out.npy", tmp_path / "out.parquet"
    opened = open_embeddings(source, "item_id", "embedding")
    figures = items.prepare(opened, metadata, Cleaning(**cleaning), vectors_path, items_path)
    return figures, np.load(vectors_path), pl.read_parquet(items_path)


def save(path: Path, vectors: np.ndarray) -> Path:
    np.save(path, vectors)
    return path


def write_shard(path: Path, ids: list[Any], vectors: Any, fixed: int | None = None, dtype: Any = None) -> Path:
    dtype = dtype or pa.float32()
    kind = pa.list_(dtype, fixed) if fixed else pa.list_(dtype)
    lists = pa.array([None if row is None else list(row) for row in vectors], type=kind)
    pq.write_table(pa.table({"item_id": ids, "embedding": lists}), path)
    return path


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_any_float_and_order_becomes_float32_in_c_order(tmp_path: Path, dtype: str, order: Any) -> None:
    vectors = np.asarray(catalogue(), dtype=dtype, order=order)
    figures, out, rows = prepare(tmp_path, save(tmp_path / "in.npy", vectors))
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    np.testing.assert_array_equal(out, vectors.astype(np.float32))
    assert (figures["items"], figures["dim"], figures["dtype"]) == (60, 8, dtype)
    assert rows["item_id"].to_list() == [str(row) for row in range(60)]


def test_chunks_join_to_the_same_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = catalogue(101)
    vectors[[3, 50, 77]] = np.nan
    whole = prepare(tmp_path, save(tmp_path / "in.npy", vectors), invalid_rows="drop")
    monkeypatch.setattr(embeddings, "CHUNK_BYTES", 7 * 8 * 4)
    pieces = prepare(tmp_path, tmp_path / "in.npy", invalid_rows="drop")
    assert whole[0] == pieces[0]
    np.testing.assert_array_equal(whole[1], pieces[1])
    assert whole[2].equals(pieces[2])


@pytest.mark.parametrize("fixed", [None, 8])
@pytest.mark.parametrize("dtype", [pa.float16(), pa.float32(), pa.float64()])
def test_parquet_lists_and_shards_in_order_of_name(tmp_path: Path, fixed: int | None, dtype: Any) -> None:
    vectors = catalogue(30).astype(np.float16)
    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    ids = [f"sku-{row:02}" for row in range(30)]
    write_shard(folder / "part-1.parquet", ids[12:], vectors[12:], fixed, dtype)
    write_shard(folder / "part-0.parquet", ids[:12], vectors[:12], fixed, dtype)
    _, out, rows = prepare(tmp_path, folder)
    np.testing.assert_array_equal(out, vectors.astype(np.float32))
    assert rows["item_id"].to_list() == ids


def test_integer_ids_are_kept_as_text(tmp_path: Path) -> None:
    _, _, rows = prepare(tmp_path, write_shard(tmp_path / "in.parquet", [10, 7, 300], catalogue(3)))
    assert rows["item_id"].to_list() == ["10", "7", "300"]


def invalid() -> np.ndarray:
    vectors = catalogue(20)
    vectors[4, 2] = np.nan
    vectors[5] = np.nan
    vectors[6, 0] = np.inf
    vectors[7, 1], vectors[7, 2] = -np.inf, np.nan
    vectors[8] = 0
    vectors[10] = vectors[9]
    vectors[12] = vectors[9]
    vectors[13] = -0.0
    return vectors


def test_zero_replaces_the_values_and_counts_each_kind(tmp_path: Path) -> None:
    vectors = invalid()
    figures, out, _ = prepare(tmp_path, save(tmp_path / "in.npy", vectors), invalid_rows="zero")
    np.testing.assert_array_equal(out, np.nan_to_num(vectors, nan=0, posinf=0, neginf=0))
    assert figures["nan_row_ids"] == ["4", "5", "7"]
    assert figures["inf_row_ids"] == ["6", "7"]
    assert figures["zero_row_ids"] == ["5", "8", "13"]
    assert figures["duplicate_group_ids"] == [["5", "8", "13"], ["9", "10", "12"]]
    assert (figures["duplicate_rows"], figures["duplicate_groups"]) == (4, 2)
    assert figures["rows_dropped"] == 0


def test_drop_leaves_the_rows_out_of_vectors_and_items(tmp_path: Path) -> None:
    figures, out, rows = prepare(tmp_path, save(tmp_path / "in.npy", invalid()), invalid_rows="drop")
    kept = [row for row in range(20) if row not in (4, 5, 6, 7)]
    assert rows["item_id"].to_list() == [str(row) for row in kept]
    np.testing.assert_array_equal(out, invalid()[kept])
    assert (figures["items"], figures["rows_read"], figures["rows_dropped"]) == (16, 20, 4)
    assert (tmp_path / "out.npy").stat().st_size == 128 + 16 * 8 * 4


def test_error_counts_all_and_lists_the_first_five(tmp_path: Path) -> None:
    vectors = catalogue(20)
    vectors[3:10, 0] = np.nan
    with pytest.raises(InputError, match=r"7 rows with NaN \(items 3, 4, 5, 6, 7, \.\.\.\)"):
        prepare(tmp_path, save(tmp_path / "in.npy", vectors), invalid_rows="error")


def test_values_beyond_float32_count_as_inf(tmp_path: Path) -> None:
    vectors = catalogue(5).astype(np.float64)
    vectors[2, 0] = 1e300
    figures, out, _ = prepare(tmp_path, save(tmp_path / "in.npy", vectors))
    assert figures["inf_row_ids"] == ["2"]
    assert out[2, 0] == 0


@pytest.mark.parametrize("scale", [1e-18, 1e-6, 1.0, 1e6, 1e18])
def test_l2_at_any_scale_keeps_zero_rows(tmp_path: Path, scale: float) -> None:
    vectors = catalogue(20) * np.float32(scale)
    vectors[3] = 0
    figures, out, _ = prepare(tmp_path, save(tmp_path / "in.npy", vectors), normalize="l2")
    norms = np.linalg.norm(out.astype(np.float64), axis=1)
    np.testing.assert_allclose(np.delete(norms, 3), 1, rtol=1e-6)
    assert norms[3] == 0
    before = np.linalg.norm(vectors.astype(np.float64), axis=1)
    assert figures["norm"]["max"] == pytest.approx(before.max(), rel=1e-4)
    assert figures["norm"]["p50"] == pytest.approx(np.median(before), rel=1e-4)


def test_all_rows_equal(tmp_path: Path) -> None:
    figures, _, _ = prepare(tmp_path, save(tmp_path / "in.npy", np.ones((500, 3), np.float32)))
    assert (figures["duplicate_rows"], figures["duplicate_groups"]) == (499, 1)


def test_duplicates_match_numpy_on_random_grids(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).integers(0, 3, (400, 4)).astype(np.float32)
    figures, _, _ = prepare(tmp_path, save(tmp_path / "in.npy", vectors))
    _, counts = np.unique(vectors, axis=0, return_counts=True)
    assert figures["duplicate_rows"] == 400 - len(counts)
    assert figures["duplicate_groups"] == (counts > 1).sum()


def test_a_hash_collision_is_no_duplicate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "row_hashes", lambda rows: np.zeros(len(rows), np.uint64))
    vectors = catalogue(20)
    vectors[5] = vectors[2]
    figures, _, _ = prepare(tmp_path, save(tmp_path / "in.npy", vectors))
    assert figures["duplicate_group_ids"] == [["2", "5"]]


def test_streaming_holds_a_chunk_and_not_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "CHUNK_BYTES", 1 << 20)
    folder = tmp_path / "shards"
    folder.mkdir()
    for shard in range(8):
        ids = list(range(shard * 4000, shard * 4000 + 4000))
        rows = np.random.default_rng(shard).normal(size=4000 * 256).astype(np.float32)
        column = pa.FixedSizeListArray.from_arrays(pa.array(rows), 256)
        table = pa.table({"item_id": ids, "embedding": column})
        pq.write_table(table, folder / f"{shard}.parquet", row_group_size=1000)
    whole = 32_000 * 256 * 4
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    figures, _, _ = prepare(tmp_path, folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert figures["items"] == 32_000
    assert peak - whole < whole / 2  # the test itself reads the result whole
    assert pa.total_allocated_bytes() - before < whole / 4


METADATA = [
    ("a", "Drill, 18 V", "strong", "Bram", "Tools"),
    ("b", 'The "big" one\t\n', "", "", ""),
    ("c", "عطر 🌹", "x" * 10_000, "Ö", "A, B"),
]


def write_metadata(path: Path) -> Path:
    records = [dict(zip(("item_id", *FIELDS), row, strict=True)) for row in METADATA]
    if path.suffix == ".json":
        path.write_text(json.dumps({row.pop("item_id"): row for row in records}))
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in records) + "\n\n")
    elif path.suffix == ".csv":
        pl.DataFrame(records).write_csv(path)
    else:
        pl.DataFrame(records).write_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".parquet"])
def test_metadata_of_every_kind_is_read_alike(tmp_path: Path, suffix: str) -> None:
    frame = read_metadata(write_metadata(tmp_path / f"items{suffix}"), "item_id").frame
    assert frame.columns == ["item_id", *FIELDS]
    found = [tuple(value or "" for value in row) for row in frame.iter_rows()]
    assert found == METADATA


def test_metadata_follows_the_rows_not_the_file(tmp_path: Path) -> None:
    source = write_shard(tmp_path / "in.parquet", ["c", "a", "b"], catalogue(3))
    metadata = read_metadata(write_metadata(tmp_path / "items.csv"), "item_id")
    _, _, rows = prepare(tmp_path, source, metadata)
    assert rows["item_id"].to_list() == ["c", "a", "b"]
    assert rows["brand"].to_list()[:2] == ["Ö", "Bram"]


def test_metadata_of_dropped_rows_is_dropped_too(tmp_path: Path) -> None:
    vectors = catalogue(3)
    vectors[1] = np.nan
    metadata = read_metadata(write_metadata(tmp_path / "items.csv"), "item_id")
    source = write_shard(tmp_path / "in.parquet", ["a", "b", "c"], vectors)
    _, _, rows = prepare(tmp_path, source, metadata, invalid_rows="drop")
    assert rows["item_id"].to_list() == ["a", "c"]


def test_values_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    path.write_text(
        '{"0": {"title": 5, "categories": ["A", "B", null], "brand": null, "description": {"k": [1]},'
        ' "price": 1.5, "broken": "\\ud83d", "stock": true}, "1": {}}'
    )
    first, second = read_metadata(path, "item_id").frame.to_dicts()
    assert first == {
        "item_id": "0",
        "title": "5",
        "description": '{"k": [1]}',
        "brand": None,
        "categories": "A, B",
        "price": "1.5",
        "broken": "?",
        "stock": "True",
    }
    assert set(second.values()) == {"1", None}


def test_parquet_lists_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pl.DataFrame(
        {"sku": [1, 2], "title": ["x", None], "categories": [["A", "B"], []], "item_id": [8, 9]}
    ).write_parquet(path)
    frame = read_metadata(path, "sku").frame
    assert frame["item_id"].to_list() == ["1", "2"]
    assert frame["categories"].to_list() == ["A, B", ""]


def test_csv_ids_keep_their_zeros(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title\n007,x\n7,y\n")
    assert read_metadata(path, "item_id").frame["item_id"].to_list() == ["007", "7"]


@needs_catalogue
def test_real_catalogue(tmp_path: Path) -> None:
    metadata = read_metadata(CATALOGUE / "items.json", "item_id")
    figures, out, rows = prepare(tmp_path, CATALOGUE / "embeddings.npy", metadata)
    assert (figures["items"], figures["dim"], figures["duplicate_rows"]) == (3686, 384, 11)
    np.testing.assert_array_equal(out, np.load(CATALOGUE / "embeddings.npy"))
    source = json.loads((CATALOGUE / "items.json").read_text())
    assert rows["title"].to_list() == [record["title"] for record in source.values()]
