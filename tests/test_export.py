"""Every format, read as its reader reads it, on titles and ids that hurt."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

from sid import ids as tokens
from sid.catalogue.items import FIELDS
from sid.catalogue.metadata import read_metadata
from sid.catalogue.texts import cleaned
from sid.decoding.trie import Trie
from sid.errors import InputError
from sid.export import columns, estimate, write_all
from sid.export.formats import FORMATS
from sid.export.histories import Behaviour
from sid.export.prompts import TASKS, Prompts
from sid.export.source import Source
from sid.ids import SemanticIds
from tests.conftest import CATALOGUE, needs_catalogue
from tests.shop import INTER, NASTY, export, inter, lines, load, read, shop, wanted

TITLED = [row for row, title in enumerate(NASTY) if title and title.strip()]
SHARED = (
    "1 titles are shared by items with different Semantic IDs, 2 items in all: "
    "title_to_sid trains contradictory answers"
)
SKUS = [f"sku-{row}" for row in range(len(NASTY))]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """All formats of the shop with integer ids and .inter splits, and the figures."""
    folder = tmp_path_factory.mktemp("export")
    figures = export(folder / "sft", *shop(), source=inter(folder / "inter"))
    return folder / "sft", figures


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_a_module_of_its_name(name: str) -> None:
    assert importlib.import_module(f"sid.export.{name}").FORMAT is FORMATS[name]


def test_a_folder_a_format_and_counts(everything: tuple[Path, dict[str, Any]]) -> None:
    folder, figures = everything
    assert sorted(path.name for path in folder.iterdir()) == sorted(FORMATS)
    assert figures["records"] == {
        "sid_history_to_sid": {"train": 3, "valid": 2, "test": 2},
        "title_to_sid": {"train": 8},
        "sid_to_title": {"train": 8},
        "sid_history_to_title": {"train": 3, "valid": 2, "test": 2},
        "title_history_to_sid": {"train": 3, "valid": 2, "test": 2},
        "title_history_to_title": {"train": 3, "valid": 2, "test": 2},
        "description_to_sid": {"train": 4},
    }
    assert figures["records_left_out"]["title_to_sid"] == {"train": 2}
    assert figures["records_left_out"]["description_to_sid"] == {"train": 6}
    assert figures["items_without_title"] == 2
    assert figures["interactions"] == {"train": 3, "valid": 2, "test": 2}
    assert (figures["users"], figures["users_left_out"]) == (2, 0)
    for name in ("alpaca", "messages", "prompt_completion", "parquet"):
        assert figures["formats"][name]["records"] == sum(sum(n.values()) for n in figures["records"].values())
    for name, counted in figures["formats"].items():
        assert counted["files"] == sum(path.is_file() for path in (folder / name).rglob("*"))


def test_texts_that_are_not_held_give_the_same_bytes(
    everything: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = everything
    monkeypatch.setattr(columns, "HELD", 0)
    monkeypatch.setattr(columns, "_PART", 3)
    export(tmp_path / "sft", *shop(), source=inter(tmp_path / "inter"))
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) > len(FORMATS)
    assert [path for path in files if (folder / path).read_bytes() != (tmp_path / "sft" / path).read_bytes()] == []


def test_the_same_bytes_again(everything: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = everything
    export(tmp_path / "sft", *shop(), source=inter(tmp_path / "inter"))
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert [name for name in files if (folder / name).read_bytes() != (tmp_path / "sft" / name).read_bytes()] == []


@pytest.mark.parametrize("name", ["index", "minionerec", "lcrec"])
def test_index_and_items(everything: tuple[Path, dict[str, Any]], name: str) -> None:
    folder, _ = everything
    index, described = load(folder / name / "shop.index.json"), load(folder / name / "shop.item.json")
    assert list(index) == list(described) == [str(row) for row in range(len(NASTY))]
    assert index["4"] == ["<a_0>", "<b_1>", "<c_4>"]
    for row in TITLED:
        assert described[str(row)]["title"] == NASTY[row]
    assert all(set(record) == set(FIELDS) and None not in record.values() for record in described.values())


def test_untitled_items_have_a_name_for_minionerec_alone(everything: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = everything
    assert load(folder / "minionerec/shop.item.json")["4"]["title"] == "Item_4"
    assert load(folder / "index/shop.item.json")["4"]["title"] == ""


# MiniOneRec: each fact of its readers


def test_minionerec_finds_its_index_by_the_first_dot_and_sorts_the_tokens(
    everything: tuple[Path, dict[str, Any]],
) -> None:
    folder, _ = everything
    path = next((folder / "minionerec").glob("*.index.json"))
    dataset = path.name.split(".")[0]
    index = load(path.parent / (dataset + ".index.json"))
    new_tokens = sorted({token for sid in index.values() for token in sid})
    assert set(new_tokens) <= set(tokens.vocabulary((4, 3, 10)))


def read_csv(folder: Path, split: str) -> list[dict[str, Any]]:
    """As SidSFTDataset and its kin do: pandas, then eval of the list columns."""
    (path,) = (folder / "minionerec" / split).glob("shop*11.csv")
    rows = pd.read_csv(path).to_dict("records")
    for row in rows:
        for name in ("history_item_title", "history_item_id", "history_item_sid"):
            row[name] = eval(row[name])
    return rows


def test_minionerec_reads_the_csv_files(everything: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = everything
    titles = [title if title and title.strip() else f"Item_{row}" for row, title in enumerate(NASTY)]
    texts = shop()[0].texts()
    for split, content in INTER.items():
        rows = read_csv(folder, split)
        assert len(rows) == len(content.splitlines())
        for row, line in zip(rows, content.splitlines(), strict=True):
            user, history, target = line.split("\t")
            past, item = [int(part) for part in history.split()], int(target)
            assert row == {
                "user_id": f"A{user}",
                "history_item_title": [titles[part] for part in past],
                "item_title": titles[item],
                "history_item_id": past,
                "item_id": item,
                "history_item_sid": [texts[part] for part in past],
                "item_sid": texts[item],
            }


def test_minionerec_reads_the_info_lines(everything: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = everything
    (path,) = (folder / "minionerec/info").glob("shop*11.txt")
    with path.open() as file:
        found = [line.rstrip("\n").split("\t") for line in file.readlines()]
    assert [fields[0].strip() for fields in found] == shop()[0].texts()
    assert [int(fields[2]) for fields in found] == list(range(len(NASTY)))
    for row in TITLED:
        assert found[row][1] == " ".join((NASTY[row] or "").split())
    assert found[4][1] == "Item_4"


def test_minionerec_joins_three_tokens_to_what_the_csv_files_hold(everything: tuple[Path, dict[str, Any]]) -> None:
    folder, figures = everything
    index = load(folder / "minionerec/shop.index.json")
    joined = {"".join(sid[:3]) for sid in index.values()}
    assert all({*row["history_item_sid"], row["item_sid"]} <= joined for row in read_csv(folder, "train"))
    assert not [warning for warning in figures["warnings"] if "MiniOneRec" in warning]


def test_ids_that_are_no_integers_are_numbered(tmp_path: Path) -> None:
    rows = "u\tsku-0 sku-1\tsku-2\n"
    sids, items = shop(SKUS)
    export(tmp_path / "sft", sids, items, source=inter(tmp_path / "inter", train=rows, valid=rows, test=rows))
    folder = tmp_path / "sft"
    for name in ("minionerec", "lcrec", "grid"):
        assert load(folder / name / "id_map.json") == {str(row): sku for row, sku in enumerate(SKUS)}
    (row,) = read_csv(folder, "train")
    assert (row["history_item_id"], row["item_id"]) == ([0, 1], 2)
    assert list(load(folder / "minionerec/shop.index.json")) == [str(number) for number in range(len(SKUS))]
    assert list(load(folder / "index/shop.index.json")) == SKUS
    assert lines(folder / "messages/valid.jsonl")[0]["item_id"] == "sku-2"


@pytest.mark.parametrize("ids", [["007", "1"], ["1", "-2"], ["1.0", "2"], ["1", "٢"], ["1", "99999999999999999999"]])
def test_only_plain_integers_count_as_integers(tmp_path: Path, ids: list[str]) -> None:
    export(tmp_path, *shop(ids), tasks=[], formats=["minionerec"])
    assert load(tmp_path / "minionerec/id_map.json") == {"0": ids[0], "1": ids[1]}


def test_own_integers_are_kept_in_any_order(tmp_path: Path) -> None:
    sids, items = shop(["30", "4", "7"])
    export(tmp_path, sids, items, tasks=[], formats=["minionerec", "grid"])
    assert list(load(tmp_path / "minionerec/shop.index.json")) == ["30", "4", "7"]
    assert not (tmp_path / "minionerec/id_map.json").exists()
    assert load(tmp_path / "grid/id_map.json") == {"0": "30", "1": "4", "2": "7"}


def test_users_of_lcrec_and_letter_have_all_they_did(everything: tuple[Path, dict[str, Any]]) -> None:
    folder, figures = everything
    index, sequences = load(folder / "lcrec/shop.index.json"), load(folder / "lcrec/shop.inter.json")
    assert sequences == {"u": [0, 1, 2, 7, 8, 9], "v": [3, 0, 6, 1]}
    for user, items in sequences.items():  # as LC-Rec's SeqRecDataset holds out
        joined = ["".join(index[str(item)]) for item in items]
        last = INTER["test"].splitlines()["uv".index(user)].split("\t")
        assert joined[-1] == "".join(index[last[2]])
        assert joined[:-1] == ["".join(index[item]) for item in last[1].split()]
    assert not [warning for warning in figures["warnings"] if "LC-Rec" in warning]


def test_lcrec_is_warned_of_other_splits_and_short_users(tmp_path: Path) -> None:
    splits = {"train": "u\t0\t1\nw\t0 1 2\t3\n", "test": "x\t5\t6\n"}
    figures = export(tmp_path / "sft", *shop(), source=inter(tmp_path / "inter", **splits), formats=["lcrec"])
    assert load(tmp_path / "sft/lcrec/shop.inter.json") == {"w": [0, 1, 2, 3]}
    assert [text.split(":")[0] for text in figures["warnings"]] == [
        "LC-Rec and LETTER hold out each user's last two items themselves",
        "2 users with fewer than 3 items",
    ]


def test_grid_has_a_column_an_item(everything: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    tensor = torch.load(everything[0] / "grid/shop.pt", weights_only=True)
    sids, items = shop()
    assert tensor.dtype == torch.int64
    assert tensor.shape == (3, len(NASTY))
    assert (tensor.numpy() == sids.codes.T).all()

    mixed = ["2", "0", "1"]  # all there, in another order: column j is still item j
    sids, items = shop(mixed)
    export(tmp_path, sids, items, tasks=[], formats=["grid"])
    tensor = torch.load(tmp_path / "grid/shop.pt", weights_only=True)
    assert (tensor[:, 2].numpy() == sids.codes[0]).all()
    assert not (tmp_path / "grid/id_map.json").exists()


def test_llama_factory_finds_its_columns(everything: tuple[Path, dict[str, Any]]) -> None:
    folder = everything[0] / "alpaca"
    info = load(folder / "dataset_info.json")
    assert list(info) == ["shop_train", "shop_valid", "shop_test"]
    for entry in info.values():
        assert entry["formatting"] == "alpaca"
        assert list(entry["columns"]) == ["prompt", "query", "response", "system"]
        records = load(folder / entry["file_name"])
        assert isinstance(records, list)
        for record in records:
            assert all(isinstance(record[column], str) for column in entry["columns"].values())
            assert record["instruction"]
            assert record["output"]


def test_formats_of_records_say_the_same(everything: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = everything
    for split in INTER:
        table = pq.read_table(folder / f"parquet/{split}.parquet").to_pylist()
        alpaca = load(folder / f"alpaca/{split}.json")
        chats = lines(folder / f"messages/{split}.jsonl")
        pairs = lines(folder / f"prompt_completion/{split}.jsonl")
        assert len(table) == len(alpaca) == len(chats) == len(pairs)
        for row, record, chat, pair in zip(table, alpaca, chats, pairs, strict=True):
            question = row["instruction"] + "\n" + row["input"]
            assert (row["split"], record["input"], record["output"]) == (split, row["input"], row["output"])
            assert chat["messages"] == [
                {"role": "user", "content": question},
                {"role": "assistant", "content": row["output"]},
            ]
            assert (pair["prompt"], pair["completion"]) == (question + "\n", row["output"])
            for key in ("task", "user_id", "item_id"):
                assert row[key] == record[key] == chat[key] == pair[key]


def test_no_reader_of_lines_is_misled(everything: tuple[Path, dict[str, Any]]) -> None:
    """str.splitlines and its kin in other languages end lines at more characters than JSON knows."""
    files = [path for path in everything[0].rglob("*") if path.suffix in (".json", ".jsonl")]
    for path in files:
        text = path.read_bytes().decode("utf-8")
        assert text.splitlines() == text.removesuffix("\n").split("\n"), path


def test_item_tasks_hold_nasty_titles_in_train_alone(everything: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = everything
    texts = shop()[0].texts()
    train = pq.read_table(folder / "parquet/train.parquet").to_pylist()
    by_task = {task: [row for row in train if row["task"] == task] for task in TASKS}
    assert [(row["input"], row["output"]) for row in by_task["title_to_sid"]] == [
        (NASTY[row], texts[row]) for row in TITLED
    ]
    assert [(row["output"], row["input"]) for row in by_task["sid_to_title"]] == [
        (NASTY[row], texts[row]) for row in TITLED
    ]
    described = by_task["description_to_sid"]
    assert [row["input"] for row in described] == ["First. It's \\d second.", "plain [text]"] * 2
    assert [row["item_id"] for row in described] == ["1", "2", "6", "7"]
    for split in ("valid", "test"):
        held_out = pq.read_table(folder / f"parquet/{split}.parquet").to_pylist()
        assert {TASKS[row["task"]].history_of for row in held_out} == {"sid", "title"}


def test_histories_are_worded_oldest_first(everything: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = everything
    texts = shop()[0].texts()
    rows = pq.read_table(folder / "parquet/test.parquet").to_pylist()
    by_task = {row["task"]: row for row in rows if row["user_id"] == "v"}
    past = [3, 0, 6]
    assert by_task["sid_history_to_sid"]["input"] == ", ".join(texts[item] for item in past)
    assert by_task["title_history_to_sid"]["input"] == ", ".join(f'"{NASTY[item]}"' for item in past)
    assert by_task["title_history_to_title"]["output"] == NASTY[1]
    assert by_task["sid_history_to_title"]["history"] == ["3", "0", "6"]
    assert by_task["sid_history_to_sid"]["output"] == texts[1]


def test_what_lacks_a_title_is_left_out_of_titles_and_counted(tmp_path: Path) -> None:
    rows = "u\t4 5\t0\nu\t0 4\t1\nu\t0\t4\n"
    figures = export(tmp_path / "sft", *shop(), source=inter(tmp_path / "inter", train=rows), formats=["parquet"])
    assert figures["records_left_out"]["title_history_to_sid"] == {"train": 1}
    assert figures["records_left_out"]["sid_history_to_title"] == {"train": 1}
    assert figures["records_left_out"]["title_history_to_title"] == {"train": 2}
    records = pq.read_table(tmp_path / "sft/parquet/train.parquet").to_pylist()
    (kept,) = [row for row in records if row["task"] == "title_history_to_title"]
    assert (kept["history"], kept["item_id"]) == (["0"], "1")


def test_a_system_goes_where_the_reader_wants_it(tmp_path: Path) -> None:
    prompts = (Path(wanted().prompts).read_text()).replace("- instruction:", "- system: Be short.\n    instruction:")
    (tmp_path / "mine.yaml").write_text(prompts)
    (tmp_path / "sft").mkdir()
    export(tmp_path / "sft", *shop(), prompts=str(tmp_path / "mine.yaml"), tasks=["title_to_sid"])
    assert lines(tmp_path / "sft/messages/train.jsonl")[0]["messages"][0] == {"role": "system", "content": "Be short."}
    assert lines(tmp_path / "sft/prompt_completion/train.jsonl")[0]["prompt"].startswith("Be short.\n")
    assert load(tmp_path / "sft/alpaca/train.json")[0]["system"] == "Be short."


def test_wordings_are_drawn_by_seed(tmp_path: Path) -> None:
    drawn = []
    for place, seed in enumerate((0, 0, 1)):
        export(tmp_path / str(place), *shop([str(row) for row in range(200)]), seed=seed, formats=["alpaca"])
        drawn.append([record["instruction"] for record in load(tmp_path / str(place) / "alpaca/train.json")])
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 3 * 3


def test_new_tokens_are_the_vocabulary_level_by_level(everything: tuple[Path, dict[str, Any]]) -> None:
    found = load(everything[0] / "tokens/new_tokens.json")
    assert found == [f"<{letter}_{code}>" for letter, size in (("a", 4), ("b", 3), ("c", 10)) for code in range(size)]


def test_the_trie_holds_every_item(everything: tuple[Path, dict[str, Any]]) -> None:
    trie = Trie.load(everything[0] / "trie/trie.parquet")
    sids, _ = shop()
    assert trie.code_sizes == sids.code_sizes
    for item_id, codes in zip(sids.item_ids, sids.codes.tolist(), strict=True):
        assert trie.items(codes) == [item_id]


# what readers can't read, or would lose


def uneven() -> tuple[SemanticIds, pl.DataFrame]:
    sids, items = shop(levels=4)
    codes = sids.codes.copy()
    codes[::2, -1] = -1
    return SemanticIds(sids.item_ids, codes, sids.code_sizes), items


def test_more_than_three_levels_are_warned_of(tmp_path: Path) -> None:
    figures = export(tmp_path, *shop(levels=4), formats=["minionerec", "lcrec", "grid", "tokens"])
    (warning,) = [text for text in figures["warnings"] if "tokens:" in text]
    assert warning.startswith("Semantic IDs have up to 4 tokens: in three of its five fine-tuning tasks")


def test_less_than_three_levels_are_warned_of(tmp_path: Path) -> None:
    sids, items = shop()
    short = SemanticIds(sids.item_ids, np.ascontiguousarray(sids.codes[:, 1:]), sids.code_sizes[1:])
    figures = export(tmp_path, short, items, formats=["minionerec"])
    assert figures["warnings"][0].startswith("Semantic IDs have fewer than 3 tokens: MiniOneRec leaves such items out")


def test_uneven_semantic_ids(tmp_path: Path) -> None:
    sids, items = uneven()
    with pytest.raises(InputError, match="grid can't hold Semantic IDs that differ in length"):
        export(tmp_path / "refused", sids, items)
    assert list((tmp_path / "refused").iterdir()) == []
    formats = ["index", "minionerec", "lcrec", "prompt_completion", "trie"]
    figures = export(tmp_path / "sft", sids, items, formats=formats)
    index = load(tmp_path / "sft/index/shop.index.json")
    assert [len(sid) for sid in index.values()] == [3, 4] * 5
    assert [text for text in figures["warnings"] if "differ in length" in text and "LC-Rec and LETTER" in text]


def test_items_that_share_a_semantic_id_are_warned_of(tmp_path: Path) -> None:
    sids, items = shop()
    codes = sids.codes.copy()
    codes[3] = codes[8]
    figures = export(tmp_path, SemanticIds(sids.item_ids, codes, sids.code_sizes), items)
    assert sum(text.startswith("2 items share a Semantic ID") for text in figures["warnings"]) == 2
    assert Trie.load(tmp_path / "trie/trie.parquet").items(codes[3].tolist()) == ["3", "8"]


def test_titles_that_pandas_takes_for_missing_are_warned_of(tmp_path: Path) -> None:
    sids, items = shop()
    titles = [*["NA", "None", "null"], *[f"Item {row}" for row in range(len(NASTY) - 3)]]
    items = items.with_columns(pl.Series("title", titles))
    rows = "u\t3\t0\nu\t3\t1\nu\t3\t2\n"
    figures = export(tmp_path / "sft", sids, items, source=inter(tmp_path / "inter", train=rows))
    assert pd.isna([row["item_title"] for row in read_csv(tmp_path / "sft", "train")]).all()
    assert "3 titles such as NA or null: MiniOneRec, through pandas, reads them as missing" in figures["warnings"]


def test_no_records_are_warned_of(tmp_path: Path) -> None:
    figures = export(tmp_path, *shop(), tasks=[], formats=["messages", "tokens", "alpaca"])
    assert figures["warnings"] == ["there are no records at all: nothing to train on in messages, alpaca"]


@pytest.mark.parametrize(
    ("rows", "changes", "said"),
    [
        (
            "u\t0 1\t2\n",
            {"min_history": 3},
            "none has as long a history as export.min_history 3 requires (left out: short_",
        ),
        ("u\t\t2\n", {}, "the interactions have no train rows, see reports/interactions.json"),
        ("", {}, "the interactions have no train rows, see reports/interactions.json"),
    ],
)
def test_no_row_to_train_on_is_warned_of(tmp_path: Path, rows: str, changes: dict[str, Any], said: str) -> None:
    source = inter(tmp_path / "inter", train=rows, test="u\t0 1 2\t3\n")
    changes |= {"tasks": ["sid_history_to_sid", "sid_to_title"], "formats": ["prompt_completion"]}
    figures = export(tmp_path / "sft", *shop(), source=source, **changes)
    split, task = figures["warnings"]
    assert split.startswith(f"no row is left for train: {said}")
    assert task == (
        "no train records of sid_history_to_sid: no row of the train split has all that these tasks show and ask for"
    )
    assert "train" not in figures["records"]["sid_history_to_sid"]


def test_a_history_that_nobody_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"export.min_history is 9: no interaction has a history that long \(7 are sh"):
        export(tmp_path / "sft", *shop(), source=inter(tmp_path / "inter"), min_history=9)
    assert not list((tmp_path / "sft").iterdir())


def test_titles_of_several_semantic_ids_are_counted_and_warned_of(tmp_path: Path) -> None:
    sids, items = shop()
    titles = ["a", "b", "a", None, None, "  ", "  ", "b", "b", "c"]
    codes = sids.codes.copy()
    codes[2] = codes[0]  # one Semantic ID for both: one answer
    sids = SemanticIds(sids.item_ids, codes, sids.code_sizes)
    items = items.with_columns(pl.Series("title", titles))
    figures = export(tmp_path / "all", sids, items, tasks=["title_to_sid"], formats=["messages"])
    assert figures["shared_titles"] == {"titles": 1, "items": 3}
    assert figures["warnings"] == [SHARED.replace("2 items", "3 items")]
    for name, changes in {"other": {"tasks": ["sid_to_title"]}, "index": {"formats": ["index"]}}.items():
        changes = {"tasks": ["title_to_sid"], "formats": ["messages"], **changes}
        assert export(tmp_path / name, sids, items, **changes)["warnings"] == []


def test_tasks_that_lack_titles_or_descriptions_to_train_on_are_warned_of(tmp_path: Path) -> None:
    sids, items = shop(["0"])
    figures = export(tmp_path, sids, items, tasks=["title_to_sid", "description_to_sid"], formats=["messages"])
    assert figures["warnings"] == [
        "no train records of description_to_sid: no item has a description (prepare.items names the "
        "file, prepare.description_column its column)"
    ]
    items = items.with_columns(title=pl.lit(None, pl.String))
    (tmp_path / "none").mkdir()
    tasks = ["sid_history_to_sid", "title_to_sid", "sid_history_to_title", "description_to_sid"]
    figures = write_all(tmp_path / "none", sids, items, None, wanted(tasks=tasks, formats=["messages"]))
    assert figures["warnings"] == [
        "there are no records at all: nothing to train on in messages",
        "no train records of sid_history_to_sid, sid_history_to_title: there are no interactions "
        "(interactions.source is data/none)",
        "no train records of title_to_sid, sid_history_to_title: no item has a title (prepare.items names the "
        "file, prepare.title_column its column)",
        "no train records of description_to_sid: no item has a description (prepare.items names the "
        "file, prepare.description_column its column)",
    ]


def test_no_interactions_are_warned_of_and_item_tasks_remain(tmp_path: Path) -> None:
    figures = export(tmp_path, *shop())
    *by_reader, untrained, shared = figures["warnings"]
    assert shared == SHARED
    assert [text.split(":")[1].split()[0] for text in by_reader] == ["MiniOneRec", "LC-Rec"]
    assert untrained == (
        "no train records of sid_history_to_sid, sid_history_to_title, title_history_to_sid, title_history_to_title: "
        "there are no interactions (interactions.source is data/none)"
    )
    assert {task for task, splits in figures["records"].items() if splits} == {
        "title_to_sid",
        "sid_to_title",
        "description_to_sid",
    }
    assert sorted(path.name for path in (tmp_path / "messages").iterdir()) == ["train.jsonl"]
    assert list(load(tmp_path / "alpaca/dataset_info.json")) == ["shop_train"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (None, ""),
        (" ", ""),
        ("[]", ""),
        ("['', ' ']", ""),
        ("['a', \"b's\"]", "a b's"),
        ("[1, 2]", "[1, 2]"),
        ("[red] and [blue]", "[red] and [blue]"),
        ("[" * 10_000 + "]" * 10_000, "[" * 10_000 + "]" * 10_000),
        ("['\\d']", "\\d"),
    ],
)
def test_descriptions_that_are_lists_written_as_text(text: str | None, plain: str) -> None:
    assert (cleaned(pl.Series([text], dtype=pl.String), False, " ")[0] or "").strip() == plain


@needs_catalogue
def test_the_real_catalogue_for_minionerec(tmp_path: Path) -> None:
    """Rows, ids and titles are those of the source, for every row."""
    items = read_metadata(CATALOGUE / "items.json", "item_id").frame
    source = json.loads((CATALOGUE / "items.json").read_text())
    published = json.loads((CATALOGUE / "published.index.json").read_text())
    codes = np.array([tokens.parse("".join(published[item])) for item in items["item_id"]], np.int32)
    sids = SemanticIds(items["item_id"], codes, (256, 256, 256))
    changes: dict[str, Any] = {"source": str(CATALOGUE), "tasks": ["sid_history_to_sid"]}
    figures = export(tmp_path, sids, items, formats=["minionerec", "alpaca"], **changes)
    assert figures["interactions"] == {"train": 10_393, "valid": 4_532, "test": 4_533}
    assert figures["records"] == {"sid_history_to_sid": figures["interactions"]}
    assert set(figures["skipped_interactions"].values()) == {0}
    assert load(tmp_path / "minionerec/shop.index.json") == published
    for split in INTER:
        rows = read_csv(tmp_path, split)
        expected = [line.split("\t") for line in (CATALOGUE / f"{split}.inter").read_text().splitlines()[1:]]
        for row, (user, history, target) in zip(rows, expected, strict=True):
            past = history.split()
            assert row["user_id"] == f"A{user}"
            assert (row["history_item_id"], row["item_id"]) == ([int(item) for item in past], int(target))
            assert row["history_item_title"] == [source[item]["title"] for item in past]
            assert row["item_title"] == source[target]["title"]
            assert row["history_item_sid"] == ["".join(published[item]) for item in past]
            assert row["item_sid"] == "".join(published[target])
    (info,) = (tmp_path / "minionerec/info").iterdir()
    for line, item in zip(info.read_text().splitlines(), source, strict=True):
        assert line.split("\t") == ["".join(published[item]), " ".join(source[item]["title"].split()), item]


@pytest.mark.parametrize("formats", [["alpaca"], ["minionerec"], ["minionerec", "prompt_completion", "index"]])
@pytest.mark.parametrize("longest", [3, None])
def test_the_size_is_said_before_it_is_written_and_is_about_right(
    tmp_path: Path, formats: list[str], longest: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, users = 50, 40
    codes = np.stack([np.arange(items) // 10, np.arange(items) % 10], axis=1).astype(np.int32)
    names = pl.Series("item_id", [str(row) for row in range(items)])
    sids = SemanticIds(names, codes, (8, 16))
    frame = pl.DataFrame({"item_id": names, **{name: [f"{name} of {row}" for row in names] for name in FIELDS}})
    rows = [(f"u{user}", (user * 7 + step) % items, step) for user in range(users) for step in range(4 + user)]
    table = "".join(f"{user},{item},{time}\n" for user, item, time in rows)
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n" + table)
    # some titles and descriptions are missing, a whole history's among them
    frame = frame.with_columns(
        title=pl.when(pl.int_range(items) % 7 < 4).then("title"),
        description=pl.when(pl.int_range(items) % 3 > 0).then("description"),
    )
    section = wanted(formats=formats, max_history=longest, tasks=list(TASKS))
    interactions = read(tmp_path / "log.csv", names).interactions
    said: list[str] = []
    (tmp_path / "sft").mkdir()
    figures = write_all(tmp_path / "sft", sids, frame, interactions, section, said.append)
    files = [path for path in (tmp_path / "sft").rglob("*") if path.suffix in (".csv", ".json", ".jsonl")]
    grows = sum(path.stat().st_size for path in files if not path.name.endswith((".index.json", ".item.json")))
    source = Source("shop", sids, frame, Behaviour.of(interactions, section))
    expected = estimate.estimate(source, Prompts.load(section.prompts), section)
    made = sum(sum(task.values()) for task in figures["records"].values())
    assert expected.records == (made if formats != ["minionerec"] else 0)
    assert 0.8 < expected.bytes / grows < 1.2
    assert said[0] == expected.line()
    assert not any("the export is large" in line for line in figures["warnings"])
    monkeypatch.setattr(estimate, "LARGE_BYTES", expected.bytes - 1)
    large = expected.warning(section)
    assert large is not None
    assert f"export.max_history (now {longest or 'null, all items'})" in large
