"""Reading interactions and splitting them: nothing later is trained on, and everything left out is counted."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sid.errors import InputError
from sid.interactions.sequences import SPLITS, Interactions, check_interactions, item_counts, read_interactions
from sid.interactions.tables import read_table
from tests.shop import inter, wanted

IDS = pl.Series("item_id", [*"abcdefgh"])
GOOD_LINE = '{"user_id": "u", "item_id": "a", "timestamp": 1}\n'

Row = tuple[str, list[str], str]


def rows_of(found: Interactions) -> dict[str, list[Row]]:
    """User, history and next item of every row by split, as ids."""
    return {
        split.name: [
            (found.user_ids[user], [IDS[earlier] for earlier in history], IDS[item])
            for user, history, item in split.rows()
        ]
        for split in found.splits
    }


def table(path: Path, rows: list[tuple[Any, Any, Any]]) -> Path:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    {".csv": frame.write_csv, ".jsonl": frame.write_ndjson, ".parquet": frame.write_parquet}[path.suffix](path)
    return path


def read(path: Path, **changes: Any) -> Interactions:
    return read_interactions(path, IDS, wanted(**changes))


SHUFFLED = [("u", "c", 30), ("v", "a", 5), ("u", "a", 10), ("u", "b", 20), ("v", "d", 7), ("u", "e", 40), ("w", "h", 1)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_leave_one_out_of_every_kind_of_table(tmp_path: Path, suffix: str) -> None:
    found = read(table(tmp_path / f"log{suffix}", SHUFFLED))
    assert rows_of(found) == {
        "train": [("u", ["a"], "b")],
        "valid": [("u", ["a", "b"], "c")],
        "test": [("u", ["a", "b", "c"], "e"), ("v", ["a"], "d")],
    }
    assert found.users_left_out == 1  # w did one thing
    assert found.held_out_last
    assert set(found.skipped.values()) == {0}


def test_temporal_cuts_all_users_at_the_same_moments(tmp_path: Path) -> None:
    rows = [("u", item, time) for item, time in zip("abcdefgh", range(0, 80, 10), strict=True)]
    rows += [("v", "a", 35), ("v", "b", 36), ("v", "c", 75)]
    found = read(table(tmp_path / "log.csv", rows), split="temporal", ratios=[0.6, 0.2, 0.2])
    assert {name: [row[2] for row in split] for name, split in rows_of(found).items()} == {
        "train": ["b", "c", "d", "b"],
        "valid": ["e", "f"],
        "test": ["g", "h", "c"],
    }
    assert not found.held_out_last


def test_equal_times_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [("u", item, 5) for item in "dacb"]
    (train, *_), (valid, *_), (test, *_) = rows_of(read(table(tmp_path / "log.csv", rows))).values()
    assert (train[2], valid[2], test[2]) == ("a", "c", "b")


def test_ties_at_the_cut_go_to_the_later_split(tmp_path: Path) -> None:
    rows = [(f"u{user}", item, time) for user in range(3) for item, time in (("a", 1), ("b", 2), ("c", 2), ("d", 3))]
    found = read(table(tmp_path / "log.csv", rows), split="temporal", ratios=[0.5, 0.0, 0.5])
    assert {name: len(split) for name, split in rows_of(found).items()} == {"test": 9}


def test_all_at_once_leaves_nothing_to_train_on(tmp_path: Path) -> None:
    path = table(tmp_path / "log.csv", [("u", item, 7) for item in "abcd"])
    with pytest.raises(InputError, match=r"nothing is left to train on, export.ratios \[0.8, 0.1, 0.1\]"):
        read(path, split="temporal")


def test_duplicates_count_once_and_repeats_stay(tmp_path: Path) -> None:
    rows = [("u", "a", 1), ("u", "a", 1), ("u", "a", 2), ("u", "b", 3), ("u", "b", 4)]
    found = read(table(tmp_path / "log.csv", rows))
    assert found.skipped["duplicate"] == 1
    assert rows_of(found)["test"] == [("u", ["a", "a", "b"], "b")]


def test_unknown_items_of_a_table(tmp_path: Path) -> None:
    path = table(tmp_path / "log.csv", [("u", "a", 1), ("u", "x", 2), ("u", "b", 3), ("u", "y", 4), ("u", "x", 5)])
    with pytest.raises(InputError, match="names 2 items that have no Semantic ID, first in row 1: x, y"):
        read(path)
    found = read(path, unknown_items="skip")
    assert found.skipped["unknown_item"] == 3
    assert rows_of(found) == {"test": [("u", ["a"], "b")]}


def test_nothing_left_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    path = table(tmp_path / "log.csv", [("u", "x", 1), ("v", "a", 2)])
    with pytest.raises(InputError, match=r"no interaction with a history is left \(unknown_item 1, duplicate 0"):
        read(path, unknown_items="skip")


def test_history_keys_on_a_table(tmp_path: Path) -> None:
    path = table(tmp_path / "log.csv", [("u", item, time) for time, item in enumerate("abcdefgh")])
    found = read(path, max_history=3, min_history=2)
    assert found.skipped["short_history"] == 1
    assert rows_of(found)["train"] == [("u", [*"abcdefgh"][max(0, n - 3) : n], "abcdefgh"[n]) for n in range(2, 6)]
    longest = read(path, max_history=3, keep_longest_only=True)
    assert rows_of(longest)["train"] == [("u", ["c", "d", "e"], "f")]
    assert longest.skipped["not_longest"] == 4
    assert len(rows_of(longest)["test"]) == 1


def test_history_keys_on_inter_files(tmp_path: Path) -> None:
    folder = Path(
        inter(tmp_path / "inter", train="u\ta\tb\nv\ta b\tc\nu\tc d\te\nu\ta b\tc\nv\ta\tb\n", test="u\ta\tb\n")
    )
    found = read(folder, keep_longest_only=True, max_history=1)
    # of equals the first, as MiniOneRec's converter; lengths before max_history; test is not touched
    assert rows_of(found) == {"train": [("v", ["b"], "c"), ("u", ["d"], "e")], "test": [("u", ["a"], "b")]}
    assert found.skipped["not_longest"] == 3
    short = read(folder, min_history=2)
    assert [row[0] for row in rows_of(short)["train"]] == ["v", "u", "u"]
    assert short.skipped["short_history"] == 3


def test_unknown_items_of_inter_files(tmp_path: Path) -> None:
    folder = Path(inter(tmp_path / "inter", train="u\ta x b\tc\nu\tx\ta\nu\ta\tx\nu\t\ta\n"))
    found = read(folder, unknown_items="skip")
    assert rows_of(found) == {"train": [("u", ["a", "b"], "c")]}
    assert found.skipped == {"unknown_item": 1, "no_history": 2, "short_history": 0, "not_longest": 0}
    with pytest.raises(InputError, match="names 1 items that have no Semantic ID, first in line 2: x"):
        read(folder)


def test_a_file_may_be_called_after_the_dataset_and_splits_may_be_missing(tmp_path: Path) -> None:
    folder = Path(inter(tmp_path / "inter", **{"Office.valid": "u\ta\tb\n"}))
    assert list(rows_of(read(folder))) == ["valid"]


def test_sequences_are_put_together_from_rows(tmp_path: Path) -> None:
    rows = {
        # v's window is two items long, w's first row has a history, x's rows don't continue one another
        "train": "u\ta\tb\nv\ta\tb\nv\ta b\tc\nv\tb c\td\nw\ta b c\td\nx\ta b c\td\nx\te\tf\n",
        "valid": "u\ta b\tc\nv\tc d\te\nw\tb c d\te\n",
        "test": "u\ta b c\td\ny\tg\th\n",
    }
    found = read(Path(inter(tmp_path / "inter", **rows)))
    sequences = {
        user: "".join(IDS[item] for item in found.sequences.items[start:stop].tolist())
        for user, start, stop in zip(
            found.user_ids, found.sequences.offsets[:-1], found.sequences.offsets[1:], strict=True
        )
    }
    assert sequences == {"u": "abcd", "v": "abcde", "w": "abcde", "x": "abcd", "y": "gh"}
    assert not found.held_out_last


ROWS = st.lists(
    st.tuples(st.sampled_from("uvwxy"), st.sampled_from("abcdefgh"), st.integers(0, 12)), min_size=1, max_size=60
)


@given(ROWS, st.integers(1, 3), st.one_of(st.none(), st.integers(3, 5)), st.booleans())
@settings(max_examples=60, deadline=None)
def test_leave_one_out_holds_out_each_users_last_items(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, int]],
    shortest: int,
    longest: int | None,
    only: bool,
) -> None:
    path = table(tmp_path_factory.mktemp("log") / "log.parquet", rows)
    done: dict[str, list[str]] = {}
    for user, item, _ in sorted(dict.fromkeys(rows), key=lambda row: row[2]):
        done.setdefault(user, []).append(item)
    expected: dict[str, list[Row]] = {name: [] for name in SPLITS}
    for user in dict.fromkeys(user for user, _, _ in rows):
        sequence = done[user]
        for place in range(shortest, len(sequence)):
            name = {1: "test", 2: "valid"}.get(len(sequence) - place, "train")
            row = (user, sequence[max(0, place - (longest or place)) : place], sequence[place])
            if only and name == "train":
                expected[name] = [kept for kept in expected[name] if kept[0] != user]
            expected[name].append(row)
    keys = {"min_history": shortest, "max_history": longest, "keep_longest_only": only}
    if not any(expected.values()):
        with pytest.raises(InputError, match="no interaction with a history is left"):
            read(path, **keys)
        return
    assert rows_of(read(path, **keys)) == {name: split for name, split in expected.items() if split}


@given(ROWS, st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5, 0.0), (0.34, 0.33, 0.33)]))
@settings(max_examples=60, deadline=None)
def test_temporal_trains_on_nothing_later_than_what_is_held_out(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]], ratios: tuple[float, ...]
) -> None:
    """Items carry their time in their name here, so that the rows tell it."""
    ids = pl.Series("item_id", [f"{item}@{time}" for item in "abcdefgh" for time in range(13)])
    path = table(
        tmp_path_factory.mktemp("log") / "log.parquet", [(user, f"{item}@{time}", time) for user, item, time in rows]
    )
    try:
        found = read_interactions(path, ids, wanted(split="temporal", ratios=list(ratios)))
    except InputError:
        return
    latest = -1
    for split in found.splits:
        histories = [
            ([int(ids[i].split("@")[1]) for i in past], int(ids[item].split("@")[1])) for _, past, item in split.rows()
        ]
        assert all(past == sorted(past) and past[-1] <= time for past, time in histories)
        assert min(time for _, time in histories) > latest
        latest = max(time for _, time in histories)
    distinct = set(rows)
    firsts = len({user for user, _, _ in distinct})
    assert sum(len(split) for split in found.splits) == len(distinct) - firsts


# timestamps


NOON = datetime(2026, 1, 31, 12)


@pytest.mark.parametrize(
    ("times", "order"),
    [
        ([3, 1, 2], [1, 2, 0]),
        ([1.5, 1.25, -2.0], [2, 1, 0]),
        ([2**53 + 1, 2**53, 2**53 + 2], [1, 0, 2]),  # not the same as floats
        ([date(2026, 1, 2), date(2025, 1, 3), date(2026, 1, 1)], [1, 2, 0]),
        ([NOON, NOON - timedelta(microseconds=1), NOON + timedelta(days=1)], [1, 0, 2]),
        (
            [NOON.replace(tzinfo=UTC), datetime(2026, 1, 31, 11, tzinfo=UTC), NOON.replace(hour=13, tzinfo=UTC)],
            [1, 0, 2],
        ),
        (["10", "9", "-1"], [2, 1, 0]),
        (["1e3", "999.5", "2000"], [1, 0, 2]),
        (["2026-01-31", "2026-01-30T23:59:59.999", "2026-01-31T00:00"], [1, 0, 2]),
        (["2026-01-31 12:00:00", "2026-01-31T12:30:00+02:00", "2026-01-31T11:00Z"], [1, 2, 0]),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_times_of_every_kind(tmp_path: Path, suffix: str, times: list[Any], order: list[int]) -> None:
    path = table(tmp_path / f"log{suffix}", [("u", item, time) for item, time in zip("abc", times, strict=True)])
    assert read_table(path)["timestamp"].arg_sort().to_list() == order


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([1.0, float("nan")], "row 1 has timestamp nan, must be a finite number"),
        ([float("inf"), 1.0], "row 0 has timestamp inf, must be a finite number"),
        ([1, None], "row 1 has no timestamp"),
        (["2026-01-31", "yesterday"], "row 1 has timestamp 'yesterday', must be a finite number, or ISO 8601"),
        (["2026-02-30", "2026-01-31"], "row 0 has timestamp '2026-02-30', must be"),
        (["2026-01-31", "17"], "row 1 has timestamp '17', must be .* throughout"),
        (["nan", "1.5"], "row 0 has timestamp nan, must be"),
        ([True, False], "column timestamp is Boolean, must be integer"),
        ([2**64 - 1, 1], "row 0 has timestamp 18446744073709551615, must be at most 9223372036854775807"),
    ],
)
def test_bad_times_are_refused_with_their_row(tmp_path: Path, times: list[Any], said: str) -> None:
    frame = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "timestamp": pl.Series(times, strict=False)})
    if 2**64 - 1 in times:
        frame = frame.with_columns(pl.Series("timestamp", times, pl.UInt64))
    frame.write_parquet(tmp_path / "log.parquet")
    with pytest.raises(InputError, match=said):
        read_table(tmp_path / "log.parquet")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("log.csv", "", "can't be read as csv"),
        ("log.csv", "user_id,item_id,timestamp\n", "has no rows"),
        ("log.csv", "user,item_id,timestamp\nu,a,1\n", "no column user_id; its columns are user, item_id, timestamp"),
        ("log.csv", "user_id,item_id\nu,a\n", "no column timestamp"),
        ("log.csv", "user_id,item_id,timestamp\nu,a,1\n,b,2\n", "row 1 has no user_id"),
        ("log.csv", "user_id,item_id,timestamp\nu,,1\n", "row 0 has no item_id"),
        ("log.csv", 'user_id,item_id,timestamp\nu,"",1\n', "row 0 has no item_id"),
        ("log.csv", "user_id,item_id,timestamp\nu,a,\n", "row 0 has no timestamp"),
        ("log.csv", "user_id,item_id,timestamp\nu,a,1,2,3\n", "line 2 has 5 fields, its header has 3"),
        ("log.jsonl", "[1]\n", "log.jsonl: "),
        (
            "log.jsonl",
            GOOD_LINE + '\n{"user_id": "u", "item_id"\n',
            r"line 3 is broken JSON \(Expecting ':' delimiter at",
        ),
        ("log.jsonl", GOOD_LINE + "[1]\n", r"line 2 is \[1\], must be a JSON object"),
        ("log.jsonl", GOOD_LINE.replace("1", "NaN"), r"line 1 is broken JSON \(NaN is no JSON\)"),
        ("log.jsonl", GOOD_LINE + '{"user_id": "\udcff"}\n', "line 2 is not UTF-8 text"),
        ("log.csv", 'user_id,item_id,timestamp\nu,a,1\nu,"b,2\nu,c,3\n', "line 3 has a quote that isn't closed"),
        ("log.csv", 'user_id,item_id,timestamp\n"u\n",a,1\nu,"b,2\nu,"c",3\n', "line 4 has a quote that isn't closed"),
        ("log.csv", "user_id,item_id,timestamp\nu,\udcff,1\n", "line 2 is not UTF-8 text"),
        (
            "log.csv",
            "user_id,item_id,timestamp,user_id\nu,a,1,v\n",
            "column user_id stands more than once in the header",
        ),
        ("log.csv", "user_id,item_id,timestamp\n,,\n\n", "has no rows"),
        ("log.jsonl", '{"user_id": "u", "item_id": "a"}\n', "no row has timestamp, must have user_id"),
        ("log.parquet", "PAR1", "can't be read as parquet"),
        ("log.tsv", "x", "unknown kind of file '.tsv'; must be .csv, .jsonl, .parquet"),
    ],
)
def test_broken_tables_are_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match=said) as caught:
        read_table(tmp_path / name)
    assert len(str(caught.value)) < len(str(tmp_path)) + 200


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_a_byte_order_mark_and_empty_lines_are_no_matter(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    csv = 'user_id,item_id,timestamp,title\n\nu,a,1,x\n,,,\nu,b,2,\n  \n"",,"",\n\n'
    path.write_text(csv if name == "log.csv" else f"{GOOD_LINE}\n{GOOD_LINE}\n \n", encoding="utf-8-sig")
    assert len(read_table(path)) == 2
    assert int(item_counts(path, IDS).sum()) == 2
    check_interactions(path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("log.csv", "user_id,time\n", "no column item_id, timestamp; its columns are user_id, time"),
        ("log.csv", "", "can't be read as csv"),
        ("log.csv", "user_id,item_id,timestamp,item_id\n", "column item_id stands more than once"),
        ("log.jsonl", '\n{"user_id": 1, "item_id": 2}\n', "line 2 has no timestamp, must have user_id, item_id"),
        ("log.jsonl", "\n", "has no rows"),
        ("log.parquet", "PAR1", "can't be read as parquet"),
        ("log.tsv", "x", "unknown kind of file"),
        ("inter/train.inter", "1\t2 3\t4\n", "line 1 is data"),
        ("inter/log.csv", "", "has no train.inter, valid.inter or test.inter"),
    ],
)
def test_headers_are_checked_before_the_work(tmp_path: Path, name: str, content: str, said: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    with pytest.raises(InputError, match=said):
        check_interactions(path.parent if name.startswith("inter/") else path)


def test_rows_are_not_looked_at_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n,a,never\n")
    check_interactions(tmp_path / "log.csv")
    (tmp_path / "log.jsonl").write_text(GOOD_LINE + "no JSON\n")
    check_interactions(tmp_path / "log.jsonl")
    check_interactions(table(tmp_path / "log.parquet", [("u", "a", 1)]))
    check_interactions(Path(inter(tmp_path / "inter")))


@pytest.mark.parametrize(
    "header",
    [
        "user_id:token\titem_id_list:token_seq\titem_id:token",
        "a:token\tb:token_seq\tc1:token",
        "user_id\titem_id_list\titem_id",
        "user\thistory\tnext item",
        "\ufeff用户\t历史\t下一个",
    ],
)
def test_headers_of_inter_files(tmp_path: Path, header: str) -> None:
    (tmp_path / "train.inter").write_text(f"{header}\r\nu\ta\tb\r\n", encoding="utf-8")
    assert rows_of(read(tmp_path)) == {"train": [("u", ["a"], "b")]}


@pytest.mark.parametrize(
    "first", ["u\ta\tx", "u\tx a\ty", "u1\tx\ty", "u\tsku-7\ty", "u\tx\tsku-9", "u\t\tx", "\tx\ty"]
)
def test_inter_files_without_a_header_are_refused(tmp_path: Path, first: str) -> None:
    (tmp_path / "train.inter").write_text(f"{first}\nu\ta\tb\n")
    with pytest.raises(InputError, match=r"train.inter: line 1 is data, must be a header of three column names"):
        read(tmp_path, unknown_items="skip")


@pytest.mark.parametrize("user", ["", "  "])
def test_a_row_of_an_inter_file_without_a_user_is_refused(tmp_path: Path, user: str) -> None:
    folder = Path(inter(tmp_path / "inter", train=f"u\ta\tb\n{user}\ta\tb\n"))
    with pytest.raises(InputError, match=r"train.inter: line 3 has no user"):
        read(folder)


def test_ids_of_a_table_are_text_or_integers(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": [1.5], "item_id": ["a"], "timestamp": [1]})
    frame.write_parquet(tmp_path / "log.parquet")
    with pytest.raises(InputError, match="column user_id is Float64, must be string or integer"):
        read_table(tmp_path / "log.parquet")
    frame.with_columns(pl.lit(7).alias("user_id")).write_parquet(tmp_path / "log.parquet")
    assert read_table(tmp_path / "log.parquet")["user_id"].to_list() == ["7"]
    lines = [{"user_id": 7, "item_id": 1, "timestamp": 1}, {"user_id": "x", "item_id": "a", "timestamp": 2.5}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_table(tmp_path / "log.jsonl").rows() == [("7", "1", 1.0), ("x", "a", 2.5)]


# popularity


def test_item_counts(tmp_path: Path) -> None:
    folder = Path(inter(tmp_path / "inter", train="u\ta\tb\nu\ta b\tb\nu\ta\tx\n", test="u\tx\tc\n"))
    assert item_counts(folder, IDS).tolist() == [0, 2, 1, 0, 0, 0, 0, 0]
    path = table(tmp_path / "log.csv", [("u", "a", 1), ("u", "a", 1), ("v", "x", 1), ("v", "h", 2)])
    counts = item_counts(path, IDS)
    assert (counts.dtype, counts.tolist()) == (np.int64, [2, 0, 0, 0, 0, 0, 0, 1])
    with pytest.raises(InputError, match="no such folder or file"):
        item_counts(tmp_path / "no.csv", IDS)
    (tmp_path / "other.csv").write_text("item\na\n")
    with pytest.raises(InputError, match="no column item_id"):
        item_counts(tmp_path / "other.csv", IDS)
