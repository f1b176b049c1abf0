"""Clean embeddings, align them with metadata, and keep both as the prepared artifacts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tqdm import tqdm

from sid.arrays import Vectors
from sid.catalogue.duplicates import first_equal, row_hashes
from sid.catalogue.embeddings import Chunk, EmbeddingSource
from sid.catalogue.item_ids import refuse_duplicates
from sid.catalogue.metadata import FIELDS
from sid.errors import InputError, listed
from sid.files import round6

_LISTED = 20
_QUANTILES = {"min": 0.0, "p01": 0.01, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True)
class Cleaning:
    """What to do with rows.

    Attributes:
        invalid_rows: rows with NaN or Inf (float64 values beyond float32's range count as Inf): `zero` sets
            those values to 0, `drop` leaves the rows out, `error` refuses the catalogue.
        normalize: `l2` scales every row to length 1 (all-zero rows stay), `none` keeps them.
    """

    invalid_rows: Literal["zero", "drop", "error"] = "zero"
    normalize: Literal["none", "l2"] = "none"


@dataclass
class _Scan:
    """What one pass over the chunks gathers."""

    nan_rows: list[str] = field(default_factory=list)
    inf_rows: list[str] = field(default_factory=list)
    zero_rows: list[str] = field(default_factory=list)
    ids: list[pl.Series] = field(default_factory=list)
    kept_ids: list[pl.Series] = field(default_factory=list)
    hashes: list[NDArray[np.uint64]] = field(default_factory=list)
    norms: list[NDArray[np.float64]] = field(default_factory=list)


def prepare(
    source: EmbeddingSource,
    metadata: pl.DataFrame | None,
    cleaning: Cleaning,
    vectors_path: Path,
    items_path: Path,
) -> dict[str, Any]:
    """Stream a source into the prepared artifacts.

    Writes `vectors_path` (.npy, float32, C order, (N, D)) and `items_path` (Parquet, N rows in the same order:
    item_id, metadata.FIELDS and whatever else the metadata holds, all text). Memory: ids, 16 bytes a row, and a
    chunk; the vectors themselves stream.

    Returns:
        The figures of reports/prepare.json. Rows with NaN and with Inf are counted as they came; zero rows,
        duplicates and norms (before normalising) on the cleaned rows. `duplicate_rows` repeat an earlier row
        exactly, `duplicate_groups` are the vectors that have several rows.

    Raises:
        InputError: ids that repeat or that embeddings and metadata don't share, invalid rows under `error`,
            fewer than two rows left.
    """
    scan = _Scan()
    with vectors_path.open("wb") as file:
        _write_header(file, (source.rows, source.dim))
        for chunk in tqdm(source.chunks(), "prepare", unit="chunk", disable=None):
            rows = _clean(chunk, cleaning, scan)
            rows.tofile(file)
        ids = pl.concat(scan.kept_ids)
        file.seek(0)
        _write_header(file, (len(ids), source.dim))
    all_ids = pl.concat(scan.ids)
    refuse_duplicates(all_ids, str(source.path))
    if (all_ids == "").any():
        raise InputError(f"{source.path}: row {(all_ids == '').arg_max()} has an empty id, every row must have one")
    _refuse_invalid(scan, cleaning, source.path)
    if len(ids) < 2:
        raise InputError(
            f"{source.path}: {len(ids)} rows are left after prepare.invalid_rows: drop, must be at least 2"
        )
    _align(ids, all_ids, metadata, source.path).write_parquet(items_path)
    return {
        "items": len(ids),
        "dim": source.dim,
        "dtype": source.dtype,
        "rows_read": len(all_ids),
        "rows_dropped": len(all_ids) - len(ids),
        "nan_rows": len(scan.nan_rows),
        "nan_row_ids": scan.nan_rows[:_LISTED],
        "inf_rows": len(scan.inf_rows),
        "inf_row_ids": scan.inf_rows[:_LISTED],
        "zero_rows": len(scan.zero_rows),
        "zero_row_ids": scan.zero_rows[:_LISTED],
        **_duplicates(np.concatenate(scan.hashes), ids, vectors_path),
        "norm": _norm_quantiles(np.concatenate(scan.norms)),
        "with_metadata": metadata is not None,
    }


def _write_header(file: BinaryIO, shape: tuple[int, int]) -> None:
    # NumPy pads the header so that the first axis may change without moving the data: rows that turn out to be
    # dropped need no second pass.
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


def _clean(chunk: Chunk, cleaning: Cleaning, scan: _Scan) -> Vectors:
    """A chunk's rows as they are kept: float32 (n, D), C order."""
    ids, values = chunk.item_ids, chunk.vectors
    with np.errstate(over="ignore"):
        rows = np.array(values, dtype=np.float32, order="C")
    nan, finite = np.isnan(rows), np.isfinite(rows)
    scan.nan_rows += _where(ids, nan).to_list()
    scan.inf_rows += _where(ids, ~finite & ~nan).to_list()
    scan.ids.append(ids)
    if cleaning.invalid_rows == "drop":
        valid = np.asarray(finite.all(axis=1))
        ids, rows = _where(ids, valid[:, None]), rows[valid]
    else:
        rows[~finite] = 0
    rows += 0.0  # -0.0 becomes 0.0: equal rows have equal bytes
    norms = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    scan.zero_rows += _where(ids, norms[:, None] == 0).to_list()
    if cleaning.normalize == "l2":
        rows /= np.where(norms > 0, norms, 1.0)[:, None]
    scan.kept_ids.append(ids)
    scan.norms.append(norms)
    scan.hashes.append(row_hashes(rows))
    return rows


def _where(ids: pl.Series, marks: NDArray[np.bool_]) -> pl.Series:
    """The ids of the rows with a mark: (n,) and (n, D) -> (m,)."""
    return ids.filter(pl.Series(marks.any(axis=1)))


def _duplicates(hashes: NDArray[np.uint64], ids: pl.Series, vectors_path: Path) -> dict[str, Any]:
    rows = np.arange(len(ids))
    first = first_equal(np.load(vectors_path, mmap_mode="r"), rows, hashes)
    repeats = np.flatnonzero(first != rows)
    leaders = np.unique(first[repeats])
    groups = [np.flatnonzero(first == leader)[:_LISTED] for leader in leaders[:_LISTED]]
    return {
        "duplicate_rows": len(repeats),
        "duplicate_groups": len(leaders),
        "duplicate_group_ids": [[ids[row] for row in group.tolist()] for group in groups],
    }


def _refuse_invalid(scan: _Scan, cleaning: Cleaning, path: Path) -> None:
    if cleaning.invalid_rows != "error" or not (scan.nan_rows or scan.inf_rows):
        return
    kinds = [f"{len(ids)} rows with {kind} (items {listed(ids)})" for kind, ids in _kinds(scan) if ids]
    raise InputError(f"{path}: {' and '.join(kinds)}, must be none under prepare.invalid_rows: error")


def _kinds(scan: _Scan) -> list[tuple[str, list[str]]]:
    return [("NaN", scan.nan_rows), ("Inf", scan.inf_rows)]


def _align(kept: pl.Series, all_ids: pl.Series, metadata: pl.DataFrame | None, path: Path) -> pl.DataFrame:
    """One row of metadata for each kept id, in their order."""
    rows = pl.DataFrame({"item_id": kept})
    if metadata is None:
        return rows.with_columns(pl.lit(None, pl.String).alias(name) for name in FIELDS)
    without_row = metadata["item_id"].filter(~metadata["item_id"].is_in(all_ids.implode()))
    without_item = all_ids.filter(~all_ids.is_in(metadata["item_id"].implode()))
    problems = []
    if len(without_row):
        problems.append(f"prepare.items: {len(without_row)} ids have no row in {path}: {listed(without_row)}")
    if len(without_item):
        problems.append(f"{path}: {len(without_item)} rows have no id in prepare.items: {listed(without_item)}")
    if problems:
        raise InputError(problems)
    return rows.join(metadata, on="item_id", how="left", maintain_order="left")


def _norm_quantiles(norms: NDArray[np.float64]) -> dict[str, float]:
    values = np.quantile(norms, list(_QUANTILES.values()))
    return {name: round6(value) for name, value in zip(_QUANTILES, values, strict=True)}
