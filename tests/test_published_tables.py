"""Going on from a table of Semantic IDs that somebody published without the quantizer that made them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sid import params
from sid.errors import InputError
from sid.export.formats import CHOICES
from sid.ids import SemanticIds
from sid.quantizers.methods import CONFIGS
from sid.releases.folder import open_release
from sid.releases.tables import open_table, read_table
from stages import preflight
from tests import test_report as report_page
from tests.conftest import Project, catalogue, make_project
from tests.releasing import INDEX, catalogue_of, publish_from, sids_of
from tests.test_report import check_page

VECTORS = catalogue(80, seed=3)
IDS = [f"{row}" for row in range(80)]


@pytest.fixture(scope="module")
def _day1(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """60 items with an index of their own."""
    project = make_project(tmp_path_factory.mktemp("day1") / "project")
    project.params(quant__num_emb_list=[4, 4, 16], interactions__source="data/none")
    catalogue_of(project, IDS[:60], VECTORS[:60])
    project.succeed(*INDEX)
    return project


@pytest.fixture
def day1(_day1: Project, tmp_path: Path) -> Project:
    return Project(Path(shutil.copytree(_day1.folder, tmp_path / "project", symlinks=True)))


def second_day(project: Project, seed: int = 0) -> None:
    """Two items have left, twenty have come, in an order by the seed; another quantizer would be trained."""
    rows = np.random.default_rng(seed).permutation(np.arange(2, 80)).tolist()
    catalogue_of(project, [IDS[row] for row in rows], VECTORS[rows])
    project.params(quant__seed=7)


def write_index(path: Path, sids: dict[str, str]) -> None:
    entries = {item: [f"{part}>" for part in sid.split(">")[:-1]] for item, sid in sids.items()}
    path.write_text(json.dumps(entries))


def as_index(project: Project) -> str:
    write_index(project.path("shop.index.json"), sids_of(project))
    return "shop.index.json"


def as_parquet(project: Project) -> str:
    shutil.copy(project.path("data/sids.parquet"), project.path("old.parquet"))
    return "old.parquet"


def as_texts(project: Project) -> str:
    """As others might write it: integer ids, the Semantic ID as text, no metadata."""
    sids = sids_of(project)
    pl.DataFrame({"item_id": [int(item) for item in sids], "sid": list(sids.values())}).write_parquet(
        project.path("texts.parquet")
    )
    return "texts.parquet"


def as_lists(project: Project) -> str:
    table = pl.read_parquet(project.path("data/sids.parquet"))
    table.select("item_id", pl.col("codes").cast(pl.List(pl.Int64))).write_parquet(project.path("lists.parquet"))
    return "lists.parquet"


KINDS = {
    "reassign": as_parquet,
    "sinkhorn": as_index,
    "append": as_texts,
    "append_colliding": as_index,
    "none": as_lists,
}


@pytest.mark.parametrize("strategy", sorted(KINDS))
def test_what_is_published_as_a_table_never_moves(day1: Project, strategy: str) -> None:
    day1.params(dedupe__strategy=strategy)
    day1.succeed("dedupe")
    before = sids_of(day1)
    name = KINDS[strategy](day1)
    day1.params(published=name)
    second_day(day1)
    day1.succeed(*INDEX, "delta")
    after = sids_of(day1)
    assert {one: after[one] for one in IDS[2:60]} == {one: before[one] for one in IDS[2:60]}
    if strategy in ("reassign", "append", "append_colliding"):
        assert len({after[one] for one in IDS[60:]} | set(before.values())) == 20 + len(set(before.values()))
    drift, churn, train = day1.report("drift"), day1.report("churn"), day1.report("train")
    assert drift["items"] == {"published": 58, "new": 20, "retired": 2, "reserved": 2}
    assert "verdict" not in drift
    assert churn["after"]["kept"]["all"] == 1
    assert churn["before"] is None
    assert "published" not in train
    assert train["renaming"]["after"]["first_1"] >= max(train["renaming"]["before"]["first_1"], 0.4)
    assert drift["agreement"]["first_1"] == train["renaming"]["after"]["first_1"]
    table = pl.read_parquet(day1.path("data/sids.parquet"))
    assert dict(table["release"].value_counts().iter_rows()) == {name: 58, None: 20}

    # whatever order the catalogue is in
    second_day(day1, seed=1)
    day1.succeed(*INDEX)
    again = sids_of(day1)
    assert {one: again[one] for one in IDS[2:60]} == {one: before[one] for one in IDS[2:60]}

    # published with its quantizer, it goes on as any release does
    day1.params(published=str(publish_from(day1, "day2")))
    release = open_release(day1.path("releases/day2"))
    assert (release.manifest["retired"], release.manifest["continues"]) == (2, name)
    catalogue_of(day1, [*IDS, "80"], VECTORS[[*range(80), 3]])
    day1.succeed(*INDEX)
    third = sids_of(day1)
    assert {one: third[one] for one in IDS[:60]} == before
    assert {one: third[one] for one in IDS[60:]} == {one: again[one] for one in IDS[60:]}


def test_new_items_are_settled_by_id_whatever_the_order(day1: Project) -> None:
    """By one quantizer: a training itself depends on the order of the rows that it sees."""
    day1.params(published=as_index(day1))
    second_day(day1)
    day1.succeed(*INDEX)
    first = sids_of(day1)
    second_day(day1, seed=1)
    day1.succeed("prepare", "interactions", "align", "index", "dedupe")
    assert sids_of(day1) == first


def test_the_page_and_the_delta_of_a_table(day1: Project) -> None:
    index = as_index(day1)
    day1.params(published=index)
    second_day(day1)
    day1.succeed()
    delta = SemanticIds.load(day1.path("data/delta.parquet"))
    assert sorted(delta.item_ids) == sorted(IDS[60:])
    assert (delta.code_sizes, delta.published_sizes) == ((4, 4, 16), read_table(day1.path(index)).code_sizes)
    page = check_page(
        day1.path("reports/report.html").read_text(), {name: day1.report(name) for name in report_page.REPORTS}
    )
    assert {"drift.agreement.first_1", "drift.agreement.all", "churn.after.kept.all"} <= set(page.shown)
    assert "Since shop.index.json" in day1.path("reports/report.html").read_text()


def test_retired_places_of_a_table_may_be_freed(day1: Project) -> None:
    day1.params(published=as_index(day1), release__retired="free")
    second_day(day1)
    day1.succeed(*INDEX, "delta")
    assert day1.report("drift")["items"]["reserved"] == 0


def test_a_refresh_after_a_table_keeps_what_agrees(day1: Project) -> None:
    before = sids_of(day1)
    day1.params(published=as_parquet(day1), release__mode="refresh")
    second_day(day1)
    day1.succeed(*INDEX, "delta")
    after, churn = sids_of(day1), day1.report("churn")
    same = sum(after[one] == before[one] for one in IDS[2:60])
    assert 0 < same < 58
    assert churn["after"]["changed"] == 58 - same
    assert churn["before"]["kept"]["first_1"] < churn["after"]["kept"]["first_1"]
    day1.params(quant__num_emb_list=[8, 16])  # a refresh may have another shape
    day1.succeed("train", "index", "dedupe", "delta")
    assert len(set(sids_of(day1).values())) == 78


def test_items_that_share_a_published_semantic_id_go_on_sharing_it(
    day1: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    sids = sids_of(day1)
    sids["7"] = sids["8"]
    write_index(day1.path("shop.index.json"), sids)
    day1.params(published="shop.index.json")
    second_day(day1)
    with chdir(day1.folder):
        assert preflight.main() == 0
    assert capsys.readouterr().err == (
        "note: shop.index.json: 2 items share their Semantic IDs with others; published items keep what they have, "
        "shared or not\n"
    )
    day1.succeed(*INDEX, "delta")
    after = sids_of(day1)
    assert after["7"] == after["8"] == sids["8"]
    assert list(after.values()).count(sids["8"]) == 2, "no new item joins them"
    assert day1.report("drift")["sharing"] == 2


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Project], None]:
    def edit(project: Project) -> None:
        path = project.path("shop.index.json")
        entries = json.loads(path.read_text())
        change(entries)
        path.write_text(json.dumps(entries))

    return edit


def table_of(**columns: Any) -> Callable[[Project], None]:
    def write(project: Project) -> None:
        pq.write_table(pa.table(columns), project.path("other.parquet"))
        project.params(published="other.parquet")

    return write


def twice(project: Project) -> None:
    path = project.path("shop.index.json")
    path.write_text(path.read_text().replace('"1":', '"0":', 1))


OK = ["<a_0><b_1><c_2>", "<a_0><b_1><c_3>"]
REFUSED: dict[str, tuple[Callable[[Project], object], str]] = {
    "fewer codes": (
        lambda p: p.params(quant__num_emb_list=[4, 4, 4]),
        r"params.yaml: quant.num_emb_list is \[4, 4, 4\], but the Semantic IDs of shop.index.json have 3 levels of "
        r"\[4, 4, 16\] codes: must have as many levels",
    ),
    "fewer levels": (lambda p: p.params(quant__num_emb_list=[64]), r"num_emb_list is \[64\], but the .* have 3 levels"),
    "more levels": (lambda p: p.params(quant__num_emb_list=[9, 9, 16, 9]), r"num_emb_list is .* have 3 levels"),
    "a level that the strategy doesn't add": (
        lambda p: p.params(quant__num_emb_list=[8, 8]),
        "dedupe.strategy is 'reassign': must be the strategy of the published Semantic IDs, which have 3 levels where",
    ),
    "no level for the number": (
        lambda p: p.params(dedupe__strategy="append"),
        "dedupe.strategy is 'append': must be the strategy of the published Semantic IDs, which have 3 levels where",
    ),
    "an id twice": (twice, "^shop.index.json: 1 item ids occur more than once, ids must be unique: 0$"),
    "no JSON": (lambda p: p.path("shop.index.json").write_text('{"0": ['), "^shop.index.json: isn't JSON"),
    "a list": (lambda p: p.path("shop.index.json").write_text("[]"), "shop.index.json: must be an object of item id"),
    "no item": (lambda p: p.path("shop.index.json").write_text("{}"), "with one item or more"),
    "no token": (
        edited(lambda entries: entries.update({"5": ["<a_1>", "b_2"]})),
        "item '5': '<a_1>b_2' isn't a Sem",
    ),
    "levels out of order": (
        edited(lambda entries: entries.update({"5": ["<b_1>", "<a_2>", "<c_3>"]})),
        "item '5': '<b_1><a_2><c_3>' isn't a Semantic ID: must be tokens of levels a, b, ...",
    ),
    "two tokens fewer": (
        edited(lambda entries: entries.update({"5": ["<a_1>"]})),
        "item '5' has 1 tokens, but others have 3: all Semantic IDs must have the same length",
    ),
    "a number": (edited(lambda entries: entries.update({"5": 3})), "item '5' has 3: must be a list of tokens"),
    "codes beyond any": (
        edited(lambda entries: entries.update({"5": ["<a_1>", "<b_2>", "<c_99999999>"]})),
        "item '5' has codes .1, 2, 99999999.: must be 1 to 26 integers from 0 to 1048575",
    ),
    "an output": (
        lambda p: p.params(published="data/sids.parquet"),
        "published is 'data/sids.parquet', which the pipeline writes: must be a copy of it, or a release",
    ),
    "no Parquet": (
        lambda p: (p.path("x.parquet").write_bytes(b"PAR1 no"), p.params(published="x.parquet")),
        "^x.parquet: can't be read as Parquet",
    ),
    "no Semantic IDs": (
        table_of(item_id=["1"], price=[2]),
        r"other.parquet: holds no Semantic IDs \(columns item_id, price\): must have 'item_id', and 'codes'",
    ),
    "an id missing": (table_of(item_id=["1", None], sid=OK), "other.parquet: row 1 has no item_id"),
    "a Semantic ID missing": (table_of(item_id=["1", "2"], sid=[None, OK[0]]), "other.parquet: row 0 has no sid"),
    "decimal ids": (table_of(item_id=[1.0, 2.0], sid=OK), "column 'item_id' is double, must be text or integers"),
    "codes that are no lists": (
        table_of(item_id=["1"], codes=[3]),
        "column 'codes' is int64, must be lists of integers",
    ),
    "a negative code": (table_of(item_id=["1"], codes=[[0, -1, 2]]), "item '1' has codes .0, -1, 2.: must be 1 to 26"),
    "a code missing": (table_of(item_id=["1", "2"], codes=[[0, 1, 2], [0, None, 2]]), "item '2' has 3 tokens, but"),
    "nothing in it": (table_of(item_id=pa.array([], pa.string()), sid=pa.array([], pa.string())), "one item or more"),
}


@pytest.mark.parametrize(("damage", "said"), REFUSED.values(), ids=list(REFUSED))
def test_a_table_that_cant_be_gone_on_from_is_one_line_before_any_work(
    day1: Project, damage: Callable[[Project], object], said: str
) -> None:
    day1.params(published=as_index(day1))
    damage(day1)
    with chdir(day1.folder), pytest.raises(InputError, match=said) as refused:
        preflight.check(params.load("params.yaml", CONFIGS, CHOICES))
    assert len(refused.value.problems) == 1


def test_a_table_of_other_ids_is_refused_before_the_training(day1: Project) -> None:
    write_index(day1.path("shop.index.json"), {f"item-{one}": sid for one, sid in sids_of(day1).items()})
    day1.params(published="shop.index.json")
    said = r"shop.index.json: has none of the catalogue's items: .* item-0, .*; the cat.* 0, 1"
    with pytest.raises(InputError, match=said):
        day1.succeed("train")


def test_uneven_tables_need_the_level_that_some_lack(tmp_path: Path) -> None:
    path = tmp_path / "uneven.index.json"
    write_index(path, {"1": "<a_0><b_1>", "2": "<a_0><b_1><c_0>"})
    found = open_table(path, (4, 4))
    assert found.codes.tolist() == [[0, 1, -1], [0, 1, 0]]
    assert (found.raw_codes.tolist(), found.code_sizes) == ([[0, 1], [0, 1]], (1, 2, 1))
    with pytest.raises(InputError, match=r"num_emb_list is \[4, 4, 4\], but"):
        open_table(path, (4, 4, 4))
