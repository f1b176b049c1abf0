"""Squared Euclidean distances to a codebook, in chunks, and the nearest centroid of each row.

The fast path is one matrix product a chunk. `nearest` settles what its rounding leaves open in float64, row by
row, so that a row's label never depends on the rows around it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from sid.arrays import chunks, parts
from sid.clustering import memory
from sid.clustering.points import Points, check_finite, check_matrix, inside, with_labels, within
from sid.clustering.units import UnitProduct, unit_rounding
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.engine.threads import in_order, one_thread
from sid.errors import InputError

_REFINE_BYTES = 32 << 20  # float64 differences held at once while near ties are settled
# unit roundoff of a product's float32 factors, by the names of torch's newer settings and of its older one
_UNIT = {"none": 2.0**-24, "ieee": 2.0**-24, "tf32": 2.0**-11, "bf16": 2.0**-8}
_OLDER_UNIT = {"highest": 2.0**-24, "high": 2.0**-11, "medium": 2.0**-8}


def nearest(vectors: Tensor | Points, centroids: Tensor, *, budget_mib: int = 256, engine: Engine = LOCAL) -> Tensor:
    """The nearest centroid of each row, by squared Euclidean distance; ties go to the lowest index.

    Row-wise exact: the label of a row is that of a float64 evaluation of (x - c)^2 in a fixed order of summation,
    whatever other rows are in the call and however it is cut into chunks. A float32 matrix product proposes, after one
    in the matrix units (see `units`) on an accelerator; the centroids that its worst-case rounding error cannot rule
    out are compared in float64, each value of a centroid once, however many centroids have it.

    Args:
        vectors: (N, D) float32, any device, N >= 0; a read-only memory map is neither written nor copied whole.
        centroids: (K, D) float32 on the same device, K >= 1.
        budget_mib: bound on scratch memory, in MiB; 16 to 1024 is sane. It changes speed, never a label. An
            accelerator's is that of `memory.limit`.
        engine: runs the pass over rows that aren't held.

    Returns:
        Labels, (N,) int64.

    Raises:
        InputError: the shapes do not fit, a dtype is not float32, or a centroid or a row is not finite.
    """
    points = Points.of(vectors)
    check_pair(points, centroids)
    check_finite(Points(centroids), "centroids")
    if (runs := points.runs_on(engine)) is not LOCAL:
        first = distinct(centroids)[0]
        work = _Nearest(points, centroids[first], budget_mib)
        return first[torch.cat([torch.zeros(0, dtype=torch.int64), *runs.map(work, parts(len(points)))])]
    book = Book.of(centroids)
    try:
        if memory.accelerated(points.device):
            return _nearest_on_device(points, book)
        return _nearest_by_chunks(points, book, budget_mib)
    except _CopiesError:
        first = distinct(centroids)[0]
        return first[nearest(points, centroids[first], budget_mib=budget_mib)]


@dataclass(frozen=True)
class _Nearest:
    """Slices of the rows -> (n,) int64, their nearest centroids, of which no two are equal."""

    points: Points
    centroids: Tensor
    budget_mib: int

    @one_thread(torch.device("cpu"))
    def __call__(self, part: slice) -> Tensor:
        """(n,)."""
        return _nearest_by_chunks(self.points, Book.of(self.centroids), self.budget_mib, part)


def _nearest_by_chunks(points: Points, book: Book, budget_mib: int, rows: slice | None = None) -> Tensor:
    """`nearest` of all rows or of a slice of them, each chunk settled while it is in the cache."""
    rows = slice(0, len(points)) if rows is None else rows
    labels = torch.empty(rows.stop - rows.start, dtype=torch.int64, device=points.device)

    def settled(part: slice) -> Tensor:
        rows = points.part(part)
        found, floor, values, doubtful = proposed(rows, book)
        tied = doubtful.nonzero().flatten()
        if len(tied):
            if not bool(torch.isfinite(rows[tied]).all()):  # they are all among the tied ones
                check_finite(points, "vectors")
            if book.has_copies:
                raise _CopiesError
            found = _settled(rows, book, values, floor, found, tied)
        return found

    pieces = within(rows, points, len(book.centroids), budget_mib)
    for part, found in in_order(pieces, settled, points.device):
        labels[inside(rows, part)] = found
    return labels


def _nearest_on_device(points: Points, book: Book) -> Tensor:
    """`nearest` on an accelerator: no piece waits for the host.

    Each of three passes goes over the rows that the one before it can't be sure of: products in the matrix units,
    float32 products, and at last float64.
    """
    product = UnitProduct(book.product.table, book.half)
    width = max(len(book.centroids), 2 * points.dim)
    labels = torch.empty(len(points), dtype=torch.int64, device=points.device)
    doubtful = torch.empty(len(points), dtype=torch.bool, device=points.device)
    for part in memory.pieces(len(points), width, points.device):
        moved = points.part(part) - book.origin  # (n, D)
        labels[part], _, _, doubtful[part] = first_two(product(moved), unit_rounding(moved, book.half))
    left = doubtful.nonzero().flatten()
    unsure = torch.empty(len(left), dtype=torch.bool, device=points.device)
    for part in memory.pieces(len(left), width, points.device):
        found, _, _, unsure[part] = proposed(points.take(left[part]), book)
        labels[left[part]] = found
    tied = left[unsure]
    if not len(tied):
        return labels
    if book.has_copies:
        raise _CopiesError
    for part in memory.pieces(len(tied), width, points.device):
        rows = points.take(tied[part])
        if not bool(torch.isfinite(rows).all()):
            check_finite(points, "vectors")
        found, floor, values, _ = proposed(rows, book)
        every = torch.arange(len(rows), device=rows.device)
        labels[tied[part]] = _settled(rows, book, values, floor, found, every)
    return labels


def proposed(rows: Tensor, book: Book) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What a float32 product says of (n, D) rows; nothing here waits for an accelerator.

    Returns:
        Labels (n,); the score (n,) below which no centroid is nearest; scores (n, K), that of the label -inf, in memory
        that the next call may overwrite; and which rows (n,) have another centroid above it. Those that aren't finite,
        and those whose squares overflow, are among them.
    """
    moved = rows - book.origin  # (n, D)
    return first_two(book.product(moved), _rounding(moved, book.half))


