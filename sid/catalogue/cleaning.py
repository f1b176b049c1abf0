"""Clean embeddings, align them with metadata, and keep both as the prepared artifacts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tqdm import tqdm

from sid.arrays import Vectors, chunks
from sid.catalogue import outliers
from sid.catalogue.duplicates import MANY_EQUAL, first_equal, row_hashes
from sid.catalogue.embeddings import EmbeddingSource, Piece, Reader
from sid.catalogue.item_ids import refuse_duplicates
from sid.catalogue.items import FIELDS
from sid.catalogue.metadata import Metadata
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.errors import InputError, listed
from sid.files import round6
from sid.tables import alike, differences

_LISTED = 20
_BLOCK_BYTES = 1 << 20  # of rows that are cleaned at a time: they stay in a core's cache
_QUANTILES = {"min": 0.0, "p01": 0.01, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True)
class Cleaning:
    """What to do with rows.

    Attributes:
        invalid_rows: rows with NaN or Inf (float64 values beyond float32's range count as Inf): `zero` sets
            those values to 0, `drop` leaves the rows out, `error` refuses the catalogue.
        missing_vectors: rows that have no vector at all: `auto` drops them where invalid_rows is `drop` and else
            refuses the catalogue; `zero`, `drop` and `error` as above.
        outliers: finite rows far from all others (see `sid.catalogue.outliers`): `warn` names them, `clip` moves them
            in as far as the farthest other row, `drop` leaves them out, `error` refuses the catalogue. All name them.
        normalize: `l2` scales every row to length 1 (all-zero rows stay), `none` keeps them. Outliers are looked for
            afterwards.
        unknown_items: metadata of items without a row: `error` refuses the catalogue, `skip` leaves it out.
        missing_metadata: rows of items without metadata: `error` refuses the catalogue, `keep` keeps them without a
            title and the like, `skip` leaves them out.
    """

    invalid_rows: Literal["zero", "drop", "error"] = "zero"
    missing_vectors: Literal["auto", "zero", "drop", "error"] = "auto"
    outliers: Literal["warn", "clip", "drop", "error"] = "clip"
    normalize: Literal["none", "l2"] = "none"
    unknown_items: Literal["error", "skip"] = "error"
    missing_metadata: Literal["error", "keep", "skip"] = "error"

    @property
    def of_missing(self) -> str:
        """What to do with rows without a vector: zero, drop or error."""
        if self.missing_vectors != "auto":
            return self.missing_vectors
        return "drop" if self.invalid_rows == "drop" else "error"


@dataclass
class _Scan:
    """What one pass over the pieces gathers, in their order."""

    missing_rows: list[str] = field(default_factory=list)
    nan_rows: list[str] = field(default_factory=list)
    inf_rows: list[str] = field(default_factory=list)
    zero_rows: list[str] = field(default_factory=list)
    saturated_rows: list[str] = field(default_factory=list)
    ids: list[pl.Series] = field(default_factory=list)
    kept_ids: list[pl.Series] = field(default_factory=list)
    hashes: list[NDArray[np.uint64]] = field(default_factory=list)
    norms: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, ids: pl.Series, found: _Cleaned) -> None:
        """The next rows and their ids."""
        self.missing_rows += ids.filter(found.missing).to_list()
        self.nan_rows += ids.filter(found.nan).to_list()
        self.inf_rows += ids.filter(found.inf).to_list()
        self.zero_rows += ids.filter(found.zero).to_list()
        self.saturated_rows += ids.filter(found.saturated).to_list()
        self.ids.append(ids)
        self.kept_ids.append(ids if found.kept.all() else ids.filter(found.kept))
        self.hashes.append(found.hashes)
        self.norms.append(found.norms)


@dataclass(frozen=True)
class _Cleaned:
    """What there is to know of rows that were cleaned.

    Attributes:
        ids: (n,) as they were read; None where they are apart from the vectors.
        missing, nan, inf, saturated: (n,) which rows have no vector, or such values, as they came.
        kept, zero: (n,) which rows are kept, and which of those are zeros.
        norms, hashes: (m,) of those that are kept: lengths before normalising, `row_hashes` after.
    """

    ids: pl.Series | None
    missing: NDArray[np.bool_]
    nan: NDArray[np.bool_]
    inf: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    zero: NDArray[np.bool_]
    norms: NDArray[np.float64]
    hashes: NDArray[np.uint64]


@dataclass(frozen=True)
class _Task:
    """A piece, and the file and the place in it where its rows are written."""

    piece: Piece
    path: Path
    offset: int


@dataclass(frozen=True)
class _Clean:
    """Cleans the rows of a piece, writes those that are kept, one behind the other, and returns the rest and notes."""

    read: Reader
    cleaning: Cleaning

    def __call__(self, task: _Task, tick: Callable[[int], object] | None = None) -> tuple[list[_Cleaned], list[str]]:
        found: list[_Cleaned] = []
        notes: list[str] = []
        with task.path.open("r+b") as file:
            file.seek(task.offset)
            for ids, values, missing in self.read(task.piece, notes):
                found.append(_Cleaned(ids, *self._written(values, missing, file)))
                if tick is not None:
                    tick(len(values))
        return found, notes

    def _written(self, values: NDArray[Any], missing: NDArray[np.bool_], file: BinaryIO) -> Iterator[NDArray[Any]]:
        done = []
        for some in chunks(len(values), 4 * values.shape[1], _BLOCK_BYTES):
            rows, one = _clean(values[some], missing[some], self.cleaning)
            if len(rows):
                file.write(rows.data)
            done.append(one)
        return (np.concatenate(column) for column in zip(*done, strict=True))


def prepare(
    source: EmbeddingSource,
    metadata: Metadata | None,
    cleaning: Cleaning,
    vectors_path: Path,
    items_path: Path,
    engine: Engine = LOCAL,
) -> dict[str, Any]:
    """Stream a source into the prepared artifacts.

    Writes `vectors_path` (.npy, float32, C order, (N, D)) and `items_path` (Parquet, N rows in the same order:
    item_id, metadata.FIELDS and whatever else the metadata holds, all text). Memory: ids, 24 bytes per row, and a
    chunk per thread; the vectors themselves stream.

    Args:
        engine: reads and cleans the pieces of the source, each of which is written to its place in `vectors_path`, and
            looks for outliers. It changes no bit.

    Returns:
        The figures of reports/prepare.json. Rows without a vector, with NaN, Inf and saturated values are counted as
        they came; zero rows and norms (before normalising) on the cleaned rows, outliers and duplicates on the rows as
        they are written. `duplicate_rows` repeat an earlier row exactly, `duplicate_groups` are the vectors that have
        several rows. `warnings` and `notes`: one line each.

    Raises:
        InputError: ids that repeat or that embeddings and metadata don't share, rows that `cleaning` refuses, fewer
            than two rows left.
    """
    scan = _scanned(source, cleaning, vectors_path, engine)
    ids = pl.concat(scan.kept_ids) if scan.kept_ids else pl.Series("item_id", [], pl.String)
    all_ids = pl.concat(scan.ids) if scan.ids else ids
    refuse_duplicates(all_ids, str(source.path))
    blank = all_ids.str.strip_chars() == ""
    if blank.any():
        raise InputError(f"{source.path}: row {blank.arg_max()} has an empty id, every row must have one")
    _refuse(scan, cleaning, source.path)
    _refuse_few(len(ids), source.path, f"prepare.invalid_rows: {cleaning.invalid_rows}")
    norms, hashes = np.concatenate(scan.norms), np.concatenate(scan.hashes)
    found_items = None if metadata is None else _of_rows(metadata, all_ids, source.path, cleaning)
    if found_items is not None and cleaning.missing_metadata == "skip":
        kept = np.flatnonzero(ids.is_in(found_items.frame["item_id"].implode()).to_numpy())
        if len(kept) < len(ids):
            _keep(vectors_path, kept)
            ids, norms, hashes = ids[kept.tolist()], norms[kept], hashes[kept]
            _refuse_few(len(ids), source.path, "prepare.missing_metadata: skip")
    shape = outliers.look(np.load(vectors_path, mmap_mode="r"), engine)
    found = outliers.figures(shape, ids, _LISTED)
    warnings = _warnings_of_rows(source.path, shape, scan, found, ids, cleaning)
    if len(shape.outliers) and cleaning.outliers == "error":
        raise InputError(f"{warnings[0]}; prepare.outliers: error allows none")
    if len(shape.outliers) and cleaning.outliers == "clip":
        rows = np.load(vectors_path, mmap_mode="r+")
        outliers.pull_in(rows, shape)
        hashes[shape.outliers] = row_hashes(rows[shape.outliers])
        del rows
    elif len(shape.outliers) and cleaning.outliers == "drop":
        kept = np.flatnonzero(shape.distances <= shape.bound)
        _keep(vectors_path, kept)
        ids, norms, hashes = ids[kept.tolist()], norms[kept], hashes[kept]
        _refuse_few(len(ids), source.path, "prepare.outliers: drop")
    duplicates = _duplicates(hashes, ids, vectors_path)
    if duplicates["duplicate_rows"] > MANY_EQUAL * len(ids):
        warnings.append(
            f"{source.path}: {duplicates['duplicate_rows']:,} of {len(ids):,} rows repeat an earlier one exactly: "
            "no codes can distinguish them"
        )
    _align(ids, found_items).write_parquet(items_path)
    if found_items is not None:
        warnings += found_items.warnings
    return {
        "items": len(ids),
        "dim": source.dim,
        "dtype": source.dtype,
        "rows_read": len(all_ids),
        "rows_dropped": len(all_ids) - len(ids),
        "missing_rows": len(scan.missing_rows),
        "missing_row_ids": scan.missing_rows[:_LISTED],
        "nan_rows": len(scan.nan_rows),
        "nan_row_ids": scan.nan_rows[:_LISTED],
        "inf_rows": len(scan.inf_rows),
        "inf_row_ids": scan.inf_rows[:_LISTED],
        "zero_rows": len(scan.zero_rows),
        "zero_row_ids": scan.zero_rows[:_LISTED],
        "saturated_rows": len(scan.saturated_rows),
        "saturated_row_ids": scan.saturated_rows[:_LISTED],
        "outliers": cleaning.outliers,
        **found,
        **duplicates,
        "norm": _norm_quantiles(norms),
        "with_metadata": metadata is not None,
        "metadata_skipped": 0 if found_items is None else found_items.skipped,
        "metadata_missing": 0 if found_items is None else found_items.missing,
        "columns_left_out": {} if metadata is None else dict(metadata.left_out),
        "warnings": warnings + ([] if metadata is None else metadata.warnings),
        "notes": source.notes + ([] if metadata is None else metadata.notes),
    }


def _warnings_of_rows(
    path: Path, shape: outliers.Shape, scan: _Scan, found: dict[str, Any], ids: pl.Series, cleaning: Cleaning
) -> list[str]:
    """What to say of rows and dimensions that lie, outliers first."""
    warnings = []
    if count := len(shape.outliers):
        rows = shape.outliers[:5].tolist()
        named = ", ".join(f"{ids[row]} ({shape.times_median(row):,.0f} times as far as usual)" for row in rows)
        done = {
            "warn": "they will dominate the codes: set prepare.outliers to clip or drop",
            "clip": "moved in to the distance of the farthest other row (prepare.outliers: clip)",
            "drop": "left out (prepare.outliers: drop)",
            "error": "refused",
        }[cleaning.outliers]
        more = ", ..." if count > len(rows) else ""
        warnings.append(f"{path}: {count:,} rows lie far from all others, items {named}{more}; {done}")
    if scan.saturated_rows:
        warnings.append(
            f"{path}: {len(scan.saturated_rows):,} rows have a value that is the largest of its type, as if cut off "
            f"(65504 for float16): items {listed(scan.saturated_rows)}"
        )
    if shape.clipped_share:
        warnings.append(f"{path}: {shape.clipped_share:.1%} of all values are exactly the largest one, as if cut off")
    if shape.dominant:
        numbers = f"dimension{'s' if len(shape.dominant) > 1 else ''} {listed(shape.dominant)}"
        warnings.append(
            f"{path}: {numbers} of {len(shape.centre)} hold {shape.dominant_share:.1%} of the variance: the codes will "
            "describe little else; scale or remove these dimensions if that isn't intended"
        )
    if shape.constant:
        warnings.append(
            f"{path}: {len(shape.constant)} of {len(shape.centre)} dimensions are constant: {listed(shape.constant)}"
        )
    return warnings


def _refuse_few(rows: int, path: Path, why: str) -> None:
    if rows < 2:
        raise InputError(f"{path}: {rows} rows are left after {why}, must be at least 2")


def _keep(path: Path, kept: NDArray[np.int64]) -> None:
    """Keep some rows of a .npy file, ascending, without a second file."""
    matrix = np.load(path, mmap_mode="r+")
    dim, begin = matrix.shape[1], matrix.offset
    for part in chunks(len(kept), 4 * dim):
        matrix[part] = matrix[kept[part]]  # never reads what was written before
    matrix.flush()
    del matrix
    with path.open("r+b") as file:
        _write_header(file, (len(kept), dim))
        file.truncate(begin + 4 * dim * len(kept))


def _write_header(file: BinaryIO, shape: tuple[int, int]) -> None:
    # NumPy pads the header so that the first axis may change without moving the data: rows that turn out to be
    # dropped need no second pass.
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


def _scanned(source: EmbeddingSource, cleaning: Cleaning, path: Path, engine: Engine) -> _Scan:
    """Write the rows that are kept, and gather what there is to know of all."""
    scan, work, row_bytes = _Scan(), _Clean(source.reader, cleaning), 4 * source.dim
    pieces = source.pieces()
    with path.open("wb") as file:
        _write_header(file, (source.rows or 0, source.dim))
        begin = file.tell()
        # writers on other machines must find it as long as it will be: some file systems pad pages behind the end
        file.truncate(begin + row_bytes * (source.rows or 0))
    read = kept = 0

    def add(found: list[_Cleaned], notes: list[str]) -> None:
        nonlocal read, kept
        for one in found:
            scan.add(source.ids(read, one.ids, len(one.kept)), one)
            read += len(one.kept)
            kept += len(one.norms)
        source.say(notes)

    with tqdm(desc="prepare", total=source.rows, unit="row", unit_scale=True, disable=None) as bar:
        if source.rows is None and (engine is LOCAL or source.in_turn or len(pieces) == 1):
            for piece in pieces:  # parsing text holds Python's lock, so threads would gain nothing
                add(*work(_Task(source.beginning(piece, read), path, begin + row_bytes * kept), bar.update))
        elif source.rows is None:
            with _folder(path) as folder:
                tasks = [_Task(piece, _empty(folder / str(number)), 0) for number, piece in enumerate(pieces)]
                for task, found in zip(tasks, engine.each(work, tasks, source.piece_bytes), strict=True):
                    to, rows = begin + row_bytes * kept, read
                    add(*found)
                    _move(task.path, 0, path, to, begin + row_bytes * kept - to)
                    task.path.unlink()
                    bar.update(read - rows)
        else:
            starts = np.cumsum([0] + [piece.rows or 0 for piece in pieces]).tolist()
            tasks = [_Task(piece, path, begin + row_bytes * at) for piece, at in zip(pieces, starts, strict=False)]
            for task, found in zip(tasks, engine.each(work, tasks, source.piece_bytes), strict=True):
                to = begin + row_bytes * kept
                add(*found)
                _move(path, task.offset, path, to, begin + row_bytes * kept - to)
                bar.update(task.piece.rows)
    source.refuse_fewer(read)
    with path.open("r+b") as written:
        _write_header(written, (kept, source.dim))
        written.truncate(begin + row_bytes * kept)
    return scan


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """A folder beside a file, for as long as the context lasts."""
    folder = path.with_name(f"{path.name}.parts")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _empty(path: Path) -> Path:
    """A new file. Who writes it later doesn't make one, and so fails once the folder is gone."""
    path.touch()
    return path


def _move(source: Path, at: int, target: Path, to: int, size: int) -> None:
    """Bytes of a file to a place in another, or further up in the same one."""
    if size == 0 or (source == target and at == to):
        return
    # opened each time: only then do network file systems show what another machine wrote
    with source.open("rb") as old, target.open("r+b") as new:
        old.seek(at)
        new.seek(to)
        for part in chunks(size, 1):
            some = old.read(part.stop - part.start)
            if len(some) != part.stop - part.start:
                raise InputError(
                    f"{source}: is shorter than what was written to it: all machines must see the same file"
                )
            new.write(some)


def _clean(values: NDArray[Any], missing: NDArray[np.bool_], cleaning: Cleaning) -> tuple[Vectors, tuple[Any, ...]]:
    """Rows as they are kept, float32 (m, D) in C order, and what `_Cleaned` says of all of them but the ids."""
    with np.errstate(over="ignore"):
        rows = np.array(values, dtype=np.float32, order="C")
    finite, there = np.isfinite(rows), ~missing
    whole = finite.all(axis=1)
    nan, inf = np.zeros_like(missing), np.zeros_like(missing)
    odd = np.flatnonzero(~whole)
    if len(odd):
        absent = np.isnan(rows[odd])
        nan[odd] = absent.any(axis=1) & there[odd]
        inf[odd] = (~finite[odd] & ~absent).any(axis=1)
    saturated = outliers.saturated(rows)
    kept = np.ones(len(rows), np.bool_)
    if cleaning.invalid_rows == "drop":
        kept &= whole | missing
    if cleaning.of_missing == "drop":
        kept &= there
    if len(odd):
        rows[~finite] = 0
    if not kept.all():
        rows = rows[kept]
    rows += 0.0  # -0.0 becomes 0.0: equal rows have equal bytes
    norms = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    zero = kept.copy()
    zero[kept] = norms == 0
    if cleaning.normalize == "l2":
        rows /= np.where(norms > 0, norms, 1.0)[:, None]
    return rows, (missing, nan, inf, saturated, kept, zero, norms, row_hashes(rows))


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


def _refuse(scan: _Scan, cleaning: Cleaning, path: Path) -> None:
    """Refuse what may not be: vectors that are missing, NaN and Inf."""
    if scan.missing_rows and cleaning.of_missing == "error":
        raise InputError(
            f"{path}: {len(scan.missing_rows)} rows have no vector (items {listed(scan.missing_rows)}); set "
            "prepare.missing_vectors to drop or zero to allow this"
        )
    if cleaning.invalid_rows != "error" or not (scan.nan_rows or scan.inf_rows):
        return
    kinds = [f"{len(ids)} rows with {kind} (items {listed(ids)})" for kind, ids in _kinds(scan) if ids]
    raise InputError(f"{path}: {' and '.join(kinds)}; prepare.invalid_rows: error allows none")


def _kinds(scan: _Scan) -> list[tuple[str, list[str]]]:
    return [("NaN", scan.nan_rows), ("Inf", scan.inf_rows)]


@dataclass(frozen=True)
class _Items:
    """Metadata as far as it fits the rows.

    Attributes:
        frame: one row for each item, in any order.
        skipped: items without a row, left out.
        missing: rows without an item.
        warnings: one line each.
    """

    frame: pl.DataFrame
    skipped: int
    missing: int
    warnings: list[str]


def _of_rows(metadata: Metadata, all_ids: pl.Series, path: Path, cleaning: Cleaning) -> _Items:
    """The metadata of the rows that were read, those that are dropped included."""
    warnings: list[str] = []
    found = _same_numbers(metadata.frame, all_ids, warnings)
    without_row = found["item_id"].filter(~found["item_id"].is_in(all_ids.implode()))
    without_item = all_ids.filter(~all_ids.is_in(found["item_id"].implode()))
    problems = []
    if len(without_row) and (cleaning.unknown_items == "error" or len(without_row) == len(found)):
        all_of_them = ", that is all of them" if len(without_row) == len(found) else ""
        problems.append(
            f"prepare.items: {len(without_row)} ids have no row in {path}{all_of_them}: {listed(without_row)}"
            f"{differences(without_row, all_ids)}"
            + ("" if all_of_them else " (prepare.unknown_items: skip leaves them out)")
        )
    if len(without_item) and (cleaning.missing_metadata == "error" or len(without_item) == len(all_ids)):
        all_of_them = ", that is all of them" if len(without_item) == len(all_ids) else ""
        problems.append(
            f"{path}: {len(without_item)} rows have no id in prepare.items{all_of_them}: {listed(without_item)}"
            f"{differences(without_item, found['item_id'])}"
            + (
                ""
                if all_of_them
                else " (prepare.missing_metadata: keep keeps them without a title, skip leaves them out)"
            )
        )
    if problems:
        raise InputError(problems)
    if len(without_row):
        warnings.append(
            f"prepare.items: {len(without_row):,} of {len(found):,} items have no row in {path} and are left out: "
            f"{listed(without_row)}"
        )
    if len(without_item):
        done = {"keep": "are kept without a title", "skip": "are left out"}[cleaning.missing_metadata]
        warnings.append(
            f"{path}: {len(without_item):,} of {len(all_ids):,} rows have no id in prepare.items and {done}: "
            f"{listed(without_item)}"
        )
    return _Items(found, len(without_row), len(without_item), warnings)


def _align(kept: pl.Series, items: _Items | None) -> pl.DataFrame:
    """One row of metadata for each kept id, in their order."""
    rows = pl.DataFrame({"item_id": kept})
    if items is None:
        return rows.with_columns(pl.lit(None, pl.String).alias(name) for name in FIELDS)
    return rows.join(items.frame, on="item_id", how="left", maintain_order="left")


def _same_numbers(frame: pl.DataFrame, ids: pl.Series, warnings: list[str]) -> pl.DataFrame:
    """Metadata whose ids 7.0 became those of rows called 7, or the other way round, where no other id is meant."""
    unknown = frame["item_id"].filter(~frame["item_id"].is_in(ids.implode()))
    if not len(unknown):
        return frame
    known, taken = set(ids.to_list()), set(frame["item_id"].to_list())
    other = {one: same for one in unknown.to_list() if (same := alike(one, known)) is not None and same not in taken}
    if not other:
        return frame
    one, same = next(iter(other.items()))
    warnings.append(
        f"prepare.items: {len(other):,} ids are matched to ids of the embeddings that are written differently, "
        f"e.g. {one} for {same}"
    )
    return frame.with_columns(pl.col("item_id").replace(other))


def _norm_quantiles(norms: NDArray[np.float64]) -> dict[str, float]:
    values = np.quantile(norms, list(_QUANTILES.values()))
    return {name: round6(value) for name, value in zip(_QUANTILES, values, strict=True)}
