from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sid import ids as tokens
from sid.arrays import check_codes
from sid.errors import InputError
from sid.ids import SemanticIds


def test_tokens_by_hand() -> None:
    assert tokens.tokens([12, 200, 7]) == ["<a_12>", "<b_200>", "<c_7>"]
    assert tokens.sid_text([12, 200, 7]) == "<a_12><b_200><c_7>"
    assert tokens.tokens([5, 0, -1]) == ["<a_5>", "<b_0>"]
    assert tokens.vocabulary((2, 1)) == ["<a_0>", "<a_1>", "<b_0>"]
    assert tokens.token(25, 3) == "<z_3>"


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=26))
def test_text_round_trips(codes: list[int]) -> None:
    assert tokens.parse(tokens.sid_text(codes)) == tuple(codes)


@pytest.mark.parametrize("text", ["", "a", "<a_1", "<b_1>", "<a_1><c_2>", "<a_01>", "<a_-1>", "<a_1> <b_2>", "<A_1>"])
def test_parse_refuses_what_is_no_semantic_id(text: str) -> None:
    with pytest.raises(InputError, match="isn't a Semantic ID"):
        tokens.parse(text)


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (np.zeros(3, np.int32), r"has shape \(3,\)"),
        (np.zeros((3, 2)), "dtype float64"),
        (np.zeros((3, 3), np.int32), "has 3 levels, but there are 2 code sizes"),
        (np.array([[0, 0], [1, 4]], np.int32), r"row 1 has code 4 at level 1, must be in 0\.\.3"),
        (np.array([[0, -1]], np.int32), r"row 0 has code -1 at level 1"),
    ],
)
def test_check_codes_names_the_fault(codes: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_codes(codes, (4, 4), "here")


def ids(*names: str) -> pl.Series:
    return pl.Series("item_id", names)


def test_semantic_ids_round_trip_and_give_the_same_bytes(tmp_path: Path) -> None:
    codes = np.array([[1, 0, 3], [0, 2, -1]], np.int32)
    sids = SemanticIds(ids("x", "ü"), codes, (2, 3, 4))
    sids.save(tmp_path / "one.parquet")
    sids.save(tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    loaded = SemanticIds.load(tmp_path / "one.parquet")
    assert loaded.item_ids.to_list() == ["x", "ü"]
    assert loaded.code_sizes == (2, 3, 4)
    np.testing.assert_array_equal(loaded.codes, codes)
    assert pl.read_parquet(tmp_path / "one.parquet")["sid"].to_list() == ["<a_1><b_0><c_3>", "<a_0><b_2>"]


def test_semantic_ids_check_their_parts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 item ids, but 2 rows of codes"):
        SemanticIds(ids("x"), np.zeros((2, 1), np.int32), (4,))
    with pytest.raises(InputError, match="row 0 has code -1 at level 0"):
        SemanticIds(ids("x"), np.array([[-1, 0]], np.int32), (4, 4))
    pl.DataFrame({"item_id": ["x"]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="holds no Semantic IDs"):
        SemanticIds.load(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="can't be read"):
        SemanticIds.load(tmp_path / "absent.parquet")
