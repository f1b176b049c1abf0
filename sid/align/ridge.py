"""A linear map with the penalty that best predicts what it has not seen, from sums alone: rows are read once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Vectors

_FOLDS = 5  # about every fifth row is kept aside to choose the penalty
_SCATTER = np.uint64(0x9E3779B97F4A7C15)  # catalogues are sorted: row numbers themselves would make folds of a kind
_PENALTIES = 10.0 ** np.arange(-4, 3, 0.5)  # times the mean square of a coordinate, summed over the rows

Doubles = NDArray[np.float64]


class Ridge:
    """min |X B - Y|^2 + penalty |B|^2 over rows that are added a block at a time.

    Args:
        inputs, outputs: dimensions of the rows of X and of Y; outputs None: as many as inputs.
    """

    def __init__(self, inputs: int, outputs: int | None = None) -> None:
        outputs = inputs if outputs is None else outputs
        self._gram = np.zeros((2, inputs, inputs))  # of the rows to fit, of those kept aside
        self._cross = np.zeros((2, inputs, outputs))
        self._square = 0.0  # of those kept aside

    def add(self, given: Vectors, wanted: Vectors, numbers: NDArray[np.int64]) -> None:
        """Add rows (n, inputs) and what the map should make of them (n, outputs); (n,) row numbers decide the fold."""
        kept = (numbers.astype(np.uint64) * _SCATTER >> np.uint64(40)) % np.uint64(_FOLDS) == 0
        for fold, rows in enumerate((~kept, kept)):
            self._gram[fold] += given[rows].T @ given[rows]
            self._cross[fold] += given[rows].T @ wanted[rows]
        self._square += float((wanted[kept].astype(np.float64) ** 2).sum())

    def fit(self) -> tuple[NDArray[np.float32], float]:
        """(inputs, outputs) the map, of all rows, and the share of the rows kept aside that it explains, below 1.

        Where it explains nothing of them, it is zeros, and the share 0.
        """
        nothing = np.zeros(self._cross.shape[1:], np.float32)
        unit = float(np.trace(self._gram[0])) / len(self._gram[0])
        if not (unit > 0 and self._square > 0):
            return nothing, 0.0
        values, vectors = np.linalg.eigh(self._gram[0])
        turned = vectors.T @ self._cross[0]
        seen = vectors.T @ self._gram[1] @ vectors
        wanted = vectors.T @ self._cross[1]
        best, penalty = 0.0, 0.0
        for factor in _PENALTIES:
            found = turned / (np.maximum(values, 0) + factor * unit)[:, None]
            error = self._square - 2 * float((found * wanted).sum()) + float((found * (seen @ found)).sum())
            if 1 - error / self._square > best:
                best, penalty = 1 - error / self._square, factor * unit
        if best == 0.0:
            return nothing, 0.0
        whole = self._gram.sum(axis=0) + penalty * np.eye(len(self._gram[0]))
        return np.linalg.solve(whole, self._cross.sum(axis=0)).astype(np.float32), best
