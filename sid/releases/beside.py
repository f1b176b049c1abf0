"""A catalogue beside the release that it continues: what its published items hold, and what the others may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.arrays import Codes
from sid.dedupe.resolve import can_go_on, check_levels
from sid.dedupe.work import Published
from sid.measure.churn import padded
from sid.measure.metrics import prefix_ids
from sid.params import Params
from sid.releases.folder import Release, taken_over
from sid.releases.published import published
from sid.releases.use import check_dim


def beside(wanted: Params, item_ids: pl.Series, codes: Codes) -> tuple[Release, Published] | None:
    """The release that an index continues, and what dedupe needs to know of it; None if it starts from scratch.

    Args:
        wanted: with `release.mode` append, published items hold their Semantic IDs; those of items that aren't in the
            catalogue are reserved for them (`release.retired: keep`) or to be had (`free`). With refresh, an item holds
            its Semantic ID where it still has the raw codes that it had.
        item_ids: (N,) the catalogue's ids as text, all different.
        codes: (N, L) its raw codes.

    Raises:
        InputError: a release that is damaged, or that params.yaml contradicts.
    """
    if (release := published(wanted)) is None:
        return None
    if wanted.release.mode == "append":
        return release, appended(release, item_ids, wanted.release.retired)
    return release, refreshed(release, item_ids, codes, wanted.quant.num_emb_list, wanted.dedupe.strategy)


def appended(release: Release, item_ids: pl.Series, retired: Literal["keep", "free"]) -> Published:
    """Every published item holds its Semantic ID.

    Args:
        retired: `keep` reserves those of items that aren't in the catalogue; `free` lets others have them.
    """
    found = release.find(item_ids)
    gone = release.left_out(found) if retired == "keep" else np.zeros(0, np.int64)
    return _published(release, item_ids, found, gone)


def refreshed(
    release: Release, item_ids: pl.Series, codes: Codes, code_sizes: Sequence[int], strategy: str
) -> Published:
    """A published item holds its Semantic ID where its raw codes (N, L) are those that it had; nothing is reserved.

    Args:
        code_sizes: of the quantizer, by which a published Semantic ID may be impossible now.
    """
    found = np.full(len(item_ids), -1)
    if release.levels == codes.shape[1] and can_go_on(strategy, release.levels, release.codes.shape[1]):
        found = release.find(item_ids)
        same = (release.raw_codes[found] == codes).all(axis=1)
        possible = (release.codes[found, : release.levels] < np.array(code_sizes)).all(axis=1)
        found = np.where(same & possible, found, -1)
    held = _published(release, item_ids, found, np.zeros(0, np.int64))
    return replace(held, code_sizes=tuple((held.codes.max(axis=0, initial=-1) + 1).tolist()))


def _published(
    release: Release, item_ids: pl.Series, found: NDArray[np.int64], reserved: NDArray[np.int64]
) -> Published:
    rows = np.flatnonzero(found >= 0)
    return Published(
        rows,
        release.codes[found[rows]],
        release.codes[reserved],
        release.code_sizes,
        settling_order(item_ids, found < 0),
    )


def settling_order(item_ids: pl.Series, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The numbers of the wanted rows by their ids: shorter ids first, then as text, so that 9 comes before 10."""
    frame = pl.DataFrame({"item_id": item_ids}).with_row_index("row").filter(wanted)
    ordered = frame.sort(pl.col("item_id").str.len_bytes(), "item_id")
    return ordered["row"].cast(pl.Int64).to_numpy()


def origins(release: Release, item_ids: pl.Series, codes: Codes) -> pl.Series:
    """(N,) the release since which each item has its Semantic ID; null for one that is new."""
    found = release.find(item_ids)
    width = max(codes.shape[1], release.codes.shape[1])
    same = (padded(release.codes, width)[found] == padded(codes, width)).all(axis=1)
    rows = pl.Series(found).set(pl.Series((found < 0) | ~same), None)
    return release.origins.gather(rows).alias("release")


def sharing(release: Release) -> int:
    """How many published items have a Semantic ID that is another's too."""
    groups = prefix_ids(release.codes)[-1]
    return int((np.bincount(groups)[groups] > 1).sum())


def check_release(wanted: Params, dim: int) -> Release | None:
    """What an index continues, if anything; refused where stages would refuse it later.

    Args:
        dim: of the embeddings.

    Raises:
        InputError: as `published`; or a release of another dimension, or of levels that dedupe can't add.
    """
    release = published(wanted)
    if release is None:
        return None
    if not release.bare and (taken_over(wanted) is not None or wanted.release.warm_start):
        check_dim(release.dim, release.folder, dim)
    if wanted.release.mode == "append":
        check_levels(wanted.dedupe.strategy, release.levels, release.codes.shape[1])
    return release
