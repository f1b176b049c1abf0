from __future__ import annotations

import numpy as np
import polars as pl

from sid.report import typical_words


def of(title: str | None) -> set[str]:
    return set(typical_words.tokenise(pl.Series([title], dtype=pl.String))["word"])


def test_words_of_any_script() -> None:
    assert of("Café Bar's 12V-Drill, 1.75mm 6 x") == {"café", "bar", "12v", "drill", "1.75mm"}
    assert of("LED灯泡白 ﾃｽﾄ") == {"led", "灯泡", "泡白", "テス", "スト"}
    assert of("हिन्दी भाषा") == {"हिन्दी", "भाषा"}
    assert of("שלום עולם") == {"שלום", "עולם"}
    assert of("水") == {"水"}
    assert of("") == of(None) == of("12 - !") == set()


def test_a_word_counts_once_a_title() -> None:
    assert typical_words.tokenise(pl.Series(["red Red RED", "red"]))["row"].sort().to_list() == [0, 1]


def test_typical_words_are_those_of_the_group_and_not_of_all() -> None:
    titles = pl.Series(["red steel drill"] * 6 + ["red oak table"] * 6 + [None] * 2)
    kind = np.array([0] * 6 + [1] * 6 + [-1] * 2)
    found, one, none = typical_words.typical(titles, [kind, np.zeros(14, np.int64), np.full(14, -1)])
    assert {group: sorted(some) for group, some in found.items()} == {0: ["drill", "steel"], 1: ["oak", "table"]}
    assert one == {}  # there is nothing to differ from
    assert none == {}


def test_the_order_is_by_log_odds_in_standard_errors() -> None:
    titles = ["aa bb"] * 5 + ["aa"] * 3 + ["bb cc"] * 2 + ["cc"] * 30
    kind = np.array([0] * 8 + [1] * 32)

    def score(inside: int, everywhere: int) -> float:
        a, b = inside + 0.5, everywhere - inside + 0.5
        c, d = 8 - inside + 0.5, 32 - everywhere + inside + 0.5
        return float(np.log(a / c * d / b) / np.sqrt(1 / a + 1 / b + 1 / c + 1 / d))

    assert score(8, 8) > score(5, 7) > 2 > score(0, 32)
    assert typical_words.typical(pl.Series(titles), [kind])[0] == {0: ["aa", "bb"], 1: ["cc"]}


def test_no_title_at_all() -> None:
    assert typical_words.typical(pl.Series([None, None], dtype=pl.String), [np.array([0, 1])]) == [{}]
