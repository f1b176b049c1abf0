"""CSV, TSV and RecBole's atomic files, by parsers that can't swallow a line.

Text is looked at in blocks. A block in which quotes open and close fields as RFC 4180 has them, no field spans lines
and all lines have as many fields as the header is parsed by Arrow, and the rows are counted. From the first block on
that isn't so plain, Python's own csv reads record by record: what is odd about a line is then understood or told.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from sid.errors import InputError, listed
from sid.tables.batches import Batch, Column
from sid.tables.text import BLOCK_BYTES, DECOMPRESSION_ERRORS, PLAIN, Form, Say, numbered, open_text, replaced

_DELIMITERS = {"csv": ",\t;|", "tsv": "\t,;|", "inter": "\t", "item": "\t|"}
_TYPED = re.compile(r"(.+):(token|float|token_seq|float_seq)\s*")
_IDENTITY = re.compile(r"(?=.*\d)[\w.:+/=-]+")  # one word with a digit
_SHORTEST = 4  # of an id that is recognised by more than the order of its letters and digits
_LONGEST_FIELD = 16 << 20
_SLOW_ROWS = 100_000
_DOUBLE, _UNIT = "::", "\x1f"  # MovieLens' own delimiter, and the one character that parsers get for it
_NULL = r"\N"  # as MySQL, Hive and Postgres write a missing value

Record = tuple[int, list[str]]
"""The line that a record begins in, and its fields."""


@dataclass(frozen=True)
class Header:
    """The first line of a file, understood.

    Attributes:
        names: of the columns, blanks around them and RecBole's types taken off.
        types: RecBole's type of each typed column, e.g. `token_seq`.
        delimiter: one character; the unit separator where the file has `::`.
        quotes: whether quotes mean anything in this file.
        blanks: whether a blank follows every delimiter, and belongs to it.
        below: the number of the first line below the header.
        offset: bytes of text above that line.
        encoding: of the file, where it doesn't begin with a mark.
    """

    names: tuple[str, ...]
    types: Mapping[str, str]
    delimiter: str
    quotes: bool
    blanks: bool
    below: int
    offset: int
    encoding: str = "utf-8"


def read_header(path: Path, kind: str, say: Say, form: Form = PLAIN) -> Header:
    """The header of a file of delimited text.

    Raises:
        InputError: the file has no line, its first line isn't text or a header, or it has another number of fields than
            `form.header` names.
    """
    above, start = 0, 1
    delimiters = list(_DELIMITERS[kind])
    with open_text(path, say, form.encoding) as file:
        lines = numbered(path, file)
        for number, line in lines:
            told = re.fullmatch(r'"?sep=(.)"?\s*', line)  # Excel's own first line
            if told is None and line.strip():
                break
            above, start = above + len(line.encode()), number + 1
            delimiters = [told[1]] if told else delimiters
        else:
            raise InputError(f"{path}: is empty, must have {'rows' if form.header else 'a header of column names'}")
        quotes = kind not in ("inter", "item")
        bare = re.sub(r'"[^"]*"', "", line) if quotes else line
        delimiter = _delimiter(bare, delimiters, form)
        if delimiter == _DOUBLE:
            line, bare, delimiter, quotes = line.replace(_DOUBLE, _UNIT), line.replace(_DOUBLE, _UNIT), _UNIT, False
        read = [line]
        fields = next(_csv(_kept(line, lines, read), delimiter, quotes, False, path, start))[1]
    inside = bare.strip().split(delimiter)[1:]
    blanks = quotes and bool(inside) and all(field.startswith(" ") for field in inside)
    typed = [_TYPED.fullmatch(field) for field in fields] if delimiter == "\t" else [None] * len(fields)
    names = tuple((match[1] if match else field).strip() for match, field in zip(typed, fields, strict=True))
    types = {match[1].strip(): match[2] for match in typed if match}
    offset = above + sum(len(part.encode()) for part in read)
    if form.header and names != form.header:
        if len(fields) != len(form.header):
            raise InputError(
                f"{path}: line {start} has {len(fields)} fields (separated by {_spelled(delimiter)}), but the key "
                f"header names {len(form.header)}: {', '.join(form.header)}"
            )
        return Header(form.header, {}, delimiter, quotes, blanks, start, above, form.encoding)
    return Header(names, types, delimiter, quotes, blanks, start + len(read), offset, form.encoding)


def _delimiter(line: str, known: Sequence[str], form: Form) -> str:
    """What separates the fields, by a file's first line: what is there most often, or makes as many as are named."""
    candidates = [*known, *([_DOUBLE] if len(known) > 1 else [])]
    if form.header and len(known) > 1:
        blank = [] if _DOUBLE in line else [" "]
        fitting = [one for one in (_DOUBLE, *known, *blank) if line.strip().count(one) == len(form.header) - 1]
        if fitting:
            return fitting[0]
    return max(candidates, key=lambda one: (line.count(one), -candidates.index(one)))


