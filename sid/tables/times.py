"""Timestamps in all common forms, as numbers that rise with time."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from dateutil import parser
from numpy.typing import NDArray

from sid.errors import InputError
from sid.tables.batches import Batch, Column

MUST = "must be a finite number, or ISO 8601 text like 2026-01-31 or 2026-01-31T09:30:00Z"

_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
_SLASHED = r"^\d{1,2}[/.\- ]+\d{1,2}[/.\-, ]+\d{4}\b"
_YEAR_FIRST = r"^\d{4}[/.\- ]?\d{1,2}[/.\- ]?\d{1,2}(?:\D|$)"
_ZONE_TWICE = r"([+-]\d{2}:?\d{2}|[Zz])\s*[\[(].*[\])]$"  # Java's [Europe/Paris], JavaScript's (Central European Time)
_EPOCH_MS = 1e11  # seconds beyond this are in the year 5138, milliseconds below it before 1973
_MICROSECONDS = {"s": 1_000_000, "ms": 1000, "us": 1}

Form = Literal["integer", "decimal", "moment"]
Order = Literal["day", "month"]
Numbers = NDArray[np.int64] | NDArray[np.float64]


@dataclass
class Times:
    """Gathers a column of times, batch after batch.

    Numbers stay as they are. Moments become microseconds (of timestamps that all have one unit, that unit); those
    without a time zone count as UTC. 03/04/2026 counts only where another row shows whether days or months come first.

    Attributes:
        column: its name, for messages.
        warnings: one line each, once finished.
    """

    column: str
    warnings: list[str] = field(default_factory=list)
    _parts: list[Numbers] = field(default_factory=list)
    _units: list[str] = field(default_factory=list)
    _form: Form | None = None
    _orders: dict[Order, str] = field(default_factory=dict)  # which order a row proves, and where
    _months_first: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]] = field(default_factory=list)
    _unclear: str = ""
    _first: str = ""

    def add(self, batch: Batch, values: Column, place: Callable[[int], int] = lambda row: row) -> None:
        """Add a batch's values.

        Args:
            values: (n,)
            place: a value's number -> its row in the batch.

        Raises:
            InputError: a type that isn't a time, a value that is missing, NaN, infinite or no time.
        """
        form, unit, numbers = self._numbers(batch, values, place)
        if len(numbers) == 0:
            return
        if self._form is None:
            self._form, self._first = form, batch.at(place(0))
        elif "moment" in (form, self._form) and form != self._form:
            raise self._bad(batch, place(0), _value(values, 0), "throughout: others are dates")
        elif form == "decimal":
            self._form = form
        self._units.append(unit)
        self._parts.append(numbers)

    def finish(self) -> Numbers:
        """(M,) all that was added: int64, or float64 where a number had a fraction.

        Raises:
            InputError: days and months can't be distinguished, or rows contradict each other.
        """
        parts = self._parts
        if self._months_first or self._unclear:
            order = self._order()
            if order == "month":
                for number, rows, moments in self._months_first:
                    parts[number][rows] = moments
        if not parts:
            return np.zeros(0, np.int64)
        if len(set(self._units)) > 1:
            parts = [
                part // 1000 if unit == "ns" else part * _MICROSECONDS.get(unit, 1)
                for part, unit in zip(parts, self._units, strict=True)
            ]
        found: Numbers = np.concatenate(parts)  # type: ignore[assignment]
        self._parts = []
        if self._form != "moment":
            size = np.abs(found)
            if len(size) and _EPOCH_MS > float(size.min()) > 1e8 and _EPOCH_MS <= float(size.max()) < 1e14:
                self.warnings.append(
                    f"{self._first}: column {self.column} seems to hold seconds in some rows and milliseconds in others"
                )
        return found

    def _order(self) -> Order:
        if len(self._orders) == 1:
            (order,) = self._orders
            return order
        if not self._orders:
            raise InputError(f"{self._unclear}: days and months can't be distinguished in any row, {MUST}")
        raise InputError(
            f"{self._orders['day']} but {self._orders['month']}: days come first in one and months in the other, {MUST}"
        )

    def _numbers(self, batch: Batch, values: Column, place: Callable[[int], int]) -> tuple[Form, str, Numbers]:
        if isinstance(values, list):
            return self._of_python(batch, values, place)
        kind = values.type
        types = pa.types
        if values.null_count:
            row = place(values.is_null().index(True).as_py())
            raise InputError(f"{batch.at(row)} has no {self.column}, {MUST}")
        if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
            form, numbers = self._of_text(batch, pl.Series(values.cast(pa.large_string())), place)
            return form, "us", numbers
        if types.is_date(kind):
            return "moment", "ms", values.cast(pa.date64()).cast(pa.int64()).to_numpy()
        if types.is_timestamp(kind):
            return "moment", str(kind.unit), values.cast(pa.int64()).to_numpy()
        if types.is_integer(kind):
            try:
                return "integer", "", values.cast(pa.int64()).to_numpy()
            except pa.ArrowInvalid:
                large = next(row for row, value in enumerate(values.to_pylist()) if value >= 1 << 63)
                said = f"{batch.at(place(large))} has {self.column} {values[large]}"
                raise InputError(f"{said}, must be at most {(1 << 63) - 1} in size") from None
        if types.is_floating(kind) or types.is_decimal(kind):
            return "decimal", "", self._finite(batch, values.cast(pa.float64()).to_numpy(), values, place)
        raise InputError(
            f"{batch.path}: column {self.column} is {kind}, must be integer, float, string, date or datetime"
        )

    def _of_python(self, batch: Batch, values: list[Any], place: Callable[[int], int]) -> tuple[Form, str, Numbers]:
        for row, value in enumerate(values):
            if value is None or value == "":
                raise InputError(f"{batch.at(place(row))} has no {self.column}, {MUST}")
            if isinstance(value, dict) and len(value) == 1:  # MongoDB's {"$date": ...}
                value = next(iter(value.values()))
                values[row] = value
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise self._bad(batch, place(row), value)
        if all(isinstance(value, int) for value in values):
            try:
                return "integer", "", np.array(values, np.int64)
            except OverflowError:
                large = next(row for row, value in enumerate(values) if abs(value) >= 1 << 63)
                raise self._bad(batch, place(large), values[large]) from None
        if not any(isinstance(value, str) for value in values):
            return "decimal", "", self._finite(batch, np.array(values, np.float64), values, place)
        form, numbers = self._of_text(batch, pl.Series([str(value) for value in values], dtype=pl.String), place)
        return form, "us", numbers

    def _of_text(self, batch: Batch, text: pl.Series, place: Callable[[int], int]) -> tuple[Form, Numbers]:
        text = text.str.strip_chars()
        empty = text == ""
        if empty.any():
            raise InputError(f"{batch.at(place(int(empty.arg_max() or 0)))} has no {self.column}, {MUST}")
        whole = text.cast(pl.Int64, strict=False)
        if not whole.null_count():
            return "integer", whole.to_numpy()
        number = text.cast(pl.Float64, strict=False)
        if not number.null_count():
            return "decimal", self._finite(batch, number.to_numpy(), text, place)
        parsed = _iso(text)
        absent = parsed.is_null()
        if absent.any():
            wrong = absent & number.is_not_null()
            if wrong.any():
                row = int(wrong.arg_max() or 0)
                if (number.is_null() & ~absent).any():
                    raise self._bad(batch, place(row), text[row], "throughout: others are dates")
                row = int(number.is_null().arg_max() or 0)  # a word among numbers
                raise self._bad(batch, place(row), text[row])
            moments = parsed.fill_null(0).to_numpy().copy()
            self._others(batch, text, absent.arg_true().to_list(), moments, place)
            return "moment", moments
        return "moment", parsed.to_numpy()

    def _others(
        self, batch: Batch, text: pl.Series, rows: list[int], moments: NDArray[np.int64], place: Callable[[int], int]
    ) -> None:
        """Fill in the moments that aren't ISO 8601, each text read once."""
        known: dict[str, tuple[int, int]] = {}
        swapped: list[tuple[int, int]] = []
        for row in rows:
            value = text[row]
            if value not in known:
                known[value] = self._by_people(batch, place(row), value)
            day_first, month_first = known[value]
            moments[row] = day_first
            if month_first != day_first:
                swapped.append((row, month_first))
        if swapped:
            places, others = np.array(swapped, np.int64).T
            self._months_first.append((len(self._parts), places, others))

    def _by_people(self, batch: Batch, row: int, value: str) -> tuple[int, int]:
        """A moment with the day first, and one with the month first; equal where both are the same."""
        clean = re.sub(r"\b([A-Za-z]{3,9})\.", r"\1", value)
        clean = re.sub(_ZONE_TWICE, r"\1", clean)
        clean = re.sub(
            r"\b(?:GMT|UTC)\s*(?=[+-]\d)", "", clean
        )  # dateutil reads GMT+2 as POSIX does, west of Greenwich
        if re.match(_YEAR_FIRST, clean):
            moment = _parsed(clean, False)
            if moment is None:
                raise self._bad(batch, row, value)
            return moment, moment
        readings = {first: _parsed(clean, first) for first in (True, False)}
        day, month = readings[True], readings[False]
        if day is None and month is None:
            raise self._bad(batch, row, value)
        if re.match(_SLASHED, clean):
            one, other = (int(part) for part in re.split(r"[/.\-, ]+", clean)[:2])
            here = f"{batch.at(row)} has {self.column} {value!r}"
            if one > 12 and day is not None:
                self._orders.setdefault("day", here)
                return day, day
            if other > 12 and month is not None:
                self._orders.setdefault("month", here)
                return month, month
            if one != other:
                self._unclear = self._unclear or here
        if day is None or month is None:
            raise self._bad(batch, row, value)
        if day != month and not re.match(_SLASHED, clean):
            raise self._bad(batch, row, value, ": days and months can't be distinguished")
        return day, month

    def _finite(
        self, batch: Batch, numbers: NDArray[np.float64], values: Any, place: Callable[[int], int]
    ) -> NDArray[np.float64]:
        wrong = ~np.isfinite(numbers)
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(f"{batch.at(place(row))} has {self.column} {_value(values, row)}, {MUST}")
        return numbers

    def _bad(self, batch: Batch, row: int, value: Any, also: str = "") -> InputError:
        also = also if also.startswith(":") or not also else f" {also}"
        return InputError(f"{batch.at(row)} has {self.column} {value!r:.60}, {MUST}{also}")


