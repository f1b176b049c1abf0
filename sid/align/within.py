"""Directions in which items that are used together differ say little about use: they can be weighted down.

The covariance of the differences between items that are used together is W. What texts say of a brand, a size or a
language is large in it, if users mix brands, sizes or languages. Directions are multiplied by W to the power of
-whiten, after W was shrunk towards a multiple of the identity, since it comes from few pairs in many dimensions.

With 0.5, this is relevant component analysis (Bar-Hillel et al., Learning Distance Functions using Equivalence
Relations, ICML 2003), or within-class covariance normalization (Hatch et al., Interspeech 2006); shrinkage: Ledoit and
Wolf, A well-conditioned estimator for large-dimensional covariance matrices (2004).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sid.align.directions import normalised
from sid.align.graph import Graph
from sid.arrays import Blank, Vectors, chunks

SHRINKAGE = 0.3
"""Weight of the multiple of the identity."""

_ALIKE = 1e-5  # mean squared difference at which items that are used together are all alike, but for rounding
_ROWS = 1 << 17  # items whose pairs are looked at, evenly spread if there are more
_BLOCK_BYTES = 256 << 20

Doubles = NDArray[np.float64]


def whitening(graph: Graph, units: Vectors, power: float) -> NDArray[np.float32] | None:
    """(D, D) float32, symmetric, by which directions are multiplied; None where it would change nothing.

    Args:
        graph: which items are used together, N of them.
        units: (N, D) float32, their directions.
        power: 0 to 0.5.
    """
    if power == 0:
        return None
    found = _differences(graph, units)
    total = float(np.trace(found))
    if not total > _ALIKE:
        return None
    values, vectors = np.linalg.eigh((1 - SHRINKAGE) * found * (len(found) / total) + SHRINKAGE * np.eye(len(found)))
    return np.asarray((vectors * np.maximum(values, SHRINKAGE) ** -power) @ vectors.T, np.float32)


def whitened(units: Vectors, by: NDArray[np.float32] | None, blank: Blank) -> Vectors:
    """(N, D) directions multiplied by (D, D), of length 1 again, in an array of `blank`'s; None: as they are."""
    if by is None:
        return units
    out = blank(units.shape)
    for part in chunks(len(units), 24 * units.shape[1]):
        out[part] = normalised(units[part] @ by)
    return out


def _differences(graph: Graph, units: Vectors) -> Doubles:
    """(D, D) half the mean over pairs of (u - v) (u - v)', by their weights: U' (degrees - graph) U of directions U."""
    total = np.zeros((units.shape[1], units.shape[1]))
    picked = np.unique(np.linspace(0, len(units) - 1, min(len(units), _ROWS)).astype(np.int64))
    for part in chunks(len(picked), 40 * units.shape[1], _BLOCK_BYTES):
        rows = picked[part]
        own, weights = units[rows], graph.degrees[rows, None].astype(np.float32)
        total += own.T @ ((own - graph.means(rows, units, None)) * weights)
    return (total + total.T) / (2 * max(float(graph.degrees[picked].sum()), 1e-300))
