"""The prepared items, as the prepare stage leaves them to others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from sid.errors import InputError

FIELDS = ("title", "description", "brand", "categories")
"""The columns that are always there, in the order in which item.json lists them; empty where nothing is known."""


def load_items(path: str | Path, columns: Sequence[str] = FIELDS) -> pl.DataFrame:
    """The prepared items: item_id and these columns of metadata, all text, in the order of the vectors."""
    try:
        return pl.read_parquet(path, columns=["item_id", *columns], glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path}: can't be read, run the prepare stage ({error})") from None
