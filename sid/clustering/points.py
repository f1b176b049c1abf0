"""Rows as tensors on one device, held there or read a part at a time; and rows about their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sid.arrays import Chosen, Rows, behind, chunks, parts
from sid.clustering import memory
from sid.clustering.feed import fed, row_width
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.engine.threads import in_order
from sid.errors import InputError

_CACHE_BYTES = 4 << 20  # of a chunk's scores on a CPU: they stay in its cache until the argmax
_DEVICE_BYTES = 256 << 20  # on an accelerator fewer, larger launches are better
_SUBSET_BYTES = 256 << 20  # a sample of so much is held
_HELD_BYTES = 1 << 30  # rows that a CPU may hold beside the copy that the system's page cache has


class Points:
    """(N, D) float32 rows as tensors on a device.

    Args:
        source: a tensor that is used as it is, or `Rows` of which parts are read when they are asked for.
        device: where the parts of `Rows` are wanted; a tensor stays where it is.
    """

    def __init__(self, source: Tensor | Rows, device: torch.device | str = "cpu") -> None:
        self._tensor = source if isinstance(source, Tensor) else None
        self._rows = None if isinstance(source, Tensor) else source
        self.device = source.device if isinstance(source, Tensor) else torch.device(device)
        self.dim = int(source.shape[1]) if isinstance(source, Tensor) else source.dim
        self._count = len(source)

    @classmethod
    def of(cls, vectors: Tensor | Points) -> Points:
        """The rows of a tensor; points as they are.

        Raises:
            InputError: a tensor that isn't a float32 matrix.
        """
        if isinstance(vectors, Points):
            return vectors
        check_matrix(vectors, "vectors")
        return cls(vectors)

    @classmethod
    def held(cls, rows: Rows, device: torch.device | str, most_bytes: int | None = None) -> Points:
        """Read the rows onto the device where they fit, else leave them to be read when they are asked for.

        Args:
            most_bytes: that may be held; None is half of a GPU's free memory, or 1 GiB on a CPU.
        """
        device = torch.device(device)
        streamed = cls(rows, device)
        if not fits(rows, device, most_bytes):
            return streamed
        if memory.accelerated(device):
            return cls.loaded(rows, device)
        tensor = torch.empty(len(rows), rows.dim, device=device)
        for part in chunks(len(rows), 8 * rows.dim):
            tensor[part] = streamed.part(part)
        return cls(tensor)

    @classmethod
    def loaded(cls, rows: Rows, device: torch.device, finish: Callable[[Tensor], Tensor] | None = None) -> Points:
        """Hold the rows on an accelerator: they are copied there while the next ones are read.

        Args:
            finish: what is done there to (n, D) rows that may be overwritten.
        """
        tensor = torch.empty(len(rows), rows.dim, device=device)
        pieces = memory.pieces(len(rows), row_width(rows.dim), device)
        for part, some in fed(lambda part: rows.part(part.start, part.stop), pieces, rows.dim, device):
            tensor[part] = some if finish is None else finish(some)
        return cls(tensor)

    def __len__(self) -> int:
        """N."""
        return self._count

    def runs_on(self, engine: Engine) -> Engine:
        """Who runs a pass over these rows: `engine` where each piece is read from where it is, else this process."""
        return engine if self._rows is not None and self.device.type == "cpu" else LOCAL

    @property
    def tensor(self) -> Tensor | None:
        """All rows, where they are held."""
        return self._tensor

    @property
    def rows(self) -> Rows | None:
        """Where they are read from, where they aren't held."""
        return self._rows

    def part(self, rows: slice) -> Tensor:
        """(n, D) rows of a slice with start and stop; where they are held a view, not to be written to."""
        if self._tensor is not None:
            return self._tensor[rows]
        assert self._rows is not None
        return self._moved(self._rows.part(rows.start, rows.stop))

    def take(self, index: Tensor) -> Tensor:
        """(n, D) rows of these (n,) int64 numbers, on any device; a copy."""
        if self._tensor is not None:
            return self._tensor.index_select(0, index.to(self.device))
        assert self._rows is not None
        return self._moved(self._rows.take(index.cpu().numpy()))

    def subset(self, index: Tensor) -> Points:
        """The rows of these (n,) ascending numbers alone: held where they take little, else read again and again."""
        if self._rows is None or 4 * len(index) * self.dim <= _SUBSET_BYTES:
            return Points(self.take(index))
        return Points(Chosen(self._rows, index.cpu().numpy()), self.device)

    def _moved(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(np.require(rows, requirements="W")).to(self.device)


def fits(rows: Rows, device: torch.device, most_bytes: int | None = None) -> bool:
    """Whether the rows may be held on a device, as in `Points.held`."""
    if most_bytes is None:
        most_bytes = memory.held_bytes(device) if memory.accelerated(device) else _HELD_BYTES
    return 4 * len(rows) * rows.dim <= most_bytes


@dataclass(frozen=True)
class Centred:
    """The rows about their mean: at a large offset, float32 products would lose the differences.

    What is pickled is without the squared norms: whoever works on a part is given those of the part.
    """

    points: Points  # already centred where `shifted`, else as the user gave them
    shifted: bool
    shift: Tensor  # (D,)
    squares: Tensor  # (N,) squared norms about the mean
    ones: Tensor | None = None  # (N, D + 1): the points with a 1 behind them, in the same memory

    def __len__(self) -> int:
        """N."""
        return len(self.points)

    def __getstate__(self) -> dict[str, Any]:
        """The state without the squared norms."""
        return {**self.__dict__, "squares": self.squares[:0].clone()}

    def runs_on(self, engine: Engine) -> Engine:
        """As `Points.runs_on`."""
        return self.points.runs_on(engine)

    @property
    def dim(self) -> int:
        """D."""
        return self.points.dim

    def part(self, rows: slice) -> Tensor:
        """(n, D) centred rows of a slice."""
        found = self.points.part(rows)
        return found if self.shifted else found - self.shift

    def factors(self, rows: slice) -> Tensor:
        """What `distances.Product` multiplies: (n, D + 1) centred rows with a 1 behind them, or as in `part`."""
        return self.part(rows) if self.ones is None else self.ones[rows]

    def take(self, index: Tensor) -> Tensor:
        """(n, D) centred rows of the given numbers, a copy."""
        found = self.points.take(index)
        return found if self.shifted else found.sub_(self.shift)

    def subset(self, index: Tensor) -> Centred:
        """The rows of these (n,) ascending numbers alone."""
        some = self.points.subset(index)
        if some.tensor is None or self.shifted:
            return Centred(some, self.shifted, self.shift, self.squares[index])
        return Centred(Points(some.tensor.sub_(self.shift)), True, self.shift, self.squares[index])


def centred(points: Points, budget_mib: int, engine: Engine = LOCAL, ones: bool = False) -> Centred:
    """The rows about the mean of all; a copy only where this process works on it and it takes half the budget.

    Args:
        points: (N, D).
        budget_mib: bound on scratch memory, in MiB.
        engine: runs the passes over rows that aren't held.
        ones: whether a copy has a 1 behind each row.

    Raises:
        InputError: a value is not finite, or so large that squares overflow float32.
    """
    n, mean = len(points), row_mean(points, engine)
    shifted = points.runs_on(engine) is LOCAL and 4 * n * points.dim <= budget_mib << 19
    copy = torch.empty(n, points.dim + ones, device=points.device) if shifted else None
    if copy is not None:
        for part in work_chunks(n, points.dim, points.device):
            torch.sub(points.part(part), mean, out=copy[part, : points.dim])
            copy[part, points.dim :] = 1
        points = Points(copy[:, : points.dim])
    rows = Centred(points, shifted, mean, torch.empty(n, device=points.device), copy if ones else None)
    slices = parts(n)
    for part, found in zip(slices, rows.runs_on(engine).map(_Squares(rows), slices), strict=True):
        rows.squares[part] = found
    if not bool(torch.isfinite(rows.squares).all()):
        row = int((~torch.isfinite(rows.squares)).nonzero()[0])
        raise InputError(f"the squared norm of row {row} overflows float32; scale the vectors down")
    return rows


@dataclass(frozen=True)
class _Squares:
    """Slices of the rows -> (n,) float32, their squared norms."""

    rows: Centred

    def __call__(self, part: slice) -> Tensor:
        """(n,)."""
        pieces = within(part, self.rows.points)
        found = in_order(pieces, lambda some: self.rows.part(some).square().sum(1), self.rows.points.device)
        return torch.cat([squares for _, squares in found])


def row_mean(points: Points, engine: Engine = LOCAL) -> Tensor:
    """The mean row, (D,) float32, summed in float64.

    Raises:
        InputError: a value is not finite.
    """
    total = torch.zeros(points.dim, dtype=torch.float64, device=points.device)
    for found in points.runs_on(engine).map(_Sum(points), parts(len(points))):
        total += found
    if not bool(torch.isfinite(total).all()):
        check_finite(points, "vectors")
    return (total / len(points)).float()


@dataclass(frozen=True)
class _Sum:
    """Slices of the rows -> (D,) float64, their sum."""

    points: Points

    def __call__(self, part: slice) -> Tensor:
        """(D,)."""
        total = torch.zeros(self.points.dim, dtype=torch.float64, device=self.points.device)
        pieces = within(part, self.points)
        for _, found in in_order(
            pieces, lambda some: self.points.part(some).sum(0, dtype=torch.float64), self.points.device
        ):
            total += found
        return total


def within(part: slice, points: Points, width: int = 1, budget_mib: int = 256) -> Iterator[slice]:
    """The slices that a part of the rows is worked on in: `work_chunks` of `width` columns, or of a row's own."""
    rows = part.stop - part.start
    return behind(part.start, work_chunks(rows, max(width, points.dim), points.device, budget_mib))


def inside(part: slice, some: slice) -> slice:
    """Where a slice of the rows lies in the part that it is of."""
    return slice(some.start - part.start, some.stop - part.start)


def with_labels(slices: Iterable[slice], *of_rows: Tensor) -> Iterator[tuple[Any, ...]]:
    """Slices of the rows, each with what (N,) tensors say of its rows: pieces for an engine."""
    return ((part, *(each[part] for each in of_rows)) for part in slices)


def work_chunks(n: int, width: int, device: torch.device, budget_mib: int = 256) -> Iterator[slice]:
    """Slices of n rows whose (n, width) float32 values stay in the cache (CPU) and in the budget (any device).

    There may be four buffers of that size, float64 among them, so that each has an eighth of the budget.
    """
    held = _CACHE_BYTES if device.type == "cpu" else _DEVICE_BYTES
    return chunks(n, 4 * max(width, 1), min(held, budget_mib << 17))


def check_matrix(values: Tensor, name: str) -> None:
    """Raises InputError unless `values` is a float32 matrix."""
    shape = tuple(values.shape)
    if values.dtype != torch.float32 or len(shape) != 2 or shape[1] == 0:
        raise InputError(f"{name} are {values.dtype} of shape {shape}; they must be float32 of shape (N, D), D >= 1")


def check_finite(points: Points, name: str) -> None:
    """Raises InputError naming the first row that holds NaN or infinity. Reads in chunks."""
    for part in work_chunks(len(points), points.dim, points.device):
        finite = torch.isfinite(points.part(part)).all(1)
        if not bool(finite.all()):
            row = part.start + int((~finite).nonzero()[0])
            raise InputError(f"{name} hold NaN or infinity, first in row {row}; every value must be finite")


def draw_rows(n: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` of `n` row numbers without replacement, ascending."""
    return torch.randperm(n, generator=generator)[:count].sort().values


def sub_seed(seed: int, stream: int) -> int:
    """A seed below 2^63 for one of the streams of random numbers of a seed: no two streams of any two seeds are alike.

    By NumPy's SeedSequence; seed + stream would make stream 1 of seed 0 stream 0 of seed 1.
    """
    return int(np.random.SeedSequence(seed, spawn_key=(stream,)).generate_state(1, np.uint64)[0] >> np.uint64(1))
