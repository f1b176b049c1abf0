"""Inputs that look like something else, or like nothing: the right data or one line, and never a misread."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import yaml

from sid import params
from sid.catalogue.embeddings import open_embeddings
from sid.catalogue.metadata import read_metadata
from sid.errors import InputError
from sid.files import elsewhere
from sid.quantizers.methods import CONFIGS
from sid.tables.text import Form
from tests.conftest import Project
from tests.test_data_kinds import IDS, VECTORS, lists, log, parquet, prepared, write


def test_arrays_saved_one_behind_the_other_are_refused(tmp_path: Path) -> None:
    """numpy.load reads the first; the rest was lost without a word."""
    path = tmp_path / "e.npy"
    with path.open("wb") as file:
        np.save(file, VECTORS)
        np.save(file, VECTORS)
    with pytest.raises(InputError, match=r"e.npy: has 768 bytes after its 20 rows, which may be more arrays"):
        open_embeddings(path, "item_id", "embedding")


TEXTS = {
    "[0.5, -1, 2e3]": [0.5, -1, 2000],
    "[0.5, -1, 2e3,]": [0.5, -1, 2000],
    "0.5 -1\n 2e3": [0.5, -1, 2000],
    "{0.5,-1,2e3}": [0.5, -1, 2000],
    "(0.5;-1;2e3)": [0.5, -1, 2000],
    "[0.5, null, 2e3]": [0.5, 0, 2000],
    "[0.5,,2e3]": [0.5, 0, 2000],
}


@pytest.mark.parametrize("text", TEXTS)
def test_separators_of_vectors_as_text(tmp_path: Path, text: str) -> None:
    _, out, _ = prepared(
        tmp_path, parquet(tmp_path / "e.parquet", pa.array([text] * 10 + ["[1, 2, 3]"] * 10)), outliers="warn"
    )
    np.testing.assert_allclose(out[0], TEXTS[text])


@pytest.mark.parametrize(
    "text", ["[0,5; -1,25]", "0,5 -1,25", "[0.5, -1 2]", "0.5|-1", "tensor([0.5, 1.0])", "[true, 1]"]
)
def test_vectors_as_text_that_could_be_misread_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="row 0 has no vector in embedding, must be numbers like"):
        prepared(tmp_path, parquet(tmp_path / "e.parquet", pa.array([text] * 20)))


@pytest.mark.parametrize("value", [{"0": 0.5, "1": 1}, [True, 1.0], [[0.5, 1]], {"values": [1, 2]}])
def test_json_that_is_no_vector_is_refused(tmp_path: Path, value: Any) -> None:
    rows = [json.dumps({"item_id": name, "embedding": value}) for name in IDS]
    with pytest.raises(InputError, match="line 1 has no vector in embedding"):
        prepared(tmp_path, write(tmp_path / "e.jsonl", "\n".join(rows)))


def test_rows_and_ids_that_are_the_same_numbers_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", VECTORS)
    turned = {str(row): (row + 1) % 20 for row in range(20)}
    ids = write(tmp_path / "ids.json", json.dumps(turned))
    with pytest.raises(InputError, match="keys and values are both the numbers 0 to 19, so it"):
        open_embeddings(tmp_path / "e.npy", "item_id", "embedding", ids)
    same = write(tmp_path / "same.json", json.dumps({str(row): row for row in range(20)}))
    assert prepared(tmp_path, tmp_path / "e.npy", same)[2] == [str(row) for row in range(20)]
    lcrec = write(tmp_path / "shop.item2id", "".join(f"{name}\t{row}\n" for name, row in turned.items()))
    assert prepared(tmp_path, tmp_path / "e.npy", lcrec)[2][0] == "19"


@pytest.mark.parametrize("blank", ["", " ", "\t", "\u00a0", "\u3000 "])
def test_an_id_of_blanks_is_none(tmp_path: Path, blank: str) -> None:
    ids = [*IDS[:-1], blank]
    with pytest.raises(InputError, match="row 19 has no item_id"):
        prepared(tmp_path, parquet(tmp_path / "e.parquet", lists(VECTORS), ids))
    path = write(tmp_path / "i.jsonl", json.dumps({"item_id": blank, "title": "x"}))
    with pytest.raises(InputError, match=r"line 1 has item_id .*, must be a string or an integer"):
        read_metadata(path, "item_id")
    pq.write_table(pa.table({"item_id": ids, "title": ids}), tmp_path / "i.parquet")
    with pytest.raises(InputError, match="row 19 has no item_id"):
        read_metadata(tmp_path / "i.parquet", "item_id")
    path = write(tmp_path / "l.csv", f'user_id,item_id,timestamp\nu,a,1\n"{blank}",b,2\n')
    with pytest.raises(InputError, match="line 3 has no user_id"):
        log(path)
    np.savez(tmp_path / "e.npz", embedding=VECTORS, item_id=np.array(["x", f"{blank}.", *IDS[2:]]))
    assert prepared(tmp_path, tmp_path / "e.npz")[2][1] == f"{blank}."


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_header_in_the_middle_is_left_out_and_said(tmp_path: Path, quoted: bool, end: str) -> None:
    """`cat part-*.csv > log.csv`."""
    note = f'"x{end}y"' if quoted else "x"
    part = end.join(["user_id,item_id,timestamp,note", f"u,a,1,{note}", "v,b,2,x", ""])
    found = log(write(tmp_path / "l.csv", part * 3))
    assert found.users.tolist() == [0, 1] * 3
    lines = [5, 9] if quoted else [4, 7]
    assert found.notes == [f"{tmp_path / 'l.csv'}: line {line} repeats the header and is left out" for line in lines]
    assert found.rows == 6
    items = read_metadata(write(tmp_path / "i.csv", "item_id,title\na,x\nitem_id,title\nb,title\n"), "item_id")
    assert items.frame["item_id"].to_list() == ["a", "b"]
    assert len(items.notes) == 1
    atomic = "user_id:token\titem_id:token\ttimestamp:float\nu\ta\t1\n"
    assert log(write(tmp_path / "l.inter", atomic * 2)).items.tolist() == [0, 0]


def test_a_rest_of_a_file_that_is_told_by_its_line_behind_a_header_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "user_id,item_id,timestamp\nu,a,1\nuser_id,item_id,timestamp\nu,b,2\nu,c,x\n")
    with pytest.raises(InputError, match="line 5 has timestamp 'x'"):
        log(path)


def test_text_that_old_writers_call_bytes(tmp_path: Path) -> None:
    path = tmp_path / "i.parquet"
    columns = {"item_id": [b"a", b"b"], "title": [b"x", "ü".encode()], "image": [b"\xff", b"x"]}
    pq.write_table(pa.table(columns), path)
    found = read_metadata(path, "item_id")
    assert found.frame["title"].to_list() == ["x", "ü"]
    assert found.left_out == {"image": "it holds binary"}
    assert read_metadata(path, "item_id", {"title": "title", "brand": "item_id"}).frame["title"].to_list() == ["x", "ü"]
    with pytest.raises(InputError, match="column 'image' is binary and not UTF-8 text"):
        read_metadata(path, "item_id", {"title": "image"})


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_fields_may_be_swapped_shared_or_the_id(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame({"sku": ["7"], "title": ["a"], "description": ["b"], "brand": ["c"]})
    path = tmp_path / f"i{suffix}"
    frame.write_csv(path) if suffix == ".csv" else frame.write_ndjson(path)

    def read(**fields: str) -> list[Any]:
        return list(read_metadata(path, "sku", fields).frame.row(0))

    assert read() == ["7", "a", "b", "c", None]
    assert read(title="description", description="title") == ["7", "b", "a", "c", None]
    assert read(title="brand", brand="brand") == ["7", "c", "b", "c", None]
    assert read(title="sku", categories="sku") == ["7", "7", "b", "c", "7"]
    with pytest.raises(InputError, match=r"no column '?name"):
        read(title="name")


def test_feather_of_version_1_is_named(tmp_path: Path) -> None:
    (tmp_path / "e.feather").write_bytes(b"FEA1" + bytes(100) + b"FEA1")
    with pytest.raises(InputError, match=r"e\.feather: is Feather of version 1: write it as version 2"):
        open_embeddings(tmp_path / "e.feather", "item_id", "embedding")


def test_movielens_lines_with_the_delimiter_in_a_title(tmp_path: Path) -> None:
    form = Form(("item_id", "title", "categories"), "latin-1")
    fine = write(tmp_path / "movies.dat", "1::Toy Story (1995)::Animation|Comedy\n2::A: B::Drama\n")
    assert read_metadata(fine, "item_id", form=form).frame["title"].to_list() == ["Toy Story (1995)", "A: B"]
    first = write(tmp_path / "first.dat", "1::Toy :: Story::Animation\n2::A::Drama\n")
    with pytest.raises(InputError, match=r"line 1 has 4 fields \(separated by ::\), but the key header names 3"):
        read_metadata(first, "item_id", form=form)
    later = write(tmp_path / "later.dat", "1::Toy Story::Animation\n2::A :: B::Drama\n")
    with pytest.raises(InputError, match=r"line 2 has 4 fields, its header has 3 \(separated by ::"):
        read_metadata(later, "item_id", form=form)


@pytest.mark.parametrize(
    ("header", "proposed"),
    [
        (
            "SessionId,ItemId,Time",
            "user_column: SessionId, interactions.item_column: ItemId, interactions.time_column: Time",
        ),
        ("USER_ID,Article ID,Event-Time", "user_column: USER_ID, .*item_column: Article ID, .*time_column: Event-Time"),
    ],
)
def test_well_known_columns_however_they_are_spelled(tmp_path: Path, header: str, proposed: str) -> None:
    with pytest.raises(InputError, match=f"did you mean interactions.{proposed}"):
        log(write(tmp_path / "l.csv", f"{header}\nu,a,1\n"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"item_column": "user_id"},
            "item_column is 'user_id': must be a different column from interactions.user_column",
        ),
        (
            {"time_column": "item_id"},
            "time_column is 'item_id': must be a different column from interactions.item_column",
        ),
    ],
)
def test_one_column_cant_be_two_things(project: Project, changes: dict[str, str], said: str) -> None:
    values = yaml.safe_load(project.path("params.yaml").read_text())
    values["interactions"] |= changes
    project.path("params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=said):
        params.load(project.path("params.yaml"), CONFIGS)


PATHS: dict[str, Callable[[Path], str]] = {
    "home": lambda folder: "~/data/e.npy",
    "variable": lambda folder: "$HOME/data/e.npy",
    "braces": lambda folder: "${HOME}/data/e.npy",
    "blanks": lambda folder: f" {folder}/data/e.npy ",
    "quotes": lambda folder: f"'{folder}/data/e.npy'",
    "file URL": lambda folder: f"file://{folder}/data/e.npy",
    "backslashes": lambda folder: str(folder / "data/e.npy").replace("/", "\\"),
}


@pytest.mark.parametrize("path", PATHS.values(), ids=list(PATHS))
def test_paths_that_only_a_shell_understands_are_spelled_out(
    project: Project, monkeypatch: pytest.MonkeyPatch, path: Callable[[Path], str]
) -> None:
    """DVC takes `~` for the name of a folder, and so must we."""
    home = project.folder.resolve()
    (home / "data").mkdir(exist_ok=True)
    np.save(home / "data/e.npy", VECTORS)
    monkeypatch.setenv("HOME", str(home))
    project.params(prepare__embeddings=path(home))
    monkeypatch.chdir(home)
    (line,) = params.missing_files("params.yaml")
    assert line.endswith(
        f"; paths are used exactly as written (~, variables, quotes and blanks too): write {home}/data/e.npy"
    )
    with pytest.raises(InputError, match=r"write .*/data/e.npy"):
        open_embeddings(path(home), "item_id", "embedding")


@pytest.mark.parametrize(
    ("content", "said"),
    [(pickle.dumps(IDS), "a pickle"), (b"\x89HDF\r\n\x1a\n", "HDF5"), (b"SQLite format 3\0", "a SQLite database")],
    ids=["pickle", "HDF5", "SQLite"],
)
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    np.save(tmp_path / "e.npy", VECTORS)
    (tmp_path / "ids.pkl").write_bytes(content)
    with pytest.raises(InputError, match=f"ids.pkl: isn't text, its content is {said}; rename it or name another"):
        open_embeddings(tmp_path / "e.npy", "item_id", "embedding", tmp_path / "ids.pkl")


def test_urls_and_pickles_are_told_what_to_do(tmp_path: Path) -> None:
    for url in ("s3://bucket/e.parquet", Path("https://x.org/e.npy")):
        assert elsewhere(url) == "; URLs aren't read: download it"
    assert elsewhere("nothing/here.npy") == elsewhere("C:\\nothing.npy") == ""
    with pytest.raises(InputError, match=r"unknown kind of file '.pkl'; pickles can run code, so none is opened: save"):
        open_embeddings(write(tmp_path / "e.pkl", ""), "item_id", "embedding")
