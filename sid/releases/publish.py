"""An index as a release: a folder that is whole or not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sid.arrays import SIZES_KEY, Codes, code_lists
from sid.errors import InputError
from sid.export.jsonfiles import write_list
from sid.files import Outputs, digest, read_json, write_json
from sid.ids import SemanticIds, sid_text, vocabulary
from sid.measure.churn import padded
from sid.releases import folder as names
from sid.releases.folder import Release, save_table


@dataclass(frozen=True)
class Index:
    """What is published.

    Attributes:
        sids: every item's Semantic ID.
        raw_codes: (N, L) what the quantizer gave them.
        files: where the release's QUANTIZER, TRAINING, CURVE and PARAMS are copied from.
        aligner: what the vectors were aligned by, if anything.
        dim: D of the vectors.
        strategy: the one of dedupe.
    """

    sids: SemanticIds
    raw_codes: Codes
    files: Mapping[str, Path]
    aligner: Path | None
    dim: int
    strategy: str


def publish(
    index: Index, target: Path, earlier: Release | None, *, reserve: bool, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a release; the manifest, which says that it is whole, comes last, and the folder appears with it.

    Args:
        target: the folder; its name is the release's.
        earlier: the release that the index continues.
        reserve: whether the Semantic IDs of items that have left since then stay reserved.
        facts: more to say in the manifest: where the index is from.

    Returns:
        The manifest.

    Raises:
        InputError: the folder is there already, or sids and codes are of different items.
    """
    refuse_existing(target)
    if len(index.raw_codes) != len(index.sids.codes):
        raise InputError(
            f"{len(index.sids.codes)} Semantic IDs, but {len(index.raw_codes)} rows of codes; run dvc repro"
        )
    with Outputs() as outputs:
        partial = outputs.partial(target)
        partial.mkdir()
        own = pl.Series("release", [target.name] * len(index.sids.codes), pl.String)
        origins = own if index.sids.origins is None else index.sids.origins.fill_null(target.name)
        sizes = index.sids.code_sizes
        _save(partial / names.SIDS, index.sids.item_ids, index.sids.codes, index.raw_codes, origins, sizes)
        retired = _retired(partial / names.RETIRED, index, earlier if reserve else None)
        write_list(partial / names.TOKENS, vocabulary(index.sids.code_sizes))
        for name, source in index.files.items():
            shutil.copyfile(source, partial / name)
        if index.aligner is not None:
            shutil.copyfile(index.aligner, partial / index.aligner.name)
        manifest = {
            "format": names.FORMAT,
            "name": target.name,
            "items": len(index.sids.codes),
            "new": int((origins == target.name).sum()),
            "retired": retired,
            "continues": None if earlier is None else earlier.name,
            "method": read_json(partial / names.TRAINING)["method"],
            "strategy": index.strategy,
            "dim": index.dim,
            "levels": index.raw_codes.shape[1],
            "code_sizes": list(index.sids.code_sizes),
            "aligner": None if index.aligner is None else index.aligner.name,
            **facts,
            "files": {
                path.name: {"bytes": path.stat().st_size, "sha256": digest(path)} for path in sorted(partial.iterdir())
            },
        }
        write_json(partial / names.MANIFEST, manifest)
        refuse_existing(target)
        outputs.commit()
    return manifest


def refuse_existing(path: Path) -> None:
    """Raise InputError where something is in the place of a release."""
    if path.exists() or path.is_symlink():
        raise InputError(f"{path}: exists already, and a release is never overwritten: choose another name")


def _retired(path: Path, index: Index, earlier: Release | None) -> int:
    """Write the items of the earlier release that have left, those of releases before it too; returns their number."""
    levels = len(index.sids.code_sizes)
    if earlier is None:
        nothing = pl.Series("item_id", [], pl.String)
        none = np.zeros((0, levels), np.int32)
        _save(path, nothing, none, none[:, : index.raw_codes.shape[1]], nothing, index.sids.code_sizes)
        return 0
    gone = earlier.left_out(earlier.find(index.sids.item_ids))
    codes = padded(earlier.codes[gone], levels)
    origins = earlier.origins.gather(gone)
    _save(path, earlier.item_ids.gather(gone), codes, earlier.raw_codes[gone], origins, index.sids.code_sizes)
    return len(gone)


def _save(
    path: Path, item_ids: pl.Series, codes: Codes, raw_codes: Codes, origins: pl.Series, sizes: tuple[int, ...]
) -> None:
    texts = [sid_text(row) for row in code_lists(codes)]
    save_table(path, item_ids, codes, raw_codes, origins, texts, {SIZES_KEY: json.dumps(sizes).encode()})
