"""A release: an index that was published, as a folder or as a table alone, and who has which Semantic ID by it.

Nothing here knows tokens, so that an edit to them retrains nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN, Codes, check_codes
from sid.catalogue.item_ids import refuse_duplicates
from sid.errors import InputError
from sid.files import digest
from sid.params import Params, given

FORMAT = 1
MANIFEST, SIDS, RETIRED, QUANTIZER = "manifest.json", "sids.parquet", "retired.parquet", "quantizer.pth"
TRAINING, CURVE, TOKENS, PARAMS = "train.json", "train.csv", "new_tokens.json", "params.yaml"
FILES = (SIDS, RETIRED, QUANTIZER, TRAINING, CURVE, TOKENS, PARAMS)
"""What every release has beside its manifest."""

_COLUMNS = ("item_id", "codes", "raw_codes", "release")
_NUMBERS = ("format", "dim", "items", "retired")


@dataclass(frozen=True)
class Release:
    """A published index.

    Attributes:
        folder: where its files are; the file of a table alone.
        name: what `origins` of later indexes call it.
        manifest: facts about it, as plain values; none of a table alone.
        item_ids: (M,) the ids of its catalogue's items, and then of those that had left it and whose Semantic IDs are
            reserved.
        codes: (M, L or L + 1) int32, their Semantic IDs; -1 in the last column alone means 'no token'.
        raw_codes: (M, L) int32, what the quantizer gave them; the Semantic IDs if only a table was published.
        origins: (M,) the name of the release since which they have these Semantic IDs.
        code_sizes: of each level of `codes`.
    """

    folder: Path
    name: str
    manifest: Mapping[str, Any]
    item_ids: pl.Series
    codes: Codes
    raw_codes: Codes
    origins: pl.Series
    code_sizes: tuple[int, ...]

    @property
    def bare(self) -> bool:
        """Whether it is a table alone, without the quantizer that made it."""
        return not self.manifest

    @property
    def levels(self) -> int:
        """L, the levels of the quantizer."""
        return int(self.raw_codes.shape[1])

    @property
    def raw_sizes(self) -> tuple[int, ...]:
        """The quantizer's code sizes."""
        return self.code_sizes[: self.levels]

    @property
    def dim(self) -> int:
        """D of the vectors that its quantizer takes."""
        return int(self.manifest["dim"])

    def file(self, name: str) -> Path:
        """One of FILES."""
        return self.folder / name

    @property
    def aligner(self) -> Path | None:
        """What the vectors were aligned by, if anything."""
        name = self.manifest.get("aligner")
        return None if name is None else self.folder / str(name)

    def find(self, item_ids: pl.Series) -> NDArray[np.int64]:
        """(N,) where each of these items is in `item_ids`; -1 for one that isn't there."""
        ours = pl.DataFrame({"item_id": self.item_ids}).with_row_index("row")
        asked = pl.DataFrame({"item_id": item_ids}).join(ours, on="item_id", how="left", maintain_order="left")
        return asked["row"].cast(pl.Int64).fill_null(-1).to_numpy()

    def left_out(self, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of `item_ids` that `find` found for nobody, ascending: items that have left the catalogue."""
        here = np.zeros(len(self.item_ids), bool)
        here[found[found >= 0]] = True
        return np.flatnonzero(~here)


def taken_over(wanted: Params) -> Path | None:
    """The release whose quantizer and aligner an index takes: with `release.mode: append` the folder of `published`.

    None where the index makes its own: there is no release, it is a refresh, or only a table was published.
    """
    path = given(wanted.published)
    return None if path is None or wanted.release.mode != "append" or path.is_file() else path


def open_release(folder: str | Path) -> Release:
    """Read the folder of a release and check all of it.

    Raises:
        InputError: no such folder or no manifest (it isn't complete), a file that is missing or isn't as it was
            published, an id twice, codes that its codebooks don't have, or tables that don't fit each other.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    for name, fact in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise InputError(
                f"{path}: no such file, the release is damaged: get it again with dvc checkout or dvc pull"
            )
        if path.stat().st_size != fact["bytes"] or digest(path) != fact["sha256"]:
            raise InputError(
                f"{path}: isn't what was published, its SHA-256 differs from what {MANIFEST} says: get it again with "
                "dvc checkout or dvc pull"
            )
    sizes, levels = tuple(manifest["code_sizes"]), int(manifest["levels"])
    tables = [_table(folder / name, sizes, levels) for name in (SIDS, RETIRED)]
    for name, table, key in zip((SIDS, RETIRED), tables, ("items", "retired"), strict=True):
        if len(table[0]) != manifest[key]:
            raise InputError(f"{folder / name}: has {len(table[0])} items, {MANIFEST} says {manifest[key]}")
    ids, codes, raw_codes, origins = zip(*tables, strict=True)
    item_ids = pl.concat(ids)
    refuse_duplicates(item_ids, f"{folder / SIDS} and {RETIRED}")
    return Release(
        folder,
        str(manifest["name"]),
        manifest,
        item_ids,
        np.concatenate(codes),
        np.concatenate(raw_codes),
        pl.concat(origins),
        sizes,
    )


def save_table(
    path: Path,
    item_ids: pl.Series,
    codes: Codes,
    raw_codes: Codes,
    origins: pl.Series,
    texts: list[str],
    metadata: Mapping[bytes, bytes],
) -> None:
    """Write the items of a release, or those that are retired: item_id, codes, sid (as text), raw_codes, release."""
    table = pa.table(
        {
            "item_id": item_ids.to_arrow().cast(pa.string()),
            "codes": _lists(codes),
            "sid": pa.array(texts, pa.string()),
            "raw_codes": _lists(raw_codes),
            "release": origins.to_arrow().cast(pa.string()),
        }
    )
    pq.write_table(table.replace_schema_metadata(dict(metadata)), path)


def _lists(codes: Codes) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(codes.reshape(-1), pa.int32()), codes.shape[1])


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder (published in params.yaml must name a release, as python -m stages.publish "
            "makes it, a table of Semantic IDs, or data/none)"
        )
    if not path.is_file():
        raise InputError(f"{folder}: holds no {MANIFEST}, so it isn't a complete release")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: isn't JSON ({error}), the release is damaged") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{path}: isn't the manifest of a release of format {FORMAT}")
    sizes, files = found.get("code_sizes"), found.get("files")
    faults = [key for key in (*_NUMBERS, "levels") if not isinstance(found.get(key), int)]
    faults += [key for key in ("name", "strategy") if not isinstance(found.get(key), str)]
    if not isinstance(sizes, list) or not all(isinstance(size, int) and size > 0 for size in sizes):
        faults.append("code_sizes")
    elif isinstance(found.get("levels"), int) and len(sizes) - found["levels"] not in (0, 1):
        faults.append("levels")
    aligner = found.get("aligner")
    needed = [*FILES, *([aligner] if aligner is not None else [])]
    if not isinstance(files, dict) or not all(
        isinstance(files.get(name), dict) and {"bytes", "sha256"} <= set(files[name]) for name in needed
    ):
        faults.append("files")
    if not faults and found["name"] != folder.name:
        raise InputError(
            f"{folder}: is the release {found['name']!r} according to its {MANIFEST}: a release can't be renamed"
        )
    if faults:
        raise InputError(f"{path}: {', '.join(faults)} isn't as stages.publish writes it, the release is damaged")
    return found


def _table(path: Path, sizes: tuple[int, ...], levels: int) -> tuple[pl.Series, Codes, Codes, pl.Series]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: can't be read as Parquet ({next(iter(str(error).splitlines()), '')})") from None
    if missing := [name for name in _COLUMNS if name not in table.column_names]:
        raise InputError(f"{path}: has no column {', '.join(missing)}, the release is damaged")
    codes, raw = (_codes(table, name, path, width) for name, width in (("codes", len(sizes)), ("raw_codes", levels)))
    present = codes
    if len(sizes) > levels:
        present = codes.copy()
        present[:, -1] = np.where(codes[:, -1] == NO_TOKEN, 0, codes[:, -1])
    check_codes(present, sizes, f"{path}, codes")
    check_codes(raw, sizes[:levels], f"{path}, raw_codes")
    return pl.Series("item_id", table["item_id"]), codes, raw, pl.Series("release", table["release"])


def _codes(table: pa.Table, name: str, path: Path, levels: int) -> Codes:
    kind = table.schema.field(name).type
    if kind != pa.list_(pa.int32(), levels) or table[name].null_count:
        raise InputError(f"{path}: column {name} is {kind}, must be lists of {levels} int32, as {MANIFEST} says")
    flat = table[name].combine_chunks()
    values = flat.flatten().to_numpy(zero_copy_only=False) if len(table) else np.zeros(0, np.int32)
    return values.reshape(-1, levels).astype(np.int32, copy=False)
