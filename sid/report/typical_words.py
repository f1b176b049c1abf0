"""Words that are typical of some titles against all of them, for titles in any script."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

TITLES = 200_000  # more than these are sampled evenly
TYPICAL = 5

_LEAST = 2.0  # standard errors by which a word must be more frequent
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー"
_RUN = rf"\p{{N}}+[.,]\p{{N}}+[\p{{L}}\p{{M}}]*|[{_UNSPACED}]+|[\p{{L}}\p{{M}}\p{{N}}--[{_UNSPACED}]]+"


def tokenise(titles: pl.Series) -> pl.DataFrame:
    """Each title's words, once: columns `row` (its place) and `word`.

    A word is a run of letters, marks and digits (1.5mm is one), in lower case, of at least two characters with a
    letter among them. Scripts that are written without spaces (Chinese, Japanese, Thai, ...) give every two
    neighbouring characters.
    """
    lower = titles.cast(pl.String).fill_null("").str.normalize("NFKC").str.to_lowercase()
    runs = (
        pl.DataFrame({"row": np.arange(len(titles)), "run": lower.str.extract_all(_RUN)})
        .explode("run", empty_as_null=True)
        .drop_nulls()
        .unique(maintain_order=True)
    )
    distinct = runs["run"].unique(maintain_order=True)
    plain = ~distinct.str.contains(rf"[{_UNSPACED}]")
    kept = distinct.filter(plain & distinct.str.contains(r"\p{L}") & (distinct.str.len_chars() > 1))
    unspaced = distinct.filter(~plain).to_list()
    pairs = [(run, run[at : at + 2]) for run in unspaced for at in range(max(len(run) - 1, 1))]
    words = pl.concat(
        [
            pl.DataFrame({"run": kept, "word": kept}),
            pl.DataFrame(pairs, {"run": pl.String, "word": pl.String}, orient="row"),
        ]
    )
    return runs.join(words, on="run", how="inner", maintain_order="left").select("row", "word").unique()


def typical(titles: pl.Series, groups: list[NDArray[np.int64]]) -> list[dict[int, list[str]]]:
    """Up to TYPICAL words of each group of titles that are most over-represented in it, most telling first.

    Args:
        titles: (N,) text or null.
        groups: ways to group the titles, (N,) each; a negative number means no group.

    Returns:
        For each way, words by group; groups without a telling word are left out.

    The measure is the log-odds ratio of a word in the group's titles against all other titles, half a title added to
    each count, in standard errors (Monroe, Colaresi, Quinn: Fightin' Words, 2008); a word counts once per title and
    must be in two of the group's titles at least.
    """
    rows = np.unique(np.linspace(0, len(titles) - 1, min(len(titles), TITLES)).astype(np.int64))
    words = tokenise(titles.gather(rows))
    everywhere = words.group_by("word").agg(pl.len().alias("C")).filter(pl.col("C") > 1)
    words = words.join(everywhere, on="word")
    return [_typical(words, keys[rows]) for keys in groups]


def _typical(words: pl.DataFrame, keys: NDArray[np.int64]) -> dict[int, list[str]]:
    sizes = pl.DataFrame({"group": keys}).group_by("group").agg(pl.len().alias("n"))
    total = len(keys)
    inside, outside = pl.col("c") + 0.5, pl.col("C") - pl.col("c") + 0.5
    rest_in, rest_out = pl.col("n") - pl.col("c") + 0.5, total - pl.col("n") - pl.col("C") + pl.col("c") + 0.5
    error = (1 / inside + 1 / outside + 1 / rest_in + 1 / rest_out).sqrt()
    scored = (
        words.with_columns(group=pl.Series(keys).gather(words["row"]))
        .filter(pl.col("group") >= 0)
        .group_by("group", "word", "C")
        .agg(pl.len().cast(pl.Int64).alias("c"))
        .with_columns(pl.col("C").cast(pl.Int64))
        .filter(pl.col("c") > 1)
        .join(sizes.with_columns(pl.col("n").cast(pl.Int64)), on="group")
        .filter(pl.col("n") < total)
        .with_columns(score=((inside / rest_in).log() - (outside / rest_out).log()) / error)
        .filter(pl.col("score") >= _LEAST)
        .sort("group", "score", "word", descending=[False, True, False])
        .group_by("group", maintain_order=True)
        .head(TYPICAL)
    )
    found: dict[int, list[str]] = {}
    for group, word in scored.select("group", "word").iter_rows():
        found.setdefault(group, []).append(word)
    return found
