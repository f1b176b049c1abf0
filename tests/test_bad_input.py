"""What a user gets wrong is told in one line, ends the stage with a status, and leaves earlier outputs alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import preflight, run
from tests.conftest import Project, catalogue, make_project


def save(project: Project, vectors: object) -> None:
    np.save(project.path("embeddings.npy"), vectors)


def text(name: str, content: str) -> Callable[[Project], None]:
    return lambda project: void(project.path(name).write_text(content))


def void(_: object) -> None:
    return None


def key(dotted: str, value: object) -> Callable[[Project], None]:
    return lambda project: project.params(**{dotted: value})


def array(vectors: object) -> Callable[[Project], None]:
    return lambda project: save(project, vectors)


def replace(old: str, new: str) -> Callable[[Project], None]:
    """Edit params.yaml as text: for what only shows in its spelling."""

    def edit(project: Project) -> None:
        content = project.path("params.yaml").read_text()
        assert old in content
        project.path("params.yaml").write_text(content.replace(old, new))

    return edit


def truncate(project: Project) -> None:
    path = project.path("embeddings.npy")
    path.write_bytes(path.read_bytes()[:-100])


def pickled(project: Project) -> None:
    np.save(project.path("embeddings.npy"), np.array([{"a": 1}, None], dtype=object), allow_pickle=True)


def parquet(ids: list[object], rows: object, name: str = "in.parquet", **columns: str) -> Callable[[Project], None]:
    def write(project: Project) -> None:
        names = {"item_id": "item_id", "embedding": "embedding", **columns}
        path = project.path(name)
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({names["item_id"]: ids, names["embedding"]: rows}), path)
        project.params(prepare__embeddings=name.split("/")[0], prepare__items="data/none")

    return write


def items(change: Callable[[dict[str, object]], object]) -> Callable[[Project], None]:
    def edit(project: Project) -> None:
        found = json.loads(project.path("items.json").read_text())
        change(found)
        project.path("items.json").write_text(json.dumps(found))

    return edit


def jsonl(*lines: str) -> Callable[[Project], None]:
    def write(project: Project) -> None:
        project.path("items.jsonl").write_text("\n".join(lines) + "\n")
        project.params(prepare__items="items.jsonl")

    return write


def csv(content: str) -> Callable[[Project], None]:
    def write(project: Project) -> None:
        project.path("items.csv").write_text(content)
        project.params(prepare__items="items.csv")

    return write


def with_nan(project: Project) -> None:
    vectors = catalogue()
    vectors[[4, 9]] = np.nan
    save(project, vectors)
    project.params(prepare__invalid_rows="error")


def file_in_the_way(project: Project) -> None:
    project.path("reports").rename(project.path("elsewhere"))
    project.path("reports").write_text("")


def inter(split: str, *lines: str) -> Callable[[Project], None]:
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    return text(f"inter/{split}.inter", header + "".join(f"{line}\n" for line in lines))


def header(shape: str) -> Callable[[Project], None]:
    def write(project: Project) -> None:
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(640)
        project.path("embeddings.npy").write_bytes(content)

    return write


def few_codes(project: Project) -> None:
    project.params(quant__num_emb_list=[4, 4], dedupe__strategy="append")
    project.succeed("train")
    np.save(project.path("data/codes.npy"), np.zeros((60, 2), np.int32))
    project.params(dedupe__strategy="reassign")


def prompt(project: Project, history: str) -> None:
    path = project.path("prompts/en.yaml")
    path.write_text(path.read_text().replace('"{history}"', history, 1))


LISTS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]

CASES: list[tuple[str, str, Callable[[Project], None], str]] = [
    # what is wrong, stage, how to bring it about, what must be said
    ("missing embeddings", "prepare", key("prepare__embeddings", "no.npy"), "no.npy: no such file"),
    ("unknown kind", "prepare", key("prepare__embeddings", "dvc.yaml"), "dvc.yaml: unknown kind of file '.yaml'"),
    ("empty folder", "prepare", key("prepare__embeddings", "inter"), "inter: a folder without data files"),
    ("1-D array", "prepare", array(np.zeros(9, np.float32)), "embeddings.npy: has shape (9,), must be 2-D"),
    (
        "3-D array",
        "prepare",
        array(np.zeros((3, 2, 2), np.float32)),
        "embeddings.npy: has shape (3, 2, 2), must be 2-D",
    ),
    ("integer dtype", "prepare", array(np.zeros((3, 2), np.int64)), "embeddings.npy: has dtype int64, must be float16"),
    ("string dtype", "prepare", array(np.array([["a", "b"]] * 3)), "embeddings.npy: has dtype <U1, must be float16"),
    ("object dtype, pickled", "prepare", pickled, "embeddings.npy: holds pickled objects"),
    ("truncated npy", "prepare", truncate, "embeddings.npy: broken, or not a .npy file"),
    ("no npy at all", "prepare", text("embeddings.npy", "hello"), "embeddings.npy: broken, or not a .npy file"),
    ("empty file", "prepare", text("embeddings.npy", ""), "embeddings.npy: broken, or not a .npy file"),
    ("no rows", "prepare", array(np.zeros((0, 4), np.float32)), "embeddings.npy: has 0 rows, must have at least 2"),
    ("one row", "prepare", array(np.zeros((1, 4), np.float32)), "embeddings.npy: has 1 rows, must have at least 2"),
    ("no columns", "prepare", array(np.zeros((4, 0), np.float32)), "embeddings.npy: its vectors have no values"),
    (
        "NaN under error",
        "prepare",
        with_nan,
        "embeddings.npy: 2 rows with NaN (items 4, 9); prepare.invalid_rows: error allows none",
    ),
    (
        "broken parquet",
        "prepare",
        lambda p: (text("x.parquet", "no")(p), p.params(prepare__embeddings="x.parquet"))[1],
        "x.parquet: broken, or not a Parquet file",
    ),
    (
        "missing id column",
        "prepare",
        parquet([1, 2, 3], LISTS, item_id="sku"),
        "no column item_id; its columns are sku, embedding",
    ),
    (
        "missing column",
        "prepare",
        parquet([1, 2, 3], LISTS, embedding="vec"),
        "no column embedding; its columns are item_id, vec; did you mean prepare.embedding_column: vec?",
    ),
    (
        "ids of float",
        "prepare",
        parquet([1.5, 2.5, 3.5], LISTS),
        "row 0 has item_id 1.5, must be string or integer",
    ),
    ("lists of integer", "prepare", parquet([1, 2], [[1], [2]]), "column 'embedding' is list<"),
    (
        "column of float",
        "prepare",
        parquet([1, 2], [1.0, 2.0]),
        "column 'embedding' is double, must be a list of floats",
    ),
    (
        "ragged lists",
        "prepare",
        parquet(["x", "y", "z"], [[1.0, 2.0], [3.0], [5.0, 6.0]]),
        "item 'y' has 1 values in embedding, must have 2",
    ),
    ("missing vector", "prepare", parquet(["x", "y"], [[1.0], None]), "1 rows have no vector (items y)"),
    ("missing id", "prepare", parquet(["x", None], [[1.0], [2.0]]), "row 1 has no item_id"),
    ("duplicate ids", "prepare", parquet(["x", "y", "x"], LISTS), "in.parquet: 1 item ids occur more than once"),
    (
        "shards of other width",
        "prepare",
        lambda p: (parquet([1, 2, 3], LISTS, "s/0.parquet")(p), parquet([4], [[1.0]], "s/1.parquet")(p))[1],
        "s/1.parquet: embedding has 1 values, but 2 in s/0.parquet",
    ),
    ("negative shape", "prepare", header("(-20, 8)"), "embeddings.npy: broken, or not a .npy file"),
    ("garbage header", "prepare", header("{{{{"), "embeddings.npy: broken, or not a .npy file"),
    ("empty id", "prepare", parquet(["x", ""], [[1.0], [2.0]]), "row 1 has no item_id"),
    (
        "no embeddings given",
        "prepare",
        key("prepare__embeddings", "data/none"),
        "prepare.embeddings is 'data/none': must",
    ),
    ("JSON too deep", "prepare", text("items.json", "[" * 100_000), "items.json: broken JSON"),
    (
        "JSON number too long",
        "prepare",
        text("items.json", '{"0": {"a": ' + "9" * 5000 + "}}"),
        "items.json: broken JSON",
    ),
    ("alias to itself", "train", replace("num_emb_list:", "num_emb_list: &a [*a]\n  x:"), "params.yaml: "),
    ("slack without bound", "train", key("index__slack", 10**20), "index.slack is 100000000000000000000: must be less"),
    ("fewer codes than items", "dedupe", few_codes, "makes 16 Semantic IDs for 60 items: use more"),
    ("empty .inter", "interactions", text("inter/test.inter", ""), "inter/test.inter: is empty, must have a header"),
    ("prompts are a folder", "export", key("export__prompts", "prompts"), "prompts: Is a directory"),
    ("format in a prompt", "export", lambda p: prompt(p, '"{history:>9999999999}"'), "has a placeholder with a format"),
    ("missing items", "prepare", key("prepare__items", "no.json"), "no.json: no such file"),
    ("unknown kind of items", "prepare", key("prepare__items", "dvc.yaml"), "dvc.yaml: unknown kind of file '.yaml'"),
    ("broken JSON", "prepare", text("items.json", '{"0": {"title": "x"}'), "items.json: broken JSON"),
    ("JSON list", "prepare", text("items.json", "[]"), "embeddings.npy: 60 rows have no id in prepare.items"),
    (
        "item is no object",
        "prepare",
        items(lambda i: i.update({"5": "Drill"})),
        "items.json: item '5' is 'Drill', must be",
    ),
    (
        "id without row",
        "prepare",
        items(lambda i: [i.update({str(n): {}}) for n in range(60, 67)]),
        "prepare.items: 7 ids have no row in embeddings.npy: 60, 61, 62, 63, 64, ...",
    ),
    (
        "row without id",
        "prepare",
        items(lambda i: [i.pop(str(n)) for n in (7, 9)]),
        "embeddings.npy: 2 rows have no id in prepare.items: 7, 9",
    ),
    (
        "id twice in JSON",
        "prepare",
        text("items.json", '{"0": {}, "0": {}}'),
        "items.json: 1 keys occur more than once",
    ),
    ("broken JSONL", "prepare", jsonl('{"item_id": 0}', "{"), "items.jsonl: line 2 is broken JSON"),
    ("JSONL without id", "prepare", jsonl('{"title": "x"}'), "items.jsonl: line 1 has item_id None"),
    (
        "CSV without id column",
        "prepare",
        csv("id,title\n0,x\n"),
        "items.csv: no column item_id; its columns are id, title; did you mean prepare.item_id_column: id?",
    ),
    ("CSV id twice", "prepare", csv("item_id,title\n0,x\n0,y\n"), "items.csv: 1 item ids occur more than once"),
    ("ragged CSV", "prepare", csv("item_id,title\n0,x,y,z\n"), "items.csv: line 2 has 4 fields, its header has 2"),
    ("output folder is a file", "prepare", file_in_the_way, "reports/prepare.json: can't be written"),
    ("params missing", "train", lambda p: p.path("params.yaml").unlink(), "params.yaml: no such file"),
    (
        "params broken",
        "train",
        text("params.yaml", "quant: [1"),
        "params.yaml:1:8: not valid YAML: this [ isn't closed",
    ),
    ("unknown key", "train", key("quant__emb_list", [1]), "params.yaml: quant.emb_list is an unknown key"),
    ("wrong type", "train", key("quant__e_dim", "64"), "params.yaml: quant.e_dim is '64': must be a valid integer"),
    ("a number for an integer", "train", replace("e_dim: 32", "e_dim: 1e-4"), "quant.e_dim is 0.0001: must be a valid"),
    ("on", "train", replace("normalize: none", "normalize: on"), "prepare.normalize is 'on': must be 'none' or 'l2'"),
    (
        "a date",
        "train",
        replace("e_dim: 32", "e_dim: 2026-01-31"),
        "quant.e_dim is 2026-01-31, which YAML reads as a date",
    ),
    (
        "K larger than N",
        "train",
        key("quant__num_emb_list", [4, 61]),
        "quant.num_emb_list[1] is 61: must be at most 60",
    ),
    (
        "prepared vectors missing",
        "align",
        lambda p: p.path("data/prepared/embeddings.npy").unlink(),
        "data/prepared/embeddings.npy: can't be read, run the prepare stage",
    ),
    (
        "aligned vectors missing",
        "train",
        lambda p: p.path("data/aligned.npy").unlink(),
        "data/aligned.npy: can't be read, run the align stage",
    ),
    ("model broken", "index", text("data/quantizer.pth", "no"), "data/quantizer.pth: can't be read as a quantizer"),
    (
        "curve broken",
        "report",
        text("reports/train.csv", "step\n1\n"),
        "reports/train.csv: has columns step, must have step",
    ),
    ("curve empty", "report", text("reports/train.csv", ""), "reports/train.csv: can't be read as CSV, run the train"),
    ("train.json broken", "report", text("reports/train.json", "{"), "reports/train.json: isn't JSON, run the stage"),
    ("codes broken", "dedupe", text("data/codes.npy", "no"), "data/codes.npy: can't be read, run the index stage"),
    (
        "suffix too large",
        "dedupe",
        lambda p: (p.params(dedupe__strategy="append", dedupe__max_suffix=2), save_codes(p))[0],
        "dedupe.max_suffix is 2",
    ),
    ("interactions missing", "interactions", key("interactions__source", "no"), "no: no such folder or file"),
    (
        "table with a bad time",
        "interactions",
        lambda p: (
            p.path("log.csv").write_text("user_id,item_id,timestamp\nu,1,2026-01-31\nu,2,soon\n"),
            p.params(interactions__source="log.csv"),
        )[1],
        "log.csv: line 3 has timestamp 'soon', must be a finite number, or ISO 8601 text",
    ),
    ("folder without splits", "interactions", key("interactions__source", "data"), "data: has files of several kinds"),
    (
        "unknown item",
        "interactions",
        inter("valid", "7\t0 999\t1", "8\t1\t888"),
        "inter/valid.inter: names 2 items that aren't in the catalogue, first in line 2: 999, 888",
    ),
    (
        "missing column in .inter",
        "interactions",
        inter("train", "7\t0"),
        "inter/train.inter: line 2 has 2 columns, must have 3",
    ),
    ("no header in .inter", "interactions", text("inter/test.inter", "7\t0\t1\n"), "inter/test.inter: line 1 is data"),
    ("two files for a split", "interactions", text("inter/x.train.inter", ""), "are 2 files for one split train"),
    ("prompts missing", "export", key("export__prompts", "no.yaml"), "no.yaml: no such file"),
    (
        "unknown placeholder",
        "export",
        lambda p: void(
            p.path("prompts/en.yaml").write_text(
                p.path("prompts/en.yaml").read_text().replace('"{history}"', '"{past}"', 1)
            )
        ),
        "prompts/en.yaml: sid_history_to_sid[0] has a placeholder {past} in input, must be history",
    ),
    (
        "sids of another catalogue",
        "export",
        lambda p: (
            pl.read_parquet(p.path("data/prepared/items.parquet"))
            .head(5)
            .write_parquet(p.path("data/prepared/items.parquet"))
        ),
        "the prepared items and the Semantic IDs belong to different catalogues",
    ),
]


def save_codes(project: Project) -> None:
    np.save(project.path("data/codes.npy"), np.zeros((60, 3), np.int32))


@pytest.mark.parametrize(("stage", "break_it", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_one_clear_line_and_nothing_lost(
    finished: Project,
    stage: str,
    break_it: Callable[[Project], None],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = finished
    break_it(project)
    before = project.contents() if project.path("reports").is_dir() else {}
    monkeypatch.chdir(project.folder)
    # in this process, which has loaded all packages already
    assert run._run(stage, import_module(f"stages.{stage}").main, project.paths(stage)) == 1
    done = capsys.readouterr()
    assert done.out == ""
    lines = done.err.splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith(f"{stage}: error: ")
    assert said in lines[0]
    if before:
        assert project.contents() == before


def test_there_are_cases_enough() -> None:
    assert len({case[0] for case in CASES}) == len(CASES) >= 30


def test_preflight_looks_at_the_header_of_interactions(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.folder)
    assert preflight.main() == 0
    project.path("log.csv").write_text("user_id,item,timestamp\n")
    project.params(interactions__source="log.csv")
    assert preflight.main() == 1
    assert capsys.readouterr().err == (
        "error: log.csv: no column item_id; its columns are user_id, item, timestamp; "
        "did you mean interactions.item_column: item?\n"
    )


@pytest.mark.parametrize(
    ("header", "advice"),
    [
        (
            "item,who,when",
            "; did you mean interactions.item_column: item? (interactions.user_column, interactions.time_column name "
            "the others)",
        ),
        (
            "who,what,when",
            " (interactions.user_column, interactions.item_column, interactions.time_column name them)",
        ),
        ("user_id,what,timestamp", " (interactions.item_column names it)"),
        (
            "user_id,item,when",
            "; did you mean interactions.item_column: item? (interactions.time_column names the other)",
        ),
    ],
)
def test_each_missing_column_is_told_with_its_key(project: Project, header: str, advice: str) -> None:
    project.path("log.csv").write_text(f"{header}\n1,2,3\n")
    project.params(interactions__source="log.csv")
    project.succeed("prepare")
    assert advice in project.run("interactions").stderr.splitlines()[0]


def test_preflight_reports_the_missing_columns_of_all_files_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.folder)
    project.path("items.csv").write_text("item_id,name\n1,Drill\n")
    project.path("log.csv").write_text("user_id,item,timestamp\n")
    project.params(prepare__items="items.csv", prepare__title_column="nmae", interactions__source="log.csv")
    assert preflight.main() == 1
    assert capsys.readouterr().err == (
        "error: items.csv: no column nmae; its columns are item_id, name; did you mean prepare.title_column: name?\n"
        "error: log.csv: no column item_id; its columns are user_id, item, timestamp; "
        "did you mean interactions.item_column: item?\n"
    )


def test_preflight_lets_pass_what_fits_once_invalid_rows_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = catalogue(65)
    vectors[7] = np.nan
    project = make_project(tmp_path / "project", vectors)
    project.params(quant__num_emb_list=[4, 4, 4], prepare__items="data/none", interactions__source="data/none")
    monkeypatch.chdir(project.folder)
    assert preflight.main() == 1
    assert "makes 64 Semantic IDs for 65 items" in capsys.readouterr().err
    project.params(prepare__invalid_rows="drop")
    assert preflight.main() == 0
    project.succeed("prepare", "interactions", "align", "train")


def test_preflight_tells_of_a_warm_start_file_with_other_content(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.folder)
    project.succeed("prepare", "interactions", "align", "train")
    project.path("data/quantizer.pth").rename(project.path("warm.pth"))
    changes = {"epochs": 2, "eval_step": 1, "warmup_epochs": 1, "warm_start_file": "warm.pth"}
    project.params(quant__method="rqkmeans_plus", quant__e_dim=8)
    project.params(**{f"quant__rqkmeans_plus__{name}": value for name, value in changes.items()})
    project.succeed("train")
    capsys.readouterr()
    assert len(project.report("train")["warm_start_sha256"]) == 64
    assert preflight.main() == 0
    assert capsys.readouterr().err == ""
    with project.path("warm.pth").open("ab") as file:
        file.write(b"x")
    assert preflight.main() == 0
    assert capsys.readouterr().err == (
        "note: warm.pth has changed since a training started from it; dvc repro --force train trains again\n"
    )
    project.params(quant__method="rqkmeans")
    assert preflight.main() == 0
    assert capsys.readouterr().err == ""
    project.params(quant__method="rqkmeans_plus")
    project.path("warm.pth").unlink()
    assert preflight.main() == 1
    assert capsys.readouterr().err == (
        "error: params.yaml: quant.rqkmeans_plus.warm_start_file is 'warm.pth': no such file or folder "
        "(data/none means none)\n"
    )
