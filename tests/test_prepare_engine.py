"""Prepare comes to the same bytes on any engine and with any number of threads, and fails alike."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sid import arrays
from sid.catalogue import cleaning, embeddings
from sid.catalogue.cleaning import Cleaning
from sid.catalogue.embeddings import open_embeddings
from sid.engine import engines, threads
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.errors import InputError
from sid.params import Engine as Wanted
from tests.conftest import ROOT, catalogue
from tests.test_engine import Posted

ROWS, DIM = 700, 8
EDGES = [0, 60, 61, 250, 400, 400, 650, ROWS]
IDS = [f"item {row}" for row in range(ROWS)]
ABSENT = {0, 62, 63, 640}
DROPPED = Cleaning(invalid_rows="drop", missing_vectors="drop", outliers="drop", normalize="l2")
KEPT = Cleaning(missing_vectors="zero")


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "CHUNK_BYTES", 20 * 4 * DIM)
    monkeypatch.setattr(cleaning, "_BLOCK_BYTES", 16 * 4 * DIM)
    monkeypatch.setattr(arrays, "PART_ROWS", 64)


@pytest.fixture(params=[1, 4])
def with_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_threads", lambda: request.param)


def vectors() -> np.ndarray:
    made = catalogue(ROWS, DIM)
    made[[70, 71]] = made[[5, 699]]
    made[100] = 0
    made[300] *= 5000
    made[2, 3], made[251, 0], made[[660, 661], 1] = np.nan, np.inf, np.nan
    return made


def lists(made: np.ndarray) -> list[Any]:
    return [None if row in ABSENT else values.tolist() for row, values in enumerate(made)]


def parquet(path: Path, ids: list[Any], rows: list[Any]) -> None:
    kind = pa.list_(pa.float32())
    pq.write_table(pa.table({"item_id": ids, "embedding": pa.array(rows, kind)}), path, row_group_size=50)


def arrow(path: Path, ids: list[Any], rows: list[Any]) -> None:
    table = pa.table({"item_id": ids, "embedding": pa.array(rows, pa.list_(pa.float32()))})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=30)


def jsonl(path: Path, ids: list[Any], rows: list[Any]) -> None:
    lines = [{"item_id": name, "embedding": row} for name, row in zip(ids, rows, strict=True)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def csv(path: Path, ids: list[Any], rows: list[Any]) -> None:
    lines = [f'{name},"{"" if row is None else row}"\n' for name, row in zip(ids, rows, strict=True)]
    path.write_text("".join(["item_id,embedding\n", *lines]))


def npy(path: Path, ids: list[Any], rows: list[Any]) -> None:
    np.save(path, np.array([[np.nan] * DIM if row is None else row for row in rows], np.float32).reshape(-1, DIM))


KINDS: dict[str, Callable[[Path, list[Any], list[Any]], None]] = {
    "npy": npy,
    "parquet": parquet,
    "arrow": arrow,
    "jsonl": jsonl,
    "csv": csv,
}


def shards(folder: Path, kind: str, rows: list[Any] | None = None, ids: list[Any] = IDS) -> Path:
    rows = lists(vectors()) if rows is None else rows
    folder.mkdir()
    for number, (start, stop) in enumerate(pairwise(EDGES)):
        KINDS[kind](folder / f"part-{number}.{kind}", ids[start:stop], rows[start:stop])
    return folder


def prepared(
    source: Path, out: Path, how: Cleaning, engine: Engine = LOCAL, ids: Path | None = None
) -> tuple[bytes, bytes, str]:
    out.mkdir(exist_ok=True)
    figures = cleaning.prepare(
        open_embeddings(source, "item_id", "embedding", ids), None, how, out / "v.npy", out / "i.parquet", engine
    )
    assert sorted(path.name for path in out.iterdir()) == ["i.parquet", "v.npy"]
    return (out / "v.npy").read_bytes(), (out / "i.parquet").read_bytes(), json.dumps(figures)


@pytest.mark.usefixtures("with_threads")
@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_left_out_leave_no_gap(tmp_path: Path, kind: str) -> None:
    source = shards(tmp_path / "in", kind)
    prepared(source, tmp_path / "out", Cleaning(invalid_rows="drop", missing_vectors="drop", outliers="warn"))
    made = vectors()
    left = [row for row in range(ROWS) if row not in ABSENT and np.isfinite(made[row]).all()]
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "v.npy"), made[left])
    names = [str(row) if kind == "npy" else IDS[row] for row in left]
    assert pl.read_parquet(tmp_path / "out" / "i.parquet")["item_id"].to_list() == names


@pytest.mark.usefixtures("with_threads")
@pytest.mark.parametrize("how", [KEPT, DROPPED], ids=["kept", "dropped"])
@pytest.mark.parametrize("kind", KINDS)
def test_where_shards_are_read_changes_no_byte(
    tmp_path: Path, kind: str, how: Cleaning, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, engine = shards(tmp_path / "in", kind), Posted()
    here, there = (prepared(source, tmp_path / "out", how, each) for each in (LOCAL, engine))
    assert here == there
    assert engine.ran > len(EDGES)
    assert engine.most_bytes < 4 * DIM * ROWS
    monkeypatch.setattr(embeddings, "CHUNK_BYTES", 64 << 20)
    assert here == prepared(source, tmp_path / "out", how)


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "npy"])
def test_ids_beside_shards_fit_on_any_engine(tmp_path: Path, kind: str) -> None:
    source, ids = shards(tmp_path / "in", kind), tmp_path / "ids.txt"
    for file in source.iterdir():
        if kind == "parquet":
            pq.write_table(pq.read_table(file).drop(["item_id"]), file, row_group_size=50)
        elif kind == "jsonl":
            records = [json.loads(line) for line in file.read_text().splitlines()]
            file.write_text("".join(json.dumps({"embedding": one["embedding"]}) + "\n" for one in records))
    ids.write_text("".join(f"{name}\n" for name in IDS))
    assert prepared(source, tmp_path / "out", KEPT, ids=ids) == prepared(source, tmp_path / "out", KEPT, Posted(), ids)
    assert pl.read_parquet(tmp_path / "out" / "i.parquet")["item_id"].to_list() == IDS
    if kind == "jsonl":
        ids.write_text("".join(f"{name}\n" for name in IDS[:-3]))
        with pytest.raises(InputError, match=r"part-6\.jsonl: line 48 has no id: there are fewer ids than rows"):
            prepared(source, tmp_path / "out", KEPT, ids=ids)
        ids.write_text("".join(f"{name}\n" for name in [*IDS, "more"]))
        with pytest.raises(InputError, match="has 700 rows for 701 ids"):
            prepared(source, tmp_path / "out", KEPT, ids=ids)


@pytest.mark.usefixtures("with_threads")
@pytest.mark.parametrize("kind", ["parquet", "arrow", "jsonl", "csv"])
def test_the_first_bad_row_is_named(tmp_path: Path, kind: str) -> None:
    rows, ids = lists(vectors()), list[Any](IDS)
    rows[420], rows[255] = rows[420][:5], rows[255][:3]
    source = shards(tmp_path / "uneven", kind, rows)
    with pytest.raises(InputError, match=r"part-3\.\w+: item 'item 255' has 3 values in embedding"):
        prepared(source, tmp_path / "out", KEPT)
    ids[430] = ids[120] = ids[121] = "" if kind == "csv" else None
    where = {"parquet": "row 59", "arrow": "row 59", "jsonl": "line 60", "csv": "line 61"}[kind]
    source = shards(tmp_path / "absent", kind, rows, ids)
    with pytest.raises(InputError, match=rf"part-2\.\w+: {where} has no item_id"):
        prepared(source, tmp_path / "out", KEPT)


@pytest.mark.usefixtures("with_threads")
@pytest.mark.parametrize("engine", [LOCAL, Posted()], ids=["local", "posted"])
@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_a_shard_that_disappears_is_named_and_leaves_nothing(tmp_path: Path, kind: str, engine: Engine) -> None:
    source = open_embeddings(shards(tmp_path / "in", kind), "item_id", "embedding")
    lost = tmp_path / "in" / f"part-3.{kind}"
    pieces = source.pieces()
    lost.unlink()
    out = tmp_path / "out"
    out.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(source), "pieces", lambda _: pieces)
        with pytest.raises(OSError, match="No such file") as failed:
            cleaning.prepare(source, None, KEPT, out / "v.npy", out / "i.parquet", engine)
    assert failed.value.filename == str(lost)
    assert [path.name for path in out.iterdir()] == ["v.npy"]  # which the stage removes


@pytest.mark.parametrize("rows", [10, 149, 151, 400])
@pytest.mark.parametrize("kind", ["npy", "parquet", "arrow"])
def test_a_shard_that_changes_is_refused(tmp_path: Path, kind: str, rows: int) -> None:
    source = open_embeddings(shards(tmp_path / "in", kind), "item_id", "embedding")
    pieces, file = source.pieces(), tmp_path / "in" / f"part-3.{kind}"
    file.unlink()
    KINDS[kind](file, [f"new {row}" for row in range(rows)], catalogue(rows, DIM).tolist())
    (tmp_path / "out").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(source), "pieces", lambda _: pieces)
        with pytest.raises(InputError, match=r"part-3\.\w+: .*it was changed while it was read"):
            cleaning.prepare(source, None, KEPT, tmp_path / "out" / "v.npy", tmp_path / "out" / "i.parquet", Posted())


def test_a_full_disk_is_the_error_that_it_is(tmp_path: Path) -> None:
    """A file that may not grow stands for a disk that is full."""
    source = shards(tmp_path / "in", "jsonl")
    program = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
from pathlib import Path
from sid.catalogue import cleaning, embeddings
out = Path({str(tmp_path)!r})
source = embeddings.open_embeddings(out / "in", "item_id", "embedding")
try:
    cleaning.prepare(source, None, cleaning.Cleaning(), out / "v.npy", out / "i.parquet")
except OSError as error:
    print(error.strerror)
"""
    assert source.is_dir()
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"


