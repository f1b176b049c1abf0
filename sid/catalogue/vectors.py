"""Vectors in the columns of a table: lists, text, or a column for each dimension."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sid.errors import InputError
from sid.tables import Batch, Table

_NUMBERED = re.compile(r"(.*?)(\d+)")
_FEWEST = 2
_SPARK = {"type", "size", "indices", "values"}

Missing = NDArray[np.bool_]


@dataclass(frozen=True)
class Columns:
    """Where the vectors of a table are.

    Attributes:
        names: one column of whole vectors, or one column for each dimension, in their order.
        whole: whether it is the former.
    """

    names: tuple[str, ...]
    whole: bool

    def shape(self, table: Table) -> tuple[int, str]:
        """Dimension and dtype of a table's vectors, by its types or its first vector.

        Raises:
            InputError: another type, no vector at all, or files that disagree.
        """
        if not self.whole:
            return len(self.names), "float32"
        (name,) = self.names
        dtypes = {"float32"} if table.kind not in ("parquet", "arrow") else set()
        dim: int | None = None
        first = None
        for file in table.found.files:
            one = table.only(file)
            if one.types:
                dtypes.add(_dtype(file, name, one.types[name]))
            here = _dim(one, name)
            if dim is not None and here is not None and here != dim:
                raise InputError(f"{file}: {name} has {here} values, but {dim} in {first}")
            if dim is None and here is not None:
                dim, first = here, file
        if dim is None:
            raise InputError(f"{table.path}: no row has a vector in {name}")
        return dim, np.result_type(*sorted(dtypes)).name

    def read(self, batch: Batch, start: int, stop: int, dim: int, ids: pl.Series) -> tuple[NDArray[Any], Missing]:
        """Some rows' vectors and which of them have none: (n, dim) floats and (n,).

        Raises:
            InputError: a vector of another length, or text that isn't one.
        """
        if not self.whole:
            return self._by_dimension(batch, start, stop)
        column = batch.columns[self.names[0]]
        part = column[start:stop] if isinstance(column, list) else column.slice(start, stop - start)
        if isinstance(part, list) or _is_text(part.type):
            values = part if isinstance(part, list) else part.to_pylist()
            return _of_python(batch, start, values, self.names[0], dim, ids)
        return _of_lists(batch, start, part, self.names[0], dim, ids)

    def _by_dimension(self, batch: Batch, start: int, stop: int) -> tuple[NDArray[Any], Missing]:
        found = np.empty((stop - start, len(self.names)), np.float32)
        for place, name in enumerate(self.names):
            column = batch.columns[name][start:stop]
            if isinstance(column, pa.Array) and not _is_text(column.type):
                found[:, place] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
                continue
            values = column.to_pylist() if isinstance(column, pa.Array) else column
            for row, value in enumerate(values):
                try:
                    found[row, place] = _number(value)
                except (ValueError, TypeError):
                    raise InputError(f"{batch.at(start + row)} has {name} {value!r:.40}, must be a number") from None
        return found, np.asarray(np.isnan(found).all(axis=1))


def choose(table: Table, embedding_column: str) -> Columns:
    """The columns of a table that hold its vectors.

    Raises:
        InputError: neither that column nor a column for each dimension is there.
    """
    if embedding_column in table.names:
        return Columns((embedding_column,), True)
    groups: dict[str, dict[int, str]] = {}
    types = table.types
    for name in table.names:
        match = _NUMBERED.fullmatch(name)
        if match and (not types or pa.types.is_floating(types[name])):
            groups.setdefault(match[1], {})[int(match[2])] = name
    whole = [
        group
        for group in groups.values()
        if len(group) >= _FEWEST and max(group) - min(group) == len(group) - 1 and min(group) <= 1
    ]
    if len(whole) == 1:
        group = whole[0]
        names = tuple(group[number] for number in sorted(group))
        table.say(f"{table.path}: {len(names)} columns, {names[0]} to {names[-1]}, are read as the vectors' dimensions")
        return Columns(names, False)
    return Columns((embedding_column,), True)  # its absence is told as that of any column


def parse(value: Any) -> list[float] | None:
    """A vector as Python has it: a list, or text as JSON, pgvector and NumPy write it; None where it has no values.

    Raises:
        ValueError: text that isn't a vector.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        text = value.strip()
        if text[:1] in "[{(" and text[-1:] in "]})":
            text = text[1:-1].strip()
        if "..." in text:
            raise ValueError("it was shortened with ... when it was printed")
        if value.strip() in ("nan", "null", "None"):
            return None
        return _numbers(_split(text)) if text else None
    if isinstance(value, list | tuple):
        return _numbers(value) or None
    raise ValueError(f"{value!r:.40} isn't a list")


def _split(text: str) -> list[str]:
    """The parts of a vector as text, by one kind of separator: in `0,5; 1,5` none is a number."""
    separator = next((one for one in ";," if one in text), None)
    parts = [part.strip() for part in text.split(separator)]
    return parts[:-1] if not parts[-1] else parts