def _kept(first: str, rest: Iterator[tuple[int, str]], read: list[str]) -> Iterator[tuple[int, str]]:
    yield 1, first
    for number, line in rest:
        read.append(line)
        yield number, line


def read_batches(path: Path, header: Header, columns: Sequence[str], keys: Sequence[str], say: Say) -> Iterator[Batch]:
    """The rows below a header: each column's values as text, '' and `\\N` as null.

    Lines that are blank or hold nothing but delimiters are left out; so are those that repeat the header, as in files
    that were joined, which is said.

    Args:
        columns: those wanted, each once in the header.
        keys: those of them that look alike in every row (ids, times); by these a quote is recognised that is never
            closed and would swallow lines.

    Raises:
        InputError: a line with more or fewer fields than the header, text beside a quote, a quote that isn't closed, a
            line that is not UTF-8.
    """
    for batch in _batches(path, header, columns, keys, say):
        yield _without_headers(batch, header, say)


def _without_headers(batch: Batch, header: Header, say: Say) -> Batch:
    repeats: NDArray[np.bool_] | None = None
    for name, values in batch.columns.items():
        same = pc.equal(values, name)
        if name in header.types:
            same = pc.or_(same, pc.equal(values, f"{name}:{header.types[name]}"))
        if not pc.any(same).as_py():  # the rule, told fast by the first column
            return batch
        here = same.fill_null(False).to_numpy(zero_copy_only=False)
        repeats = here if repeats is None else repeats & here
    if repeats is None or not repeats.any():
        return batch
    for row in np.flatnonzero(repeats).tolist():
        say(f"{batch.at(row)} repeats the header and is left out")
    kept = np.flatnonzero(~repeats)
    columns = {name: values.take(pa.array(kept)) for name, values in batch.columns.items()}
    return Batch(batch.path, len(kept), columns, lambda row: batch.place(int(kept[row])))


def _batches(path: Path, header: Header, columns: Sequence[str], keys: Sequence[str], say: Say) -> Iterator[Batch]:
    places = [header.names.index(name) for name in columns]
    number, offset = header.below, header.offset
    with _opened(path, header) as file:
        _skip(file, offset)
        for block in _blocks(path, file, number):
            rows = None if header.blanks else _plain_rows(block, header)
            if rows is None:
                break
            yield from _fast(path, block, number, rows, header, columns, places)
            number += block.count(b"\n")
            offset += len(block)
        else:
            return
    yield from _slow(path, header, columns, places, keys, number, offset, say)


@contextmanager
def _opened(path: Path, header: Header) -> Iterator[BinaryIO]:
    with open_text(path, encoding=header.encoding) as file:
        yield replaced(file, _DOUBLE.encode(), _UNIT.encode()) if header.delimiter == _UNIT else file


def _skip(file: BinaryIO, count: int) -> None:
    while count:
        count -= len(file.read(min(count, BLOCK_BYTES)))


def _blocks(path: Path, file: BinaryIO, number: int) -> Iterator[bytes]:
    """The text in blocks that end with a line."""
    left = b""
    try:
        while part := file.read(BLOCK_BYTES):
            end = part.rfind(b"\n") + 1
            if not end:
                left += part
                continue
            yield left + part[:end]
            left = part[end:]
    except DECOMPRESSION_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path}: can't be decompressed to its end ({error})") from None
    if left:
        yield left


# ---------------------------------------------------------------- plain blocks


def _plain_rows(block: bytes, header: Header) -> int | None:
    """How many records a block has, if it is plain; None if it isn't."""
    if not block.isascii():
        try:
            block.decode("utf-8")
        except UnicodeDecodeError:
            return None
    if block.count(b"\r") != block.count(b"\r\n"):
        return None
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero((data == ord(header.delimiter)) | (data == 10))
    if header.quotes and b'"' in block:
        quotes = np.flatnonzero(data == 34)
        if len(quotes) % 2 or not _opened_and_closed(data, quotes, ord(header.delimiter)):
            return None
        inside = np.searchsorted(quotes, ends) & 1 == 1
        if (data[ends[inside]] == 10).any():
            return None
        ends = ends[~inside]
    lines = data[ends] == 10
    if len(block) and block[-1] != 10:  # the last line of the file
        ends, lines = np.append(ends, len(block)), np.append(lines, True)
    blank = lines & np.r_[True, lines[:-1]]
    lengths = np.diff(np.r_[-1, ends]) - 1
    blank &= (lengths == 0) | ((lengths == 1) & (data[np.maximum(ends - 1, 0)] == 13))
    lines = lines[~blank]
    width = len(header.names)
    if len(lines) % width:
        return None
    by_record = lines.reshape(-1, width)
    return len(by_record) if by_record[:, -1].all() and not by_record[:, :-1].any() else None


