"""Rows and dimensions that lie: finite values so far from the rest that a fit would be about them alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Rows, Vectors, chunks, parts, rows_of
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.files import round6

FAR = 6.0
"""A row is an outlier if it lies this many times as far from the middle as the median row, and is beyond SPREADS."""

SPREADS = 8.0
"""... robust standard deviations of the logarithm of the distance: what varies widely in itself has no outliers."""

DOMINANT = 0.5
"""A few dimensions are dominant if they hold more than this share of the variance."""

Doubles = NDArray[np.float64]

_SAMPLE_BYTES = 2 << 20
_SAMPLE_LEAST = 1000  # rows
_PASS_BYTES = 8 << 20
_FEW = 16  # at most one dimension in so many counts as few
_ALL_OF_FEW = 0.95  # where there are fewer dimensions than that
_CONSTANT = 1e-10  # of the median dimension's variance
_CLIPPED_LEAST, _CLIPPED_MOST = 1e-3, 0.2
_CLIPPED_FEWEST = 10
_DISTINCT = 100
HALF_MOST = np.float32(65504)
_SINGLE_MOST = np.float32(3.38e38)  # bfloat16's largest, and float32's


@dataclass(frozen=True)
class Shape:
    """How rows and dimensions lie.

    Attributes:
        centre: (D,) float64, each dimension's median.
        distances: (N,) float64, of each row from it.
        bound: the largest distance that is no outlier's; infinite where there is none.
        constant, dominant: numbers of dimensions.
        dominant_share: of the variance that the dominant ones hold, 0 where there are none.
        clipped_share: of the values that are exactly the largest there is, 0 where that is no sign of clipping.
    """

    centre: NDArray[np.float64]
    distances: NDArray[np.float64]
    bound: float
    constant: tuple[int, ...]
    dominant: tuple[int, ...]
    dominant_share: float
    clipped_share: float

    @property
    def outliers(self) -> NDArray[np.int64]:
        """Row numbers, ascending."""
        return np.flatnonzero(self.distances > self.bound)

    def times_median(self, row: int) -> float:
        """How many times as far as the median row one lies from the middle."""
        usual = float(np.median(self.distances[self.distances <= self.bound]))
        return round6(float(self.distances[row]) / usual) if usual else float("inf")


def saturated(rows: Vectors) -> NDArray[np.bool_]:
    """(n, D) -> (n,): which rows have a value that is the largest of float16, bfloat16 or float32; Inf is none."""
    size = np.abs(rows)
    return np.asarray(((size == HALF_MOST) | ((size >= _SINGLE_MOST) & np.isfinite(size))).any(axis=1))


def look(vectors: Vectors, engine: Engine = LOCAL) -> Shape:
    """Measure where rows and dimensions lie.

    Args:
        vectors: (N, D) float32, finite, N > 0; may be a memory map, read in chunks.
        engine: runs the pass over the rows. It changes no bit.
    """
    rows, dim = vectors.shape
    count = max(_SAMPLE_LEAST, _SAMPLE_BYTES // (4 * dim))
    sample = np.asarray(vectors[:: max(1, -(-rows // count))], np.float64)
    centre = np.median(sample, axis=0)
    distances = np.empty(rows, np.float64)
    low, high = np.full(dim, np.inf), np.full(dim, -np.inf)
    slices = parts(rows)
    found = engine.each(_From(rows_of(vectors), centre), slices, 4 * _PASS_BYTES)
    for part, (lowest, highest, far) in zip(slices, found, strict=True):
        low, high = np.minimum(low, lowest), np.maximum(high, highest)
        distances[part] = far
    bound = _bound(distances)
    off = sample - centre
    sane = sample[np.sqrt(np.einsum("nd,nd->n", off, off)) <= bound]
    return Shape(centre, distances, bound, *_dimensions(sane, high - low), _clipped(sane))


@dataclass(frozen=True)
class _From:
    """Of a part of the rows: each dimension's least and largest value, and the distances (n,), from a centre (D,)."""

    rows: Rows
    centre: Doubles

    def __call__(self, part: slice) -> tuple[Doubles, Doubles, Doubles]:
        dim = self.rows.dim
        low, high = np.full(dim, np.inf), np.full(dim, -np.inf)
        distances = np.empty(part.stop - part.start, np.float64)
        for some in chunks(len(distances), 24 * dim, _PASS_BYTES):
            off = self.rows.part(part.start + some.start, part.start + some.stop).astype(np.float64)
            off -= self.centre
            low, high = np.minimum(low, off.min(axis=0)), np.maximum(high, off.max(axis=0))
            distances[some] = np.sqrt(np.einsum("nd,nd->n", off, off))
        return low, high, distances


