"""Squared Euclidean distances to a codebook, in chunks, and the nearest centroid of each row.

The fast path is one matrix product a chunk. `nearest` settles what its rounding leaves open in float64, row by
row, so that a row's label never depends on the rows around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from sid.errors import InputError

_CACHE_FLOATS = 1 << 21  # scores of one chunk on a CPU: 8 MiB stay in its cache until the argmax
_DEVICE_FLOATS = 1 << 26  # on an accelerator fewer, larger launches are better
_REFINE_FLOATS = 1 << 22  # float64 differences held at once while near ties are settled
_UNIT = {"highest": 2.0**-24, "high": 2.0**-11, "medium": 2.0**-8}  # float32, TF32, bfloat16 products


def nearest(vectors: Tensor, centroids: Tensor, *, budget_mib: int = 256) -> Tensor:
    """The nearest centroid of each row, by squared Euclidean distance; ties go to the lowest index.

    Row-wise exact: the label of a row is that of a float64 evaluation of (x - c)^2 in a fixed order of summation,
    whatever other rows are in the call and however it is cut into chunks. A float32 matrix product proposes; the
    centroids that its worst-case rounding error cannot rule out are compared in float64.

    Args:
        vectors: (N, D) float32, any device, N >= 0; a read-only memory map is neither written nor copied whole.
        centroids: (K, D) float32 on the same device, K >= 1.
        budget_mib: bound on scratch memory, in MiB; 16 to 1024 is sane. It changes speed, never a label.

    Returns:
        Labels, (N,) int64.

    Raises:
        InputError: the shapes do not fit, a dtype is not float32, or a centroid or a row is not finite.
    """
    check_pair(vectors, centroids)
    check_finite(centroids, "centroids")
    labels = torch.empty(len(vectors), dtype=torch.int64, device=vectors.device)
    origin = centroids.double().mean(0).float()
    table = centroids - origin
    half = half_norms(table)
    for start, stop in chunks(len(vectors), len(centroids), vectors.shape[1], vectors.device, budget_mib):
        labels[start:stop] = _settled(vectors[start:stop], origin, centroids, table, half)
    return labels


def squared_distances(vectors: Tensor, centroids: Tensor, labels: Tensor, *, budget_mib: int = 256) -> Tensor:
    """(x - c)^2 of each row and its centroid, (N,) float64: zero exactly where the two are equal.

    Args:
        vectors: (N, D) float32.
        centroids: (K, D) float32 on the same device.
        labels: (N,) int64 in [0, K).
        budget_mib: bound on scratch memory, in MiB.

    Raises:
        InputError: the shapes do not fit or a dtype is not float32.
    """
    check_pair(vectors, centroids)
    if labels.shape != (len(vectors),):
        raise InputError(f"labels have shape {tuple(labels.shape)}; they must have {(len(vectors),)}")
    squared = torch.empty(len(vectors), dtype=torch.float64, device=vectors.device)
    for start, stop in chunks(len(vectors), 0, vectors.shape[1], vectors.device, budget_mib):
        squared[start:stop] = row_distances(vectors[start:stop], centroids[labels[start:stop]])
    return squared


def check_pair(vectors: Tensor, centroids: Tensor) -> None:
    """Raises InputError unless both are float32 matrices of the same number of columns, with a centroid at least."""
    check_matrix(vectors, "vectors")
    check_matrix(centroids, "centroids")
    if vectors.shape[1] != centroids.shape[1]:
        raise InputError(f"vectors have {vectors.shape[1]} columns but centroids have {centroids.shape[1]}")
    if not len(centroids):
        raise InputError("centroids have 0 rows; at least 1 is needed")


def check_matrix(values: Tensor, name: str) -> None:
    """Raises InputError unless `values` is a float32 matrix."""
    shape = tuple(values.shape)
    if values.dtype != torch.float32 or len(shape) != 2 or shape[1] == 0:
        raise InputError(f"{name} are {values.dtype} of shape {shape}; they must be float32 of shape (N, D), D >= 1")


def check_finite(values: Tensor, name: str) -> None:
    """Raises InputError naming the first row of (N, D) `values` that holds NaN or infinity. Reads in chunks."""
    for start, stop in chunks(len(values), 0, values.shape[1], values.device):
        finite = torch.isfinite(values[start:stop]).all(1)
        if not bool(finite.all()):
            row = start + int((~finite).nonzero()[0])
            raise InputError(f"{name} hold NaN or infinity, first in row {row}; every value must be finite")


def chunks(n: int, k: int, d: int, device: torch.device, budget_mib: int = 256) -> Iterator[tuple[int, int]]:
    """Row ranges whose (rows, k) scores and (rows, d) copies stay in the cache (CPU) and in the budget (any device)."""
    width = max(k, d, 1)
    floats = _CACHE_FLOATS if device.type == "cpu" else _DEVICE_FLOATS
    floats = min(floats, (budget_mib << 20) // 32)  # four buffers of that size, float64 among them
    step = max(1, floats // width)
    step = max(16, step // 16 * 16)  # whole blocks of the product's kernel
    for start in range(0, n, step):
        yield start, min(start + step, n)


@dataclass(frozen=True)
class Rows:
    """The training rows about their mean: at a large offset, float32 products would lose the differences."""

    source: Tensor  # (N, D): already centred where `held`, else as the user gave them
    held: bool
    shift: Tensor  # (D,)
    squares: Tensor  # (N,) squared norms about the mean
    sample: Tensor | None  # the rows of the user's matrix these are; None is all

    def part(self, start: int, stop: int) -> Tensor:
        """(stop - start, D) centred rows of that range."""
        rows = self.source[start:stop]
        return rows if self.held else rows - self.shift

    def take(self, index: Tensor) -> Tensor:
        """(n, D) centred rows of the given numbers."""
        rows = self.source[index]
        return rows if self.held else rows.sub_(self.shift)

    def subset(self, index: Tensor) -> Rows:
        """Those rows alone, held in memory."""
        return Rows(self.take(index), True, self.shift, self.squares[index], index)


def centred(vectors: Tensor, train_sample: int | None, budget_mib: int, generator: torch.Generator) -> Rows:
    """The rows, or `train_sample` of them at random, about the mean of all; a copy only where it fits the budget.

    Raises:
        InputError: a value is not finite, or so large that squares overflow float32.
    """
    mean = row_mean(vectors)
    sample = None
    source = vectors
    if train_sample is not None and train_sample < len(vectors):
        sample = draw_rows(len(vectors), train_sample, generator).to(vectors.device)
        source = vectors[sample]
    held = source.numel() * 4 <= budget_mib << 19  # half the budget
    if held:
        source = source - mean
    rows = Rows(source, held, mean, torch.empty(len(source), device=source.device), sample)
    for start, stop in chunks(len(source), 0, source.shape[1], source.device):
        rows.squares[start:stop] = rows.part(start, stop).square().sum(1)
    if not bool(torch.isfinite(rows.squares).all()):
        row = int((~torch.isfinite(rows.squares)).nonzero()[0])
        raise InputError(f"the squared norm of row {row} overflows float32; scale the vectors down")
    return rows


def row_mean(vectors: Tensor) -> Tensor:
    """The mean row of (N, D) vectors, (D,) float32, summed in float64.

    Raises:
        InputError: a value is not finite.
    """
    total = torch.zeros(vectors.shape[1], dtype=torch.float64, device=vectors.device)
    for start, stop in chunks(len(vectors), 0, vectors.shape[1], vectors.device):
        total += vectors[start:stop].sum(0, dtype=torch.float64)
    if not bool(torch.isfinite(total).all()):
        check_finite(vectors, "vectors")
    return (total / len(vectors)).float()


def draw_rows(n: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` of `n` row numbers without replacement, ascending."""
    return torch.randperm(n, generator=generator)[:count].sort().values


