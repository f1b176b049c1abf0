"""Integer ids for readers that need them: the catalogue's own where they are integers, else row numbers and a map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.export.jsonfiles import write_object
from sid.export.source import Source

_CANONICAL = r"^(?:0|[1-9][0-9]{0,17})$"


def own_integers(item_ids: pl.Series) -> NDArray[np.int64] | None:
    """The ids as integers if all are written as one writes integers from 0, such as 7, not 007; else None."""
    if not item_ids.str.contains(_CANONICAL).all():
        return None
    return item_ids.cast(pl.Int64).to_numpy()


def numbers(folder: Path, source: Source) -> list[int]:
    """(N,): every item's integer; writes `id_map.json`, row number -> id, if the ids aren't integers."""
    own = own_integers(source.sids.item_ids)
    if own is not None:
        found: list[int] = own.tolist()
        return found
    write_id_map(folder, source)
    return list(range(len(source.sids.item_ids)))


def write_id_map(folder: Path, source: Source) -> None:
    """Write `id_map.json`: row number -> item id."""
    pairs = ((str(row), item_id) for row, item_id in enumerate(source.catalogue.item_ids))
    write_object(folder / "id_map.json", pairs)
