"""A table of interactions: CSV, JSONL or Parquet with one row for each time that a user took an item."""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF8
from pathlib import Path

import polars as pl

from sid.catalogue.text_files import json_lines, text_lines
from sid.errors import InputError

COLUMNS = ("user_id", "item_id", "timestamp")
SUFFIXES = (".csv", ".jsonl", ".parquet")

_ISO_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
_NO_ROWS = "has no rows, must have one for each interaction"
_MUST = "must be a finite number, or ISO 8601 text like 2026-01-31 or 2026-01-31T09:30:00Z"


def read_table(path: Path) -> pl.DataFrame:
    """Read the columns user_id, item_id and timestamp; others are ignored.

    Returns:
        One row for each interaction, in file order: user_id and item_id as text, timestamp as Int64 or Float64 that
        rise with time. Dates and times become microseconds (of a datetime column, its own unit); those without a time
        zone count as UTC.

    Raises:
        InputError: missing, broken or empty file, unknown kind, a missing column, one that is there twice or has
            another type, a row without an id or with a timestamp that is missing, NaN, infinite or not a time. Rows
            count from 0; rows of a CSV file that are wholly empty are left out and not counted.
    """
    frame = _read(path)
    if frame.is_empty():
        raise InputError(f"{path}: {_NO_ROWS}")
    ids = [_ids(frame[name], path) for name in COLUMNS[:2]]
    return pl.DataFrame([*ids, _times(frame["timestamp"], path)])


