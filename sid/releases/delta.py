"""An index beside the release that it continues: what drifted, and what changed its Semantic ID."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes, Vectors
from sid.ids import SemanticIds
from sid.measure import drift
from sid.measure.churn import churn, kept_levels, padded, shares
from sid.params import Continue
from sid.quantizers.base import Quantizer
from sid.quantizers.renaming import as_before
from sid.releases.beside import appended, sharing
from sid.releases.folder import Release


def drift_figures(
    release: Release, quantizer: Quantizer, vectors: Vectors, raw: Codes, sids: SemanticIds, wanted: Continue
) -> dict[str, Any]:
    """How new items fit in, as reports/drift.json has it.

    `sharing` counts published items that share a Semantic ID. Beside a table alone, `agreement` has the shares of its
    items whose first tokens are those of their raw codes, by the names that the quantizer's codes got.

    Args:
        vectors: (N, D) float32.
        raw: (N, L) the raw codes.
        wanted: whether the Semantic IDs of items that left are reserved.
    """
    held = appended(release, sids.item_ids, wanted.retired)
    levels = raw.shape[1]
    sizes = sids.code_sizes[:levels]
    appending = wanted.mode == "append"
    width = sids.codes.shape[1]
    reserved = padded(held.reserved, width) if appending else sids.codes[:0]
    taken = np.concatenate([padded(held.codes, width), reserved]) if appending else sids.codes[:0]
    everyone = np.concatenate([sids.codes[:, :levels], reserved[:, :levels]])
    found: dict[str, Any] = {
        "release": release.name,
        "mode": wanted.mode,
        "items": {
            "published": len(held.rows),
            "new": len(held.order),
            "retired": len(release.item_ids) - len(held.rows),
            "reserved": len(reserved),
        },
        "errors": drift.errors(quantizer.decode, vectors, raw, held.rows, np.sort(held.order)),
        "sharing": sharing(release),
        "agreement": shares(kept_levels(held.codes[:, :levels], raw[held.rows]), levels) if release.bare else None,
        "settling": drift.settling(raw, sids.codes, taken, np.sort(held.order)),
        "places": drift.places(everyone, sizes, np.sort(held.order)),
    }
    return {**found, "verdict": drift.verdict(found)}


def churn_figures(
    release: Release, quantizer: Quantizer, sids: SemanticIds, wanted: Continue, popularity: NDArray[np.int64] | None
) -> dict[str, Any]:
    """What reports/churn.json has: how the Semantic IDs of items that the release has too differ from the published.

    Returns:
        `release`; `after`: `churn` by the Semantic IDs as they are; `before`: by those that the quantizer gave before
        its codes were renamed, None where that isn't how they got theirs: without `release.mode: refresh`.
    """
    found = release.find(sids.item_ids)
    common = np.flatnonzero(found >= 0)
    theirs = release.codes[found[common]]
    counts = None if popularity is None else popularity[common]
    unnamed = as_before(quantizer, sids.codes[common]) if wanted.mode == "refresh" else None
    return {
        "release": release.name,
        "before": None if unnamed is None else churn(theirs, unnamed, counts),
        "after": churn(theirs, sids.codes[common], counts),
    }
