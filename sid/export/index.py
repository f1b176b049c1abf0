"""`<dataset>.index.json` and `<dataset>.item.json`, as MiniOneRec, LC-Rec and LETTER read them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sid.export.jsonfiles import write_object
from sid.metadata import FIELDS
from sid.semantic_ids import SemanticIds
from sid.tokens import tokens


def write_index(path: Path, sids: SemanticIds) -> int:
    """item id -> list of its tokens, in item order; returns the number of items."""
    pairs = zip(sids.item_ids.to_list(), sids.codes.tolist(), strict=True)
    return write_object(path, ((item_id, tokens(codes)) for item_id, codes in pairs))


def write_items(path: Path, items: pl.DataFrame) -> int:
    """item id -> {title, description, brand, categories}, '' where nothing is known; returns the number of items."""
    known = items.select("item_id", *(pl.col(name).fill_null("") for name in FIELDS))
    return write_object(path, ((row.pop("item_id"), row) for row in known.iter_rows(named=True)))