def add_rows(sums: Tensor, codes: Tensor, values: Tensor) -> None:
    """Adds (n, D) values to the rows `codes` of (K, D) sums, in place, in an order that does not vary between runs."""
    if sums.device.type == "cpu":
        sums.index_add_(0, codes, values)
        return
    order = codes.argsort(stable=True)  # index_add_ on an accelerator adds in the order that its threads come
    lengths = torch.bincount(codes, minlength=len(sums))
    sums += torch.segment_reduce(values[order], "sum", lengths=lengths, axis=0, initial=0)


def half_norms(table: Tensor) -> Tensor:
    """|c|^2 / 2 of each row of a (K, D) table, (K,) float32, summed in float64."""
    return (table.double().square().sum(1) / 2).float()


def scores(rows: Tensor, table: Tensor, half: Tensor) -> Tensor:
    """x.c - |c|^2 / 2 for each row and centroid, (n, K) float32: the largest is the nearest.

    On a CPU the product runs as a 1 x 1 convolution over n pixels of D channels. It is the same sum of products,
    but it reaches oneDNN's kernels, which are twice as fast as sgemm where the BLAS has none for the processor.
    """
    n, d = rows.shape
    if rows.device.type != "cpu" or d == 0 or n == 0:
        return torch.addmm(-half, rows, table.t())
    pixels = rows.contiguous().view(1, n, 1, d).permute(0, 3, 1, 2)  # (1, D, n, 1), channels last
    planes = conv2d(pixels, table.reshape(len(table), d, 1, 1), -half)  # (1, K, n, 1)
    return planes.permute(0, 2, 3, 1).reshape(n, len(table))


