from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from sid import sft
from sid.errors import InputError
from sid.export import write_all
from sid.interactions import read_splits
from sid.params import NOT_GIVEN, Export
from sid.semantic_ids import SemanticIds
from tests.conftest import CATALOGUE, ROOT, needs_catalogue

NASTY = [
    'a\ttab\nand "quotes"',
    "comma, and ü",
    "🌹 \u202eעברית",
    "x" * 10_000,
    None,
    "   ",
    "{braces} {sid}",
    "\\ back",
]
HEADER = "user_id:token\titem_id_list:token_seq\titem_id:token\n"


def wanted(**changes: Any) -> Export:
    values = {
        "dataset": "shop",
        "interactions": NOT_GIVEN,
        "unknown_items": "error",
        "prompts": str(ROOT / "prompts/en.yaml"),
        "seed": 0,
        **changes,
    }
    return Export(**values)


def shop(ids: list[str] | None = None) -> tuple[SemanticIds, pl.DataFrame]:
    ids = ids or [f"sku-{row}" for row in range(len(NASTY))]
    codes = np.stack([np.arange(len(ids)), np.arange(len(ids)) % 3], axis=1).astype(np.int32)
    nothing = pl.Series([None] * len(ids), dtype=pl.String)
    titles = (NASTY * (len(ids) // len(NASTY) + 1))[: len(ids)]
    frame = pl.DataFrame(
        {"item_id": ids, "title": titles, "description": nothing, "brand": nothing, "categories": nothing}
    )
    return SemanticIds(frame["item_id"], codes, (len(ids), 3)), frame


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_index_and_items_as_the_seed_writes_them(tmp_path: Path) -> None:
    sids, items = shop()
    write_all(tmp_path, sids, items, wanted())
    index = load(tmp_path / "shop.index.json")
    assert list(index) == items["item_id"].to_list()
    assert index["sku-4"] == ["<a_4>", "<b_1>"]
    described = load(tmp_path / "shop.item.json")
    assert list(described) == list(index)
    for title, record in zip(NASTY, described.values(), strict=True):
        assert record == {"title": title or "", "description": "", "brand": "", "categories": ""}


def test_item_records_hold_nasty_titles_and_leave_out_empty_ones(tmp_path: Path) -> None:
    sids, items = shop()
    figures = write_all(tmp_path, sids, items, wanted())
    forward, back = load(tmp_path / "title_to_sid.json"), load(tmp_path / "sid_to_title.json")
    titled = [row for row, title in enumerate(NASTY) if title and title.strip()]
    assert [record["input"] for record in forward] == [NASTY[row] for row in titled]
    assert [record["output"] for record in forward] == [sids.texts()[row] for row in titled]
    assert [(r["output"], r["input"]) for r in forward] == [(r["input"], r["output"]) for r in back]
    assert {*forward[0]} == {"task", "instruction", "input", "output"}
    assert figures["items_without_title"] == 2
    assert figures["records"] == {"title_to_sid": {"all": 6}, "sid_to_title": {"all": 6}}
    assert not list(tmp_path.glob("sequence_*"))


def test_wordings_are_drawn_by_seed(tmp_path: Path) -> None:
    sids, items = shop([str(row) for row in range(200)])
    drawn = []
    for seed in (0, 0, 1):
        folder = tmp_path / str(len(drawn))
        folder.mkdir()
        write_all(folder, sids, items, wanted(seed=seed))
        drawn.append([record["instruction"] for record in load(folder / "title_to_sid.json")])
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 3


def interactions(folder: Path, **splits: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, rows in splits.items():
        (folder / f"{name}.inter").write_text(HEADER + rows)
    return str(folder)


def test_sequences_of_the_splits_there_are(tmp_path: Path) -> None:
    sids, items = shop()
    folder = interactions(tmp_path / "inter", train="u\tsku-0 sku-1\tsku-2\n", test="v\tsku-3\tsku-0\n")
    out = tmp_path / "out"
    out.mkdir()
    figures = write_all(out, sids, items, wanted(interactions=folder))
    record = load(out / "sequence_train.json")[0]
    assert record["input"] == "<a_0><b_0>, <a_1><b_1>"
    assert record["output"] == "<a_2><b_2>"
    assert (record["user_id"], record["item_id"], record["task"]) == ("u", "sku-2", "sequence")
    assert figures["records"]["sequence"] == {"train": 1, "test": 1}
    assert not (out / "sequence_valid.json").exists()


def test_files_named_after_their_dataset_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "inter"
    folder.mkdir()
    (folder / "Shop.valid.inter").write_text(HEADER + "u\ta\tb\r\n")
    (split,) = read_splits(folder, {"a", "b"}, "error")
    assert (split.name, split.rows[0].item_id) == ("valid", "b")


def test_unknown_items_are_skipped_and_counted(tmp_path: Path) -> None:
    rows = "u\ta x b\tc\nu\tx\ta\nu\ta\tx\nu\t\ta\n"
    folder = Path(interactions(tmp_path / "inter", train=rows))
    (split,) = read_splits(folder, {"a", "b", "c"}, "skip")
    assert [(row.history, row.item_id) for row in split.rows] == [(("a", "b"), "c")]
    assert split.skipped == 3
    with pytest.raises(InputError, match="names 1 items that have no Semantic ID, first in line 2: x"):
        read_splits(folder, {"a", "b", "c"}, "error")


def test_uneven_semantic_ids_have_no_empty_token(tmp_path: Path) -> None:
    sids, items = shop()
    codes = np.column_stack([sids.codes, np.where(np.arange(8) < 4, -1, 2)]).astype(np.int32)
    write_all(tmp_path, SemanticIds(sids.item_ids, codes, (8, 3, 3)), items, wanted())
    index = load(tmp_path / "shop.index.json")
    assert [len(tokens) for tokens in index.values()] == [2] * 4 + [3] * 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.pop("sequence"), "sequence is None, must be a list of wordings"),
        (lambda p: p.update(extra=[]), "extra is no task"),
        (lambda p: p.update(sequence=[]), "sequence is [], must be a list"),
        (lambda p: p["sequence"].append("x"), "sequence[3] is 'x', must be a mapping"),
        (lambda p: p["sequence"][0].pop("input"), "sequence[0] has input None, must be text"),
        (lambda p: p["sequence"][0].update(system="x"), "sequence[0] has an unknown part system"),
        (
            lambda p: p["sequence"][0].update(input="{title}"),
            "unknown placeholder {title}, must be one of history, sid",
        ),
        (lambda p: p["sequence"][0].update(input="{history"), "sequence[0] has a broken input"),
        (lambda p: p["sequence"][0].update(input="{}"), "unknown placeholder {}"),
    ],
)
def test_prompt_files_are_checked(tmp_path: Path, change: Any, said: str) -> None:
    import yaml

    prompts = yaml.safe_load((ROOT / "prompts/en.yaml").read_text())
    change(prompts)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(prompts))
    with pytest.raises(InputError) as caught:
        sft.Prompts.load(path)
    assert len(caught.value.problems) == 1
    assert said in caught.value.problems[0]


@needs_catalogue
def test_real_interactions_are_all_exported(tmp_path: Path) -> None:
    ids = [str(row) for row in range(3686)]
    sids, items = shop(ids)
    figures = write_all(tmp_path, sids, items, wanted(interactions=str(CATALOGUE)))
    assert figures["records"]["sequence"] == {"train": 10_393, "valid": 4_532, "test": 4_533}
    assert figures["skipped_interactions"] == {"train": 0, "valid": 0, "test": 0}
    text_of = dict(zip(ids, sids.texts(), strict=True))
    lines = (CATALOGUE / "valid.inter").read_text().splitlines()[1:]
    for line, record in zip(lines, load(tmp_path / "sequence_valid.json"), strict=True):
        user, history, target = line.split("\t")
        assert record["user_id"] == user
        assert record["input"] == ", ".join(text_of[item] for item in history.split())
        assert record["output"] == text_of[target]
