"""The raw codes of a catalogue that continues a release: published items keep theirs, only new ones are encoded."""

from __future__ import annotations

import numpy as np
import polars as pl

from sid.arrays import Codes, Vectors
from sid.quantizers.assignment import nearest_codes
from sid.quantizers.base import Quantizer
from sid.releases.folder import Release


def encode_beside(release: Release, quantizer: Quantizer, vectors: Vectors, item_ids: pl.Series) -> tuple[Codes, int]:
    """Codes (N, L) int32, and how many items are new and so were encoded, each by its nearest codes.

    Args:
        quantizer: the release's.
        vectors: (N, D) float32; may be a memory map, of which the rows of new items alone are read.
        item_ids: (N,) their ids as text.
    """
    found = release.find(item_ids)
    codes = release.raw_codes[found]  # a copy
    new = np.flatnonzero(found < 0)
    if len(new):
        codes[new] = nearest_codes(quantizer, vectors, new)
    return codes, len(new)