def _numbers(values: Sequence[Any]) -> list[float]:
    if bool in set(map(type, values)):
        raise ValueError("it holds true or false")
    try:
        return [float(value) for value in values]
    except (ValueError, TypeError):  # fast where none is missing
        return [_number(value) for value in values]


def _number(value: Any) -> float:
    """A number as Python has it or as text; nothing is NaN."""
    return float("nan") if value in (None, "", "null", "None") else float(value)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _storage(kind: pa.DataType) -> pa.DataType:
    """What a type is made of; of Spark's vectors, the lists of values."""
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    if pa.types.is_struct(kind) and {kind.field(place).name for place in range(kind.num_fields)} == _SPARK:
        return kind.field("values").type
    return kind


def _value_type(kind: pa.DataType) -> pa.DataType | None:
    types = pa.types
    views = (types.is_list_view(kind), types.is_large_list_view(kind))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind) or any(views):
        return kind.value_type
    return None


def _dtype(file: Any, name: str, kind: pa.DataType) -> str:
    """The dtype of a column's values, once it is of a type that is understood."""
    kind = _storage(kind)
    inner = _value_type(kind)
    if _is_text(kind) or pa.types.is_null(kind) or (inner is not None and pa.types.is_null(inner)):
        return "float32"
    if inner is None or not (pa.types.is_floating(inner) or pa.types.is_decimal(inner)):
        hint = "; bytes of numbers must be written as lists" if pa.types.is_binary(kind) else ""
        raise InputError(f"{file}: column {name!r} is {kind}, must be a list of floats{hint}")
    return "float64" if pa.types.is_decimal(inner) else str(np.dtype(inner.to_pandas_dtype()).name)


def _dim(table: Table, name: str) -> int | None:
    """Values of one vector: of the type where it says, else of the first vector; None where there is none."""
    kind = _storage(table.types[name]) if table.types else None
    if kind is not None and pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    for batch in table.batches([name], batch_rows=1 << 10):
        column = batch.columns[name]
        values: list[Any] = column if isinstance(column, list) else column.to_pylist()
        for row, value in enumerate(values):
            if value is not None and value != "":
                if isinstance(value, dict) and set(value) == _SPARK:
                    value = value["values"]
                try:
                    found = parse(value)
                except (ValueError, TypeError) as error:
                    raise _no_vector(batch, row, name, error) from None
                if found is not None:
                    return len(found)
    return None


def _of_lists(
    batch: Batch, start: int, lists: pa.Array, name: str, dim: int, ids: pl.Series
) -> tuple[NDArray[Any], Missing]:
    lists = _of_spark(batch, lists, name)
    kind = lists.type
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        lists = lists.cast(pa.large_list(kind.value_type))
    missing: Missing = lists.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_null(kind):
        return np.full((len(lists), dim), np.nan, np.float32), missing
    if pa.types.is_fixed_size_list(kind):
        lengths = np.where(missing, 0, kind.list_size)
    else:
        lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        missing = missing | (lengths == 0)
    uneven = np.flatnonzero((lengths != dim) & ~missing)
    if len(uneven):
        row = int(uneven[0])
        raise InputError(
            f"{batch.path}: item {ids[start + row]!r} has {lengths[row]} values in {name}, "
            f"must have {dim} like the first row"
        )
    values = lists.flatten()  # without those of rows that are null
    if not pa.types.is_floating(values.type):
        values = values.cast(pa.float64())
    # A null inside a list is a missing value: it becomes NaN and falls under prepare.invalid_rows.
    there = values.to_numpy(zero_copy_only=False).reshape(-1, dim)
    if not missing.any():
        return there, missing
    found = np.full((len(lists), dim), np.nan, there.dtype)
    found[~missing] = there
    return found, missing


def _of_spark(batch: Batch, column: pa.Array, name: str) -> pa.Array:
    """The lists within Spark's own type of vectors, which have to be dense."""
    if not pa.types.is_struct(column.type):
        return column
    if column.field("indices").null_count < len(column):
        raise InputError(f"{batch.path}: column {name!r} holds sparse vectors of Spark, must be dense ones or lists")
    values = column.field("values")
    return pc.if_else(column.is_valid(), values, None)


def _of_python(
    batch: Batch, start: int, values: Sequence[Any], name: str, dim: int, ids: pl.Series
) -> tuple[NDArray[Any], Missing]:
    found = np.full((len(values), dim), np.nan, np.float32)
    missing = np.zeros(len(values), np.bool_)
    for row, value in enumerate(values):
        try:
            vector = parse(value)
        except (ValueError, TypeError) as error:
            raise _no_vector(batch, start + row, name, error) from None
        if vector is None:
            missing[row] = True
            continue
        if len(vector) != dim:
            raise InputError(
                f"{batch.path}: item {ids[start + row]!r} has {len(vector)} values in {name}, "
                f"must have {dim} like the first row"
            )
        with np.errstate(over="ignore"):
            found[row] = np.array(vector, np.float64)
    return found, missing


def _no_vector(batch: Batch, row: int, name: str, error: Exception) -> InputError:
    return InputError(f"{batch.at(row)} has no vector in {name}, must be numbers like [0.1, 0.2] ({error!s:.80})")
