"""What the graph alone says of each item: the first eigenvectors of its normalised weights.

They are found by subspace iteration from a random start with a few columns to spare (Halko, Martinsson and Tropp,
Finding Structure with Randomness, SIAM Review 2011). A block method is needed, since groups of items that are apart
share singular values; and the passes read and write rows in blocks, so the matrices may lie on the disk.
"""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from sid.align.base import USUAL_EVIDENCE
from sid.align.directions import normalised
from sid.align.graph import Graph
from sid.arrays import Blank, Vectors, chunks

_STEPS = 8  # more of them change what is near to what by less than the seed does
_SPARE = 16  # columns beyond those that are kept, which makes the last ones exact sooner
_NOTHING = 1e-10  # of the largest square: below this, a direction of float32 columns is rounding
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
    blocks = list(chunks(count, 16 * width, _BLOCK_BYTES))
    draw = np.random.default_rng(seed)
    scaled, product = blank((count, width)), blank((count, width))  # columns over the roots of the degrees; the graph's
    for part in blocks:
        scaled[part] = draw.standard_normal((part.stop - part.start, width), np.float32) * scale[part]
    for _ in tqdm(range(_STEPS), "factors", unit="step", disable=None):
        squares = np.zeros((width, width))
        for part in blocks:
            product[part] = graph.products(part, scaled) * scale[part]
            squares += product[part].T @ product[part]
        values, turn = np.linalg.eigh(squares)
        real = values > _NOTHING * values[-1]
        by = (turn * np.where(real, 1 / np.sqrt(np.where(real, values, 1)), 0)).astype(np.float32)
        for part in blocks:  # orthonormal columns, or zeros
            scaled[part] = product[part] @ by * scale[part]
    inner = np.zeros((width, width))
    for part in blocks:
        product[part] = graph.products(part, scaled) * scale[part]
        inner += (scaled[part] * roots[part]).T @ product[part]
    values, turn = np.linalg.eigh((inner + inner.T) / 2)
    by = (turn[:, ::-1] * np.maximum(values[::-1], 0))[:, :dim].astype(np.float32)
    evidence = (graph.degrees / (graph.degrees + USUAL_EVIDENCE)).astype(np.float32)[:, None]
    out = blank((count, dim))
    for part in blocks:
        out[part] = normalised(scaled[part] * roots[part] @ by) * evidence[part]
    return out
