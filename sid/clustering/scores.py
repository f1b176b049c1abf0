"""How good each cluster is for each row, made when asked for or held; sharing rows out by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sid.arrays import behind
from sid.clustering.distances import half_norms, scores
from sid.clustering.points import Centred, work_chunks
from sid.engine.base import Engine
from sid.engine.local import LOCAL

PART_BYTES = 512 << 20
"""Of a part of the rows while its scores are made in chunks, at most."""


class Scores(Protocol):
    """How good each of K clusters is for each of N rows: minus half a squared distance, less anything of the row's own.

    The best cluster of a row has the largest score; differences within a row are half differences of squared
    distances. Values of a chunk are made when they are asked for, or held.
    """

    @property
    def clusters(self) -> int:
        """K."""
        ...

    @property
    def width(self) -> int:
        """Float32 values per row that computing its scores takes in addition to them."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the values are."""
        ...

    def __len__(self) -> int:
        """N."""
        ...

    def part(self, rows: slice, offset: Tensor | None = None) -> Tensor:
        """(n, K) float32 for a slice of rows, less a (K,) float32 offset; not to be written to."""
        ...

    def take(self, index: Tensor) -> Tensor:
        """(n, K) float32 for the rows of these (n,) numbers."""
        ...

    def subset(self, index: Tensor) -> Scores:
        """Those rows alone."""
        ...


class TableScores:
    """The scores of rows and (K, D) centroids about the same mean: x.c - |c|^2 / 2."""

    def __init__(self, rows: Centred, table: Tensor) -> None:
        self.rows, self.table, self.half = rows, table, half_norms(table)
        self.clusters, self.width, self.device = len(table), rows.dim, table.device

    def __len__(self) -> int:
        """N."""
        return len(self.rows)

    def part(self, rows: slice, offset: Tensor | None = None) -> Tensor:
        """(n, K) for a slice of rows, less an offset."""
        return scores(self.rows.part(rows), self.table, self.half if offset is None else self.half + offset)

    def take(self, index: Tensor) -> Tensor:
        """(n, K) for the rows of these numbers."""
        return scores(self.rows.take(index), self.table, self.half)

    def subset(self, index: Tensor) -> TableScores:
        """Those rows alone, held in memory."""
        return TableScores(self.rows.subset(index), self.table)


@dataclass(frozen=True)
class HeldScores:
    """Scores (N, K) float32 that are in memory."""

    values: Tensor

    @property
    def clusters(self) -> int:
        """K."""
        return self.values.shape[1]

    @property
    def width(self) -> int:
        """They are made already."""
        return 0

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.values.device

    def __len__(self) -> int:
        """N."""
        return len(self.values)

    def part(self, rows: slice, offset: Tensor | None = None) -> Tensor:
        """(n, K) of a slice of rows, less an offset."""
        found = self.values[rows]
        return found if offset is None else found - offset

    def take(self, index: Tensor) -> Tensor:
        """(n, K) of the rows of these numbers."""
        return self.values[index]

    def subset(self, index: Tensor) -> HeldScores:
        """Those rows alone."""
        return HeldScores(self.values[index])


@dataclass(frozen=True)
class Problem:
    """Rows to share out among clusters of `lo` to `hi` rows; of a sample of rows the two are scaled, and fractions.

    `engine` runs the passes over the rows.
    """

    scores: Scores
    lo: float
    hi: float
    budget_mib: int
    engine: Engine = LOCAL

    @property
    def size(self) -> int:
        """N."""
        return len(self.scores)

    @property
    def clusters(self) -> int:
        """K."""
        return self.scores.clusters

    def chunks(self, rows: int) -> Iterator[slice]:
        """Slices of so many rows whose scores can be worked on at once."""
        return work_chunks(rows, max(self.clusters, self.scores.width), self.scores.device, self.budget_mib)

    def within(self, part: slice) -> Iterator[slice]:
        """Slices of a part of the rows whose scores can be worked on at once."""
        return behind(part.start, self.chunks(part.stop - part.start))

    def taken(self, rows: Tensor) -> Iterator[Tensor]:
        """The scores (n, K) of the rows of these numbers, for one chunk after the other; copies."""
        for part in self.chunks(len(rows)):
            yield self.scores.take(rows[part])
