"""The files of the interactions stage: what is written is read again, to the byte, and refused where it isn't ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sid.errors import InputError
from sid.interactions import (
    SPLITS,
    Counts,
    Interactions,
    Split,
    holds_out_last,
    load_counts,
    load_interactions,
    load_split,
    load_users,
    split_files,
    user_sequences,
)
from sid.interactions.reading import Reading
from sid.interactions.split_files import save_counts, save_split, save_users
from tests import shop
from tests.conftest import CATALOGUE, Project, needs_catalogue
from tests.shop import inter
from tests.test_interactions import IDS, ROWS, read, table

ARRAYS = ("users", "items", "offsets", "first_targets")


def write(folder: Path, found: Reading, ids: pl.Series = IDS) -> list[Path]:
    """All files but the counts, in the order of `load_interactions`."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{name}.parquet" for name in (*SPLITS, "users")]
    for path, split in zip(paths, found.interactions.splits, strict=False):
        save_split(path, split, ids)
    save_users(paths[-1], found.interactions.user_ids)
    return paths


def same(one: Split, other: Split) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in ARRAYS]
    return one.source == other.source and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


LINES = {"train": "u\ta\tb\nv\ta b\tc\n", "test": "w\tc d e\tf\n"}
LOG = [("u", item, time) for time, item in enumerate("abcab")] + [("v", "h", 1), ("v", "g", 2)]


@pytest.mark.parametrize("kind", ["inter", "table", "none"])
def test_what_is_written_is_read_again(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_files, "_GROUP_ITEMS", 3)  # several row groups, some of them for one stretch
    sources = {
        "inter": lambda: inter(tmp_path / "inter", **LINES),
        "table": lambda: table(tmp_path / "log.csv", LOG),
        "none": lambda: "data/none",
    }
    found = read(sources[kind]())
    paths = write(tmp_path / "files", found)
    for path, split in zip(paths, found.interactions.splits, strict=False):
        assert same(load_split(path), split)
        assert same(load_split(path, IDS), split)
    assert load_users(paths[-1]).equals(found.interactions.user_ids)
    loaded = load_interactions(paths[:3], paths[3], IDS)
    if kind == "none":
        assert loaded is None
    else:
        assert loaded is not None
        assert loaded.source == kind
        assert loaded.user_ids.equals(found.interactions.user_ids)
        assert all(map(same, loaded.splits, found.interactions.splits))
    again = write(tmp_path / "again", read(sources[kind]()))
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_any_reader_of_parquet_reads_them(tmp_path: Path) -> None:
    *_, test, users = write(tmp_path, read(table(tmp_path / "log.csv", LOG)))
    schema = pq.read_schema(test)
    assert [(field.name, str(field.type.value_type if field.name == "items" else field.type)) for field in schema] == [
        ("user", "int32"),
        ("items", "int32"),
        ("first_target", "int32"),
    ]
    assert pl.read_parquet(test).rows() == [(0, [0, 1, 2, 0, 1], 4), (1, [7, 6], 1)]
    assert pl.read_parquet(users).to_dict(as_series=False) == {"user_id": ["u", "v"]}


def test_counts_are_read_again_and_are_none_without_interactions(tmp_path: Path) -> None:
    path = tmp_path / "counts.parquet"
    counts = Counts(np.arange(8), np.arange(8) * 2)
    save_counts(path, counts, IDS, "table")
    loaded = load_counts(path, IDS)
    assert loaded is not None
    assert (loaded.train.tolist(), loaded.total.tolist()) == (counts.train.tolist(), counts.total.tolist())
    assert pl.read_parquet(path).columns == ["item_id", "train", "total"]
    assert load_counts(path, IDS.rename("other")) is not None
    with pytest.raises(InputError, match="belongs to items other than the prepared ones; run the interactions"):
        load_counts(path, IDS.reverse())
    save_counts(path, Counts.zero(8), IDS, "none")
    assert load_counts(path, IDS) is None


