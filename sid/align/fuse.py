"""Behaviour vectors appended to those of the text, smoothed or not, scaled to a given share of the variance.

The vectors come from a user's own model, or from the graph of the train split (sid.align.factors). Items without such a
vector get the one that their text predicts, by ridge regression.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sid.align.base import UNCHANGED, Aligned, Aligner, Inputs, Make
from sid.align.directions import Directions, centre_of
from sid.align.factors import factors
from sid.align.ridge import Ridge
from sid.align.smoothing import smoothed
from sid.arrays import Vectors, chunks
from sid.files import round6
from sid.params import Fuse, Smooth

Rows = NDArray[np.int64]

_EQUAL = 1e-9  # a variance of this share of the mean square is rounding: all items have one vector of behaviour


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
        known, places = inputs.behaviour.rows, np.arange(len(inputs.behaviour.rows))
        behaviour = Directions.of(inputs.behaviour.vectors, centre_of(inputs.behaviour.vectors)).units
    else:
        graph = inputs.graph
        if graph.pairs == 0:
            return UNCHANGED
        known = places = np.flatnonzero(graph.degrees > 0)
        behaviour = factors(graph, config.dim, inputs.seed, inputs.blank)
    missing = len(found.units) - len(known)
    if inputs.behaviour is not None and missing:
        warnings = (f"{missing:,} items have no vector in align.behaviour and get one predicted from their text",)
    ridge = Ridge(found.units.shape[1], behaviour.shape[1])
    for part in chunks(len(known), 16 * found.units.shape[1]):
        ridge.add(found.units[known[part]], behaviour[places[part]], known[part])
    beside, explained = ridge.fit()
    scales = _scales(found, behaviour, places, config.share)
    texts, moved = inputs.vectors, UNCHANGED
    if config.alpha or config.whiten:

        def keep(dim: int) -> Vectors:
            nonlocal texts
            texts = inputs.blank((len(inputs.vectors), dim))
            return texts

        moved = smoothed(inputs, _smoothing(config), keep)
    if config.share and not scales[1]:
        warnings = (*warnings, "all items that have behaviour have the same, so that it adds nothing to the text")
    arrays = {"centre": found.centre, **moved.aligner.arrays, "beside": beside, "scales": scales}
    dim = found.units.shape[1]
    out = make(dim + behaviour.shape[1])
    for part in chunks(len(out), 24 * out.shape[1]):
        out[part, :dim] = (texts[part] - found.centre) * scales[0]
        out[part, dim:] = found.units[part] @ beside * scales[1]
    for part in chunks(len(known), 8 * out.shape[1]):
        out[known[part], dim:] = behaviour[places[part]] * scales[1]
    figures = {
        **moved.figures,
        "behaviour_dim": int(behaviour.shape[1]),
        "behaviour_items": len(known),
        "behaviour_explained": round6(explained),
    }
    return Aligned(Aligner("fuse", arrays), figures, (*warnings, *moved.warnings))


def _smoothing(config: Fuse) -> Smooth:
    return Smooth(alpha=config.alpha, evidence=0.0, hops=1, popularity=0.0, whiten=config.whiten)


def _scales(found: Directions, behaviour: Vectors, places: Rows, share: float) -> NDArray[np.float32]:
    """(2,) what text and behaviour are multiplied by, so that `share` of the variance comes from the second."""
    lengths = found.lengths.astype(np.float64)
    text = float(np.median(lengths)) ** 2  # the median is no outlier's; where most items have one vector, it is 0
    text = text or float((lengths**2).mean()) or 1.0
    total, square = np.zeros(behaviour.shape[1]), 0.0
    for part in chunks(len(places), 8 * behaviour.shape[1]):
        rows = behaviour[places[part]].astype(np.float64)
        total += rows.sum(axis=0)
        square += float((rows**2).sum())
    other = square / len(places) - float(((total / len(places)) ** 2).sum())
    varied = other > _EQUAL * square / len(places)
    return np.array([(1 - share) ** 0.5, (share * text / other) ** 0.5 if varied else 0.0], np.float32)