def _opened_and_closed(data: NDArray[np.uint8], quotes: NDArray[np.int64], delimiter: int) -> bool:
    """Whether every quote opens a field at its begin, closes one at its end, or is doubled."""
    opening, closing = quotes[::2], quotes[1::2]
    before = data[np.maximum(opening - 1, 0)]
    after = data[np.minimum(closing + 1, len(data) - 1)]
    good = (opening == 0) | (before == delimiter) | (before == 10) | (before == 34)
    last = closing == len(data) - 1
    return bool(good.all() and (last | (after == delimiter) | (after == 10) | (after == 13) | (after == 34)).all())


def _fast(
    path: Path, block: bytes, number: int, rows: int, header: Header, columns: Sequence[str], places: Sequence[int]
) -> Iterator[Batch]:
    if rows == 0:
        return
    names = [str(place) for place in range(len(header.names))]
    table = pyarrow.csv.read_csv(
        pa.py_buffer(block),
        pyarrow.csv.ReadOptions(column_names=names, block_size=len(block) + 1, use_threads=False),
        pyarrow.csv.ParseOptions(delimiter=header.delimiter, quote_char='"' if header.quotes else False),
        pyarrow.csv.ConvertOptions(
            include_columns=[names[place] for place in places],
            column_types={names[place]: pa.string() for place in places},
            null_values=["", _NULL],
            strings_can_be_null=True,
        ),
    )
    if table.num_rows != rows:  # a defect, of this module or of Arrow's
        raise AssertionError(f"{path}: {table.num_rows} of {rows} rows were parsed in the block at line {number}")
    found = {name: table.column(names[place]).combine_chunks() for name, place in zip(columns, places, strict=True)}
    kept = _not_empty(found, block, header)
    if kept is not None:
        found = {name: column.take(pa.array(kept)) for name, column in found.items()}
        rows = len(kept)
    yield Batch(path, rows, found, partial(_line_of, block, number, kept))


def _not_empty(found: Mapping[str, pa.Array], block: bytes, header: Header) -> NDArray[np.int64] | None:
    """The records that hold more than delimiters; None where all do."""
    empty = np.logical_and.reduce([column.is_null().to_numpy(zero_copy_only=False) for column in found.values()])
    if not empty.any():
        return None
    nothing = header.delimiter.encode() + b' \t\r"'
    lines = [line for line in block.split(b"\n") if line.strip(b"\r")]
    return np.array([row for row, line in enumerate(lines) if not empty[row] or line.strip(nothing)], np.int64)


def _line_of(block: bytes, number: int, kept: NDArray[np.int64] | None, row: int) -> str:
    record = row if kept is None else int(kept[row])
    numbers = (number + place for place, line in enumerate(block.split(b"\n")) if line.strip(b"\r"))
    return f"line {next(islice(numbers, record, None))}"


# ---------------------------------------------------------------- everything else

_Reading = Callable[[], Iterator[Record]]


def _slow(
    path: Path,
    header: Header,
    columns: Sequence[str],
    places: Sequence[int],
    keys: Sequence[str],
    number: int,
    offset: int,
    say: Say,
) -> Iterator[Batch]:
    records = _understood(path, header, [header.names.index(key) for key in keys], number, offset, say)()
    while part := list(islice(records, _SLOW_ROWS)):
        found: dict[str, Column] = {
            name: pa.array(
                [None if (value := fields[place]) in ("", _NULL) else value for _, fields in part], pa.string()
            )
            for name, place in zip(columns, places, strict=True)
        }
        lines = [line for line, _ in part]
        yield Batch(path, len(part), found, lambda row, lines=lines: f"line {lines[row]}")  # type: ignore[misc]


def _understood(path: Path, header: Header, keys: list[int], number: int, offset: int, say: Say) -> _Reading:
    """The way to read the rest of a file: the first under which all of it is sound."""

    def reading(quotes: bool, escapes: bool) -> _Reading:
        def records() -> Iterator[Record]:
            with _opened(path, header) as file:
                _skip(file, offset)
                lines = numbered(path, file, number)
                yield from _sound(path, header, _csv_of(path, header, lines, number, quotes, escapes, keys))

        return records

    def doubtful() -> bool:
        """Whether a line has \\" and isn't sound without what a plain reading lets pass: quotes within plain fields."""
        with _opened(path, header) as file:
            _skip(file, offset)
            return any('\\"' in line and not _well_quoted(line, header) for _, line in numbered(path, file, number))

    plain, escaped, raw = (reading(header.quotes, False), reading(True, True), reading(False, False))
    refusal = _refusal(plain)
    if header.quotes and (refusal is not None or doubtful()) and _refusal(escaped) is None:
        say(f'{path}: quotes within fields are read as \\", the way Spark and MySQL write them')
        return escaped
    if refusal is None:
        return plain
    if header.quotes and header.delimiter == "\t" and _refusal(raw) is None:
        say(f"{path}: quotes are kept as they are; they don't enclose fields")
        return raw
    raise refusal


