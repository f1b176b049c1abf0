"""The files of LC-Rec and LETTER: index, items, and every user's whole sequence, which they split themselves.

Source of each fact: data.py of zhengbw0324/LC-Rec and of HonghuiBao2000/LETTER.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.export.columns import texts_of
from sid.export.histories import Behaviour
from sid.export.index import write_index, write_items
from sid.export.jsonfiles import write_object
from sid.export.numbering import numbers
from sid.export.source import Format, Source
from sid.interactions import holds_out_last

_SHORTEST = 3
"""Items a user must have: they take the last for test, the one before for validation, and train on the rest."""


def _write(folder: Path, source: Source) -> int:
    keys = numbers(folder, source)
    names = keys.cast(pl.String)
    write_index(folder / f"{source.dataset}.index.json", names, source.sids)
    write_items(folder / f"{source.dataset}.item.json", names, source.items["title"].fill_null(""), source.items)
    if source.behaviour is None:
        return 0
    return write_object(folder / f"{source.dataset}.inter.json", _sequences(keys.to_numpy(), source.behaviour))


def _sequences(keys: NDArray[np.int64], behaviour: Behaviour) -> Iterator[tuple[str, list[int]]]:
    found = behaviour.sequences
    for user_id, (start, stop) in zip(texts_of(behaviour.user_ids), pairwise(found.offsets.tolist()), strict=True):
        if stop - start >= _SHORTEST:
            yield user_id, keys[found.items[start:stop]].tolist()


def _warnings(source: Source) -> list[str]:
    found = []
    if source.uneven:
        found.append(
            "Semantic IDs differ in length: LC-Rec and LETTER end one only after the last level, so they can't "
            "generate the shorter ones"
        )
    if source.behaviour is None:
        return [*found, "no interactions: LC-Rec and LETTER also need an inter.json"]
    sequences = source.behaviour.sequences
    if not holds_out_last(source.behaviour.read, sequences, _SHORTEST):
        found.append(
            "LC-Rec and LETTER hold out each user's last two items themselves: their splits differ from those "
            "of the other formats, and they may train on what the others hold out"
        )
    short = int((np.diff(sequences.offsets) < _SHORTEST).sum())
    if short:
        found.append(
            f"{short:,} users with fewer than {_SHORTEST} items: left out of inter.json, where LC-Rec and LETTER need "
            "one to train on and two to hold out"
        )
    return found


FORMAT = Format(write=_write, warnings=_warnings)
