"""`<dataset>.index.json` and `<dataset>.item.json` with the catalogue's own ids."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sid.catalogue.items import FIELDS
from sid.export.jsonfiles import json_texts, write_columns
from sid.export.source import Format, Source
from sid.ids import SemanticIds, token_columns


def write_index(path: Path, keys: pl.Series, sids: SemanticIds) -> int:
    """Key (N,) text -> list of tokens for every item, in item order; returns the number of items."""

    def entries(part: slice) -> pl.Series:
        quoted = [pl.concat_str(pl.lit('"'), column, pl.lit('"')) for column in token_columns(sids.codes[part])]
        listed = pl.concat_str(quoted, separator=", ", ignore_nulls=True)
        lines = pl.concat_str(json_texts(keys[part]), pl.lit(": ["), listed, pl.lit("]"))
        return pl.select(lines.alias("line"))["line"]

    return write_columns(path, len(keys), entries)


def write_items(path: Path, keys: pl.Series, titles: pl.Series, items: pl.DataFrame) -> int:
    """Key -> {title, description, brand, categories} in item order, '' where nothing is known; returns their number.

    Args:
        keys, titles: (N,) text.
        items: N rows with the columns of FIELDS.
    """

    def entries(part: slice) -> pl.Series:
        values = {FIELDS[0]: titles[part], **{name: items[name][part].fill_null("") for name in FIELDS[1:]}}
        pieces: list[pl.Series | pl.Expr] = [json_texts(keys[part])]
        for place, (name, column) in enumerate(values.items()):
            pieces += [pl.lit(f'{", " if place else ": {"}"{name}": '), json_texts(column)]
        return pl.select(pl.concat_str(*pieces, pl.lit("}")).alias("line"))["line"]

    return write_columns(path, len(keys), entries)


def _write(folder: Path, source: Source) -> int:
    write_index(folder / f"{source.dataset}.index.json", source.sids.item_ids, source.sids)
    titles = source.items["title"].fill_null("")
    return write_items(folder / f"{source.dataset}.item.json", source.sids.item_ids, titles, source.items)


FORMAT = Format(write=_write)
