"""The tensor that GRID takes as its semantic_id_path: int64, (levels, N), column j is item j.

Source: tiger_generation_model.py of snap-research/GRID.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sid.errors import InputError
from sid.export.numbering import own_integers, write_id_map
from sid.export.source import Format, Source


def _write(folder: Path, source: Source) -> int:
    import torch

    codes = source.sids.codes
    own = own_integers(source.sids.item_ids)
    if own is not None and np.array_equal(np.sort(own), np.arange(len(own))):
        codes = codes[np.argsort(own)]
    else:
        write_id_map(folder, source)
    tensor = torch.from_numpy(np.ascontiguousarray(codes.T, dtype=np.int64))
    torch.save(tensor, folder / f"{source.dataset}.pt")
    return len(codes)


def _warnings(source: Source) -> list[str]:
    if source.uneven:
        raise InputError(
            "export.formats: grid can't hold Semantic IDs that differ in length, GRID reads a rectangular tensor; "
            "leave it out, or use another dedupe.strategy than append_colliding"
        )
    if source.sharing:
        return [f"{source.sharing:,} items share a Semantic ID: GRID can't distinguish them"]
    return []


FORMAT = Format(write=_write, warnings=_warnings)