def test_splits_of_other_items_are_refused(tmp_path: Path) -> None:
    train, *_ = write(tmp_path, read(table(tmp_path / "log.csv", LOG)))
    for ids in ([*"abcdefg"], [*"abcdefhg"], ["ab", *"cdefgh"], [*"abcdefghi"]):
        with pytest.raises(InputError, match="belongs to items other than the prepared ones"):
            load_split(train, pl.Series("item_id", ids))


@pytest.mark.parametrize("load", [load_split, load_users, lambda path: load_counts(path, IDS)])
def test_files_that_are_not_ours_are_refused(tmp_path: Path, load: Any) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(InputError, match=r"x\.parquet: can't be read, run the interactions stage"):
        load(path)
    path.write_text("no")
    with pytest.raises(InputError, match=r"x\.parquet: can't be read, run the interactions stage"):
        load(path)
    pl.DataFrame({"x": [1]}).write_parquet(path)
    with pytest.raises(InputError, match=r"x\.parquet: has columns x, must have "):
        load(path)


def test_a_split_that_says_nothing_of_its_source_is_refused(tmp_path: Path) -> None:
    train, *_ = write(tmp_path, read(table(tmp_path / "log.csv", LOG)))
    pq.write_table(pq.read_table(train).replace_schema_metadata({}), train)
    with pytest.raises(InputError, match="doesn't say what it was made from"):
        load_split(train)
    with pytest.raises(InputError, match="belongs to items other than"):
        load_split(train, IDS)


# whole sequences


def sequences(found: Interactions, ids: pl.Series = IDS) -> dict[str, str]:
    whole = user_sequences(found.splits, len(found.user_ids))
    assert (whole.items.dtype, whole.offsets.dtype) == ("int32", "int64")
    return {
        user: "".join(ids[item] for item in whole.items[start:stop].tolist())
        for user, start, stop in zip(found.user_ids, whole.offsets[:-1], whole.offsets[1:], strict=True)
    }


def held_out(found: Reading, shortest: int = 3) -> bool:
    return holds_out_last(
        found.interactions, user_sequences(found.interactions.splits, len(found.interactions.user_ids)), shortest
    )


def test_sequences_are_put_together_from_lines(tmp_path: Path) -> None:
    rows = {
        # v's window is two items long, w's first row has a history, x's rows don't continue one another
        "train": "u\ta\tb\nv\ta\tb\nv\ta b\tc\nv\tb c\td\nw\ta b c\td\nx\ta b c\td\nx\te\tf\n",
        "valid": "u\ta b\tc\nv\tc d\te\nw\tb c d\te\n",
        "test": "u\ta b c\td\ny\tg\th\n",
    }
    found = read(inter(tmp_path / "inter", **rows))
    assert sequences(found.interactions) == {"u": "abcd", "v": "abcde", "w": "abcde", "x": "abcd", "y": "gh"}
    assert not held_out(found)


@pytest.mark.parametrize(
    ("valid", "test", "held"),
    [
        ("u\ta b\tc\n", "u\ta b c\td\n", True),
        ("u\ta b\tc\n", "u\tb c\td\n", True),
        ("", "u\ta b\tc\n", False),  # nothing for valid
        ("u\ta b\tc\n", "", False),
        ("u\ta b\tc\nu\ta b c\td\n", "u\ta b c d\te\n", False),  # two for valid
        ("u\ta b c\td\n", "u\ta b\tc\n", False),  # the wrong way round
        ("u\ta b\tc\n", "u\ta b c\td\nv\ta\tb\n", True),  # v is too short to count
        ("u\ta b\tc\n", "u\ta b c\td\nv\ta b\tc\n", False),
    ],
)
def test_whether_the_last_items_are_held_out(tmp_path: Path, valid: str, test: str, held: bool) -> None:
    assert held_out(read(inter(tmp_path / "inter", train="u\ta\tb\n", valid=valid, test=test))) == held