def _well_quoted(line: str, header: Header) -> bool:
    data = np.frombuffer(line.encode(errors="surrogatepass"), np.uint8)
    quotes = np.flatnonzero(data == 34)
    return len(quotes) % 2 == 0 and _opened_and_closed(data, quotes, ord(header.delimiter))


def _refusal(reading: _Reading) -> InputError | None:
    try:
        for _ in reading():
            pass
    except InputError as error:
        return error
    return None


def _sound(path: Path, header: Header, records: Iterator[Record]) -> Iterator[Record]:
    """The records that aren't blank, each with as many fields as the header."""
    width = len(header.names)
    for line, fields in records:
        if len(fields) != width:
            if not any(field.strip() for field in fields):
                continue
            raise InputError(
                f"{path}: line {line} has {len(fields)} fields, its header has {width} "
                f"(separated by {_spelled(header.delimiter)}; a text that contains one must be in quotes)"
            )
        if any(field and not field.isspace() for field in fields):
            yield line, fields


def _spelled(delimiter: str) -> str:
    return {"\t": "tabs", ",": "commas", _UNIT: _DOUBLE, " ": "blanks"}.get(delimiter, repr(delimiter))


def _csv_of(
    path: Path,
    header: Header,
    lines: Iterator[tuple[int, str]],
    number: int,
    quotes: bool,
    escapes: bool,
    keys: list[int],
) -> Iterator[Record]:
    if escapes:  # a backslash means itself unless a quote follows
        lines = ((at, re.sub(r'\\(?!")', r"\\\\", line)) for at, line in lines)
    recent: list[str] = []
    width = len(header.names)

    def remembered() -> Iterator[tuple[int, str]]:
        for at, line in lines:
            recent.append(line)
            yield at, line

    found = _csv(remembered(), header.delimiter, quotes, header.blanks, path, number, escapes)
    for line, fields in found:
        if len(recent) > 1 and quotes and len(fields) == width:
            _refuse_swallowed(path, header, line, fields, recent, keys, escapes)
        recent.clear()
        yield line, fields


def _csv(
    lines: Iterator[tuple[int, str]],
    delimiter: str,
    quotes: bool,
    blanks: bool,
    path: Path,
    number: int,
    escapes: bool = False,
) -> Iterator[Record]:
    """Records by Python's csv, each with the line that it begins in."""
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(
        (line for _, line in lines),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        escapechar="\\" if escapes else None,
        skipinitialspace=blanks,
        strict=True,
    )
    done = 0
    try:
        for fields in reader:
            yield number + done, fields
            done = reader.line_num
    except csv.Error as error:
        reason = str(error)
        what = "a quote that isn't closed, or text beside one"
        if "new-line" in reason:
            what = "a carriage return within a field that isn't in quotes"
        raise InputError(f"{path}: line {number + done} has {what} ({reason.split(' - ')[0]})") from None


def _refuse_swallowed(
    path: Path, header: Header, line: int, fields: list[str], recent: list[str], keys: list[int], escapes: bool
) -> None:
    """Refuse a field over several lines that look like records themselves: a quote that was never closed."""
    if not keys:
        return
    for behind, text in enumerate(recent[1:], 1):
        if text.count(header.delimiter) < len(header.names) - 1:
            continue
        alone = text.rstrip("\r\n").split(header.delimiter)
        if len(alone) == len(fields) and all(_alike(alone[key], fields[key]) for key in keys):
            raise InputError(
                f"{path}: line {line} has a quote that isn't closed: its field would include line {line + behind}, "
                "which looks like a row of its own"
            )


def _alike(one: str, other: str) -> bool:
    """Whether two values may be ids, or times, of one column, by what they are made of."""
    one, other = one.strip(' "'), other.strip(' "')
    if _shape(one) == _shape(other):
        return True
    # 'B00L1I1VMG' and '0262033844': digits and letters in any order
    if not (_IDENTITY.fullmatch(one) and _IDENTITY.fullmatch(other)):
        return False
    short, long = sorted((len(one), len(other)))
    return short >= _SHORTEST and long <= 2 * short


def _shape(value: str) -> str:
    """What kinds of characters a value is made of, in their order: 'B00-7' is 'a9-9'."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", value))


def duplicated(names: Sequence[str], columns: Sequence[str]) -> str:
    """Those columns that a header has more than once."""
    return listed(name for name in columns if names.count(name) > 1)
