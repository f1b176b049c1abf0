"""A new quantizer by the names of a published one, so that the most items keep their first tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from sid.arrays import Vectors
from sid.errors import InputError, listed
from sid.measure.churn import kept_levels, shares
from sid.params import Params
from sid.quantizers.assignment import nearest_codes
from sid.quantizers.base import Quantizer
from sid.quantizers.renaming import agreeing_names, renamed
from sid.releases.folder import Release
from sid.releases.use import load_quantizer


def to_start_from(release: Release, item_ids: pl.Series, dim: int, wanted: Params) -> Quantizer | None:
    """The published quantizer, where there is one and `release.warm_start` wants it.

    Args:
        item_ids: (N,) the catalogue's.
        dim: of its vectors.

    Raises:
        InputError: as `load_quantizer`; or a table alone that has none of these items, so that its ids must be others.
    """
    if not release.bare:
        return load_quantizer(release, dim, wanted.quant.device) if wanted.release.warm_start else None
    if not (release.find(item_ids) >= 0).any():
        raise InputError(
            f"{release.folder}: has none of the catalogue's items: must name them by the same ids (its ids: "
            f"{listed(release.item_ids)}; the catalogue's: {listed(item_ids)})"
        )
    return None


def rename(
    quantizer: Quantizer, vectors: Vectors, item_ids: pl.Series, release: Release
) -> tuple[Quantizer, dict[str, Any]]:
    """The quantizer with its codes renamed to agree with the published Semantic IDs.

    Args:
        vectors: (N, D) float32, those of the items.
        item_ids: (N,) their ids as text.

    Returns:
        The renamed quantizer, and figures: `common` items, and what share of them keep their first tokens by their
        nearest codes, `before` and `after` it (see `sid.measure.churn.shares`).
    """
    found = release.find(item_ids)
    common = np.flatnonzero(found >= 0)
    levels = len(quantizer.code_sizes)
    codes = nearest_codes(quantizer, vectors, common)
    wanted = release.codes[found[common], : release.levels]
    names = agreeing_names(codes, wanted, quantizer.code_sizes)
    new = np.stack([own[codes[:, level]] for level, own in enumerate(names)], axis=1).astype(np.int32)
    width = max(levels, wanted.shape[1])
    before, after = (shares(kept_levels(wanted, some), width) for some in (codes, new))
    return renamed(quantizer, names), {"common": len(common), "before": before, "after": after}
