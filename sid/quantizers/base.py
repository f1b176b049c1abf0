"""What every fitted quantizer is, and what a fit returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes, Rows, Vectors, parts, rows_of, within
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.errors import InputError


class Quantizer(Protocol):
    """A fitted quantizer: vectors (N, D) <-> codes (N, L). Always fitted; never changes."""

    @property
    def method(self) -> str:
        """The name of the method that fitted it, as in `quant.method`."""
        ...

    @property
    def dim(self) -> int:
        """D, the dimension of the vectors it takes."""
        ...

    @property
    def code_sizes(self) -> tuple[int, ...]:
        """The number of codes of each level; levels may differ."""
        ...

    @property
    def device(self) -> str:
        """Where it works, e.g. 'cpu' or 'cuda'."""
        ...

    @property
    def info(self) -> Mapping[str, Any]:
        """`config` and `figures` of the fit, as plain values; {} for codebooks from elsewhere."""
        ...

    def encode(self, vectors: Vectors) -> Codes:
        """(N, D) -> (N, L) int32, the nearest code level by level; a row's codes never depend on the other rows."""
        ...

    def costs(self, vectors: Vectors, prefix: Codes) -> NDArray[np.float64]:
        """What each code of the next level costs a row whose codes before it are known.

        `encode` is the argmin of it, level by level, ties to the lowest code.

        Args:
            vectors: (n, D) float32.
            prefix: (n, l) int32 codes of the first l levels, l from 0 to L - 1; any codes, not only the nearest.

        Returns:
            (n, K_l) float64: the squared Euclidean distance, in the space that the method quantizes in, between
            what the codes of the prefix leave of a row and each codeword of level l.

        Raises:
            InputError: wrong shapes or dtypes, a code that doesn't exist, NaN or infinity.
        """
        ...

    def decode(self, codes: Codes) -> Vectors:
        """(N, L) -> (N, D) float32, in the input space."""
        ...

    def save(self, path: str | Path) -> None:
        """Write one .pth of tensors and plain values, which `sid.quantizers.methods.load` reads."""
        ...


@dataclass(frozen=True)
class Fit:
    """What a method's `fit` returns.

    Attributes:
        quantizer: the fitted quantizer.
        curve: a row per step of training for reports/train.csv; `step` (from 1) and `mse` are always there,
            mse in the input space and per coordinate where the method knows it there.
        figures: single values for reports/train.json.
    """

    quantizer: Quantizer
    curve: Sequence[Mapping[str, float | int]]
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class Scaling:
    """Centre and scale that are saved with a model, so that losses and distances mean the same on any embedding.

    Attributes:
        mean: (D,) float32, subtracted from every row.
        scale: by which the centred rows are divided: their root mean square over all coordinates, 1 for
            rows that are all equal.
    """

    mean: NDArray[np.float32]
    scale: float

    @classmethod
    def identity(cls, dim: int) -> Scaling:
        """Neither centre nor scale: for codebooks that live in the input space."""
        return cls(np.zeros(dim, np.float32), 1.0)

    @classmethod
    def of(cls, vectors: Vectors | Rows, engine: Engine = LOCAL) -> Scaling:
        """Measure (N, D) float32 vectors, N >= 1, a chunk at a time, in float64.

        Args:
            vectors: (N, D).
            engine: runs the two passes over them.

        Raises:
            InputError: a row holds NaN or infinity.
        """
        rows = rows_of(vectors)
        slices = parts(len(rows))
        total = sum(engine.map(_Total(rows), slices), np.zeros(rows.dim))
        mean = np.asarray(total / len(rows), np.float32)
        square = sum(engine.map(_Square(rows, mean), slices))
        scale = float(np.float32(np.sqrt(square / (len(rows) * rows.dim))))
        return cls(mean, scale if scale > 0 else 1.0)

    def apply(self, vectors: Vectors) -> Vectors:
        """(N, D) input space -> (N, D) model space; float32, row by row."""
        rows: Vectors = vectors - self.mean
        rows /= np.float32(self.scale)
        return rows

    def undo(self, vectors: Vectors) -> Vectors:
        """(N, D) model space -> (N, D) input space."""
        rows: Vectors = vectors * np.float32(self.scale)
        rows += self.mean
        return rows


@dataclass(frozen=True)
class _Total:
    """Slices of the rows -> (D,) float64, their sum; InputError where a value isn't finite."""

    rows: Rows

    def __call__(self, part: slice) -> NDArray[np.float64]:
        """(D,)."""
        total = np.zeros(self.rows.dim)
        for some in within(part, 24 * self.rows.dim):
            found = self.rows.part(some.start, some.stop)
            finite = np.isfinite(found).all(axis=1)
            if not finite.all():
                row = some.start + int(finite.argmin())
                raise InputError(f"vectors: row {row} holds NaN or infinity, every value must be finite")
            total += found.sum(axis=0, dtype=np.float64)
        return total


@dataclass(frozen=True)
class _Square:
    """Slices of the rows -> the sum of their squared distances to the mean."""

    rows: Rows
    mean: NDArray[np.float32]

    def __call__(self, part: slice) -> float:
        """A sum over rows and coordinates, in float64."""
        square = 0.0
        for some in within(part, 24 * self.rows.dim):
            centred = self.rows.part(some.start, some.stop).astype(np.float64) - self.mean
            square += float(np.einsum("nd,nd->", centred, centred))
        return square
