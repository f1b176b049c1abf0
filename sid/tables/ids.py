"""Ids as text, whatever they were stored as."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from sid.errors import InputError
from sid.tables.batches import Batch

WORDS_FOR_NOTHING = ("nan", "NaN", "NAN", "None", "null", "NULL", "<NA>", "NaT", r"\N")
"""What programs write for a missing value."""

_EXACT = 1 << 53
_LOOKED_AT = 1000
_SPELLINGS: dict[str, Callable[[str], str]] = {
    "blanks": str.strip,
    "a decimal point": lambda text: text.removesuffix(".0"),
    "leading zeros": lambda text: text.lstrip("0"),
    "upper and lower case": str.lower,
    "what quotes them": lambda text: text.strip("\"' "),
}


def as_text(batch: Batch, column: str, say: Callable[[str], None]) -> pl.Series:
    """A column of ids as text: (n,), null where there is none, or nothing but blanks.

    Text stays as it is, integers get their digits. Whole decimals and floats become integers, since 7.0 is what
    pandas makes of 7 beside a missing value; that is said. Binary values are UTF-8, or UUIDs where the file says so.

    Raises:
        InputError: a type that ids can't have, a number with a fraction, one that is too large to be exact.
    """
    found = _as_text(batch, column, say)
    if not ((found < "!") | (found > "~")).any():  # no first character may be a blank: the rule, told fast
        return found
    blank = found.str.strip_chars() == ""
    return found.set(blank, None) if blank.any() else found


def _as_text(batch: Batch, column: str, say: Callable[[str], None]) -> pl.Series:
    values = batch.columns[column]
    if isinstance(values, list):
        return _of_python(batch, column, values, say)
    kind = values.type
    types = pa.types
    if types.is_null(kind):
        return pl.Series(column, [None] * len(values), pl.String)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_integer(kind):
        return _series(column, values.cast(pa.large_string()))
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind) or _fixed(kind):
        try:
            return _series(column, values.cast(pa.large_binary()).cast(pa.large_string()))
        except pa.ArrowInvalid:
            raise InputError(
                f"{batch.path}: column {column!r} is {kind} and not UTF-8 text, must be text or integers"
                + ("; write UUIDs as text" if _fixed(kind) and kind.byte_width == 16 else "")
            ) from None
    if types.is_floating(kind) or types.is_decimal(kind):
        return _of_numbers(batch, column, values, say)
    if types.is_date(kind) or types.is_timestamp(kind):
        return _series(column, values.cast(pa.large_string()))
    raise InputError(f"{batch.path}: column {column!r} is {kind}, must be string or integer")


def is_missing(value: object) -> bool:
    """Whether a value of JSON means none."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def alike(item: str, known: Collection[str]) -> str | None:
    """A known id that means the same number as an unknown one: 7 for 7.0, or 7.0 for 7."""
    other = item[:-2] if item.endswith(".0") else f"{item}.0"
    return other if other in known else None


def differences(unknown: Collection[str] | pl.Series, known: Collection[str] | pl.Series) -> str:
    """A hint at how ids that aren't known are spelled otherwise than known ones; '' where none is found."""
    some = list(unknown)[:_LOOKED_AT]
    among = list(known)
    for what, form in _SPELLINGS.items():
        forms = {form(one): one for one in among}
        for one in some:
            if (same := forms.get(form(one))) is not None:
                return f"; did you mean {same!r} by {one!r}? They differ by {what}"
    return ""


def _series(column: str, values: pa.Array) -> pl.Series:
    return pl.Series(column, values, pl.String)


def _fixed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_binary(kind))


def _of_numbers(batch: Batch, column: str, values: pa.Array, say: Callable[[str], None]) -> pl.Series:
    """Decimals and floats."""
    if pa.types.is_decimal(values.type):
        numbers: list[Any] = values.to_pylist()
        whole = [value is None or value == value.to_integral_value() for value in numbers]
        bad = whole.index(False) if not all(whole) else None
        texts = [None if value is None else str(int(value)) for value in numbers] if bad is None else []
        if bad is None:
            return pl.Series(column, texts, pl.String)
        raise _fraction(batch, column, bad, numbers[bad])
    values = pc.if_else(pc.is_nan(values.cast(pa.float64())), None, values.cast(pa.float64()))
    odd = pc.or_(pc.not_equal(pc.floor(values), values), pc.greater_equal(pc.abs(values), float(_EXACT)))
    place = odd.index(True).as_py()
    if place >= 0:
        raise _fraction(batch, column, place, values[place].as_py())
    say(f"{batch.path}: column {column!r} holds decimal numbers; ids like 7.0 are read as 7")
    return _series(column, values.cast(pa.int64()).cast(pa.large_string()))


def _of_python(batch: Batch, column: str, values: list[Any], say: Callable[[str], None]) -> pl.Series:
    texts: list[str | None] = []
    for row, value in enumerate(values):
        if isinstance(value, str):
            texts.append(value or None)
        elif is_missing(value):
            texts.append(None)
        elif isinstance(value, int) and not isinstance(value, bool):
            texts.append(str(value))
        elif isinstance(value, float):
            if not math.isfinite(value) or not value.is_integer() or abs(value) >= _EXACT:
                raise _fraction(batch, column, row, value)
            say(f"{batch.path}: {column} holds decimal numbers; ids like 7.0 are read as 7")
            texts.append(str(int(value)))
        else:
            raise InputError(f"{batch.at(row)} has {column} {value!r:.60}, must be a string or an integer")
    # JSON may escape half a surrogate pair, which no UTF-8 file can hold
    try:
        return pl.Series(column, texts, pl.String)
    except UnicodeEncodeError:
        clean = [None if text is None else text.encode("utf-8", "replace").decode() for text in texts]
        return pl.Series(column, clean, pl.String)


def _fraction(batch: Batch, column: str, row: int, value: float | Decimal) -> InputError:
    return InputError(
        f"{batch.at(row)} has {column} {value!s}, must be string or integer: decimal numbers are too inexact for ids"
    )
