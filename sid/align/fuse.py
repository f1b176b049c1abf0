"""Behaviour vectors appended to those of the text, smoothed or not, scaled to a given share of the variance.

The vectors come from a user's own model, or from the graph of the train split: the singular vectors of its weights,
each divided by the square roots of both degrees (as in spectral clustering: Ng et al., NeurIPS 2001), scaled by the
square roots of the singular values, each item's brought to length 1 and weighed by its evidence n / (n + 8). Items
without such a vector get the one that their text predicts, by ridge regression.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import lobpcg

from sid.align.base import UNCHANGED, USUAL_EVIDENCE, Aligned, Aligner, Inputs, Make
from sid.align.directions import Directions, centre_of, normalised
from sid.align.graph import Graph
from sid.align.ridge import Ridge
from sid.align.smoothing import smoothed
from sid.arrays import Vectors, chunks
from sid.files import round6
from sid.params import Fuse, Smooth

Rows = NDArray[np.int64]

_TOLERANCE, _MAX_STEPS = 1e-6, 20  # of the singular vectors: a block method, since groups of items apart share values


def align(inputs: Inputs, make: Make) -> Aligned:
    """Write text and behaviour side by side; nothing where there is neither a file of behaviour nor an edge.

    Args:
        inputs: `config` is the section `align.fuse`.
        make: called once with D + B; B is below the number of items with neighbours, and at most `dim`.
    """
    config = inputs.config
    assert isinstance(config, Fuse)
    warnings: tuple[str, ...] = ()
    found = inputs.directions
    if inputs.behaviour is not None:
        known = inputs.behaviour.rows
        behaviour = Directions.of(inputs.behaviour.vectors, centre_of(inputs.behaviour.vectors)).units
    else:
        graph = inputs.graph
        if graph.pairs == 0:
            return UNCHANGED
        known = np.flatnonzero(graph.degrees > 0)
        behaviour = factors(graph, known, config.dim, inputs.seed)
    missing = len(found.units) - len(known)
    if inputs.behaviour is not None and missing:
        warnings = (f"{missing:,} items have no vector in align.behaviour and get one predicted from their text",)
    ridge = Ridge(found.units.shape[1], behaviour.shape[1])
    for part in chunks(len(known), 16 * found.units.shape[1]):
        ridge.add(found.units[known[part]], behaviour[part], known[part])
    beside, explained = ridge.fit()
    scales = _scales(found, behaviour, config.share)
    texts, moved = inputs.vectors, UNCHANGED
    if config.alpha or config.whiten:

        def keep(dim: int) -> Vectors:
            nonlocal texts
            texts = inputs.blank((len(inputs.vectors), dim))
            return texts

        moved = smoothed(inputs, _smoothing(config), keep)
    arrays = {"centre": found.centre, **moved.aligner.arrays, "beside": beside, "scales": scales}
    dim = found.units.shape[1]
    out = make(dim + behaviour.shape[1])
    for part in chunks(len(out), 24 * out.shape[1]):
        out[part, :dim] = (texts[part] - found.centre) * scales[0]
        out[part, dim:] = found.units[part] @ beside * scales[1]
    for part in chunks(len(known), 8 * out.shape[1]):
        out[known[part], dim:] = behaviour[part] * scales[1]
    figures = {
        **moved.figures,
        "behaviour_dim": int(behaviour.shape[1]),
        "behaviour_items": len(known),
        "behaviour_explained": round6(explained),
    }
    return Aligned(Aligner("fuse", arrays), figures, (*warnings, *moved.warnings))


def _smoothing(config: Fuse) -> Smooth:
    return Smooth(alpha=config.alpha, evidence=0.0, hops=1, popularity=0.0, whiten=config.whiten)


def factors(graph: Graph, known: Rows, dim: int, seed: int) -> Vectors:
    """(n, dim) float32, what the graph says of the n items that have neighbours; fewer than n columns."""
    dim = min(dim, len(known) - 1)
    scale = 1 / np.sqrt(graph.degrees[known])[:, None]
    after, before = (half[known][:, known] for half in (graph.after, graph.before))

    def product(values: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled = scale * values
        return np.asarray(scale * (after @ scaled + before @ scaled))

    start = np.random.default_rng(seed).standard_normal((len(known), dim))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a last digit less doesn't matter here
        squares, left = lobpcg(lambda some: product(product(some)), start, tol=_TOLERANCE, maxiter=_MAX_STEPS)
    left = left * np.sign(left[np.abs(left).argmax(axis=0), np.arange(dim)])  # else the sign is any
    values = np.sqrt(np.maximum(squares, 0))
    units = normalised((left * np.sqrt(values)).astype(np.float32))
    evidence = graph.degrees[known] / (graph.degrees[known] + USUAL_EVIDENCE)
    return np.asarray(units * evidence[:, None], np.float32)


def _scales(found: Directions, behaviour: Vectors, share: float) -> NDArray[np.float32]:
    """(2,) what text and behaviour are multiplied by, so that `share` of the variance comes from the second."""
    lengths = found.lengths.astype(np.float64)
    text = float(np.median(lengths)) ** 2  # the median is no outlier's; where most items have one vector, it is 0
    text = text or float((lengths**2).mean()) or 1.0
    other = float(behaviour.var(axis=0, dtype=np.float64).sum())
    return np.array([(1 - share) ** 0.5, (share * text / other) ** 0.5 if other > 0 else 0.0], np.float32)
