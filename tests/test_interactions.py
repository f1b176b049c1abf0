"""Reading interactions and splitting them: nothing later is trained on, and everything left out is counted."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sid.errors import InputError
from sid.interactions import SPLITS
from sid.interactions.log import Log, read_log
from sid.interactions.read import check_interactions
from sid.interactions.reading import Reading
from sid.params import Interactions
from tests import shop
from tests.shop import inter

IDS = pl.Series("item_id", [*"abcdefgh"])
GOOD_LINE = '{"user_id": "u", "item_id": "a", "timestamp": 1}\n'

Row = tuple[str, list[str], str]


def rows_of(found: Reading, ids: pl.Series = IDS) -> dict[str, list[Row]]:
    """User, history and next item of every target by split, as ids; splits without a target are left out."""
    rows: dict[str, list[Row]] = {name: [] for name in SPLITS}
    for name, split in zip(SPLITS, found.interactions.splits, strict=True):
        for (user, items), first in zip(split, split.first_targets, strict=True):
            named = [ids[item] for item in items]
            rows[name] += [
                (found.interactions.user_ids[user], named[:place], named[place]) for place in range(first, len(named))
            ]
    assert found.rows == {name: len(split) for name, split in rows.items()}
    return {name: split for name, split in rows.items() if split}


def stretches_of(found: Reading) -> dict[str, list[tuple[str, str, int]]]:
    """User, items and first target of every stretch by split."""
    return {
        name: [
            (found.interactions.user_ids[user], "".join(IDS[item] for item in items), int(first))
            for (user, items), first in zip(split, split.first_targets, strict=True)
        ]
        for name, split in zip(SPLITS, found.interactions.splits, strict=True)
    }


def table(path: Path, rows: list[tuple[Any, Any, Any]]) -> Path:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    {".csv": frame.write_csv, ".jsonl": frame.write_ndjson, ".parquet": frame.write_parquet}[path.suffix](path)
    return path


def wanted(**changes: Any) -> Interactions:
    return Interactions(source="x", **{**shop.SECTION, **changes})


def log_of(path: Path, **changes: Any) -> Log:
    return read_log(path, IDS, wanted(**changes))


def read(path: Path | str, **changes: Any) -> Reading:
    return shop.read(path, IDS, **changes)


SHUFFLED = [("u", "c", 30), ("v", "a", 5), ("u", "a", 10), ("u", "b", 20), ("v", "d", 7), ("u", "e", 40), ("w", "h", 1)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_leave_one_out_of_every_kind_of_table(tmp_path: Path, suffix: str) -> None:
    found = read(table(tmp_path / f"log{suffix}", SHUFFLED))
    assert rows_of(found) == {
        "train": [("u", ["a"], "b")],
        "valid": [("u", ["a", "b"], "c")],
        "test": [("u", ["a", "b", "c"], "e"), ("v", ["a"], "d")],
    }
    assert found.figures() == {
        "source": "table",
        "rows": {"train": 1, "valid": 1, "test": 2},
        "users": 2,
        "users_left_out": 1,  # w did one thing
        "skipped": {"unknown_item": 0, "duplicate": 0},
        "items": 8,
        "items_without_interactions": 2,
        "warnings": [],
        "notes": [],
    }


def test_stretches_of_a_table(tmp_path: Path) -> None:
    """One for each user and split, up to the last target; train holds what is no target either."""
    rows = [(user, item, time) for user, items in {"u": "abcde", "v": "abc", "w": "ab", "x": "a"}.items()
            for time, item in enumerate(items)]  # fmt: skip
    assert stretches_of(read(table(tmp_path / "log.csv", rows))) == {
        "train": [("u", "abc", 1), ("v", "a", 1)],
        "valid": [("u", "abcd", 3), ("v", "ab", 1)],
        "test": [("u", "abcde", 4), ("v", "abc", 2), ("w", "ab", 1)],
    }
    rows = [(user, item, ord(item)) for user, items in {"u": "abcdef", "v": "c", "w": "ce", "x": "a"}.items()
            for item in items]  # fmt: skip
    assert stretches_of(read(table(tmp_path / "log.csv", rows), split="temporal", ratios=[0.3, 0.3, 0.4])) == {
        "train": [("u", "ab", 1), ("x", "a", 1)],
        "valid": [("u", "abc", 2)],
        "test": [("u", "abcdef", 3), ("w", "ce", 1)],
    }


def test_temporal_cuts_all_users_at_the_same_moments(tmp_path: Path) -> None:
    rows = [("u", item, time) for item, time in zip("abcdefgh", range(0, 80, 10), strict=True)]
    rows += [("v", "a", 35), ("v", "b", 36), ("v", "c", 75)]
    found = read(table(tmp_path / "log.csv", rows), split="temporal", ratios=[0.6, 0.2, 0.2])
    assert {name: [row[2] for row in split] for name, split in rows_of(found).items()} == {
        "train": ["b", "c", "d", "b"],
        "valid": ["e", "f"],
        "test": ["g", "h", "c"],
    }


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
    with pytest.raises(InputError, match=r"interactions.ratios \[0.8, 0.1, 0.1\] leave nothing to train on"):
        read(path, split="temporal")


def test_duplicates_count_once_and_repeats_stay(tmp_path: Path) -> None:
    rows = [("u", "a", 1), ("u", "a", 1), ("u", "a", 2), ("u", "b", 3), ("u", "b", 4)]
    found = read(table(tmp_path / "log.csv", rows))
    assert found.skipped["duplicate"] == 1
    assert rows_of(found)["test"] == [("u", ["a", "a", "b"], "b")]


def test_unknown_items_of_a_table(tmp_path: Path) -> None:
    path = table(tmp_path / "log.csv", [("u", "a", 1), ("u", "x", 2), ("u", "b", 3), ("u", "y", 4), ("u", "x", 5)])
    with pytest.raises(InputError, match="names 2 items that aren't in the catalogue, first in line 3: x, y"):
        read(path)
    found = read(path, unknown_items="skip")
    assert found.skipped["unknown_item"] == 3
    assert rows_of(found) == {"test": [("u", ["a"], "b")]}
    left_out, no_train = found.warnings
    assert left_out == (
        f"{path}: names 2 items that aren't in the catalogue, first in line 3: x, y; 3 of 5 rows (60%) are left out"
    )
    assert no_train.startswith(f"{path}: there is nothing to train on: no user has 4 known interactions")


@pytest.mark.parametrize("policy", ["error", "skip"])
def test_where_no_item_is_known_the_keys_of_the_ids_are_named(tmp_path: Path, policy: str) -> None:
    path = table(tmp_path / "log.csv", [("u", "x", 1), ("u", "y", 2), ("u", "z", 3)])
    said = "none of its 3 items is in the catalogue: it has 'x', 'y', the catalogue 'a', 'b'; is {} right?"
    with pytest.raises(InputError) as error:
        read(path, unknown_items=policy)
    key = "interactions.item_column (item_id) or prepare.item_id_column"
    assert f"{path}: {said.format(key)}" == error.value.problems[-1]
    folder = Path(inter(tmp_path / "inter", train="u\tx y\tz\n"))
    with pytest.raises(InputError) as error:
        read(folder, unknown_items=policy)
    assert f"{folder / 'train.inter'}: {said.format('prepare.item_id_column')}" == error.value.problems[-1]


def test_nothing_left_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    path = table(tmp_path / "log.csv", [("u", "x", 1), ("v", "a", 2)])
    with pytest.raises(InputError, match=r"no interaction with a history is left \(unknown_item 1, duplicate 0"):
        read(path, unknown_items="skip")


def test_unknown_items_of_inter_files(tmp_path: Path) -> None:
    folder = Path(inter(tmp_path / "inter", train="u\ta x b\tc\nu\tx\ta\nu\ta\tx\nu\t\ta\n"))
    found = read(folder, unknown_items="skip")
    assert rows_of(found) == {"train": [("u", ["a", "b"], "c")]}
    assert found.skipped == {"unknown_item": 1, "no_history": 2}
    assert found.warnings == [
        f"{folder / 'train.inter'}: names 1 item that isn't in the catalogue, first in line 2: x; left out of "
        "histories; 1 of 4 lines are left out (next item unknown)"
    ]
    with pytest.raises(InputError, match="names 1 item that isn't in the catalogue, first in line 2: x"):
        read(folder)


def test_a_blank_line_above_the_header_is_not_taken_for_one(tmp_path: Path) -> None:
    folder = Path(inter(tmp_path / "inter", train="u\ta\tb\n"))
    path = folder / "train.inter"
    path.write_text("\n \n" + path.read_text())
    check_interactions(folder, wanted())
    found = read(folder, unknown_items="skip")
    assert rows_of(found) == {"train": [("u", ["a"], "b")]}
    assert found.skipped == {"unknown_item": 0, "no_history": 0}
    for text, said in (("\nu\ta\tb\n", "line 2 is data"), ("\n\n", "is empty, must have a header")):
        path.write_text(text)
        with pytest.raises(InputError, match=said):
            read(folder)


def test_blanks_around_a_next_item_are_not_part_of_it(tmp_path: Path) -> None:
    folder = inter(tmp_path / "inter", train="u\t a  b \tc \nv\ta\t b\n")
    assert rows_of(read(folder)) == {"train": [("u", ["a", "b"], "c"), ("v", ["a"], "b")]}


def test_a_file_may_be_called_after_the_dataset_and_splits_may_be_missing(tmp_path: Path) -> None:
    folder = Path(inter(tmp_path / "inter", **{"Office.valid": "u\ta\tb\n"}))
    assert list(rows_of(read(folder))) == ["valid"]


ROWS = st.lists(
    st.tuples(st.sampled_from("uvwxy"), st.sampled_from("abcdefgh"), st.integers(0, 12)), min_size=1, max_size=60
)


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
        found = shop.read(path, ids, split="temporal", ratios=list(ratios))
    except InputError:
        return
    latest = -1
    for split in rows_of(found, ids).values():
        histories = [
            ([int(earlier.split("@")[1]) for earlier in past], int(item.split("@")[1])) for _, past, item in split
        ]
        assert all(past == sorted(past) and past[-1] <= time for past, time in histories)
        assert min(time for _, time in histories) > latest
        latest = max(time for _, time in histories)
    distinct = set(rows)
    firsts = len({user for user, _, _ in distinct})
    assert sum(found.rows.values()) == len(distinct) - firsts


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
    assert log_of(path).times.argsort(kind="stable").tolist() == order


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
        ([True, False], "column timestamp is bool, must be integer"),
        ([2**64 - 1, 1], "row 0 has timestamp 18446744073709551615, must be at most 9223372036854775807"),
    ],
)
def test_bad_times_are_refused_with_their_row(tmp_path: Path, times: list[Any], said: str) -> None:
    frame = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "timestamp": pl.Series(times, strict=False)})
    if 2**64 - 1 in times:
        frame = frame.with_columns(pl.Series("timestamp", times, pl.UInt64))
    frame.write_parquet(tmp_path / "log.parquet")
    with pytest.raises(InputError, match=said):
        log_of(tmp_path / "log.parquet")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("log.csv", "", "is empty, must have a header of column names"),
        ("log.csv", "user_id,item_id,timestamp\n", "has no rows"),
        ("log.csv", "user,item_id,timestamp\nu,a,1\n", "no column user_id; its columns are user, item_id, timestamp"),
        ("log.csv", "user_id,item_id\nu,a\n", "no column timestamp"),
        ("log.csv", "user_id,item_id,timestamp\nu,a,1\n,b,2\n", "line 3 has no user_id"),
        ("log.csv", "user_id,item_id,timestamp\nu,,1\n", "line 2 has no item_id"),
        ("log.csv", 'user_id,item_id,timestamp\nu,"",1\n', "line 2 has no item_id"),
        ("log.csv", "user_id,item_id,timestamp\nu,a,\n", "line 2 has no timestamp"),
        ("log.csv", "user_id,item_id,timestamp\nu,a,1,2,3\n", "line 2 has 5 fields, its header has 3"),
        ("log.jsonl", "[1]\n", "log.jsonl: "),
        (
            "log.jsonl",
            GOOD_LINE + '\n{"user_id": "u", "item_id"\n',
            r"line 3 is broken JSON \(Expecting ':' delimiter at",
        ),
        ("log.jsonl", GOOD_LINE + "[1]\n", r"line 2 is \[1\], must be a JSON object"),
        ("log.jsonl", GOOD_LINE.replace("1", "NaN"), "line 1 has timestamp nan, must be a finite number"),
        ("log.jsonl", GOOD_LINE + '{"user_id": "\udcff"}\n', "line 2 is not UTF-8 text"),
        ("log.csv", 'user_id,item_id,timestamp\nu,a,1\nu,"b,2\nu,c,3\n', "line 3 has a quote that isn't closed"),
        ("log.csv", 'user_id,item_id,timestamp\n"u\n",a,1\nu,"b,2\nu,"c",3\n', "line 4 has a quote that isn't closed"),
        ("log.csv", "user_id,item_id,timestamp\nu,\udcff,1\n", "line 2 is not UTF-8 text"),
        (
            "log.csv",
            "user_id,item_id,timestamp,user_id\nu,a,1,v\n",
            "column user_id appears more than once in the header",
        ),
        ("log.csv", "user_id,item_id,timestamp\n,,\n\n", "has no rows"),
        ("log.jsonl", '{"user_id": "u", "item_id": "a"}\n', "no column timestamp; its columns are user_id, item_id"),
        ("log.parquet", "PAR1", "broken, or not a Parquet file"),
        ("log.tab", "x", "no column user_id, item_id, timestamp; its columns are x"),
        ("log.xlsx", "x", "unknown kind of file '.xlsx'; save the sheet as CSV"),
    ],
)
def test_broken_tables_are_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match=said) as caught:
        log_of(tmp_path / name)
    assert len(str(caught.value)) < len(str(tmp_path)) + 200


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_a_byte_order_mark_and_empty_lines_are_no_matter(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    csv = 'user_id,item_id,timestamp,title\n\nu,a,1,x\n,,,\nu,b,2,\n  \n"",,"",\n\n'
    path.write_text(csv if name == "log.csv" else f"{GOOD_LINE}\n{GOOD_LINE}\n \n", encoding="utf-8-sig")
    assert log_of(path).rows == 2
    check_interactions(path, wanted())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("log.csv", "user_id,time\n", "no column item_id, timestamp; its columns are user_id, time"),
        ("log.csv", "", "is empty, must have a header of column names"),
        ("log.csv", "user_id,item_id,timestamp,item_id\n", "column item_id appears more than once"),
        ("log.jsonl", '\n{"user_id": 1, "item_id": 2}\n', "no column timestamp; its columns are user_id, item_id"),
        ("log.jsonl", "\n", "has no rows"),
        ("log.parquet", "PAR1", "broken, or not a Parquet file"),
        ("log.zip", "x", "unknown kind of file '.zip'; unpack it"),
        ("inter/train.inter", "1\t2 3\t4\n", "line 1 is data"),
        ("inter/log.csv", "", "is empty, must have a header"),
    ],
)
def test_headers_are_checked_before_the_work(tmp_path: Path, name: str, content: str, said: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    with pytest.raises(InputError, match=said):
        check_interactions(path.parent if name.startswith("inter/") else path, wanted())


def test_rows_are_not_looked_at_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n,a,never\n")
    check_interactions(tmp_path / "log.csv", wanted())
    (tmp_path / "log.jsonl").write_text(GOOD_LINE + "no JSON\n")
    check_interactions(tmp_path / "log.jsonl", wanted())
    check_interactions(table(tmp_path / "log.parquet", [("u", "a", 1)]), wanted())
    check_interactions(Path(inter(tmp_path / "inter")), wanted())


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
    with pytest.raises(InputError, match=r"row 0 has user_id 1\.5, must be string or integer"):
        log_of(tmp_path / "log.parquet")
    frame.with_columns(pl.lit(7).alias("user_id")).write_parquet(tmp_path / "log.parquet")
    assert log_of(tmp_path / "log.parquet").user_ids.to_list() == ["7"]
    lines = [{"user_id": 7, "item_id": 1, "timestamp": 1}, {"user_id": "x", "item_id": "a", "timestamp": 2.5}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = log_of(tmp_path / "log.jsonl")
    assert (found.user_ids.to_list(), found.items.tolist(), found.times.tolist()) == (["7", "x"], [-1, 0], [1.0, 2.5])


# popularity


def counts(path: Path | str, **changes: Any) -> tuple[list[int], list[int]]:
    found = read(path, **changes).counts
    assert found.train.dtype == found.total.dtype == "int64"
    return found.train.tolist(), found.total.tolist()


def test_a_line_of_inter_files_counts_for_its_next_item(tmp_path: Path) -> None:
    folder = inter(tmp_path / "inter", train="u\ta\tb\nu\ta b\tb\nu\ta\tx\nv\t\td\n", test="u\tx\tc\nu\ta\tb\n")
    train, total = counts(folder, unknown_items="skip")
    assert train == [0, 2, 0, 1, 0, 0, 0, 0]
    assert total == [0, 3, 1, 1, 0, 0, 0, 0]


def test_a_row_of_a_table_counts_once(tmp_path: Path) -> None:
    rows = [("u", "a", 1), ("u", "a", 1), ("u", "a", 2), ("u", "b", 3), ("u", "c", 4), ("v", "x", 1), ("v", "h", 2)]
    path = table(tmp_path / "log.csv", rows)
    train, total = counts(path, unknown_items="skip")
    assert train == [2, 0, 0, 0, 0, 0, 0, 0]
    assert total == [2, 1, 1, 0, 0, 0, 0, 1]
    train, total = counts(path, unknown_items="skip", split="temporal", ratios=[0.5, 0.25, 0.25])
    assert train == [1, 0, 0, 0, 0, 0, 0, 0]


def test_no_interactions() -> None:
    found = read("data/none")
    assert rows_of(found) == {}
    assert found.figures() == {
        "source": "none",
        "rows": {"train": 0, "valid": 0, "test": 0},
        "users": 0,
        "users_left_out": 0,
        "skipped": {},
        "items": 8,
        "items_without_interactions": 8,
        "warnings": [],
        "notes": [],
    }


@pytest.mark.parametrize(
    ("rows", "changes", "said"),
    [
        ([("u", item, time) for time, item in enumerate("abc")], {}, "no user has 4 known interactions: leave_one_out"),
        (
            [("u", "a", 1), ("v", "a", 2), ("w", "a", 3), ("u", "b", 4), ("v", "b", 5)],
            {"split": "temporal", "ratios": [0.6, 0.0, 0.4]},
            "no interaction before the first cut of interactions.ratios [0.6, 0.0, 0.4] has a history",
        ),
    ],
)
def test_a_table_without_a_target_to_train_on_is_warned_of(
    tmp_path: Path, rows: list[tuple[str, str, int]], changes: dict[str, Any], said: str
) -> None:
    path = table(tmp_path / "log.csv", rows)
    (warning,) = read(path, **changes).warnings
    assert warning.startswith(f"{path}: there is nothing to train on: {said}")


@pytest.mark.parametrize("splits", [{"test": "u\ta\tb\n"}, {"train": "u\t\ta\n", "test": "u\ta\tb\n"}])
def test_inter_files_without_a_target_to_train_on_are_warned_of(tmp_path: Path, splits: dict[str, str]) -> None:
    folder = inter(tmp_path / "inter", **splits)
    (warning,) = read(folder).warnings
    assert warning.startswith(f"{folder}: there is nothing to train on: train.inter is missing, or has no line")