@given(ROWS, st.sampled_from(["leave_one_out", "temporal"]))
@settings(max_examples=60, deadline=None)
def test_sequences_of_a_table_are_all_that_users_did(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]], split: str
) -> None:
    path = table(tmp_path_factory.mktemp("log") / "log.parquet", rows)
    done: dict[str, str] = {}
    for user, item, _ in sorted(dict.fromkeys(rows), key=lambda row: row[2]):
        done[user] = done.get(user, "") + item
    try:
        found = read(path, split=split)
    except InputError:
        return
    # who did one thing has no target; train alone keeps it
    assert {u: items for u, items in sequences(found.interactions).items() if len(items) > 1} == {
        user: items for user, items in done.items() if len(items) > 1
    }
    assert split == "temporal" or held_out(found)


# the stage


def test_the_stage_writes_them_all(finished: Project) -> None:
    report = finished.report("interactions")
    assert (report["source"], report["rows"]) == ("inter", {"train": 2, "valid": 1, "test": 1})
    ids = pl.read_parquet(finished.path("data/prepared/items.parquet"))["item_id"]
    paths = [finished.path(f"data/interactions/{name}.parquet") for name in (*SPLITS, "users")]
    found = load_interactions(paths[:3], paths[3], ids)
    assert found is not None
    assert sequences(found, ids) == {"7": "01234", "8": "34"}
    counts = load_counts(finished.path("data/interactions/counts.parquet"), ids)
    assert counts is not None
    assert (counts.train[:5].tolist(), counts.total[:5].tolist()) == ([0, 0, 1, 0, 1], [0, 0, 1, 1, 2])
    before = finished.contents()
    finished.succeed("interactions")
    assert finished.contents() == before

    finished.params(interactions__source="data/none")
    done = finished.run("interactions")
    assert done.returncode == 0
    assert done.stdout.startswith("interactions: none are given (")
    assert finished.report("interactions")["source"] == "none"
    assert load_counts(finished.path("data/interactions/counts.parquet"), ids) is None
    assert load_interactions(paths[:3], paths[3], ids) is None
    finished.succeed("export")
    assert set(finished.report("export")["records"]["title_to_sid"]) == {"train"}
    records = sum(sum(splits.values()) for splits in finished.report("export")["records"].values())
    assert finished.report("metrics/export") == {"records": records}


def test_the_stage_warns_of_what_it_leaves_out(finished: Project) -> None:
    finished.path("log.csv").write_text("user_id,item_id,timestamp\n" + "u,1,1\nu,2,2\nu,03,3\nu,3,4\n")
    finished.params(interactions__source="log.csv", interactions__unknown_items="skip")
    done = finished.run("interactions")
    assert done.returncode == 0
    first, second = done.stderr.splitlines()
    assert first.startswith(
        "interactions: warning: log.csv: names 1 item that isn't in the catalogue, first in line 4: 03; did you mean"
    )
    assert first.endswith("1 of 4 rows (25%) are left out")
    assert second.startswith("interactions: warning: log.csv: there is nothing to train on: no user has 4 known")


@needs_catalogue
def test_the_real_catalogue(tmp_path: Path) -> None:
    ids = pl.Series("item_id", [str(row) for row in range(3686)])
    found = shop.read(CATALOGUE, ids)
    assert found.rows == {"train": 10_393, "valid": 4_532, "test": 4_533}
    lines = {name: (CATALOGUE / f"{name}.inter").read_text().splitlines()[1:] for name in SPLITS}
    targets = pl.Series([line.split("\t")[2] for name in SPLITS for line in lines[name]])
    counted = dict(targets.value_counts().iter_rows())
    assert found.counts.total.tolist() == [counted.get(item, 0) for item in ids]
    for path, name in zip(write(tmp_path / "files", found, ids), SPLITS, strict=False):
        for line, (user, items, first) in zip(lines[name], pl.read_parquet(path).iter_rows(), strict=True):
            user_id, past, target = line.split("\t")
            assert found.interactions.user_ids[user] == user_id
            assert [ids[item] for item in items] == [*past.split(), target]
            assert first == len(items) - 1