def first_two(values: Tensor, rounding: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `proposed` returns, of (n, K) scores that are off by at most `rounding` (n,); they are written to."""
    found, best = largest(values)
    floor = best - 2 * rounding
    others = values.scatter_(1, found[:, None], -torch.inf)
    second = others.amax(1) if memory.accelerated(values.device) else largest(others)[1]
    return found, floor, values, ~(second < floor)


class _CopiesError(Exception):
    """There are ties, and equal centroids, of which each would be compared."""


def squared_distances(
    vectors: Tensor | Points, centroids: Tensor, labels: Tensor, *, budget_mib: int = 256, engine: Engine = LOCAL
) -> Tensor:
    """(x - c)^2 of each row and its centroid, (N,) float64: zero exactly where the two are equal.

    Args:
        vectors: (N, D) float32.
        centroids: (K, D) float32 on the same device.
        labels: (N,) int64 in [0, K).
        budget_mib: bound on scratch memory, in MiB.
        engine: runs the pass over rows that aren't held.

    Raises:
        InputError: the shapes do not fit or a dtype is not float32.
    """
    points = Points.of(vectors)
    check_pair(points, centroids)
    if labels.shape != (len(points),):
        raise InputError(f"labels have shape {tuple(labels.shape)}; they must have {(len(points),)}")
    squared = torch.empty(len(points), dtype=torch.float64, device=points.device)
    slices = parts(len(points))
    found = points.runs_on(engine).map(_Gaps(points, centroids, budget_mib), with_labels(slices, labels))
    for part, some in zip(slices, found, strict=True):
        squared[part] = some
    return squared


@dataclass(frozen=True)
class _Gaps:
    """Slices of the rows and their (n,) labels -> (n,) float64, the squared distances to their centroids."""

    points: Points
    centroids: Tensor
    budget_mib: int

    def __call__(self, piece: tuple[slice, Tensor]) -> Tensor:
        """(n,)."""
        part, labels = piece
        found = torch.empty(len(labels), dtype=torch.float64, device=labels.device)

        def gaps(some: slice) -> Tensor:
            return row_distances(self.points.part(some), self.centroids[labels[inside(part, some)]])

        pieces = within(part, self.points, budget_mib=self.budget_mib)
        for some, squared in in_order(pieces, gaps, self.points.device):
            found[inside(part, some)] = squared
        return found


def all_distances(rows: Tensor, centroids: Tensor) -> Tensor:
    """(x - c)^2 of each row and each centroid, (n, K) float64, whose argmin is `nearest`, ties included.

    Args:
        rows: (n, D) float32; about 16 (K + D) bytes per row are in use at once.
        centroids: (K, D) float32 on the same device, K >= 1, finite.

    Raises:
        InputError: a row holds NaN or infinity.
    """
    return DistanceTable.of(centroids).distances(rows)


@dataclass(frozen=True)
class DistanceTable:
    """Centroids made ready for the distances of many rows to all of them."""

    centroids: Tensor  # (K, D) float32
    first: Tensor  # (K',) those that are equal to none before them
    place: Tensor | None  # (K,) where each one's equal is among those; None: each is its own
    origin: Tensor  # (D,) float64
    table: Tensor  # (D + 2, K') float64: what a row about the origin, its norm and 1 are multiplied with
    largest: float  # the largest norm about the origin

    @classmethod
    def of(cls, centroids: Tensor) -> DistanceTable:
        """The table of (K, D) float32 centroids."""
        first, place = distinct(centroids)
        table = centroids[first].double()
        origin = table.mean(0)
        table -= origin
        lengths = table.square().sum(1)
        stacked = torch.cat([-2 * table.t(), torch.ones_like(lengths)[None], lengths[None]])
        same = len(first) == len(centroids)
        return cls(centroids, first, None if same else place, origin, stacked, float(lengths.max().sqrt()))

    def distances(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """`all_distances` of (n, D) float32 rows, into `out` (n, K) float64 where that is given.

        A float64 matrix product about the centroids' mean errs by about D 2^-53 (|x| + |c|)^2; where that could
        decide which is the least of a row, the value is that of `row_distances`.
        """
        n, dim = rows.shape
        left = torch.ones(n, dim + 2, dtype=torch.float64, device=rows.device)
        torch.sub(rows, self.origin, out=left[:, :dim])
        norms = left[:, :dim].square().sum(1)
        left[:, dim] = norms
        if not bool(torch.isfinite(norms).all()):
            check_finite(Points(rows), "vectors")
        squared = torch.mm(left, self.table, out=out if self.place is None else None).clamp_(min=0)  # (n, K')
        slack = 8 * (dim + 4) * 2.0**-53 * (norms.sqrt() + self.largest).square()
        close = _close_seconds(squared, slack)
        for some in chunks(len(close), 8 * squared.shape[1], _REFINE_BYTES):
            row = close[some]
            least = squared[row] <= squared[row].amin(1, keepdim=True) + slack[row, None]
            pair, code = least.nonzero(as_tuple=True)
            for part in chunks(len(pair), 8 * dim, _REFINE_BYTES):
                exact = row_distances(rows[row[pair[part]]], self.centroids[self.first[code[part]]])
                squared[row[pair[part]], code[part]] = exact
        if self.place is None:
            return squared
        return torch.index_select(squared, 1, self.place, out=out)


def _close_seconds(squared: Tensor, slack: Tensor) -> Tensor:
    """The rows (m,) whose second least of (n, K) distances is no more than the slack (n,) above their least."""
    if squared.shape[1] < 2:
        return torch.zeros(0, dtype=torch.int64, device=squared.device)
    least = row_argmin(squared)[:, None]
    value = squared.gather(1, least)
    second = squared.scatter_(1, least, torch.inf)
    second = second.gather(1, row_argmin(second)[:, None])
    squared.scatter_(1, least, value)
    return (second <= value + slack[:, None]).flatten().nonzero().flatten()


def check_pair(points: Points, centroids: Tensor) -> None:
    """Raises InputError unless the centroids are a float32 matrix of the points' columns, with a row at least."""
    check_matrix(centroids, "centroids")
    if points.dim != centroids.shape[1]:
        raise InputError(f"vectors have {points.dim} columns but centroids have {centroids.shape[1]}")
    if not len(centroids):
        raise InputError("centroids have 0 rows; at least 1 is needed")


def distinct(centroids: Tensor) -> tuple[Tensor, Tensor]:
    """The centroids that are equal to none before them, (K',) ascending, and where each (K,) centroid's equal is there.

    0.0 and -0.0 are equal.
    """
    k, device = len(centroids), centroids.device
    values, inverse = torch.unique(centroids, dim=0, return_inverse=True)
    numbers = torch.arange(k, device=device)
    if len(values) == k:
        return numbers, numbers
    first = torch.full((len(values),), k, device=device).scatter_reduce_(0, inverse, numbers, "amin")
    order = first.argsort()
    return first[order], order.argsort()[inverse]


def add_rows(sums: Tensor, codes: Tensor, values: Tensor) -> None:
    """Adds (n, D) values to the rows `codes` of (K, D) sums, in place, in an order that does not vary between runs."""
    if sums.device.type == "cpu":
        sums.index_add_(0, codes, values)
        return
    order = codes.argsort(stable=True)  # index_add_ on an accelerator adds in the order that its threads come
    lengths = torch.bincount(codes, minlength=len(sums))
    sums += torch.segment_reduce(values[order], "sum", lengths=lengths, axis=0, initial=0)


def move_rows(sums: Tensor, rows: Tensor, old: Tensor, new: Tensor) -> int:
    """Takes (n, D) rows from the sums of their old clusters (-1: none yet) to those of their new ones, in place.

    Args:
        sums: (K, D) float64.
        old, new: (n,) codes.

    Returns:
        How many rows moved.
    """
    changed = (new != old).nonzero().flatten()
    if not len(changed):
        return 0
    values = (rows if len(changed) == len(rows) else rows.index_select(0, changed)).double()
    left = old.index_select(0, changed)
    add_rows(sums, new.index_select(0, changed), values)
    if bool((left >= 0).all()):
        add_rows(sums, left, values.neg_())
    else:
        leaving = (left >= 0).nonzero().flatten()
        if len(leaving):
            add_rows(sums, left[leaving], values[leaving].neg_())
    return len(changed)


def half_norms(table: Tensor) -> Tensor:
    """|c|^2 / 2 of each row of a (K, D) table, (K,) float32, summed in float64."""
    return (table.double().square().sum(1) / 2).float()


def scores(rows: Tensor, table: Tensor, half: Tensor) -> Tensor:
    """x.c - |c|^2 / 2 for each row and centroid, (n, K) float32: the largest is the nearest."""
    return Product(table, half)(rows, torch.empty(len(rows), len(table), device=rows.device))


class Product:
    """The scores x.c - |c|^2 / 2 of rows at a (K, D) table, for one chunk of rows after the other.

    On a CPU a matrix product of rows with a 1 behind them and the table with -|c|^2 / 2 behind it, into memory that is
    kept: new memory costs as much as the product. On AMD's processors, where torch's BLAS is half as fast as oneDNN,
    a 1 x 1 convolution over n pixels of D channels, which is the same sum of products.
    """

    def __init__(self, table: Tensor, half: Tensor | None = None) -> None:
        self.table, self._half = table, half_norms(table) if half is None else half
        self._kept = threading.local()  # each thread works on chunks of its own
        self._stacked: Tensor | None = None
        if multiplies_ones(table.device):
            self._stacked = torch.cat([table.t(), -self._half[None]])  # (D + 1, K)

    def __call__(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """(n, K) float32 for (n, D) rows, in `out`, or in memory that the thread's next call overwrites.

        Rows of D + 1 columns are those of `with_ones`, which spare a copy.
        """
        if self._stacked is None:
            return self._other(rows)
        n, dim = len(rows), self.table.shape[1]
        if rows.shape[1] == dim:
            left = self._memory("left", n, dim + 1)
            left[:, :dim] = rows
            left[:, dim] = 1
            rows = left
        return torch.mm(rows, self._stacked, out=self._memory("out", n, len(self.table)) if out is None else out)

    def _memory(self, name: str, n: int, columns: int) -> Tensor:
        held: Tensor | None = getattr(self._kept, name, None)
        if held is None or len(held) < n:
            held = torch.empty(n, columns)
            setattr(self._kept, name, held)
        return held[:n]

    def _other(self, rows: Tensor) -> Tensor:
        n, d = rows.shape
        if rows.device.type != "cpu" or d == 0 or n == 0:
            return torch.addmm(-self._half, rows, self.table.t())
        pixels = rows.contiguous().view(1, n, 1, d).permute(0, 3, 1, 2)  # (1, D, n, 1), channels last
        planes = conv2d(pixels, self.table.reshape(len(self.table), d, 1, 1), -self._half)  # (1, K, n, 1)
        return planes.permute(0, 2, 3, 1).reshape(n, len(self.table))


def multiplies_ones(device: torch.device) -> bool:
    """Whether `Product` multiplies rows that have a 1 behind them."""
    return device.type == "cpu" and not _by_convolution()


def with_ones(rows: Tensor) -> Tensor:
    """(n, D) rows as `Product` multiplies them: with a 1 behind them, in a copy, or as they are."""
    if not multiplies_ones(rows.device):
        return rows
    return torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)


@cache
def _by_convolution() -> bool:
    """Whether this is a processor of AMD's, for which Intel's BLAS has no kernels of its own."""
    info = Path("/proc/cpuinfo")
    built = bool(torch.backends.mkl.is_available())  # type: ignore[no-untyped-call]
    return built and info.exists() and "AuthenticAMD" in info.read_text(errors="replace")


def largest(values: Tensor) -> tuple[Tensor, Tensor]:
    """The first largest column of each row of (n, K) values, (n,) int64, and its value (n,)."""
    if memory.accelerated(values.device):
        best, code = values.max(1)  # one pass finds both
        return code, best
    code = row_argmax(values)
    return code, values.gather(1, code[:, None]).flatten()


def row_argmax(values: Tensor) -> Tensor:
    """The first largest column of each row of (n, K) values, (n,) int64; on a CPU NumPy's is many times faster."""
    if memory.accelerated(values.device):
        return values.argmax(1)
    return torch.from_numpy(values.numpy().argmax(1))


def row_argmin(values: Tensor) -> Tensor:
    """The first least column of each row of (n, K) values, (n,) int64."""
    if memory.accelerated(values.device):
        return values.argmin(1)
    return torch.from_numpy(values.numpy().argmin(1))


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


@dataclass(frozen=True)
class Book:
    """Centroids about their mean, for products in float32."""

    centroids: Tensor  # (K, D)
    origin: Tensor  # (D,)
    half: Tensor  # (K,)
    product: Product  # with the (K, D) centroids less origin

    @classmethod
    def of(cls, centroids: Tensor) -> Book:
        origin = centroids.double().mean(0).float()
        table = centroids - origin
        half = half_norms(table)
        return cls(centroids, origin, half, Product(table, half))

    @cached_property
    def has_copies(self) -> bool:
        """Whether centroids are equal, looked for at the first tie."""
        return len(distinct(self.centroids)[0]) < len(self.centroids)


def _settled(rows: Tensor, book: Book, values: Tensor, floor: Tensor, labels: Tensor, tied: Tensor) -> Tensor:
    """The labels of one chunk after a float64 comparison of what may be nearest to its `tied` rows."""
    for part in chunks(len(tied), 8 * max(book.centroids.shape), _REFINE_BYTES):
        some = tied[part]
        candidates = ~(values[some] < floor[some, None])  # (n, K), true where NaN
        candidates.scatter_(1, labels[some, None], True)
        labels[some] = _compare(rows[some], book.centroids, candidates)
    return labels


def _rounding(centred: Tensor, half: Tensor) -> Tensor:
    """A bound on |computed - true score| for each row, (n,) float32.

    A sum of D products in any order errs by at most g (|x| |c| + |c|^2 / 2), g = (D + 3) u / (1 - (D + 3) u)
    (Higham, Accuracy and Stability of Numerical Algorithms, 3.1), and by 2^-126 a term that underflows. Moving
    rows and centroids to the codebook's mean in float32 errs by u a coordinate of each, hence by at most
    3 u (|x| + |c|)^2.
    """
    unit = _unit(centred.device)
    terms = centred.shape[1] + 3
    growth = terms * unit / (1 - terms * unit) if terms * unit < 0.5 else float("inf")
    largest = (2 * half.max()).sqrt()
    norms = torch.linalg.vector_norm(centred, dim=1)
    bound = growth * (norms * largest + largest.square() / 2) + 3 * unit * (norms + largest).square()
    widened: Tensor = bound * (1 + terms * 2.0**-23) + terms * 2.0**-125
    return widened


def _unit(device: torch.device) -> float:
    """The unit roundoff of float32 factors as torch is set to multiply them on a device."""
    backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    kinds = ("matmul",) if device.type == "cuda" else ("matmul", "conv")  # what `scores` may come to
    found = [str(getattr(getattr(backend, kind, None), "fp32_precision", None)) for kind in kinds]
    if "None" in found:  # before torch 2.9; from then on the older function raises where the newer settings are used
        return _OLDER_UNIT[torch.get_float32_matmul_precision()]
    return max(_UNIT[name] for name in found)


def _compare(rows: Tensor, centroids: Tensor, candidates: Tensor) -> Tensor:
    """The nearest candidate of each row in float64, ties to the lowest index. (n, D), (K, D), (n, K) bool."""
    row, code = candidates.nonzero(as_tuple=True)
    exact = torch.full(candidates.shape, float("inf"), dtype=torch.float64, device=rows.device)
    for part in chunks(len(row), 8 * rows.shape[1], _REFINE_BYTES):
        exact[row[part], code[part]] = row_distances(rows[row[part]], centroids[code[part]])
    return exact.argmin(1)
