"""`<dataset>.index.json` and `<dataset>.item.json` with the catalogue's own ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from sid.arrays import chunks, code_lists
from sid.catalogue.items import FIELDS
from sid.export.jsonfiles import write_object
from sid.export.source import Format, Source
from sid.ids import SemanticIds, tokens

_ITEM_BYTES = 1 << 10  # about what an item's texts take


def write_index(path: Path, keys: Iterable[str], sids: SemanticIds) -> int:
    """Key -> list of tokens for every item, in item order; returns the number of items."""
    pairs = zip(keys, code_lists(sids.codes), strict=True)
    return write_object(path, ((key, tokens(codes)) for key, codes in pairs))


def write_items(path: Path, keys: Iterable[str], titles: Sequence[str], items: pl.DataFrame) -> int:
    """Key -> {title, description, brand, categories} in item order, '' where nothing is known; returns their number."""
    parts = (items[part].select(FIELDS[1:]).fill_null("") for part in chunks(len(items), _ITEM_BYTES))
    others = (row for part in parts for row in part.iter_rows(named=True))
    rows = zip(keys, titles, others, strict=True)
    return write_object(path, ((key, {FIELDS[0]: title, **other}) for key, title, other in rows))


def _write(folder: Path, source: Source) -> int:
    item_ids = source.catalogue.item_ids
    write_index(folder / f"{source.dataset}.index.json", item_ids, source.sids)
    titles = source.items["title"].fill_null("").to_list()
    return write_items(folder / f"{source.dataset}.item.json", item_ids, titles, source.items)


FORMAT = Format(write=_write)
