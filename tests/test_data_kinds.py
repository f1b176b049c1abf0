"""Embeddings, items and interactions as people have them: every format, ids from wherever they are, rows that lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sid.catalogue import cleaning as items
from sid.catalogue import outliers
from sid.catalogue.cleaning import Cleaning
from sid.catalogue.embeddings import open_embeddings
from sid.catalogue.metadata import read_metadata
from sid.catalogue.texts import without_html
from sid.errors import InputError
from sid.interactions.log import read_log
from sid.interactions.read import read_interactions
from sid.params import Interactions
from sid.quantizers import methods
from tests import shop
from tests.conftest import catalogue
from tests.test_contract import settings

IDS = [f"B{row:02}" for row in range(20)]
VECTORS = catalogue(20)


def prepared(
    folder: Path, path: Path, ids: Path | None = None, **cleaning: Any
) -> tuple[dict[str, Any], np.ndarray, list[str]]:
    source = open_embeddings(path, "item_id", "embedding", ids)
    figures = items.prepare(source, None, Cleaning(**cleaning), folder / "out.npy", folder / "out.parquet")
    return figures, np.load(folder / "out.npy"), pl.read_parquet(folder / "out.parquet")["item_id"].to_list()


def parquet(path: Path, embedding: Any, ids: Any = IDS) -> Path:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"item_id": ids, "embedding": embedding}), path)
    return path


def lists(vectors: Any, kind: pa.DataType | None = None) -> pa.Array:
    return pa.array([None if row is None else list(map(float, row)) for row in vectors], pa.list_(kind or pa.float32()))


# ---------------------------------------------------------------- arrays


def test_a_folder_of_npy_in_natural_order(tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    for part, rows in {"emb_2": slice(5, 9), "emb_10": slice(9, 20), "emb_1": slice(0, 5)}.items():
        np.save(tmp_path / f"e/{part}.npy", VECTORS[rows].astype(">f8" if part == "emb_2" else "f4"))
    _, out, ids = prepared(tmp_path, tmp_path / "e")
    np.testing.assert_array_equal(out, VECTORS)
    assert ids == [str(row) for row in range(20)]


def write_torch(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path


def write_safetensors(path: Path, value: Any) -> Path:
    from safetensors.torch import save_file

    save_file(value, path)
    return path


def write_npz(path: Path, value: Any) -> Path:
    np.savez(path, **value)
    return path


TENSOR = torch.from_numpy(VECTORS)
ARCHIVES: list[tuple[str, Any, Any, bool]] = [
    ("a.pt", write_torch, TENSOR, False),
    ("a.pt", write_torch, torch.nn.Parameter(TENSOR), False),
    ("a.PTH", write_torch, {"weight": TENSOR}, False),
    ("a.pt", write_torch, {"embeddings": TENSOR, "ids": IDS}, True),
    ("a.pt", write_torch, dict(zip(IDS, TENSOR, strict=True)), True),
    ("a.safetensors", write_safetensors, {"emb": TENSOR}, False),
    ("a.npz", write_npz, {"embedding": VECTORS, "other": VECTORS[:3], "item_id": np.array(IDS)}, True),
    ("a.npz", write_npz, {"arr_0": VECTORS, "names": np.array(IDS)}, True),
]


@pytest.mark.parametrize(("name", "write", "value", "named"), ARCHIVES)
def test_archives_and_tensors(tmp_path: Path, name: str, write: Any, value: Any, named: bool) -> None:
    _, out, ids = prepared(tmp_path, write(tmp_path / name, value))
    np.testing.assert_array_equal(out, VECTORS)
    assert ids == (IDS if named else [str(row) for row in range(20)])


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    _, out, _ = prepared(tmp_path, write_torch(tmp_path / "a.pt", TENSOR.bfloat16()))
    np.testing.assert_array_equal(out, TENSOR.bfloat16().float().numpy())


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("run",))


@pytest.mark.parametrize(
    ("name", "write", "value", "said"),
    [
        ("a.pt", write_torch, {"model": Evil()}, "more than tensors"),
        ("a.pt", write_torch, torch.arange(6).reshape(3, 2), "dtype torch.int64"),
        ("a.pt", write_torch, {"one": TENSOR, "two": TENSOR}, "must have one 2-D array"),
        ("a.pt", write_torch, {"one": TENSOR, "ids": IDS[:3]}, "3 ids in ids for 20 rows"),
        ("a.npz", write_npz, {"one": VECTORS[0]}, "must have one 2-D array"),
        ("a.npz", write_npz, {"one": np.array([{}], object)}, "pickled objects"),
    ],
)
def test_archives_that_are_refused(tmp_path: Path, name: str, write: Any, value: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        prepared(tmp_path, write(tmp_path / name, value))


@pytest.mark.parametrize("content", [b"", b"\x80\x04rubbish", b"PK\x03\x04rubbish", b"PK hello"])
def test_what_is_no_archive_is_called_broken(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz: broken, or not a \.npz file \("):
        prepared(tmp_path, tmp_path / "a.npz")


@pytest.mark.parametrize("inside", ["", "_SUCCESS", ".DS_Store", "sub/"])
def test_a_shard_folder_without_data_is_refused(tmp_path: Path, inside: str) -> None:
    lost = tmp_path / "shards" / "part-0.npy"
    lost.mkdir(parents=True)
    if inside:
        (lost / inside).mkdir() if inside.endswith("/") else (lost / inside).touch()
    np.save(tmp_path / "shards" / "part-1.npy", VECTORS)
    with pytest.raises(InputError, match=r"part-0\.npy: a folder with the name of a data file but no data"):
        prepared(tmp_path, tmp_path / "shards")


def test_other_empty_folders_and_links_to_shards_are_no_matter(tmp_path: Path) -> None:
    for name in ("more", "photos.jpg", "part-0.npy"):
        (tmp_path / "shards" / name).mkdir(parents=True)
    np.save(tmp_path / "shards" / "part-0.npy" / "0.npy", VECTORS)
    (tmp_path / "shards" / "latest.npy").symlink_to("part-0.npy")
    prepared(tmp_path, tmp_path / "shards")


@pytest.mark.parametrize(
    "name",
    [
        "ids.txt",
        "ids.npy",
        "ids.json",
        "map.json",
        "rows.json",
        "ids.csv",
        "ids.parquet",
        "shop.item2id",
    ],
)
def test_ids_in_a_file_beside(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "e.npy", VECTORS)
    path = tmp_path / name
    if name == "ids.txt":
        path.write_text("\r\n".join(IDS) + "\r\n\r\n")
    elif name == "ids.npy":
        np.save(path, np.array(IDS))
    elif path.suffix == ".json":
        rows = dict(reversed(list(enumerate(IDS))))
        path.write_text(
            json.dumps({"ids.json": IDS, "rows.json": rows, "map.json": {i: row for row, i in rows.items()}}[name])
        )
    elif name == "shop.item2id":
        path.write_text("".join(f"{one}\t{row}\n" for row, one in reversed(list(enumerate(IDS)))))
    else:
        frame = pl.DataFrame({"item_id": IDS, "other": IDS})
        frame.write_csv(path) if name == "ids.csv" else frame.write_parquet(path)
    assert prepared(tmp_path, tmp_path / "e.npy", path)[2] == IDS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a\nb\n", "has 2 ids for the 20 rows"),
        ("a\n\nb\n", "line 2 is empty"),
        ("a\n" * 20, "1 item ids occur more than once"),
        ("".join(f"i{row}\t{row + 1}\n" for row in range(20)), "each id to its row, 0 to 19"),
    ],
)
def test_ids_beside_that_dont_fit(tmp_path: Path, content: str, said: str) -> None:
    np.save(tmp_path / "e.npy", VECTORS)
    (tmp_path / "ids.txt").write_text(content)
    with pytest.raises(InputError, match=said):
        prepared(tmp_path, tmp_path / "e.npy", tmp_path / "ids.txt")


def test_ids_among_the_shards_they_belong_to(tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    np.save(tmp_path / "e/emb_0.npy", VECTORS)
    (tmp_path / "e/ids.json").write_text(json.dumps(IDS))
    assert prepared(tmp_path, tmp_path / "e", tmp_path / "e/ids.json")[2] == IDS
    with pytest.raises(InputError, match=r"several kinds: 1 npy .* 1 json"):
        prepared(tmp_path, tmp_path / "e")


def test_compressed_arrays_are_refused(tmp_path: Path) -> None:
    (tmp_path / "e.npy.gz").write_bytes(b"")
    with pytest.raises(InputError, match="can't be compressed; unpack it"):
        prepared(tmp_path, tmp_path / "e.npy.gz")


# ---------------------------------------------------------------- tables

SPARK = pa.struct(
    [
        ("type", pa.int8()),
        ("size", pa.int32()),
        ("indices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float64())),
    ]
)


def spark(rows: Any, **changes: Any) -> pa.Array:
    dense = {"type": 1, "size": None, "indices": None}
    return pa.array([None if row is None else {**dense, "values": row, **changes} for row in rows], SPARK)


@pytest.mark.parametrize(
    "column",
    [
        lists(VECTORS, pa.float64()),
        pa.array(VECTORS.tolist(), pa.large_list(pa.float32())),
        pa.array(VECTORS.tolist(), pa.list_view(pa.float32())),
        pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.ravel()), 8),
        pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.float32(), [8]), pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.ravel()), 8)
        ),
        pa.array([json.dumps(row) for row in VECTORS.tolist()]),
        pa.array([str(row.tolist()).replace(" ", "") for row in VECTORS]),
        pa.array([np.array2string(row, max_line_width=40, floatmode="unique") for row in VECTORS]),
        pa.array([",".join(map(str, row)) for row in VECTORS.tolist()]),
        spark(VECTORS.tolist()),
    ],
)
def test_columns_of_vectors(tmp_path: Path, column: pa.Array) -> None:
    _, out, ids = prepared(tmp_path, parquet(tmp_path / "e.parquet", column))
    np.testing.assert_allclose(out, VECTORS, rtol=1e-6)
    assert ids == IDS


@pytest.mark.parametrize("prefix", ["", "emb_", "dim"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_column_for_each_dimension(tmp_path: Path, prefix: str, first: int) -> None:
    columns = {f"{prefix}{place + first}": VECTORS[:, place] for place in reversed(range(8))}
    pq.write_table(pa.table({"item_id": IDS, **columns, "price": np.ones(20)}), tmp_path / "e.parquet")
    np.testing.assert_array_equal(prepared(tmp_path, tmp_path / "e.parquet")[1], VECTORS)
    pl.DataFrame({"item_id": IDS, **columns}).write_csv(tmp_path / "e.csv")
    np.testing.assert_allclose(prepared(tmp_path, tmp_path / "e.csv")[1], VECTORS, rtol=1e-6)
    text = (tmp_path / "e.csv").read_text().splitlines()
    (tmp_path / "e.csv").write_text("\n".join([*text[:9], text[9].replace("B08,", "B08,x"), *text[10:]]))
    with pytest.raises(InputError, match=r"line 10 has .* 'x.*, must be a number"):
        prepared(tmp_path, tmp_path / "e.csv")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json"])
def test_vectors_in_text_files(tmp_path: Path, suffix: str) -> None:
    rows = [{"item_id": name, "embedding": row} for name, row in zip(IDS, VECTORS.tolist(), strict=True)]
    if suffix == ".jsonl":
        (tmp_path / "e.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif suffix == ".json":  # id -> vector
        (tmp_path / "e.json").write_text(json.dumps(dict(zip(IDS, VECTORS.tolist(), strict=True))))
    else:
        pl.DataFrame([{**row, "embedding": json.dumps(row["embedding"])} for row in rows]).write_csv(tmp_path / "e.csv")
    _, out, ids = prepared(tmp_path, tmp_path / f"e{suffix}")
    np.testing.assert_allclose(out, VECTORS, rtol=1e-6)
    assert ids == IDS


def test_shards_of_different_floats_and_depths(tmp_path: Path) -> None:
    parquet(tmp_path / "e/a.parquet", lists(VECTORS[:5], pa.float64()), IDS[:5])
    (tmp_path / "e/dt=1").mkdir()
    parquet(tmp_path / "e/dt=1/b.parquet", lists(VECTORS[5:], pa.float32()), IDS[5:])
    figures, out, _ = prepared(tmp_path, tmp_path / "e")
    np.testing.assert_array_equal(out, VECTORS)
    assert figures["dtype"] == "float64"


@pytest.mark.parametrize("missing", [0, 7, 19])
@pytest.mark.parametrize("form", ["lists", "fixed", "text", "empty", "empty text", "spark", "json"])
def test_a_missing_vector_is_named_dropped_or_zeroed(tmp_path: Path, missing: int, form: str) -> None:
    rows: list[Any] = [None if row == missing else vector.tolist() for row, vector in enumerate(VECTORS)]
    column: pa.Array
    if form == "text":
        column = pa.array([None if row is None else json.dumps(row) for row in rows])
    elif form == "empty text":
        column = pa.array([json.dumps(row or []) for row in rows])
    elif form == "spark":
        column = spark(rows)
    elif form == "fixed":
        column = pa.array(rows, pa.list_(pa.float32(), 8))
    else:
        column = pa.array([row or [] for row in rows] if form == "empty" else rows, pa.list_(pa.float32()))
    path = parquet(tmp_path / "e.parquet", column)
    if form == "json":
        path = write(tmp_path / "e.json", json.dumps(dict(zip(IDS, rows, strict=True))))
    with pytest.raises(InputError, match=rf"1 rows have no vector \(items {IDS[missing]}\)"):
        prepared(tmp_path, path)
    for changes in ({"invalid_rows": "drop"}, {"missing_vectors": "drop"}):
        figures, out, _ = prepared(tmp_path, path, **changes)
        np.testing.assert_allclose(out, np.delete(VECTORS, missing, axis=0), rtol=1e-6)
    figures, out, _ = prepared(tmp_path, path, missing_vectors="zero")
    assert not out[missing].any()
    assert figures["missing_row_ids"] == [IDS[missing]]
    assert figures["nan_rows"] == 0


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array(["[0.1, 0.2, ...]"] * 20), "row 0 has no vector in embedding.*shortened"),
        (pa.array(["[0.1]"] * 19 + ["x"]), "row 19 has no vector in embedding"),
        (pa.array(["[0.1, 0.2]"] * 19 + ["[0.1]"]), "item 'B19' has 1 values in embedding, must have 2"),
        (pa.array([b"\0\0\0\0"] * 20), "must be a list of floats; bytes of numbers"),
        (pa.array([None] * 20, pa.list_(pa.float32())), "no row has a vector"),
        (pa.array([[]] * 20, pa.list_(pa.float32())), "no row has a vector"),
        (spark(VECTORS.tolist(), indices=[0]), "holds sparse vectors of Spark"),
    ],
)
def test_columns_that_hold_no_vectors(tmp_path: Path, column: pa.Array, said: str) -> None:
    with pytest.raises(InputError, match=said):
        prepared(tmp_path, parquet(tmp_path / "e.parquet", column))


# ---------------------------------------------------------------- items


def test_one_parquet_of_titles_and_vectors_is_both_inputs(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    columns = {
        "item_id": IDS,
        "title": IDS,
        "embedding": lists(VECTORS),
        "image": [b"\xff"] * 20,
        "other": lists(VECTORS),
    }
    pq.write_table(pa.table({**columns, "price": [1.5] * 20}), path)
    found = read_metadata(path, "item_id", skip=["embedding"])
    assert found.frame.columns == ["item_id", "title", "description", "brand", "categories", "price"]
    assert set(found.left_out) == {"embedding", "image", "other"}


def test_the_items_own_names_of_fields(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,name,title\n1,Drill,x\n")
    found = read_metadata(path, "item_id", {"title": "name"})
    assert found.frame["title"].to_list() == ["Drill"]
    assert found.left_out == {"title": "prepare.title_column is name"}
    with pytest.raises(InputError, match=r"no column nom; its columns are"):
        read_metadata(path, "item_id", {"title": "nom"})
    path.write_text("item_id,name\n1,Drill\n")
    assert "there is a column name: prepare.title_column" in read_metadata(path, "item_id").notes[0]


def test_words_for_nothing_lists_as_text_and_html(tmp_path: Path) -> None:
    records = [
        {"item_id": 1, "title": "nan", "description": "['one', \"two's\"]", "categories": "[['A', 'B']]"},
        {"item_id": 2, "title": "[PS4] Game", "description": "<p>big&nbsp;&amp; <b>red</b></p><br>x", "brand": "NaN"},
    ]
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    found = read_metadata(path, "item_id")
    assert found.frame["title"].to_list() == [None, "[PS4] Game"]
    assert found.frame["description"][0] == "one two's"
    assert found.frame["categories"][0] == "A, B"
    assert found.frame["description"][1] == records[1]["description"]
    assert any("1 of 2 items have a word like nan as their title" in line for line in found.warnings)
    assert read_metadata(path, "item_id", html=True).frame["description"][1] == "big & red x"


def test_html() -> None:
    assert without_html("a < b &amp;lt; c<script>x()</script>") == "a < b < c"


@pytest.mark.parametrize("policy", ["error", "skip"])
def test_items_without_an_embedding(tmp_path: Path, policy: Any) -> None:
    parquet(tmp_path / "e.parquet", lists(VECTORS))
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"{name},t\n" for name in [*IDS, "X", "Y"]))
    source = open_embeddings(tmp_path / "e.parquet", "item_id", "embedding")
    metadata = read_metadata(tmp_path / "items.csv", "item_id")
    paths = (tmp_path / "o.npy", tmp_path / "o.parquet")
    if policy == "error":
        with pytest.raises(InputError, match=r"2 ids have no row in .*: X, Y .*prepare.unknown_items: skip"):
            items.prepare(source, metadata, Cleaning(), *paths)
        return
    figures = items.prepare(source, metadata, Cleaning(unknown_items="skip"), *paths)
    assert figures["metadata_skipped"] == 2
    assert any("2 of 22 items have no row" in line for line in figures["warnings"])


@pytest.mark.parametrize("policy", ["error", "keep", "skip"])
def test_embeddings_without_an_item(tmp_path: Path, policy: Any) -> None:
    parquet(tmp_path / "e.parquet", lists(np.vstack([VECTORS[:19], np.full((1, 8), 1e6, np.float32)])))
    write(tmp_path / "items.csv", "item_id,title\n" + "".join(f"{name},t{name}\n" for name in IDS if name[-1] != "3"))
    source = open_embeddings(tmp_path / "e.parquet", "item_id", "embedding")
    metadata = read_metadata(tmp_path / "items.csv", "item_id")
    paths = (tmp_path / "o.npy", tmp_path / "o.parquet")
    if policy == "error":
        with pytest.raises(InputError, match=r"2 rows have no id in prepare.items: B03, B13 .*missing_metadata: keep"):
            items.prepare(source, metadata, Cleaning(), *paths)
        return
    figures = items.prepare(source, metadata, Cleaning(missing_metadata=policy, outliers="drop"), *paths)
    assert figures["metadata_missing"] == 2
    assert any("2 of 20 rows have no id in prepare.items and are" in line for line in figures["warnings"])
    frame = pl.read_parquet(paths[1])
    kept = [name for name in IDS[:19] if policy == "keep" or name[-1] != "3"]
    assert frame["item_id"].to_list() == kept
    assert frame["title"].to_list() == [None if name[-1] == "3" else f"t{name}" for name in kept]
    np.testing.assert_array_equal(np.load(paths[0]), VECTORS[[IDS.index(name) for name in kept]])
    none = read_metadata(write(tmp_path / "other.csv", "item_id,title\nX,x\nY,y\n"), "item_id")
    with pytest.raises(InputError, match=r"20 rows have no id in prepare\.items, that is all of them"):
        items.prepare(source, none, Cleaning(missing_metadata=policy, unknown_items="skip"), *paths)


def test_shards_with_different_columns_and_columns_in_the_names_of_folders(tmp_path: Path) -> None:
    for suffix in ("csv", "parquet", "jsonl"):
        lake = tmp_path / suffix
        for part, frame in {
            "country=de/0": pl.DataFrame({"item_id": ["1"], "title": ["a"]}),
            "country=a%2Fb/1": pl.DataFrame({"brand": ["x"], "title": ["b"], "item_id": ["2"]}),
        }.items():
            path = lake / f"{part}.{suffix}"
            path.parent.mkdir(parents=True)
            {"csv": frame.write_csv, "parquet": frame.write_parquet, "jsonl": frame.write_ndjson}[suffix](path)
        found = read_metadata(lake, "item_id").frame.sort("item_id")
        assert found.columns == ["item_id", "title", "description", "brand", "categories", "country"]
        assert found.rows() == [("1", "a", None, None, None, "de"), ("2", "b", None, "x", None, "a/b")]


def test_a_field_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="column title appears more than once in the header"):
        read_metadata(write(tmp_path / "i.csv", "item_id,title,title\n1,a,b\n"), "item_id")


# ---------------------------------------------------------------- interactions


def log(path: Path, **changes: Any) -> Any:
    section = {**shop.SECTION, **changes}
    return read_log(path, pl.Series("item_id", [*"abcdefgh"]), Interactions(source="x", **section))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_columns_by_name_and_values_that_count(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", "userId,movieId,rating,ts\nu,a,5,1\nu,b,2,2\nv,c,3.5,3\n")
    names = {"user_column": "userId", "item_column": "movieId", "time_column": "ts"}
    assert log(path, **names).items.tolist() == [0, 1, 2]
    found = log(path, **names, value_column="rating", least_value=3.5)
    assert (found.items.tolist(), found.skipped) == ([0, 2], {"low_value": 1})
    assert "1 of 3 rows (33%)" in found.warnings[0]
    with pytest.raises(InputError, match="line 2 has userId 'u', must be a number"):
        log(path, **names, value_column="userId", least_value=1)


def test_kinds_of_events(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "user_id,item_id,timestamp,event\nu,a,1,view\nu,b,2,purchase\nu,c,3,\n")
    found = log(path, value_column="event", kinds=["purchase", "cart"])
    assert (found.items.tolist(), found.skipped) == ([1], {"other_kind": 2})
    assert "no row has the event cart of interactions.kinds; there are view" in found.warnings[0]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_booleans_of_any_source_are_true_and_false_or_one_and_nought(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame(
        {"user_id": ["u"] * 3, "item_id": [*"abc"], "timestamp": [1, 2, 3], "click": [True, False, True]}
    )
    path = tmp_path / f"l.{suffix}"
    {"csv": frame.write_csv, "parquet": frame.write_parquet, "jsonl": frame.write_ndjson}[suffix](path)
    assert log(path, value_column="click", kinds=["true"]).items.tolist() == [0, 2]
    assert log(path, value_column="click", least_value=1).items.tolist() == [0, 2]


def test_rows_in_the_order_of_time(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "user_id,item_id\nu,b\nv,c\nu,a\nu,b\n")
    found = shop.read(path, pl.Series("item_id", [*"abc"]), time_column=None)
    users = dict(found.interactions.splits[2])
    assert users[0] == [1, 0, 1]


def test_a_row_for_each_user(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": ["u", "v"], "item_id": [["a", "b"], ["c"]], "timestamp": [[2, 1], [3]]})
    frame.write_parquet(tmp_path / "l.parquet")
    frame.write_ndjson(tmp_path / "l.jsonl")
    for name in ("l.parquet", "l.jsonl"):
        found = log(tmp_path / name)
        assert (found.users.tolist(), found.items.tolist(), found.times.tolist()) == ([0, 0, 1], [0, 1, 2], [2, 1, 3])
    write(tmp_path / "l.csv", 'user_id,item_id,timestamp\nu,"[\'a\', \'b\']","[2, 1]"\nv,"[""c""]",[3]\n')
    found = log(tmp_path / "l.csv")
    assert (found.users.tolist(), found.items.tolist(), found.times.tolist()) == ([0, 0, 1], [0, 1, 2], [2, 1, 3])
    assert "lists written as text in item_id" in found.notes[0]
    frame.with_columns(r=pl.Series([[5, 1], [5]]), w=pl.Series([1, 5])).write_parquet(tmp_path / "l.parquet")
    assert log(tmp_path / "l.parquet", value_column="r", least_value=4).items.tolist() == [0, 2]
    assert log(tmp_path / "l.parquet", value_column="w", least_value=4).items.tolist() == [2]
    frame.explode("item_id", "timestamp").with_columns(r=pl.Series([[1]] * 3)).write_parquet(tmp_path / "l.parquet")
    with pytest.raises(InputError, match=r"column r is .*, must be numbers, text or booleans"):
        log(tmp_path / "l.parquet", value_column="r", least_value=4)
    frame.with_columns(timestamp=pl.Series([[2], [3]])).write_parquet(tmp_path / "l.parquet")
    with pytest.raises(InputError, match="row 0 has 1 timestamp for 2 items"):
        log(tmp_path / "l.parquet")


def test_lcrecs_sequences(tmp_path: Path) -> None:
    path = write(tmp_path / "x.inter.json", '{"u": ["b", "a"], "v": [], "w": ["c"]}')
    found = log(path)
    assert found.user_ids.to_list() == ["u", "w"]
    assert found.items.tolist() == [1, 0, 2]


ATOMIC = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def test_recboles_atomic_file(tmp_path: Path) -> None:
    (tmp_path / "ml").mkdir()
    path = write(tmp_path / "ml/ml.inter", ATOMIC + 'u\ta\t5.0\t2\n"u\tb\t1.0\t1\n')
    found = log(path)
    assert (found.user_ids.to_list(), found.items.tolist()) == (["u", '"u'], [0, 1])
    write(tmp_path / "ml/ml.item", 'item_id:token\tmovie_title:token_seq\n1\tToy "Story"\n')
    assert log(tmp_path / "ml").rows == 2  # the folder as RecBole has it
    titles = read_metadata(tmp_path / "ml/ml.item", "item_id", {"title": "movie_title"}).frame
    assert titles["title"].to_list() == ['Toy "Story"']


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("user_id:token\titem_id:token\trating:float", "rating isn't a next item"),
        ("user_id:token\titem_id:token\trating:float\ttimestamp:float", "have no history"),
        ("user_id\titem_id\trating", "rating isn't a next item"),
    ],
)
def test_split_files_without_a_history(tmp_path: Path, header: str, said: str) -> None:
    fields = header.count("\t") - 1
    write(tmp_path / "x.train.inter", header + "\nu\ta" + "\tb" * fields + "\n")
    with pytest.raises(InputError, match=said):
        read_interactions(tmp_path, pl.Series("item_id", [*"ab"]), Interactions(source="x", **shop.SECTION))


def test_the_types_of_split_files_decide_and_not_their_places(tmp_path: Path) -> None:
    header = "timestamp:float\titem_id:token\titem_id_list:token_seq\tuser_id:token\n"
    write(tmp_path / "train.inter", header + "9\tc\ta b\tu\n")
    found = read_interactions(tmp_path, pl.Series("item_id", [*"abc"]), Interactions(source="x", **shop.SECTION))
    assert list(found.interactions.splits[0]) == [(0, [0, 1, 2])]


@pytest.mark.parametrize("ids", [["7", "8"], ["7.0", "8.0"]])
def test_decimal_points_of_ids_are_recognised_and_said(tmp_path: Path, ids: list[str]) -> None:
    other = [name[:-2] if name.endswith(".0") else f"{name}.0" for name in ids]
    path = write(tmp_path / "l.csv", "user_id,item_id,timestamp\n" + "".join(f"u,{name},1\n" for name in other))
    section = Interactions(source="x", **shop.SECTION)
    found = read_log(path, pl.Series("item_id", ids), section)
    assert found.items.tolist() == [0, 1]
    assert "2 ids are matched to ids of the catalogue" in found.warnings[0]


def test_a_user_with_and_without_a_decimal_point_is_one(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "user_id,item_id,timestamp\n8.0,a,1\n7.0,b,2\n9,c,3\n7,d,4\n")
    found = log(path)
    names = found.user_ids.to_list()
    assert [names[user] for user in found.users] == ["8.0", "7", "9", "7"]
    assert "1 users occur with and without a decimal point, e.g. 7.0" in found.warnings[0]


def test_a_user_called_nan_is_warned_of(tmp_path: Path) -> None:
    found = log(write(tmp_path / "l.csv", "user_id,item_id,timestamp\nnan,a,1\nnan,b,2\nu,c,3\n"))
    assert found.user_ids.to_list() == ["nan", "u"]
    assert "rows with the user nan count as one user" in found.warnings[0]


@pytest.mark.parametrize(
    ("name", "content", "header"),
    [
        ("ratings.dat", "u::a::1\nv::b::2\n", ["user_id", "item_id", "timestamp"]),
        ("u.data", "u\ta\t1\r\nv\tb\t2\r\n", ["user_id", "item_id", "timestamp"]),
        ("log.csv", "u,a,1\nv,b,2", ["user_id", "item_id", "timestamp"]),
        ("log.csv", "user_id,item_id,timestamp\nu,a,1\nv,b,2", ["user_id", "item_id", "timestamp"]),
        ("x.inter", "u\ta\t1\nv\tb\t2\n", ["user_id", "item_id", "timestamp"]),
        ("pairs.txt", "u a 1\nv b 2\n", ["user_id", "item_id", "timestamp"]),
    ],
)
def test_files_without_a_header(tmp_path: Path, name: str, content: str, header: list[str]) -> None:
    path = write(tmp_path / name, content)
    found = log(path, header=header)
    assert (found.user_ids.to_list(), found.items.tolist(), found.times.tolist()) == (["u", "v"], [0, 1], [1, 2])
    with pytest.raises(InputError, match=r"line 1 has \d fields .*, but the key header names 2"):
        log(path, header=header[:2])


def test_a_header_for_what_has_one_or_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"interactions\.header names the columns"):
        log(write(tmp_path / "l.csv", "u,a,1\n"))
    with pytest.raises(
        InputError, match=r"is jsonl, whose columns already have names: interactions.header must be \[\]"
    ):
        log(write(tmp_path / "l.jsonl", '{"user_id": 1}\n'), header=["user_id"])


@pytest.mark.parametrize("name", ["l.csv", "l.dat", "l.jsonl", "x.train.inter"])
def test_an_encoding_that_params_name(tmp_path: Path, name: str) -> None:
    text = {
        "l.csv": "user_id,item_id,timestamp\né,a,1\né,b,2\n",
        "l.dat": "user_id::item_id::timestamp\né::a::1\né::b::2\n",
        "l.jsonl": "".join(
            json.dumps({"user_id": "é", "item_id": item, "timestamp": 1}, ensure_ascii=False) + "\n" for item in "ab"
        ),
        "x.train.inter": "user_id:token\titem_id_list:token_seq\titem_id:token\né\ta\tb\n",
    }[name]
    source = tmp_path if name.endswith(".inter") else tmp_path / name
    for encoding in ("latin-1", "windows-1252", "gb18030"):
        (tmp_path / name).write_bytes(text.encode(encoding))
        found = shop.read(source, pl.Series("item_id", [*"ab"]), encoding=encoding)
        assert found.interactions.user_ids.to_list() == ["é"]
    with pytest.raises(InputError, match=r"line \d is not UTF-8 text .*interactions.encoding"):
        shop.read(source, pl.Series("item_id", [*"ab"]))
    (tmp_path / name).write_bytes(text.encode("utf-8-sig"))  # its mark outweighs the key
    assert shop.read(source, pl.Series("item_id", [*"ab"]), encoding="latin-1").interactions.user_ids.to_list() == ["é"]


@pytest.mark.parametrize(
    ("times", "order"),
    [
        (["2019-10-01 00:00:02.5+00", "2019-10-01 00:00:01+00", "2019-10-01 02:00:00.9+02"], [2, 1, 0]),
        (["2019-10-01 00:00:02 UTC", "2019-10-01 00:00:01 UTC", "2019-10-01 00:00:03 utc"], [1, 0, 2]),
        (["2019-10-01t00:00:02z", "2019-10-01t00:00:01z", "2019-10-01T00:00:03Z"], [1, 0, 2]),
        (["2019-10-01 00:00:00.002", "2019-10-01 00:00:00.001", "2019-10-01 00:00:00,003"], [1, 0, 2]),
        (["2019-10-01 10:00:00 +0000 UTC", "2019-10-01 10:00:00 -0500", "2019-10-01 10:00:00+05:30"], [2, 0, 1]),
        (["Oct 2, 2019", "1 October 2019", "2019/10/03"], [1, 0, 2]),
        (
            ["Wed, 02 Oct 2019 07:28:00 GMT", "Tue, 01 Oct 2019 07:28:00 GMT", "Thu, 03 Oct 2019 07:28:00 GMT"],
            [1, 0, 2],
        ),
        (["03/02/2019", "01/03/2019", "13/02/2019"], [0, 2, 1]),
        (["03/02/2019", "01/03/2019", "02/13/2019"], [1, 2, 0]),
        (["13.02.2019 10:00", "12.02.2019 10:00", "14.02.2019"], [1, 0, 2]),
        (["2019.11.12", "2019.11.02", "2019.12.01"], [1, 0, 2]),
        (["2019-11-12 10", "2019-11-12 09", "20191201T101010"], [1, 0, 2]),
        (["09 13, 2009", "09 1, 2009", "10 2, 2009"], [1, 0, 2]),  # reviewTime of Amazon's reviews
        (["2019-11-12T10:00:00+01:00[Europe/Paris]", "2019-11-12T08:59:59Z", "2019-11-12T09:00:01Z[UTC]"], [1, 0, 2]),
        (["Fri Oct 05 2018 12:00:00 GMT+0200 (CEST)", "2018-10-05T09:59:59Z", "2018-10-05T10:00:01Z"], [1, 0, 2]),
        (
            ["Tue Apr 03 18:00:09 +0000 2012", "Tue Apr 03 18:00:08 +0000 2012", "Tue Apr 03 18:00:09 -0100 2012"],
            [1, 0, 2],
        ),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_times_as_databases_and_people_write_them(
    tmp_path: Path, times: list[str], order: list[int], suffix: str
) -> None:
    frame = pl.DataFrame({"user_id": ["u"] * 3, "item_id": [*"abc"], "timestamp": times})
    path = tmp_path / f"l.{suffix}"
    {"csv": frame.write_csv, "parquet": frame.write_parquet, "jsonl": frame.write_ndjson}[suffix](path)
    assert log(path).times.argsort(kind="stable").tolist() == order


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["03/02/2019", "01/03/2019"], "line 2 has timestamp '03/02/2019': days and months can't be distinguished"),
        (["13/02/2019", "02/13/2019", "03/02/2019"], "days come first in one and months in the other"),
        (["May", "June"], "line 2 has timestamp 'May'"),
        (["1000", "1001", "timestamp", "1002"], "line 4 has timestamp 'timestamp'"),
        (["1000", "NULL"], "line 3 has timestamp 'NULL'"),
        (["10:30", "10:31"], "line 2 has timestamp '10:30'"),
        (["2019-10-01 10:00 XYZ", "2019-10-02"], "line 2 has timestamp"),
    ],
)
def test_times_that_could_mean_two_things_are_refused(tmp_path: Path, times: list[str], said: str) -> None:
    path = write(tmp_path / "l.csv", "user_id,item_id,timestamp\n" + "".join(f"u,a,{time}\n" for time in times))
    with pytest.raises(InputError, match=said):
        log(path)


# ---------------------------------------------------------------- rows that lie


def sane(rows: int = 2000, dim: int = 32) -> np.ndarray:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(40, dim)) * 0.1
    return (centres[generator.integers(40, size=rows)] + 0.05 * generator.normal(size=(rows, dim))).astype(np.float32)


@pytest.mark.parametrize("value", [65504.0, 1e20, -3e38])
@pytest.mark.parametrize("policy", ["warn", "clip", "drop", "error"])
def test_a_row_that_lies_is_named_and_spoils_nothing(tmp_path: Path, value: float, policy: str) -> None:
    vectors = np.vstack([sane(), np.full((1, 32), value, np.float32)])
    np.save(tmp_path / "e.npy", vectors)
    if policy == "error":
        with pytest.raises(InputError, match="1 rows lie far from all others, items 2000"):
            prepared(tmp_path, tmp_path / "e.npy", outliers=policy)
        return
    figures, out, _ = prepared(tmp_path, tmp_path / "e.npy", outliers=policy)
    assert figures["outlier_row_ids"] == ["2000"]
    assert "items 2000" in figures["warnings"][0]
    assert len(out) == 2001 - (policy == "drop")
    np.testing.assert_array_equal(out[:2000], vectors[:2000])
    largest = np.linalg.norm(out[:2000], axis=1).max()
    assert policy == "warn" or np.linalg.norm(out, axis=1).max() < 2 * largest


@pytest.mark.parametrize("method", ["rqkmeans", "rqkmeans_constrained", "rqkmeans_plus", "rqvae"])
def test_the_others_r2_is_what_it_is_without_the_row(tmp_path: Path, method: str) -> None:
    def of(vectors: np.ndarray, policy: str) -> np.ndarray:
        folder = tmp_path / f"{policy}{len(vectors)}"
        folder.mkdir()
        np.save(folder / "e.npy", vectors)
        return prepared(folder, folder / "e.npy", outliers=policy)[1]

    def r2(vectors: np.ndarray) -> float:
        quantizer = methods.fit(vectors, settings(method, e_dim=16)).quantizer
        rows = vectors[:400]
        off = rows - quantizer.decode(quantizer.encode(rows))
        return float(1 - (off**2).sum() / ((rows - rows.mean(axis=0)) ** 2).sum())

    rows = sane(400, 16)
    spoilt = np.vstack([rows, np.full((1, 16), 65504, np.float32)])
    without = of(rows, "clip")
    np.testing.assert_array_equal(of(spoilt, "drop"), without)  # and so are its codes
    assert abs(r2(of(spoilt, "clip")) - r2(without)) < 0.02


def test_what_varies_widely_or_lies_in_groups_has_no_outliers() -> None:
    generator = np.random.default_rng(0)
    for vectors in (
        generator.normal(size=(2000, 384)),
        generator.normal(size=(500, 2)),
        generator.normal(size=(2000, 8)) * np.exp(generator.normal(size=(2000, 1))),
        sane() + 100,
        np.ones((50, 4)),
        np.vstack([np.zeros((60, 4)), np.eye(4)]),
    ):
        assert not len(outliers.look(vectors.astype(np.float32)).outliers)


def test_far_from_the_middle_counts_and_not_far_from_zero() -> None:
    vectors = sane() + 100
    vectors[7] += 50
    assert outliers.look(vectors).outliers.tolist() == [7]


def test_dimensions_that_lie(tmp_path: Path) -> None:
    vectors = sane()
    vectors[:, 3] *= 100
    vectors[:, 5] = 7
    np.save(tmp_path / "e.npy", vectors)
    figures, _, _ = prepared(tmp_path, tmp_path / "e.npy")
    assert figures["dominant_dimensions"] == [3]
    assert figures["constant_dimension_numbers"] == [5]
    assert any("dimension 3 of 32 hold" in line for line in figures["warnings"])


def test_values_that_were_cut_off_and_rows_that_repeat(tmp_path: Path) -> None:
    vectors = np.clip(sane() * 100, -25, 25)
    vectors[:1500] = vectors[0]
    np.save(tmp_path / "e.npy", vectors)
    figures, _, _ = prepared(tmp_path, tmp_path / "e.npy")
    assert any("repeat an earlier one" in line for line in figures["warnings"])
    np.save(tmp_path / "e.npy", np.clip(sane() * 100, -25, 25))
    figures, _, _ = prepared(tmp_path, tmp_path / "e.npy")
    assert figures["clipped_share"] > 0
    assert any("exactly the largest one" in line for line in figures["warnings"])


def test_a_value_that_is_cut_off_is_the_largest_finite_one_of_its_type() -> None:
    rows = np.ones((5, 3), np.float32)
    rows[:, 1] = [65504, -65504, np.finfo(np.float32).max, np.inf, np.nan]
    assert outliers.saturated(rows).tolist() == [True, True, True, False, False]
