"""Residual coding, level after level, and ResidualQuantizer: codebooks in the (centred, scaled) input space.

`cascade` is the one loop over the levels; what codes, fits or trains says how a level chooses its codes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sid.arrays import CHUNK_BYTES, Codes, Rows, Vectors, check_codes, chunks
from sid.clustering import memory
from sid.clustering.distances import Book, DistanceTable, Product, nearest, proposed
from sid.clustering.feed import Returned, fed, row_width
from sid.clustering.points import Points, fits, row_mean
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.engine.threads import in_order, one_thread
from sid.errors import InputError
from sid.quantizers import model_file
from sid.quantizers.base import Scaling

KIND = "residual"
_AT_WORK = 8  # chunks that threads may have read and not yet coded, together within a budget

Left = TypeVar("Left")


def subtract(residual: Tensor, codebook: Tensor, labels: Tensor) -> Tensor:
    """(N, e_dim) rows less their codewords, in place and in chunks."""
    for part in chunks(len(residual), 8 * residual.shape[1]):
        residual[part] -= codebook[labels[part]]
    return residual


def cascade(
    left: Left,
    levels: int,
    choose: Callable[[int, Left], tuple[Tensor, Tensor]],
    less: Callable[[Left, Tensor, Tensor], Left],
) -> tuple[Tensor, Left]:
    """Code rows level by level, each level what the ones before it left.

    Args:
        left: the rows, in whatever form `choose` and `less` take them.
        levels: L, at least 1.
        choose: (level from 0, what is left) -> labels (N,) int64 and the level's codebook (K, e_dim).
        less: (what is left, codebook, labels) -> what that level leaves; `subtract` for a tensor that may be
            overwritten.

    Returns:
        Codes (N, L) int64, and what the last level leaves.
    """
    codes = []
    for level in range(levels):
        labels, codebook = choose(level, left)
        left = less(left, codebook, labels)
        codes.append(labels)
    return torch.stack(codes, dim=1), left


def quantize(residual: Tensor, codebooks: Sequence[Tensor]) -> Tensor:
    """The nearest codes of (n, e_dim) float32 rows, which are overwritten with what the last level leaves.

    Returns:
        (n, L) int64; a row's codes depend on that row alone.
    """
    return cascade(
        residual, len(codebooks), lambda level, left: (nearest(left, codebooks[level]), codebooks[level]), subtract
    )[0]


def remainder(residual: Tensor, codebooks: Sequence[Tensor], codes: Tensor) -> Tensor:
    """What codes (n, l) of the first l levels leave of (n, e_dim) rows, in place; to the bit what `quantize` leaves."""
    if codes.shape[1]:
        cascade(residual, codes.shape[1], lambda level, _: (codes[:, level].long(), codebooks[level]), subtract)
    return residual


def sum_codewords(codes: Codes, codebooks: Sequence[Vectors]) -> Vectors:
    """(n, L) codes -> (n, e_dim) float32: the sum of their codewords, first level first."""
    total = codebooks[0][codes[:, 0]].astype(np.float32, copy=True)
    for level in range(1, len(codebooks)):
        total += codebooks[level][codes[:, level]]
    return total


@dataclass(frozen=True)
class Residuals:
    """What the first levels leave of scaled rows, computed from rows and codes whenever it is asked for.

    `Rows` themselves: memory grows with N by the codes alone. Equal to the bit to rows that are held and
    subtracted from.

    Attributes:
        rows: (N, D), in the input space.
        scaling: what is done to a row before the first level.
        codebooks: (K, D) float32 of the levels so far.
        codes: (N, l) int32 at these levels.
    """

    rows: Rows
    scaling: Scaling
    codebooks: tuple[Vectors, ...] = ()
    codes: Codes | None = None

    @property
    def dim(self) -> int:
        """D."""
        return self.rows.dim

    def __len__(self) -> int:
        """N."""
        return len(self.rows)

    def part(self, start: int, stop: int) -> Vectors:
        """(stop - start, D)."""
        return self._left(self.rows.part(start, stop), slice(start, stop))

    def take(self, index: NDArray[np.int64]) -> Vectors:
        """(n, D)."""
        return self._left(self.rows.take(index), index)

    def less(self, codebook: Vectors, labels: NDArray[np.int64]) -> Residuals:
        """What another level leaves."""
        column = labels.astype(np.int32)[:, None]
        codes = column if self.codes is None else np.concatenate([self.codes, column], axis=1)
        return replace(self, codebooks=(*self.codebooks, codebook), codes=codes)

    def _left(self, rows: Vectors, which: slice | NDArray[np.int64]) -> Vectors:
        scaled = self.scaling.apply(rows)
        if self.codes is not None:
            books = [torch.from_numpy(book) for book in self.codebooks]
            remainder(torch.from_numpy(scaled), books, torch.from_numpy(self.codes[which]))
        return scaled


def on_device(scaling: Scaling, device: torch.device) -> Callable[[Tensor], Tensor]:
    """What `Scaling.apply` does to rows, to the bit, for (n, D) tensors on a device, in place."""
    mean = torch.from_numpy(scaling.mean).to(device)
    scale = torch.tensor(
        scaling.scale, dtype=torch.float32, device=device
    )  # a number would be multiplied by its inverse
    return lambda rows: rows.sub_(mean).div_(scale)


def held(rows: Rows, scaling: Scaling, device: str, held_bytes: int | None = None) -> Points:
    """Scaled rows on a device: all of them where they fit, else recomputed whenever a part is asked for.

    Args:
        held_bytes: as in `Points.held`.
    """
    where = torch.device(device)
    if memory.accelerated(where) and fits(rows, where, held_bytes):
        return Points.loaded(rows, where, on_device(scaling, where))
    return Points.held(Residuals(rows, scaling), device, held_bytes)


def measured(rows: Rows, device: str, engine: Engine = LOCAL) -> tuple[Points, Scaling]:
    """Rows on a device, centred and scaled, and by how much; an accelerator does the measuring.

    Whether it can hold the rows changes no bit.

    Args:
        rows: (N, D).
        device: 'cpu' or 'cuda'.
        engine: measures on a CPU.

    Raises:
        InputError: a value is not finite.
    """
    where = torch.device(device)
    if not memory.accelerated(where):
        scaling = Scaling.of(rows, engine)
        return held(rows, scaling, device), scaling
    points = Points.loaded(rows, where) if fits(rows, where) else Points(rows, where)
    mean = row_mean(points)
    square = torch.zeros((), dtype=torch.float64, device=where)
    pieces = list(memory.pieces(len(points), 4 * points.dim, where))
    for part in pieces:
        square += points.part(part).double().sub_(mean).square_().sum()
    scale = float(np.float32(np.sqrt(float(square) / (len(points) * points.dim))))
    scaling = Scaling(mean.cpu().numpy(), scale if scale > 0 else 1.0)
    if points.tensor is None:
        return Points(Residuals(rows, scaling), where), scaling
    scaled = on_device(scaling, where)
    for part in pieces:
        scaled(points.tensor[part])
    return points, scaling


def check_dim(vectors: Vectors, dim: int) -> None:
    """Raise InputError unless the vectors are (N, dim) float32."""
    if vectors.ndim != 2 or vectors.shape[1] != dim or vectors.dtype != np.float32:
        raise InputError(f"vectors have shape {vectors.shape} and dtype {vectors.dtype}, must be (N, {dim}) float32")


def check_codebooks(codebooks: Sequence[Vectors], dim: int) -> None:
    """Raise InputError unless there are codebooks, each (K, dim) float32 with K >= 1 and finite."""
    if not codebooks:
        raise InputError("a quantizer needs at least one codebook, but there are none")
    for level, book in enumerate(codebooks):
        if book.ndim != 2 or book.shape[1] != dim or len(book) == 0 or book.dtype != np.float32:
            raise InputError(
                f"codebook {level} has shape {book.shape} and dtype {book.dtype}, must be (K, {dim}) float32"
            )
        if not np.isfinite(book).all():
            raise InputError(f"codebook {level} holds NaN or Inf, must be finite")


@dataclass(frozen=True)
class Coder:
    """How a quantizer's rows get to its codebooks: `encode` and `costs` of every quantizer that codes residuals.

    Attributes:
        latents: (n, D) input rows -> (n, e_dim) float32 on the codebooks' device, a tensor that may be overwritten.
        made: the same of rows that are on the device and may be overwritten.
        codebooks: L tensors (K, e_dim).
        row_bytes: what `latents` takes for a row.
        budget_bytes: of a chunk.
    """

    latents: Callable[[Vectors], Tensor]
    made: Callable[[Tensor], Tensor]
    codebooks: Sequence[Tensor]
    row_bytes: int
    budget_bytes: int

    def encode(self, vectors: Vectors) -> Codes:
        """(N, D) -> (N, L) int32, the nearest codes."""
        if memory.accelerated(self.codebooks[0].device):
            with memory.one_line():
                return self._fed(vectors)
        return self._coded(vectors)

    def _fed(self, vectors: Vectors) -> Codes:
        """`encode` on an accelerator: rows are copied there, and codes back, while it works.

        Where float32 products can't tell the nearest of two codes at any level, a row is coded again in the end.
        """
        device, (count, dim) = self.codebooks[0].device, vectors.shape
        codes = np.empty((count, len(self.codebooks)), np.int32)
        unsure = np.zeros(count, bool)
        returned = Returned()

        def store(most: int) -> None:
            for part, (found, doubtful) in returned.arrived(most):
                codes[part], unsure[part] = found, doubtful

        width = row_width(dim, self.row_bytes // 4, *map(len, self.codebooks))
        pieces = memory.pieces(count, width, device)
        for part, rows in fed(lambda part: vectors[part], pieces, dim, device):
            returned.put(part, *self._first(self.made(rows)))
            store(1)
        store(0)
        left = np.flatnonzero(unsure)
        for part in chunks(len(left), self.row_bytes + 4 * dim, self.budget_bytes):
            codes[left[part]] = self._coded(vectors[left[part]])
        return codes

    def _first(self, left: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (n, L) int32 by float32 products, and which rows (n,) they leave open; nothing waits for the host."""
        found = []
        unsure = torch.zeros(len(left), dtype=torch.bool, device=left.device)
        for book in self._books:
            code, _, _, doubtful = proposed(left, book)
            left = left.sub_(book.centroids[code])
            found.append(code)
            unsure |= doubtful
        return torch.stack(found, dim=1).int(), unsure

    def _coded(self, vectors: Vectors) -> Codes:
        codes = np.empty((len(vectors), len(self.codebooks)), np.int32)

        def coded(part: slice) -> Tensor:
            return quantize(self.latents(vectors[part]), self.codebooks)

        device = self.codebooks[0].device
        budget = self.budget_bytes // _AT_WORK if device.type == "cpu" else self.budget_bytes
        with one_thread(device):
            for part, found in in_order(chunks(len(vectors), self.row_bytes, budget), coded, device):
                codes[part] = found.cpu().numpy()
        return codes

    def scores(self, vectors: Vectors, prefix: Codes) -> Tensor:
        """(n, K) float32: minus half of `costs`, but for something of each row's own; five times as fast.

        Args:
            vectors: (n, D), few enough that their latents and scores may be in memory at once.
            prefix: (n, l) codes of the first l levels.
        """
        level = prefix.shape[1]
        device = self.codebooks[level].device
        left = remainder(self.latents(vectors), self.codebooks, torch.from_numpy(prefix).to(device))
        found = self._products[level](left, torch.empty(len(left), len(self.codebooks[level]), device=device))
        return found.sub_(found.amax(1, keepdim=True))

    def costs(self, vectors: Vectors, prefix: Codes) -> NDArray[np.float64]:
        """`Quantizer.costs`."""
        sizes = [len(book) for book in self.codebooks]
        level = prefix.shape[1] if prefix.ndim == 2 else len(sizes)
        if level >= len(sizes) or len(prefix) != len(vectors):
            raise InputError(
                f"prefix has shape {prefix.shape}, must be ({len(vectors)}, l) with l from 0 to {len(sizes) - 1}"
            )
        prefix = check_codes(prefix, sizes[:level], "prefix")
        book = self.codebooks[level]
        found = np.empty((len(vectors), len(book)), np.float64)
        for part in chunks(len(vectors), self.row_bytes + 16 * sum(book.shape), self.budget_bytes):
            left = remainder(
                self.latents(vectors[part]), self.codebooks, torch.from_numpy(prefix[part]).to(book.device)
            )
            if book.device.type == "cpu":
                self._tables[level].distances(left, out=torch.from_numpy(found[part]))
            else:
                found[part] = self._tables[level].distances(left).cpu().numpy()
        return found

    @cached_property
    def _books(self) -> list[Book]:
        return [Book.of(book) for book in self.codebooks]

    @cached_property
    def _products(self) -> list[Product]:
        return [Product(book) for book in self.codebooks]

    @cached_property
    def _tables(self) -> list[DistanceTable]:
        return [DistanceTable.of(book) for book in self.codebooks]