def pull_in(vectors: Vectors, shape: Shape) -> None:
    """Move outliers, in place, towards the middle until they are as far from it as the farthest other row."""
    for row in shape.outliers.tolist():
        off = vectors[row].astype(np.float64) - shape.centre
        vectors[row] = (shape.centre + off * (shape.bound / shape.distances[row])).astype(np.float32)


def _bound(distances: NDArray[np.float64]) -> float:
    off = distances[distances > 0]
    if not len(off):
        return float("inf")
    logs = np.log(off)
    usual = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(logs - usual)))
    most = usual + max(float(np.log(FAR)), SPREADS * spread)
    if logs.max() <= most:
        return float("inf")
    return float(off[logs <= most].max())


def _dimensions(
    sane: NDArray[np.float64], spans: NDArray[np.float64]
) -> tuple[tuple[int, ...], tuple[int, ...], float]:
    """Constant ones, dominant ones, and the share of these."""
    variance = sane.var(axis=0) if len(sane) > 1 else np.zeros(sane.shape[1])
    total, dim = float(variance.sum()), len(variance)
    if total == 0:
        return (), (), 0.0
    alive = variance[variance > 0]
    # a dimension that few rows have may look constant in a sample
    small = spans <= np.sqrt(_CONSTANT) * float(np.median(spans[spans > 0]))
    constant = np.flatnonzero(small & (variance <= _CONSTANT * float(np.median(alive))))
    order = np.argsort(-variance, kind="stable")
    shares = np.cumsum(variance[order]) / total
    few = max(1, dim // _FEW)
    least = DOMINANT if dim >= _FEW else _ALL_OF_FEW
    enough = np.flatnonzero(shares[:few] > least)
    if dim < 2 or not len(enough) or dim - len(constant) < 2:
        return tuple(constant.tolist()), (), 0.0
    top = int(enough[0]) + 1
    return tuple(constant.tolist()), tuple(sorted(order[:top].tolist())), round6(float(shares[top - 1]))


def _clipped(sane: NDArray[np.float64]) -> float:
    size = np.abs(sane[:2000])
    if not size.size or len(np.unique(size)) < _DISTINCT:
        return 0.0
    largest = size == size.max()
    if largest.sum() < _CLIPPED_FEWEST or largest.any(axis=0).sum() < 2:
        return 0.0
    share = float(largest.mean())
    return round6(share) if _CLIPPED_LEAST < share < _CLIPPED_MOST else 0.0


def figures(shape: Shape, ids: Any, listed: int) -> dict[str, Any]:
    """What reports/prepare.json says of it."""
    rows = shape.outliers
    return {
        "outlier_rows": len(rows),
        "outlier_row_ids": [ids[row] for row in rows[:listed].tolist()],
        "outlier_times_median": [shape.times_median(row) for row in rows[:listed].tolist()],
        "constant_dimensions": len(shape.constant),
        "constant_dimension_numbers": list(shape.constant[:listed]),
        "dominant_dimensions": list(shape.dominant),
        "dominant_share": shape.dominant_share,
        "clipped_share": shape.clipped_share,
    }