def check_columns(path: Path) -> None:
    """Refuse a table of an unknown kind or without its columns by its header, or by its first line of JSON, alone."""
    if path.suffix == ".jsonl":
        for number, record in json_lines(path):
            missing = [name for name in COLUMNS if name not in record]
            if missing:
                raise InputError(f"{path}: line {number} has no {', '.join(missing)}, must have {', '.join(COLUMNS)}")
            return
        raise InputError(f"{path}: {_NO_ROWS}")
    try:
        _scan(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _broken(path, error) from None


def _read(path: Path) -> pl.DataFrame:
    try:
        frame = _scan(path)
        table = frame.select(COLUMNS).collect()
        if path.suffix == ".csv" and any(column.null_count() for column in table):
            filled = pl.any_horizontal(pl.all().fill_null("").str.strip_chars() != "")
            table = frame.filter(filled).select(COLUMNS).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _broken(path, error) from None
    # lines of JSON have no header: a column that none of them has is missing
    absent = [name for name in COLUMNS if len(table) and table[name].null_count() == len(table)]
    if absent and path.suffix == ".jsonl":
        raise InputError(f"{path}: no row has {', '.join(absent)}, must have {', '.join(COLUMNS)}")
    return table


def _scan(path: Path) -> pl.LazyFrame:
    """The table unread, its columns checked as far as a header names them."""
    if path.suffix == ".csv":
        frame = pl.scan_csv(path, infer_schema=False)
    elif path.suffix == ".jsonl":
        frame = pl.scan_ndjson(_without_mark(path), schema=dict.fromkeys(COLUMNS, pl.String))
    elif path.suffix == ".parquet":
        frame = pl.scan_parquet(path)
    else:
        raise InputError(f"{path}: unknown kind of file {path.suffix!r}; must be {', '.join(SUFFIXES)}")
    found = frame.collect_schema().names()
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; its columns are {', '.join(found)}")
    # polars' names for what is in the header of a CSV file again
    twice = [name for name in COLUMNS if any(re.fullmatch(rf"{name}_duplicated_\d+", other) for other in found)]
    if twice:
        raise InputError(f"{path}: column {', '.join(twice)} is more than once in the header, must be there once")
    return frame


def _without_mark(path: Path) -> Path | io.BytesIO:
    """A file of JSON for polars, which knows no byte order mark there."""
    with path.open("rb") as file:
        return io.BytesIO(file.read()) if file.read(len(BOM_UTF8)) == BOM_UTF8 else path


def _broken(path: Path, error: Exception) -> InputError:
    """What is wrong with a table that polars can't read, by its line where that can be found."""
    if not isinstance(error, OSError):
        try:
            if path.suffix == ".jsonl":
                for _ in json_lines(path, constants=False):
                    pass
            elif path.suffix == ".csv":
                _refuse_bad_csv_line(path)
        except InputError as found:
            return found
    reason = next(iter(str(error).splitlines()), "")
    return InputError(f"{path}: can't be read as {path.suffix[1:]} ({reason})")


def _refuse_bad_csv_line(path: Path) -> None:
    reader = csv.reader((line for _, line in text_lines(path)), strict=True)
    columns = start = 0
    try:
        for fields in reader:
            columns = columns or len(fields)
            if len(fields) > columns:
                raise InputError(f"{path}: line {start + 1} has {len(fields)} fields, its header has {columns}")
            start = reader.line_num
    except csv.Error as error:  # also of a field without end
        raise InputError(
            f"{path}: line {start + 1} has a quote that isn't closed, or text beside one ({error})"
        ) from None


def _ids(column: pl.Series, path: Path) -> pl.Series:
    dtype = column.dtype
    if not (dtype in (pl.String, pl.Categorical, pl.Enum) or dtype.is_integer()):
        raise InputError(f"{path}: column {column.name} is {dtype}, must be string or integer")
    text = column.cast(pl.String)
    absent = text.is_null() | (text == "")
    if absent.any():
        raise InputError(f"{path}: row {absent.arg_max()} has no {column.name}")
    return text


def _times(column: pl.Series, path: Path) -> pl.Series:
    if column.null_count():
        raise InputError(f"{path}: row {column.is_null().arg_max()} has no timestamp, {_MUST}")
    dtype = column.dtype
    if dtype == pl.String:
        return _times_of_text(column, path)
    if dtype == pl.Date or dtype == pl.Datetime or dtype.is_integer():
        times = column.to_physical().cast(pl.Int64, strict=False)
        if times.null_count():
            row = int(times.is_null().arg_max() or 0)
            raise InputError(f"{path}: row {row} has timestamp {column[row]}, must be at most {(1 << 63) - 1} in size")
        return times
    if dtype.is_numeric():
        return _finite(column.cast(pl.Float64), column, path)
    raise InputError(f"{path}: column timestamp is {dtype}, must be integer, float, string, date or datetime")


def _times_of_text(column: pl.Series, path: Path) -> pl.Series:
    whole = column.cast(pl.Int64, strict=False)
    if not whole.null_count():
        return whole
    number = column.cast(pl.Float64, strict=False)
    if not number.null_count():
        return _finite(number, column, path)
    text = pl.col("timestamp").str.strip_chars().str.replace(r"^(\S+) ", "${1}T").str.replace(r"[zZ]$", "+00:00")
    times = (
        text.str.to_datetime(form, time_unit="us", strict=False).dt.timestamp("us")
        if form != _ISO_FORMATS[-1]
        else text.str.to_date(form, strict=False).cast(pl.Datetime("us")).dt.timestamp("us")
        for form in _ISO_FORMATS
    )
    parsed = pl.DataFrame([column]).select(pl.coalesce(*times).alias("timestamp"))["timestamp"]
    if parsed.null_count():
        # what is a number is wrong only beside dates
        wrong = parsed.is_null() & number.is_null()
        mixed = not wrong.any()
        row = int((parsed.is_null() if mixed else wrong).arg_max() or 0)
        also = " throughout: others are dates" if mixed else ""
        raise InputError(f"{path}: row {row} has timestamp {column[row]!r:.60}, {_MUST}{also}")
    return parsed


def _finite(numbers: pl.Series, column: pl.Series, path: Path) -> pl.Series:
    wrong = ~numbers.is_finite()
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise InputError(f"{path}: row {row} has timestamp {column[row]}, {_MUST}")
    return numbers
