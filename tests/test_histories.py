"""The rows that `export` makes of the interactions: histories as params want them, and an account of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sid.errors import InputError
from sid.export.histories import Behaviour
from sid.interactions import SPLITS
from tests.shop import inter, wanted
from tests.test_interactions import IDS, ROWS, Row, read, table


def kept(source: Path | str, **changes: Any) -> Behaviour:
    return Behaviour.of(read(source).interactions, wanted(**changes))


def rows_of(found: Behaviour) -> dict[str, list[Row]]:
    """User, history and next item of every row by split, as ids."""
    return {
        split.name: [
            (found.user_ids[user], [IDS[earlier] for earlier in history], IDS[item])
            for user, history, item in split.rows()
        ]
        for split in found.splits
    }


def test_history_keys_on_a_table(tmp_path: Path) -> None:
    path = table(tmp_path / "log.csv", [("u", item, time) for time, item in enumerate("abcdefgh")])
    found = kept(path, max_history=3, min_history=2)
    assert found.left_out == {"short_history": 1, "not_longest": 0}
    assert rows_of(found)["train"] == [("u", [*"abcdefgh"][max(0, n - 3) : n], "abcdefgh"[n]) for n in range(2, 6)]
    longest = kept(path, max_history=3, keep_longest_only=True)
    assert rows_of(longest)["train"] == [("u", ["c", "d", "e"], "f")]
    assert longest.left_out == {"short_history": 0, "not_longest": 4}
    assert len(rows_of(longest)["test"]) == 1


def test_history_keys_on_inter_files(tmp_path: Path) -> None:
    folder = inter(tmp_path / "inter", train="u\ta\tb\nv\ta b\tc\nu\tc d\te\nu\ta b\tc\nv\ta\tb\n", test="u\ta\tb\n")
    found = kept(folder, keep_longest_only=True, max_history=1)
    # of equals the first, as MiniOneRec's converter; lengths before max_history; test is not touched
    assert rows_of(found) == {"train": [("v", ["b"], "c"), ("u", ["d"], "e")], "valid": [], "test": [("u", ["a"], "b")]}
    assert found.left_out["not_longest"] == 3
    short = kept(folder, min_history=2)
    assert [row[0] for row in rows_of(short)["train"]] == ["v", "u", "u"]
    assert short.left_out["short_history"] == 3
    assert short.users == 2


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
                expected[name] = [earlier for earlier in expected[name] if earlier[0] != user]
            expected[name].append(row)
    keys = {"min_history": shortest, "max_history": longest, "keep_longest_only": only}
    if not any(expected.values()):
        with pytest.raises(InputError, match=r"no interaction (with|has) a history"):
            kept(path, **keys)
        return
    assert rows_of(kept(path, **keys)) == expected
