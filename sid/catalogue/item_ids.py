"""Item ids on their own, for what needs no metadata."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sid.errors import InputError, listed


def load_ids(path: str | Path) -> pl.Series:
    """(N,) the prepared items' ids as text, all different, in the order of the vectors."""
    try:
        return pl.read_parquet(path, columns=["item_id"], glob=False)["item_id"]
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path}: can't be read, run the prepare stage ({error})") from None


def refuse_duplicates(item_ids: pl.Series, where: str) -> None:
    """Raise InputError with the count and the first five ids if any id occurs more than once."""
    repeated = item_ids.filter(item_ids.is_duplicated())
    if len(repeated):
        distinct = repeated.unique(maintain_order=True)
        raise InputError(
            f"{where}: {len(distinct)} item ids occur more than once, ids must be unique: {listed(distinct)}"
        )
