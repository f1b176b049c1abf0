"""Codes (N, L), vectors (N, D), and the two ways to go through more rows than memory holds: `Rows` and `chunks`."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sid.errors import InputError
from sid.files import NPY_ERRORS

Codes = NDArray[np.int32]
"""(N, L): a row's code at each level, 0 <= codes[:, l] < code_sizes[l]."""

Vectors = NDArray[np.float32]
"""(N, D): one embedding a row."""

Blank = Callable[[tuple[int, int]], Vectors]
"""shape -> a float32 matrix to be written, such as a memory map of a file."""

MAX_LEVELS = 26
"""Levels there can be: each is written with a letter of its own."""

NO_TOKEN = -1
"""The code that means 'no token here' in the last column of uneven Semantic IDs."""

SIZES_KEY = b"sid.code_sizes"
"""Where Parquet files of this project keep the code sizes, as a JSON list in the metadata of the schema."""

CHUNK_BYTES = 64 << 20
"""What one chunk takes where nothing says otherwise."""

_BLOCK_ROWS = 16  # whole blocks of the matrix products' kernels, and the least that a chunk has


def chunks(count: int, row_bytes: int, budget_bytes: int = CHUNK_BYTES) -> Iterator[slice]:
    """Slices that cut `count` rows into pieces that fit a budget: the one rule of chunking.

    Args:
        count: rows in all, 0 or more.
        row_bytes: what a row takes of the budget in the caller's work, copies and results included, 1 or more.
        budget_bytes: what a piece may take. A piece has 16 rows at the least, and a multiple of 16 but for the last.
    """
    step = max(_BLOCK_ROWS, budget_bytes // row_bytes // _BLOCK_ROWS * _BLOCK_ROWS)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


PART_ROWS = 1 << 18
"""Rows of a part: what an engine runs at once. Sums are made for each part, and then added up in their order."""


def parts(count: int) -> list[slice]:
    """Slices that cut `count` rows into the parts that a pass over them is made of; within a part, see `chunks`."""
    return [slice(start, min(start + PART_ROWS, count)) for start in range(0, count, PART_ROWS)]


def behind(start: int, slices: Iterable[slice]) -> Iterator[slice]:
    """Slices of rows 0, 1, 2 ... as slices of rows `start`, `start` + 1 ..."""
    return (slice(start + some.start, start + some.stop) for some in slices)


def within(part: slice, row_bytes: int) -> Iterator[slice]:
    """The slices of the rows that `chunks` cuts a part of them into."""
    return behind(part.start, chunks(part.stop - part.start, row_bytes))


class Rows(Protocol):
    """Vectors (N, D) that need not fit in memory; the same rows come out equal to the bit however they are read.

    Several threads may read at once.
    """

    @property
    def dim(self) -> int:
        """D."""
        ...

    def __len__(self) -> int:
        """N."""
        ...

    def part(self, start: int, stop: int) -> Vectors:
        """(stop - start, D) float32, 0 <= start <= stop <= N; may be a view that must not be written to."""
        ...

    def take(self, index: NDArray[np.int64]) -> Vectors:
        """(n, D) float32: the rows of these (n,) numbers, a copy."""
        ...


@dataclass(frozen=True)
class ArrayRows:
    """The `Rows` of an array or a memory map (N, D) float32, which is neither copied whole nor written to."""

    vectors: Vectors

    @property
    def dim(self) -> int:
        """D."""
        return int(self.vectors.shape[1])

    def __len__(self) -> int:
        """N."""
        return len(self.vectors)

    def part(self, start: int, stop: int) -> Vectors:
        """(stop - start, D): a view."""
        return self.vectors[start:stop]

    def take(self, index: NDArray[np.int64]) -> Vectors:
        """(n, D): a copy."""
        return np.asarray(self.vectors[index])

    def __reduce__(self) -> tuple[Callable[..., ArrayRows], tuple[Any, ...]]:
        """A whole memory map travels to other processes as the name of its file, which they must reach too."""
        mapped = self.vectors
        if not isinstance(mapped, np.memmap) or not isinstance(mapped.base, mmap.mmap) or mapped.filename is None:
            return ArrayRows, (mapped,)
        return _mapped_rows, (str(mapped.filename), mapped.shape, mapped.offset)


def _mapped_rows(path: str, shape: tuple[int, int], offset: int) -> ArrayRows:
    return ArrayRows(np.memmap(path, np.float32, "r", offset, shape))


@dataclass(frozen=True)
class Chosen:
    """Some rows of others as `Rows` of their own, read where they are.

    Attributes:
        rows: (N, D).
        index: (n,) int64 row numbers, ascending.
    """

    rows: Rows
    index: NDArray[np.int64]

    @property
    def dim(self) -> int:
        """D."""
        return self.rows.dim

    def __len__(self) -> int:
        """n."""
        return len(self.index)

    def part(self, start: int, stop: int) -> Vectors:
        """(stop - start, D): a copy."""
        return self.rows.take(self.index[start:stop])

    def take(self, index: NDArray[np.int64]) -> Vectors:
        """(m, D): a copy."""
        return self.rows.take(self.index[index])


def rows_of(vectors: Vectors | Rows) -> Rows:
    """Vectors (N, D) as `Rows`, and `Rows` as they are."""
    return ArrayRows(vectors) if isinstance(vectors, np.ndarray) else vectors


def sampled(vectors: Vectors | Rows, count: int | None, seed: int) -> Rows:
    """`count` of the rows, drawn without replacement, in their order; all of them where there are no more, or for None.

    Args:
        vectors: (N, D).
        seed: of the draw, which takes memory for `count` row numbers where they are few beside N.
    """
    rows = rows_of(vectors)
    if count is None or count >= len(rows):
        return rows
    drawn = np.random.default_rng(seed).choice(len(rows), count, replace=False, shuffle=False)
    return Chosen(rows, np.sort(drawn).astype(np.int64, copy=False))


def scratch(folder: Path) -> Blank:
    """Makes float32 matrices that need not fit in memory: files in a folder, which are gone when nothing uses them."""

    def make(shape: tuple[int, int]) -> Vectors:
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), 4 * shape[0] * shape[1])
            return np.asarray(np.memmap(file, np.float32, "r+", shape=shape))

    return make