def test_notes_of_shards_are_told_once_and_in_order(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(4):
        ids = (np.arange(50) + 50.0 * number).tolist()
        parquet(source / f"part-{number}.parquet", ids, catalogue(50, DIM).tolist())
    for engine in (LOCAL, Posted()):
        figures = json.loads(prepared(source, tmp_path / "out", KEPT, engine)[2])
        assert [note.split(": ")[0] for note in figures["notes"]] == [
            str(source / f"part-{number}.parquet") for number in range(4)
        ]


def test_prepare_does_not_wait_for_torch(tmp_path: Path) -> None:
    source = shards(tmp_path / "in", "parquet")
    program = f"""
import sys
from pathlib import Path
from sid.catalogue import cleaning, embeddings
embeddings.CHUNK_BYTES = 640
source, out = embeddings.open_embeddings(Path({str(source)!r}), "item_id", "embedding"), Path({str(tmp_path)!r})
cleaning.prepare(source, None, cleaning.Cleaning(missing_vectors="zero"), out / "v.npy", out / "i.parquet")
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.fixture(scope="module")
def on_ray() -> Iterator[Engine]:
    pytest.importorskip("ray", reason="Ray isn't installed (pip install 'sid[ray]')")
    with engines.opened(Wanted(name="ray", address=None)) as engine:
        yield engine


@pytest.mark.filterwarnings("ignore")
def test_ray_writes_the_bytes_of_this_process(on_ray: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # paths of params.yaml are relative
    for kind in KINDS:
        source = shards(Path(kind), kind)
        for how in (KEPT, DROPPED):
            assert prepared(source, Path("out"), how, on_ray) == prepared(source, Path("out"), how)
        shutil.rmtree(source)
    rows = lists(vectors())
    rows[420], rows[255] = rows[420][:5], rows[255][:3]
    for kind in ("parquet", "jsonl"):
        source = shards(Path(f"uneven-{kind}"), kind, rows)
        with pytest.raises(InputError, match=r"part-3\.\w+: item 'item 255' has 3 values in embedding"):
            prepared(source, Path("failed"), KEPT, on_ray)
        assert [path.name for path in Path("failed").iterdir()] == ["v.npy"]