class KeepsCoder:
    """A quantizer that makes its `Coder` once; what is pickled is without it."""

    def make_coder(self) -> Coder:
        """The coder of its codebooks."""
        raise NotImplementedError

    @cached_property
    def coder(self) -> Coder:
        """The coder, made when it is first needed."""
        return self.make_coder()

    def __getstate__(self) -> dict[str, Any]:
        """The state without the coder."""
        return {name: value for name, value in self.__dict__.items() if name != "coder"}


@dataclass(frozen=True)
class ResidualQuantizer(KeepsCoder):
    """Residual quantization by nearest codeword, level after level. RQ-KMeans and its constrained form end here.

    Attributes:
        codebooks: L arrays (K, D) float32 in the space of `scaling`; K may differ.
        scaling: what is done to a row before the first level.
        method: the name of the method that fitted it.
        device: where `encode` works, e.g. 'cpu' or 'cuda'.
        info: the config and figures of the fit, as plain values.
    """

    codebooks: tuple[Vectors, ...]
    scaling: Scaling
    method: str = "rqkmeans"
    device: str = "cpu"
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the codebooks against each other; InputError where they don't fit."""
        check_codebooks(self.codebooks, self.dim)

    @property
    def dim(self) -> int:
        """D, the dimension of the vectors it takes."""
        return len(self.scaling.mean)

    @property
    def code_sizes(self) -> tuple[int, ...]:
        """Codes there are at each level, read off the codebooks."""
        return tuple(len(codebook) for codebook in self.codebooks)

    def latents(self, vectors: Vectors) -> Vectors:
        """(N, D) -> (N, D) float32: the centred and scaled rows."""
        check_dim(vectors, self.dim)
        return self.scaling.apply(vectors)

    def encode(self, vectors: Vectors) -> Codes:
        """(N, D) -> (N, L) int32, the nearest code level by level; a row's codes never depend on the other rows."""
        check_dim(vectors, self.dim)
        return self.coder.encode(vectors)

    def costs(self, vectors: Vectors, prefix: Codes) -> NDArray[np.float64]:
        """Squared distances of what the prefix leaves to each code of the next level; see `Quantizer.costs`."""
        check_dim(vectors, self.dim)
        return self.coder.costs(vectors, prefix)

    def decode(self, codes: Codes) -> Vectors:
        """(N, L) -> (N, D) float32, in the input space."""
        codes = check_codes(codes, self.code_sizes, "codes")
        return self.scaling.undo(sum_codewords(codes, self.codebooks))

    def save(self, path: str | Path) -> None:
        """Write one .pth, which `sid.quantizers.methods.load` reads."""
        state = {
            "method": self.method,
            "codebooks": [torch.from_numpy(book) for book in self.codebooks],
            "mean": torch.from_numpy(self.scaling.mean),
            "scale": self.scaling.scale,
            "info": dict(self.info),
        }
        model_file.write(path, KIND, state)

    @classmethod
    def from_state(cls, state: Mapping[str, Any], device: str) -> ResidualQuantizer:
        """The quantizer that `save` wrote, to work on `device`; InputError where the state isn't one."""
        return cls(
            model_file.arrays(state, "codebooks", 2),
            model_file.scaling(state),
            model_file.value(state, "method", str),
            device,
            model_file.value(state, "info", dict),
        )

    def make_coder(self) -> Coder:
        """As in `KeepsCoder`."""
        books = [torch.from_numpy(book).to(self.device) for book in self.codebooks]
        return Coder(
            lambda rows: torch.from_numpy(self.scaling.apply(rows)).to(self.device),
            on_device(self.scaling, torch.device(self.device)),
            books,
            12 * self.dim,
            CHUNK_BYTES,
        )