def row_argmax(values: Tensor) -> Tensor:
    """The first largest column of each row of (n, K) values, (n,) int64; on a CPU NumPy's is many times faster."""
    if values.device.type == "cpu":
        return torch.from_numpy(values.numpy().argmax(1))
    return values.argmax(1)


def row_distances(rows: Tensor, others: Tensor) -> Tensor:
    """(x - y)^2 of paired rows, (n, D) and (n, D) float32 to (n,) float64, by a fixed tree of additions.

    A library's reduction may change its order with the shape of the call; halving the columns again and again does
    not, so equal pairs of rows give equal bits in any call.
    """
    terms: Tensor = (rows.double() - others.double()).square_()  # (n, D)
    while (width := terms.shape[1] // 2) > 0:
        odd = terms[:, 2 * width :]
        terms = terms[:, :width] + terms[:, width : 2 * width]
        terms = torch.cat([terms, odd], dim=1) if odd.shape[1] else terms
    return terms.flatten()


def _settled(rows: Tensor, origin: Tensor, centroids: Tensor, table: Tensor, half: Tensor) -> Tensor:
    """Labels of one chunk: the product's where its rounding cannot matter, else a float64 comparison."""
    centred = rows - origin  # (n, D)
    values = scores(centred, table, half)  # (n, K)
    labels = row_argmax(values)
    best = values.gather(1, labels[:, None]).flatten()
    if not bool(torch.isfinite(best).all()):  # or the squares overflow float32, and float64 settles them all
        check_finite(rows, "vectors")
    floor = best - 2 * _rounding(centred, half)
    second = values.scatter_(1, labels[:, None], -torch.inf).amax(1)
    tied = (~(second < floor)).nonzero().flatten()
    step = max(1, _REFINE_FLOATS // max(centroids.shape))
    for start in range(0, len(tied), step):
        part = tied[start : start + step]
        candidates = ~(values[part] < floor[part, None])  # (n, K), true where NaN
        candidates.scatter_(1, labels[part, None], True)
        labels[part] = _compare(rows[part], centroids, candidates)
    return labels


def _rounding(centred: Tensor, half: Tensor) -> Tensor:
    """A bound on |computed - true score| for each row, (n,) float32.

    A sum of D products in any order errs by at most g (|x| |c| + |c|^2 / 2), g = (D + 3) u / (1 - (D + 3) u)
    (Higham, Accuracy and Stability of Numerical Algorithms, 3.1), and by 2^-126 a term that underflows. Moving
    rows and centroids to the codebook's mean in float32 errs by u a coordinate of each, hence by at most
    3 u (|x| + |c|)^2.
    """
    unit = _UNIT[torch.get_float32_matmul_precision()]
    terms = centred.shape[1] + 3
    growth = terms * unit / (1 - terms * unit) if terms * unit < 0.5 else float("inf")
    largest = (2 * half.max()).sqrt()
    norms = torch.linalg.vector_norm(centred, dim=1)
    bound = growth * (norms * largest + largest.square() / 2) + 3 * unit * (norms + largest).square()
    widened: Tensor = bound * (1 + terms * 2.0**-23) + terms * 2.0**-125
    return widened


def _compare(rows: Tensor, centroids: Tensor, candidates: Tensor) -> Tensor:
    """The nearest candidate of each row in float64, ties to the lowest index. (n, D), (K, D), (n, K) bool."""
    row, code = candidates.nonzero(as_tuple=True)
    exact = torch.full(candidates.shape, float("inf"), dtype=torch.float64, device=rows.device)
    step = max(1, _REFINE_FLOATS // rows.shape[1])
    for start in range(0, len(row), step):
        r, c = row[start : start + step], code[start : start + step]
        exact[r, c] = row_distances(rows[r], centroids[c])
    return exact.argmin(1)
