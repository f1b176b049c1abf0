"""What the graph alone says of each item: the first eigenvectors of its normalised weights.

They are found by subspace iteration from a random start with a few columns to spare (Halko, Martinsson and Tropp,
Finding Structure with Randomness, SIAM Review 2011). A block method is needed, since groups of items that are apart
share eigenvalues; and the passes read and write rows in blocks, so the matrices may lie on the disk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sid.align.base import USUAL_EVIDENCE
from sid.align.directions import normalised
from sid.align.graph import Graph
from sid.arrays import Blank, Vectors, chunks

_STEPS = 8  # more of them change what is near to what by less than the seed does
_SPARE = 16  # columns beyond those that are kept, which makes the last ones exact sooner
_ROUNDING = 1e-5  # of the largest square: below this, too much of a direction of float32 columns is rounding
_BLOCK_BYTES = 256 << 20


def factors(graph: Graph, dim: int, seed: int, blank: Blank) -> Vectors:
    """(N, B) float32 in an array of `blank`'s: an item's neighbours, in B numbers; zeros for items without any.

    Each weight of the graph is divided by the square roots of both degrees (as in spectral clustering: Ng et al.,
    NeurIPS 2001). The eigenvectors of the largest values are multiplied by these values, so that two items are near if
    a random walk from either leads to the same items. Those of negative values would keep items apart that are used
    together; they are left out. Each row is brought to length 1, then multiplied by its evidence n / (n + 8), n being
    the item's degree.

    Args:
        graph: with one pair or more.
        dim: B, 1 or more; at most one less than there are items with neighbours.
        seed: of the random start.
        blank: makes the two matrices that this takes, (N, B + 16) each, and the result.
    """
    count = len(graph.degrees)
    known = int((graph.degrees > 0).sum())
    dim = min(dim, known - 1)
    width = min(dim + _SPARE, known)
    roots = np.sqrt(graph.degrees).astype(np.float32)[:, None]
    scale = np.where(roots > 0, 1 / np.where(roots > 0, roots, 1), 0).astype(np.float32)
    blocks = list(chunks(count, 64 * width, _BLOCK_BYTES))
    draw = np.random.default_rng(seed)
    # a step takes columns X to M X; both matrices hold rows that are divided by `roots`, as the next step needs them
    columns, product = blank((count, width)), blank((count, width))
    for part in blocks:
        columns[part] = draw.standard_normal((part.stop - part.start, width), np.float32) * scale[part]
    for _ in tqdm(range(_STEPS), "factors", unit="step", disable=None):
        squares = np.zeros((width, width))
        for part in blocks:
            product[part] = graph.products(part, columns) * scale[part] ** 2
            made = product[part] * roots[part]
            squares += made.T @ made
        by = _orthonormal(squares)
        for part in blocks:
            columns[part] = product[part] @ by.astype(np.float32)
    # A graph with two sides has its values in pairs of either sign, which no step tells apart; X and M X together do
    for part in blocks:
        product[part] = graph.products(part, columns) * scale[part] ** 2
    squares, inner = np.zeros((2 * width, 2 * width)), np.zeros((2 * width, 2 * width))
    for part in blocks:
        after = np.hstack((product[part] * roots[part], graph.products(part, product) * scale[part])).astype(np.float64)
        both = np.hstack((columns[part] * roots[part], after[:, :width]))
        squares += both.T @ both
        inner += both.T @ after
    by = _orthonormal(squares)
    values, turn = np.linalg.eigh(by.T @ (inner + inner.T) @ by / 2)
    by = (by @ turn[:, ::-1] * np.maximum(values[::-1], 0))[:, :dim].astype(np.float32)
    evidence = (graph.degrees / (graph.degrees + USUAL_EVIDENCE)).astype(np.float32)[:, None]
    out = blank((count, dim))
    for part in blocks:
        both = np.hstack((columns[part], product[part])) * roots[part]
        out[part] = normalised(both @ by) * evidence[part]
    return out


def _orthonormal(squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, n) what makes columns orthonormal, from their products with each other; zeros for those that are rounding."""
    values, turn = np.linalg.eigh(squares)
    real = values > _ROUNDING * values[-1]
    return np.asarray(turn * np.where(real, 1 / np.sqrt(np.where(real, values, 1)), 0))
