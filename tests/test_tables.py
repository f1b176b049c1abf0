"""Tables of every kind: no row is lost, and what can't be read is told by its file and line."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sid.errors import InputError
from sid.tables import as_text, delimited, differences, files, json_text, open_table
from sid.tables.files import natural
from sid.tables.text import PLAIN, Form

HEADER = "user_id,item_id,timestamp\n"


def rows(path: Path, *columns: str, keys: tuple[str, ...] = (), form: Form = PLAIN) -> list[tuple[Any, ...]]:
    """The whole table, missing values as None."""
    table = open_table(path, "interactions.source", form=form)
    wanted = columns or tuple(table.names)
    found: list[tuple[Any, ...]] = []
    for batch in table.batches(wanted, keys):
        values = [batch.columns[name] for name in wanted]
        plain = [value if isinstance(value, list) else value.to_pylist() for value in values]
        found += list(zip(*plain, strict=True))
        assert len(set(map(len, plain))) <= 1
        assert all(batch.place(row) for row in {0, batch.rows // 2, batch.rows - 1} if batch.rows)
    return found


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# ---------------------------------------------------------------- the property

PIECES = st.sampled_from(
    ["a", "7", " ", ",", ";", "\t", '"', "'", "\\", "\n", "\r\n", "\r", "é", "漢", "🌹", "\x85", "x y", "|"]
)
CELLS = st.lists(PIECES, max_size=5).map("".join)
TABLES = st.lists(st.tuples(st.sampled_from(["u1", "u22", "v3"]), CELLS, CELLS), min_size=1, max_size=12)


def as_read(cell: str) -> str | None:
    return None if cell in ("", r"\N") else cell


def check(path: Path, table: list[tuple[str, ...]], form: Form = PLAIN) -> None:
    """The table as it was written, or a refusal that names a line; never that where no field is over several lines."""
    want = [tuple(map(as_read, row)) for row in table]
    try:
        got = rows(path, keys=("id",), form=form)
    except InputError as error:
        refused = str(error)
    else:
        assert got == want
        return
    assert re.search(r"line \d+", refused), refused
    assert any(end in cell for row in table for cell in row for end in "\r\n"), refused


def written(table: list[tuple[str, ...]], end: str, **style: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end, **style)
    writer.writerow(("id", "one", "two", "last"))
    writer.writerows(table)
    return text.getvalue()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    TABLES,
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gb18030"]),
    st.sampled_from([".csv", ".csv.gz"]),
    st.sampled_from([1 << 20, 40]),
)
def test_what_pythons_csv_writes_is_read_or_refused(
    tmp_path: Path,
    table: list[tuple[str, ...]],
    delimiter: str,
    end: str,
    quoting: Any,
    encoding: str,
    suffix: str,
    block: int,
) -> None:
    # old Pythons write "\r" without quotes, which at the end of a line is no text any more
    table = [(*row, "end") for row in table]
    if end == "\r":  # every CR ends a line, within quotes as well
        table = [tuple(cell.replace("\r", "").replace("\n", "") for cell in row) for row in table]
    raw = written(table, end, delimiter=delimiter, quoting=quoting).encode(encoding)
    before, delimited.BLOCK_BYTES = delimited.BLOCK_BYTES, block
    form = Form(encoding=encoding) if encoding == "gb18030" else PLAIN
    try:
        check(write(tmp_path / f"log{suffix}", gzip.compress(raw) if suffix == ".csv.gz" else raw), table, form)
    finally:
        delimited.BLOCK_BYTES = before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TABLES, st.sampled_from([1 << 20, 40]))
@example([("u1", '"', ",a")], 1 << 20)  # also sound if a" is taken for a field with an inch mark
def test_quotes_that_are_escaped_by_backslashes_are_read_or_refused(
    tmp_path: Path, table: list[tuple[str, ...]], block: int
) -> None:
    table = [(*(cell.replace("\\", "/") for cell in row), "end") for row in table]
    text = written(table, "\n", quoting=csv.QUOTE_ALL, doublequote=False, escapechar="\\")
    before, delimited.BLOCK_BYTES = delimited.BLOCK_BYTES, block
    try:
        check(write(tmp_path / "log.csv", text), table)
    finally:
        delimited.BLOCK_BYTES = before


VALUES = CELLS | st.none() | st.integers() | st.booleans() | st.floats(allow_nan=False) | st.lists(CELLS, max_size=2)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(st.sampled_from(["id", "one", "two"]), VALUES), min_size=2),
    st.booleans(),
    st.sampled_from(["\n", "\n\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.integers(1, 3),
)
def test_what_pythons_json_writes_is_read(
    tmp_path: Path, table: list[dict[str, Any]], ascii: bool, end: str, encoding: str, batch: int
) -> None:
    want = [tuple(record.get(name) for name in ("id", "one", "two")) for record in table]
    lines = "".join(json.dumps(record, ensure_ascii=ascii) + end for record in table).encode(encoding)
    whole = json.dumps(table, ensure_ascii=ascii, indent=batch % 2 or None).encode(encoding)
    before, json_text._ROWS = json_text._ROWS, batch
    try:
        for name, raw in (("a.jsonl", lines), ("b.json", lines), ("c.json", whole), ("d.jsonl", whole)):
            assert rows(write(tmp_path / name, raw), "id", "one", "two") == want, name
    finally:
        json_text._ROWS = before


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("count", [1, 5000])
def test_both_parsers_read_the_same(tmp_path: Path, quoting: Any, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table = [(f"u{row}", 'say "hi", ok' if row % 3 else "plain", "é" * (row % 4)) for row in range(count)]
    with (tmp_path / "log.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=quoting).writerows([("a", "b", "c"), *table])
    want = [tuple(map(as_read, row)) for row in table]
    assert rows(tmp_path / "log.csv") == want
    monkeypatch.setattr(delimited, "_plain_rows", lambda block, header: None)
    assert rows(tmp_path / "log.csv") == want


# ---------------------------------------------------------------- lines that are odd

Q = '"'


@pytest.mark.parametrize(
    ("content", "want"),
    [
        (f"a,b\n1,24{Q} shelf\n2,plain\n", [("1", f"24{Q} shelf"), ("2", "plain")]),
        (f'a,b\n1,"24\\{Q} shelf"\n2,"C:\\dir"\n', [("1", f"24{Q} shelf"), ("2", "C:\\dir")]),
        (f'a,b\n1,"24\\{Q}"\n2,"x"\n', [("1", f"24{Q}"), ("2", "x")]),
        ('a,b\n1,"two\nlines"\n2,x\n', [("1", "two\nlines"), ("2", "x")]),
        ("a,b\r\n1,x\r\n\r\n2,y", [("1", "x"), ("2", "y")]),
        ("a,b\r1,x\r2,y\r", [("1", "x"), ("2", "y")]),
        ("\n\na,b\n1,x\n,\n  \n2,y\n,,\n", [("1", "x"), ("2", "y")]),
        ("a;b\n1;x, y\n", [("1", "x, y")]),
        ("sep=;\na;b\n1;x\n", [("1", "x")]),
        ('a, b\n1, x\n2, "y, z"\n', [("1", "x"), ("2", "y, z")]),
        (" a , b \n1,\\N\n", [("1", None)]),
        ('"a","b"\n"1",""\n', [("1", None)]),
    ],
)
def test_odd_text_that_has_a_meaning(tmp_path: Path, content: str, want: list[tuple[str, ...]]) -> None:
    assert rows(write(tmp_path / "t.csv", content), "a", "b") == want


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", "a,b\n1,x\n2,y,z\n", r"line 3 has 3 fields, its header has 2"),
        ("t.csv", "a,b,c\n1,x,p\n2,y\n", r"line 3 has 2 fields, its header has 3"),
        ("t.csv", 'a,b\n1,"x\n2,y\n', r"line 2 has a quote that isn't closed"),
        ("t.csv", 'a,b\n1,"x"y\n', "line 2 has a quote that isn't closed, or text beside one"),
        ("t.csv", 'a,b\n17,"oops\n18,fine"\n19,x\n', "line 2 has a quote that isn't closed: .* line 3"),
        ("t.csv", "a,b\n1,x\n2,p\rq\n", "line 3 has a carriage return"),
        ("t.csv", b"a,b\n1,x\n2,caf\xe9\n", "line 3 is not UTF-8 text .*Latin-1"),
        ("t.csv", "", "is empty, must have a header"),
        ("t.jsonl", '{"a": 1}\n{"a": \n', "line 2 is broken JSON"),
        ("t.jsonl", '{"a": 1}{"a": 2}\n', "line 1 is broken JSON"),
        ("t.csv", b"PAR1xxxx", "its content is Parquet"),
        ("t.csv", b"PK\x03\x04", "a ZIP archive or a spreadsheet"),
        ("t.csv.gz", gzip.compress(b"a,b\n" + b"1,x\n" * 9000, mtime=0)[:-20], "can't be decompressed"),
        ("t.xyz", "", "unknown kind of file '.xyz'"),
    ],
)
def test_what_has_none_is_refused_by_line(tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        rows(write(tmp_path / name, content), "a", keys=("a",))


@pytest.mark.parametrize(
    ("ids", "times"),
    [
        (["B00L1I1VMG", "B0083J1UQW", "0262033844", "B07PNNCSP9"], [1588687728923, 1588615855070, 2, 3]),
        (["AGKHLEW2SOWHNMFQIJGBECAF7INQ", "AHV6QCNBJNSGLATP56JAWJ3C4G2A", "A1", "A2SUAM1J3GNN3B"], [1, 22, 333, 4444]),
        (["17", "18", "1900", "20"], ["2019-01-01", "2020-02-02T10:00:00Z", "2019-01-01", "2019-01-01"]),
        (["3fa85f64-5717-4562-b3fc-2c963f66afa6", "c2f1a0de-0b1d-4ad2-9c0a-1b2c3d4e5f60", "x1", "y2"], [1, 2, 3, 4]),
        (["red-shoe", "blue-hat", "a-b", "c-d"], [1, 2, 3, 4]),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_quote_that_would_swallow_rows_is_seen_by_ids_of_any_make(
    tmp_path: Path, ids: list[str], times: list[Any], first: bool
) -> None:
    texts = ['"24 inch', "fine", 'the end"', "fine"] if not first else ['"a', "b", "c", 'd"']
    lines = [f"{one},{time},{text}" for one, time, text in zip(ids, times, texts, strict=True)]
    path = write(tmp_path / "t.csv", "item_id,timestamp,text\n" + "\n".join(lines) + "\n")
    with pytest.raises(InputError, match="line 2 has a quote that isn't closed: its field would include line 3"):
        rows(path, keys=("item_id", "timestamp"))


@pytest.mark.parametrize("text", ["a\nb, c", "Sizes:\nS, M\n1, 2 and 3", "x\n\n,y"])
def test_a_text_over_lines_with_commas_is_no_row(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "t.csv", f'item_id,text\nB1,"{text}"\nB2,x\n')
    assert rows(path, keys=("item_id",)) == [("B1", text), ("B2", "x")]


@pytest.mark.parametrize("block", [7, 1 << 20])
def test_two_characters_between_fields_wherever_a_block_ends(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block)
    path = write(tmp_path / "t.dat", "a::b::c\n" + "".join(f'{n}::"x: {n}:::y\n' for n in range(200)))
    assert rows(path) == [(str(n), f'"x: {n}', ":y") for n in range(200)]


@pytest.mark.parametrize("block", [20, 1 << 20])
def test_lines_are_numbered_over_blocks_and_blank_lines(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block)
    path = write(tmp_path / "t.csv", "a,b\n\n1,x\n\n,\n2,y\n3,z\n" + "4,w\n" * 20)
    found = [batch.place(row) for batch in open_table(path, "k").batches(["a"]) for row in range(batch.rows)]
    assert found[:4] == ["line 3", "line 6", "line 7", "line 8"]
    assert len(found) == 23


# ---------------------------------------------------------------- files and folders


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", lambda raw: pa.compress(raw, "zstd", asbytes=True)),
    ],
)
def test_compressed_text(tmp_path: Path, suffix: str, compress: Any) -> None:
    assert rows(write(tmp_path / f"t.CSV{suffix}", compress(b"a,b\n1,x\n")), "a", "b") == [("1", "x")]
    assert rows(write(tmp_path / "plain.csv", compress(b"a,b\n1,x\n")), "a", "b") == [("1", "x")]


def test_several_members_of_one_gzip_are_all_read(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv.gz", gzip.compress(b"a\n1\n") + gzip.compress(b"2\n"))
    assert rows(path) == [("1",), ("2",)]


def parquet(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_a_folder_is_read_at_any_depth_in_natural_order(tmp_path: Path) -> None:
    for part, name in enumerate(["p/part-2.PARQUET", "p/part-10.parquet", "q/dt=1/_x=2/a.pq"]):
        parquet(tmp_path / "lake" / name, a=[part])
    write(tmp_path / "lake/_SUCCESS", "")
    write(tmp_path / "lake/p/._part-2.parquet", b"\0\5\26\7")
    write(tmp_path / "lake/_temporary/0/part-9.parquet", "no")
    write(tmp_path / "lake/README.md", "words")
    table = open_table(tmp_path / "lake", "k")
    assert [batch.columns["a"].to_pylist() for batch in table.batches(["a"])] == [[0], [1], [2]]
    assert "README.md" in table.notes[0]


def test_a_link_to_a_folder_is_followed_once(tmp_path: Path) -> None:
    parquet(tmp_path / "real/a.parquet", a=[1])
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/link").symlink_to(tmp_path / "real")
    (tmp_path / "real/loop").symlink_to(tmp_path / "lake")
    assert rows(tmp_path / "lake", "a") == [(1,)]


@pytest.mark.parametrize(
    "name", ["log[1].csv", "log*.csv", "q3 [final]/lo?g.csv", "dt=2024-01-01/{a,b}.csv", "a b.csv", "~x.csv"]
)
def test_a_path_is_a_path_and_no_pattern(tmp_path: Path, name: str) -> None:
    write(tmp_path / "log1.csv", "a\nintruder\n")
    assert rows(write(tmp_path / name, "a\n1\n")) == [("1",)]
    if name != "dt=2024-01-01/{a,b}.csv":
        parquet(tmp_path / name.replace(".csv", ".parquet"), a=["1"])
        assert rows(tmp_path / name.replace(".csv", ".parquet")) == [("1",)]


def test_folders_that_are_no_tables(tmp_path: Path) -> None:
    for name, log, said in [
        ("delta", "_delta_log/0.json", "a Delta Lake table"),
        ("ice", "metadata/v1.metadata.json", "an Iceberg table"),
        ("hudi", ".hoodie/hoodie.properties", "a Hudi table"),
    ]:
        parquet(tmp_path / name / "sub/a.parquet", a=[1])
        write(tmp_path / name / log, "{}")
        with pytest.raises(InputError, match=said):
            open_table(tmp_path / name, "k")
    with pytest.raises(InputError, match="a Delta Lake table"):
        open_table(tmp_path / "delta/sub", "k")
    for inside in ("ice/sub", "delta/sub"):
        with pytest.raises(InputError, match=r"an Iceberg table|a Delta Lake table"):
            open_table(tmp_path / inside, "k")
    write(tmp_path / "two/a.csv", "a\n1\n")
    parquet(tmp_path / "two/b.parquet", a=[1])
    with pytest.raises(InputError, match=r"files of several kinds: 1 csv .* 1 parquet"):
        open_table(tmp_path / "two", "k")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="a folder without data files"):
        open_table(tmp_path / "none", "k")


@pytest.mark.parametrize("folder", [True, False])
def test_what_stands_for_a_file_that_is_not_there(tmp_path: Path, folder: bool) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    for name in ("lfs/a.parquet", "lfs2/a.csv", "lfs3/a.npy"):
        path = write(tmp_path / name, pointer)
        with pytest.raises(InputError, match=r"a\.\w+: is a Git LFS pointer .* git lfs pull"):
            files.find(path.parent if folder else path, "k", ["csv", "parquet", "npy"])
    (tmp_path / "links").mkdir()
    (tmp_path / "links/a.csv").symlink_to("/nowhere/b.csv")
    with pytest.raises(InputError, match=r"a\.csv: is a link to /nowhere/b\.csv, which doesn't exist|no such file"):
        open_table(tmp_path / ("links" if folder else "links/a.csv"), "k")


def test_natural_order() -> None:
    assert sorted(["b10", "b9", "a", "b010"], key=natural) == ["a", "b9", "b010", "b10"]


def test_parts_of_a_folder_of_text(tmp_path: Path) -> None:
    write(tmp_path / "p/part-0.csv", "a,b\n1,x\n")
    write(tmp_path / "p/part-1.csv", "")
    write(tmp_path / "p/part-2.csv", "b,a\ny,2\n")
    assert rows(tmp_path / "p", "a", "b") == [("1", "x"), ("2", "y")]
    write(tmp_path / "p/part-3.csv", "a\n1\n")
    with pytest.raises(InputError, match=r"part-3.csv: no column b; its columns are a"):
        open_table(tmp_path / "p", "k").require({"k": ("b", "item")})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "userId,movieId,rating,timestamp\n",
            "did you mean interactions.user_column: userId, interactions.item_column: movieId",
        ),
        ("reviewerID,asin,overall,unixReviewTime\n", "interactions.time_column: unixReviewTime"),
        ("user_id,parent_asin,rating,timestamp\n", "interactions.item_column: parent_asin"),
        ("visitor,thing\n", r"its columns are visitor, thing \(interactions.user_column"),
        (",".join(f"c{n}" for n in range(2000)) + "\n", r"\(2000 in all\)"),
    ],
)
def test_other_names_are_proposed(tmp_path: Path, content: str, said: str) -> None:
    table = open_table(write(tmp_path / "t.csv", content), "interactions.source")
    with pytest.raises(InputError, match=said) as caught:
        table.require(
            {
                "interactions.user_column": ("user_id", "user"),
                "interactions.item_column": ("item_id", "item"),
                "interactions.time_column": ("timestamp", "time"),
            }
        )
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "content",
    [
        '[{"id": 1, "t": "x"}, {"id": 2}]',
        '{"id": 1, "t": "x"}\n{"id": 2}\n',
        '{"1": {"t": "x"}, "2": {}}',
        '{"data": [{"id": 1, "t": "x"}, {"id": 2}]}',
        '{"id": [1, 2], "t": ["x", null]}',
        '{"id": {"0": 1, "1": 2}, "t": {"0": "x", "1": null}}',
    ],
)
def test_json_of_every_shape(tmp_path: Path, content: str) -> None:
    table = open_table(write(tmp_path / "t.json", content), "k", "id")
    found = [
        (str(one), two)
        for batch in table.batches(["id", "t"])
        for one, two in zip(*batch.columns.values(), strict=True)
    ]
    assert found == [("1", "x"), ("2", None)]


def test_arrow_files_streams_and_saved_datasets(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2]})
    folder = tmp_path / "saved"
    folder.mkdir()
    for name, kind in [
        ("data-00000.arrow", pa.ipc.new_stream),
        ("cache-1.arrow", pa.ipc.new_stream),
        ("x.feather", pa.ipc.new_file),
    ]:
        with pa.OSFile(str(folder / name), "wb") as sink, kind(sink, table.schema) as out:
            out.write_table(table)
    assert rows(folder / "x.feather", "a") == [(1,), (2,)]
    assert len(rows(folder, "a")) == 6
    write(folder / "state.json", json.dumps({"_data_files": [{"filename": "data-00000.arrow"}]}))
    assert rows(folder, "a") == [(1,), (2,)]
    write(folder / "state.json", json.dumps({"_data_files": [{"filename": "gone.arrow"}]}))
    with pytest.raises(InputError, match=r"lists gone.arrow, which doesn't exist"):
        open_table(folder, "k")


# ---------------------------------------------------------------- ids

UUID = "00112233-4455-6677-8899-aabbccddeeff"


@pytest.mark.parametrize(
    ("column", "want"),
    [
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array([b"a", b"b"]), ["a", "b"]),
        (pa.array([b"ab", b"cd"], pa.binary(2)), ["ab", "cd"]),
        (pa.array([7, -8], pa.int8()), ["7", "-8"]),
        (pa.array([2**64 - 1], pa.uint64()), [str(2**64 - 1)]),
        (pa.array([Decimal(7), Decimal(10) ** 30], pa.decimal128(38, 0)), ["7", "1" + "0" * 30]),
        (pa.array([Decimal("7.00")], pa.decimal128(10, 2)), ["7"]),
        (pa.array([7.0, 8.0]), ["7", "8"]),
        (pa.array([bytes.fromhex(UUID.replace("-", ""))], pa.uuid()), [UUID]),
        (pa.array([date(2026, 1, 31)]), ["2026-01-31"]),
        (pa.array(["a", None]), ["a", None]),
    ],
)
def test_ids_of_every_type(tmp_path: Path, column: pa.Array, want: list[str]) -> None:
    table = open_table(parquet(tmp_path / "t.parquet", a=column), "k")
    (batch,) = table.batches(["a"])
    assert as_text(batch, "a", table.say).to_list() == want


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([7.5]), "row 0 has a 7.5, must be string or integer"),
        (pa.array([1.0, 2.0**60]), "row 1 has a"),
        (pa.array([True]), "column 'a' is bool"),
        (pa.array([[1]]), "column 'a' is list"),
        (pa.array([b"\xff"]), "not UTF-8 text"),
    ],
)
def test_ids_that_are_none(tmp_path: Path, column: pa.Array, said: str) -> None:
    table = open_table(parquet(tmp_path / "t.parquet", a=column), "k")
    (batch,) = table.batches(["a"])
    with pytest.raises(InputError, match=said):
        as_text(batch, "a", table.say)


def test_ids_of_json(tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "t.jsonl", '{"a": 7}\n{"a": "x"}\n{"a": 7.0}\n{"a": null}\n'), "k")
    (batch,) = table.batches(["a"])
    assert as_text(batch, "a", table.say).to_list() == ["7", "x", "7", None]
    assert "7.0 are read as 7" in table.notes[0]


@pytest.mark.parametrize(
    ("unknown", "said"),
    [
        ("0123", "leading zeros"),
        ("123.0", "a decimal point"),
        (" 123", "blanks"),
        ("ABC", "upper and lower case"),
        ("zz", ""),
    ],
)
def test_how_ids_differ_is_said(unknown: str, said: str) -> None:
    hint = differences([unknown], pl.Series(["123", "abc"]))
    assert (said in hint) if said else hint == ""
