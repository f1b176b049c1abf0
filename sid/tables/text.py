"""Text files as UTF-8, whatever they are compressed with; errors name the line."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from sid.errors import InputError

BLOCK_BYTES = 16 << 20
"""Bytes of text that are looked at together."""

_PEEK = 1 << 16
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
_NO_TEXT = {
    b"PAR1": "Parquet",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet",
    b"\x93NUMPY": ".npy",
    b"ARROW1": "Arrow",
    b"\x89HDF": "HDF5",
    b"SQLite format 3": "a SQLite database",
    b"Obj\x01": "Avro",
    **{bytes([0x80, protocol]): "a pickle" for protocol in range(2, 6)},
}
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_UTF32 = {codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be"}
DECOMPRESSION_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Form:
    """What nothing in a text file says of itself.

    Attributes:
        header: names of its columns, where its first line is a row already; () where the first line has them.
        encoding: a name that Python knows. The mark of UTF-8, UTF-16 or UTF-32 at the beginning of a file outweighs it.
    """

    header: tuple[str, ...] = ()
    encoding: str = "utf-8"


PLAIN = Form()


def _quiet(_: str) -> None:
    return None


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """A file's bytes, decompressed where its first bytes say that it is compressed."""
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        head = raw.peek(6)[:6]
        kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
        opened: Any = raw
        if kind == "gzip":
            opened = gzip.GzipFile(fileobj=raw)
        elif kind == "bz2":
            opened = bz2.BZ2File(raw)
        elif kind == "xz":
            opened = lzma.LZMAFile(raw)  # noqa: SIM115 (the stack closes it)
        elif kind == "zstd":
            opened = _Pulled(_zstd(path))
        yield stack.enter_context(io.BufferedReader(stack.enter_context(opened), _PEEK))


@contextmanager
def open_text(path: Path, say: Say = _quiet, encoding: str = "utf-8") -> Iterator[io.BufferedReader]:
    """A text file as bytes of UTF-8 without a byte order mark, its lines ended by LF.

    UTF-16, UTF-32 and the line ends of old Macs (CR alone) are recognised, read and said. CR LF stays as it is.

    Args:
        encoding: of a file that doesn't begin with a mark (see `Form`).
    """
    with ExitStack() as stack:
        raw = stack.enter_context(open_bytes(path))
        head = _head(path, raw)
        kind = next((kind for magic, kind in _NO_TEXT.items() if head.startswith(magic)), None)
        if kind is not None:
            raise InputError(f"{path}: isn't text, its content is {kind}; rename it or name another file")
        found, mark = _encoding(head, codecs.lookup(encoding).name)
        raw.read(mark)
        if found != "utf-8":
            if found != codecs.lookup(encoding).name:
                say(f"{path}: read as {found.upper()}")
            raw = stack.enter_context(io.BufferedReader(_Pulled(_recoded(path, raw, found)), _PEEK))
            head = raw.peek(_PEEK)[:_PEEK]
        if b"\r" in head.rstrip(b"\r\n") and b"\n" not in head:
            say(f"{path}: its lines end in CR alone, as old Macs wrote them")
            raw = stack.enter_context(io.BufferedReader(_Pulled(_with_line_feeds(raw)), _PEEK))
        yield raw


def _head(path: Path, raw: io.BufferedReader) -> bytes:
    try:
        return raw.peek(_PEEK)[:_PEEK]
    except DECOMPRESSION_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path}: can't be decompressed ({error})") from None


def text_lines(path: Path, say: Say = _quiet, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of every line, with its end; a byte order mark isn't text.

    Raises:
        InputError: a line that is not UTF-8, or a file that can't be decompressed.
    """
    with open_text(path, say, encoding) as lines:
        yield from numbered(path, lines)


def numbered(path: Path, lines: BinaryIO, first: int = 1) -> Iterator[tuple[int, str]]:
    """Number, from `first`, and text of the lines of an open file."""
    number = first - 1
    try:
        for number, line in enumerate(lines, first):
            try:
                yield number, line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise not_utf8(path, number, error) from None
    except DECOMPRESSION_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path}: can't be decompressed after line {number} ({error})") from None


def not_utf8(path: Path, number: int, error: UnicodeDecodeError) -> InputError:
    """A line in another encoding."""
    return InputError(
        f"{path}: line {number} is not UTF-8 text ({error.reason} {error.object[error.start]:#x}, byte {error.start}); "
        "if it is Latin-1 or Windows-1252, set prepare.items_encoding or interactions.encoding to that (for example "
        "windows-1252)"
    )


def _encoding(head: bytes, wanted: str) -> tuple[str, int]:
    """Encoding and the bytes of its mark; `wanted` where nothing speaks for another."""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8", len(codecs.BOM_UTF8)
    for marks in (_UTF32, _UTF16):  # a mark of UTF-32 begins as one of UTF-16
        for mark, encoding in marks.items():
            if head.startswith(mark):
                return encoding, len(mark)
    if wanted != "utf-8":
        return wanted, 0
    sample = head[:400]
    if len(sample) >= 4 and sample[0] and sample[1::2].count(0) > len(sample) // 4 and not sample[::2].count(0):
        return "utf-16-le", 0
    if len(sample) >= 4 and sample[1] and sample[::2].count(0) > len(sample) // 4 and not sample[1::2].count(0):
        return "utf-16-be", 0
    return "utf-8", 0


class _Pulled(io.RawIOBase):
    """Blocks of bytes as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = memoryview(block)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def _zstd(path: Path) -> Iterator[bytes]:
    with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, "zstd") as stream:
        while block := stream.read(1 << 20):
            yield block


def _recoded(path: Path, raw: BinaryIO, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 0
    while True:
        block = raw.read(1 << 20)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: broken {encoding.upper()} after line {lines + 1} ({error.reason})") from None
        lines += text.count("\n")
        if text:
            yield text.encode("utf-8", "replace")
        if not block:
            return


def replaced(raw: BinaryIO, old: bytes, new: bytes) -> io.BufferedReader:
    """A file's bytes with one short text for another, also where a block ends within it."""

    def blocks() -> Iterator[bytes]:
        left = b""
        while block := raw.read(1 << 20):
            block = (left + block).replace(old, new)
            kept = next((size for size in range(len(old) - 1, 0, -1) if block.endswith(old[:size])), 0)
            left = block[len(block) - kept :]
            yield block[: len(block) - kept]
        yield left

    return io.BufferedReader(_Pulled(blocks()), _PEEK)


def _with_line_feeds(raw: BinaryIO) -> Iterator[bytes]:
    while block := raw.read(1 << 20):
        yield block.replace(b"\r", b"\n")
