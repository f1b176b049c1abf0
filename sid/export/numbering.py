"""Integer ids for readers that need them: the catalogue's own where they are integers, else row numbers and a map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.export.jsonfiles import json_texts, write_columns
from sid.export.source import Source

_CANONICAL = r"^(?:0|[1-9][0-9]{0,17})$"


def own_integers(item_ids: pl.Series) -> NDArray[np.int64] | None:
    """The ids as integers if all are written as one writes integers from 0, such as 7, not 007; else None."""
    if not item_ids.str.contains(_CANONICAL).all():
        return None
    return item_ids.cast(pl.Int64).to_numpy()


def numbers(folder: Path, source: Source) -> pl.Series:
    """(N,) int64: every item's integer; writes `id_map.json`, row number -> id, if the ids aren't integers."""
    own = own_integers(source.sids.item_ids)
    if own is None:
        write_id_map(folder, source)
        own = np.arange(len(source.items))
    return pl.Series("number", own)


def write_id_map(folder: Path, source: Source) -> None:
    """Write `id_map.json`: row number -> item id."""
    item_ids = source.sids.item_ids

    def entries(part: slice) -> pl.Series:
        rows = pl.int_range(part.start, part.stop, eager=True).cast(pl.String)
        return pl.select(pl.concat_str(json_texts(rows), pl.lit(": "), json_texts(item_ids[part])).alias("line"))[
            "line"
        ]

    write_columns(folder / "id_map.json", len(item_ids), entries)
