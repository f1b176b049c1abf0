"""What the next code of an item would cost: all that a strategy asks of a quantizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes, Rows, chunks
from sid.dedupe.groups import RowNumbers
from sid.measure.metrics import prefix_ids
from sid.quantizers.base import Quantizer

Doubles = NDArray[np.float64]

BATCH_BYTES = 128 << 20  # of costs held at once


class Costs(Protocol):
    """Costs of the next codes of a catalogue's rows; asked for by several threads at once."""

    @property
    def code_sizes(self) -> tuple[int, ...]:
        """K_l, the codes there are at each of the L levels."""
        ...

    def __call__(self, rows: RowNumbers, prefix: Codes) -> Doubles:
        """(n,) row numbers and their first l codes (n, l), l < L -> (n, K_l) float64.

        The squared distance between what those codes leave of each row and each code of the next level.
        """
        ...


@dataclass(frozen=True)
class QuantizerCosts:
    """The `Costs` of a quantizer for vectors (N, D), of which only the rows asked for are read.

    Attributes:
        which: (n,) row numbers of the vectors that are rows 0..n-1 here; None: all, as they are.
    """

    quantizer: Quantizer
    vectors: Rows
    which: RowNumbers | None = None

    @property
    def code_sizes(self) -> tuple[int, ...]:
        """As in `Costs`."""
        return self.quantizer.code_sizes

    def __call__(self, rows: RowNumbers, prefix: Codes) -> Doubles:
        """As in `Costs`; the vectors of some rows at a time are read."""
        numbers = rows if self.which is None else self.which[rows]
        found = np.empty((len(rows), self.code_sizes[prefix.shape[1]]))
        for part in chunks(len(rows), 16 * self.vectors.dim):
            found[part] = self.quantizer.costs(self.vectors.take(numbers[part]), prefix[part])
        return found


@dataclass(frozen=True)
class After:
    """The `Costs` of some rows that follow others, of which nothing is asked.

    Attributes:
        count: how many those others are.
        which: (n,) the row numbers that the rows behind them have in `costs`; None: 0, 1, 2 ...
    """

    costs: Costs
    count: int
    which: RowNumbers | None = None

    @property
    def code_sizes(self) -> tuple[int, ...]:
        """As in `Costs`."""
        return self.costs.code_sizes

    def __call__(self, rows: RowNumbers, prefix: Codes) -> Doubles:
        """As in `Costs`."""
        behind = rows - self.count
        return self.costs(behind if self.which is None else self.which[behind], prefix)


def slices(count: int, columns: int) -> Iterator[slice]:
    """Slices of `count` rows, each small enough to hold `columns` costs for every row of it."""
    return chunks(count, 8 * columns, BATCH_BYTES)


def last_level(costs: Costs, codes: Codes, groups: Iterable[RowNumbers]) -> Iterator[tuple[RowNumbers, Doubles]]:
    """Each group of rows with its costs (n, K) at the last level of codes (N, L); many groups are asked for at once.

    Codes before the last level must not change meanwhile. A group larger than a batch is asked for on its own.
    """
    row_bytes = 8 * costs.code_sizes[-1]

    def asked(batch: list[RowNumbers]) -> Iterator[tuple[RowNumbers, Doubles]]:
        rows = np.concatenate(batch)
        found = costs(rows, codes[rows, :-1])
        start = 0
        for group in batch:
            yield group, found[start : start + len(group)]
            start += len(group)

    batch: list[RowNumbers] = []
    held = 0
    for group in groups:
        if batch and (held + len(group)) * row_bytes > BATCH_BYTES:
            yield from asked(batch)
            batch, held = [], 0
        batch.append(group)
        held += len(group)
    if batch:
        yield from asked(batch)


def parents(codes: Codes, level: int) -> RowNumbers:
    """A key (N,) of the first `level` codes of each row, dense from 0; 0 where `level` is 0."""
    return prefix_ids(codes[:, :level])[-1] if level else np.zeros(len(codes), np.int64)