def _value(values: Any, row: int) -> Any:
    value = values[row]
    return value.as_py() if isinstance(value, pa.Scalar) else value


def _iso(text: pl.Series) -> pl.Series:
    """Microseconds of ISO 8601 as databases spell it (`2026-01-31 09:30:00.5+00`, ` UTC`, `t`); null of others."""
    name = "text"
    whole = (
        pl.col(name)
        .str.to_uppercase()
        .str.replace(r"^(\d{4})/(\d{1,2})/(\d{1,2})", "${1}-${2}-${3}")
        .str.replace(r"^(\d{4}-\d{1,2}-\d{1,2})[ _]+", "${1}T")
        .str.replace(r"(\d{2}:\d{2}:\d{2}),(\d)", "${1}.${2}")
        .str.replace(r"\s*([+-]\d{2}:?\d{2})\s+[A-Z]{1,5}$", "${1}")  # Go: +0000 UTC
        .str.replace(r"\s*(?:UTC|GMT|Z)$", "+00:00")
        .str.replace(r"(:\d{2}(?:\.\d+)?)\s*([+-]\d{2})$", "${1}${2}:00")
        .str.replace(r"(:\d{2}(?:\.\d+)?)\s+([+-]\d{2})", "${1}${2}")
    )
    times = (
        whole.str.to_datetime(form, time_unit="us", strict=False).dt.timestamp("us")
        if form != _FORMATS[-1]
        else whole.str.to_date(form, strict=False).cast(pl.Datetime("us")).dt.timestamp("us")
        for form in _FORMATS
    )
    return pl.DataFrame([text.rename(name)]).select(pl.coalesce(*times).alias(name))[name]


def _parsed(value: str, day_first: bool) -> int | None:
    """Microseconds of a moment that names its year, month and day; None for anything else."""
    found = []
    for default in (datetime(2000, 1, 1), datetime(2003, 2, 2)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # of an unknown time zone
                moment = parser.parse(value, default=default, dayfirst=day_first)
        except (parser.ParserError, OverflowError, ValueError, Warning):
            return None
        found.append(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    if found[0] != found[1] or not re.search(r"\d{4}", value):
        return None
    seconds: float = found[0].timestamp()
    return math.floor(seconds) * 1_000_000 + int(found[0].microsecond)
