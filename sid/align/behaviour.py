"""Read a user's own behaviour vectors of items, which `fuse` appends to those of the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from sid.align.base import Behaviour
from sid.catalogue.embeddings import open_embeddings
from sid.errors import InputError


def read_behaviour(
    path: str | Path, item_ids: pl.Series, item_id_column: str, embedding_column: str
) -> tuple[Behaviour, tuple[str, ...]]:
    """The vectors of those prepared items that the file has, and a warning where it has others.

    Args:
        path: as `open_embeddings` takes it, with ids.
        item_ids: (N,) the prepared items' ids.

    Raises:
        InputError: what `open_embeddings` refuses, no ids, an id twice, rows without a vector, values
            that aren't finite in float32, or none of the prepared items.
    """
    source = open_embeddings(path, item_id_column, embedding_column, key="align.behaviour")
    if source.numbered:
        raise InputError(f"{path}: has vectors without ids, align.behaviour needs a column {item_id_column}")
    places = pl.DataFrame({"item_id": item_ids, "row": np.arange(len(item_ids))})
    vectors, rows, unknown = [], [], 0
    for chunk in source.chunks():
        found = pl.DataFrame({"item_id": chunk.item_ids}).join(places, "item_id", "left", maintain_order="left")["row"]
        here = found.is_not_null().to_numpy()
        unknown += int((~here).sum())
        with np.errstate(over="ignore"):
            values = np.asarray(chunk.vectors, np.float32)[here]
        bad = ~np.isfinite(values).all(axis=1)
        if bad.any():
            first = int(bad.argmax())
            name = chunk.item_ids.filter(pl.Series(here))[first]
            if chunk.missing[here][first]:
                raise InputError(f"{path}: item {name!r} has no vector, leave it out or give it one")
            raise InputError(f"{path}: the vector of item {name!r} has NaN or Inf, must be finite in float32")
        vectors.append(values)
        rows.append(found.drop_nulls().to_numpy())
    which = np.concatenate(rows).astype(np.int64)
    if not len(which):
        raise InputError(f"{path}: has none of the {len(item_ids)} prepared items (align.behaviour)")
    order = np.argsort(which, kind="stable")
    twice = np.flatnonzero(np.diff(which[order]) == 0)
    if len(twice):
        raise InputError(f"{path}: has item {item_ids[int(which[order[twice[0]]])]!r} twice, must have each once")
    said = f"{path}: {unknown:,} vectors belong to items that aren't in the catalogue and were left out"
    return Behaviour(np.concatenate(vectors)[order], which[order]), (said,) if unknown else ()