def new_matrix(path: Path, shape: tuple[int, int]) -> Vectors:
    """A float32 matrix that is written through a memory map of a .npy file."""
    matrix = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    with path.open("r+b") as file:
        _reserve(file.fileno(), path.stat().st_size)
    return matrix


def _reserve(file: int, size: int) -> None:
    """Take the room on the disk: on a full one this raises OSError, where writing to a map would kill the process."""
    if hasattr(os, "posix_fallocate") and size:
        os.posix_fallocate(file, 0, size)
    else:
        os.ftruncate(file, size)


def in_memory(shape: tuple[int, int]) -> Vectors:
    """A float32 matrix in memory."""
    return np.empty(shape, np.float32)


def ordered(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(N,) keys, 0 or more, in ascending order, and the stable order (N,) that brings them there.

    Where key and row fit into one number, those are sorted: NumPy sorts numbers in a quarter of the time of an order.
    """
    bits = max(1, len(keys) - 1).bit_length()
    if not len(keys) or int(keys.max()) >= 1 << (63 - bits):
        order = np.argsort(keys, kind="stable")
        return keys[order], order
    packed = keys << bits
    packed |= np.arange(len(keys))
    packed.sort()
    return packed >> bits, packed & ((1 << bits) - 1)


def code_lists(codes: Codes) -> Iterator[list[int]]:
    """The rows of (N, L) codes as plain lists, made a piece at a time."""
    for part in chunks(len(codes), 64 * max(1, codes.shape[1])):  # a number in a list takes eight times its four bytes
        yield from codes[part].tolist()


def check_codes(codes: NDArray[np.integer], code_sizes: Sequence[int], where: str) -> Codes:
    """The codes as int32 (N, L), after checking them against the sizes.

    Args:
        codes: (N, L) integers.
        code_sizes: codes there are at each of the L levels.
        where: the file or value that the message names.

    Raises:
        InputError: not 2-D, not integers, another number of levels, or a code outside 0..size-1.
    """
    if codes.ndim != 2 or not np.issubdtype(codes.dtype, np.integer):
        raise InputError(f"{where}: has shape {codes.shape} and dtype {codes.dtype}, must be (N, L) integers")
    if codes.shape[1] != len(code_sizes):
        raise InputError(f"{where}: has {codes.shape[1]} levels, but there are {len(code_sizes)} code sizes")
    if len(code_sizes) > MAX_LEVELS:
        raise InputError(f"{where}: has {len(code_sizes)} levels, but at most {MAX_LEVELS} can be written as tokens")
    for level, size in enumerate(code_sizes):
        column = codes[:, level]
        if len(column) and not (column.min() >= 0 and column.max() < size):
            bad = int(np.flatnonzero((column < 0) | (column >= size))[0])
            raise InputError(f"{where}: row {bad} has code {column[bad]} at level {level}, must be in 0..{size - 1}")
    return codes.astype(np.int32, copy=False)


def load_codes(path: str | Path) -> Codes:
    """Raw codes as the index stage wrote them: int32 (N, L) from a .npy file."""
    try:
        codes = np.load(path, allow_pickle=False)
    except NPY_ERRORS as error:
        raise InputError(f"{path}: can't be read, run the index stage ({error})") from None
    if codes.ndim != 2 or codes.dtype != np.int32:
        raise InputError(f"{path}: has shape {codes.shape} and dtype {codes.dtype}, must be (N, L) int32")
    return np.asarray(codes)


def load_vectors(path: str | Path, stage: str = "prepare") -> Vectors:
    """The vectors (N, D) float32 that a stage (prepare or align) has written, mapped from disk and read only."""
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except NPY_ERRORS as error:
        raise InputError(f"{path}: can't be read, run the {stage} stage ({error})") from None
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise InputError(f"{path}: has shape {vectors.shape} and dtype {vectors.dtype}, must be (N, D) float32")
    return vectors  # type: ignore[no-any-return]
