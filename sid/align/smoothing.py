"""Each item's vector moves towards those of the items that it is used with, as far as there is evidence.

An item with the direction u and neighbours of total weight n, whose mean direction is b, gets

    (1 - a) u + a b,   a = alpha n / (n + evidence),

which is the posterior mean of what an item is used with when its text is the prior, worth `evidence` neighbours: an
item that was used a hundred times is told by its neighbours, one that was used once by its text. How much that is worth
differs from catalogue to catalogue. `auto` asks the train split: of some users the last step is kept aside, and the
evidence is taken under which the item of that step is found best among the neighbours of the one before it. Where the
graph predicts nothing, the answer is 'infinite', and no vector moves.

Before that, directions in which items that are used together differ are weighted down (sid.align.within).

Items without neighbours move as predicted from their text: by a linear map from a direction to where similar items
moved, a ridge regression whose penalty is chosen on a fifth of the items with neighbours. New items need nothing else.

Smoothing over a graph of co-occurrence: Faruqui et al., Retrofitting Word Vectors to Semantic Lexicons (NAACL 2015);
weights by evidence: Efron and Morris, Stein's estimation rule and its competitors (JASA 1973).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sid.align.base import UNCHANGED, USUAL_EVIDENCE, Aligned, Aligner, Inputs, Make
from sid.align.directions import normalised
from sid.align.graph import Graph, HeldOut
from sid.align.ridge import Ridge
from sid.align.within import whitened, whitening
from sid.arrays import Vectors, chunks
from sid.files import round6
from sid.params import Smooth

GRID = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, np.inf)
"""What `evidence: auto` chooses from; np.inf leaves every vector where it is."""

FEW_HELD_OUT = 50
"""With fewer held-out steps, `auto` can't tell and takes USUAL_EVIDENCE."""

_CANDIDATES = 1 << 14  # items among which a held-out one is to be found
_BLOCK_BYTES = 256 << 20

Doubles = NDArray[np.float64]


def smoothed(inputs: Inputs, config: Smooth, make: Make) -> Aligned:
    """Write the smoothed vectors; nothing where the graph has no edge, or predicts nothing.

    Args:
        inputs: vectors and train split; `config` is not looked at.
        config: how far they move.
        make: called once with D.
    """
    graph = inputs.graph
    if graph.pairs == 0:
        return UNCHANGED
    found = inputs.directions
    weights = neighbour_weights(graph, config.popularity)
    by = whitening(graph, found.units, config.whiten)
    own = whitened(found.units, by, inputs.blank)
    evidence, tried = _evidence(inputs, config, own)
    if not np.isfinite(evidence):
        said = "the interactions predict no step of the train split better than the text, so no vector was moved"
        return Aligned(UNCHANGED.aligner, {"evidence": None, "evidence_tried": tried}, (said,))
    shares = _shares(graph.degrees, config.alpha, evidence)
    ridge = Ridge(own.shape[1])
    out = make(own.shape[1])
    around = own
    for hop in range(config.hops):
        last = hop + 1 == config.hops
        moved = out if last else inputs.blank(own.shape)
        for part in tqdm(_blocks(graph, own), "smooth", unit="block", disable=None):
            units, share = own[part], shares[part, None]
            near = _moved(units, graph.means(part, around, weights), share)
            if last:
                warm = np.flatnonzero(shares[part] > 0)
                ridge.add(units[warm], (near - units)[warm], warm + part.start)
                moved[part] = found.placed(near, part)
            else:
                moved[part] = near
        around = moved
    shift, explained = ridge.fit()
    aligner = Aligner("smooth", {"centre": found.centre, "shift": shift} | ({} if by is None else {"whiten": by}))
    cold = np.flatnonzero(graph.degrees == 0)
    for part in chunks(len(cold), 24 * out.shape[1]):
        rows = cold[part]
        out[rows] = aligner.apply(inputs.vectors[rows])
    figures = {
        "evidence": round6(evidence),
        "evidence_tried": tried,
        "share_mean": round6(float(shares[graph.degrees > 0].mean())),
        "cold_explained": round6(explained),
    }
    return Aligned(aligner, figures)


def neighbour_weights(graph: Graph, popularity: float) -> NDArray[np.float32] | None:
    """(N,) by how much each item counts as a neighbour: its degree to the power of -popularity; None for 0."""
    if popularity == 0:
        return None
    return np.asarray(np.maximum(graph.degrees, 1.0) ** -popularity, np.float32)


def _evidence(inputs: Inputs, config: Smooth, units: Vectors) -> tuple[float, list[dict[str, Any]]]:
    """The evidence that params.yaml gives, or the one that finds most held-out steps; what each of GRID finds."""
    if config.evidence != "auto":
        return float(config.evidence), []
    held = HeldOut.of(inputs.split, inputs.seed)
    if len(held.places) < FEW_HELD_OUT:
        return USUAL_EVIDENCE, []
    graph = inputs.graph_without(held.places)
    trial = Trial.of(graph, held, units, neighbour_weights(graph, config.popularity), inputs.seed)
    ranks = {value: trial.ranks(config.alpha, value) for value in GRID}
    reached = {value: 1 / (1 + found_at) for value, found_at in ranks.items()}
    best = max(GRID, key=lambda value: (reached[value].mean(), value))
    gain = reached[best] - reached[np.inf]
    if gain.mean() <= gain.std() / np.sqrt(len(gain)):  # no more than chance
        best = np.inf
    tried = [
        {
            "evidence": value if np.isfinite(value) else None,
            "mrr": round6(float(reached[value].mean())),
            "hit_rate_at_10": round6(float((ranks[value] < 10).mean())),
        }
        for value in GRID
    ]
    return float(best), tried


@dataclass(frozen=True)
class Trial:
    """Held-out steps, and what is needed to smooth the few items that they are tried on.

    Attributes:
        units, means: (M, D) of the items concerned: directions, and the means of their neighbours'.
        degrees: (M,).
        queries, targets: (Q,) places in these arrays.
        candidates: (C,) likewise: the items among which each target is to be found.
    """

    units: Vectors
    means: Vectors
    degrees: Doubles
    queries: NDArray[np.int64]
    targets: NDArray[np.int64]
    candidates: NDArray[np.int64]

    @classmethod
    def of(cls, graph: Graph, held: HeldOut, units: Vectors, weights: NDArray[np.float32] | None, seed: int) -> Trial:
        """Prepare a trial over the graph that is left without the held-out steps; (N, D) directions of all items."""
        count = len(units)
        drawn = np.arange(count)
        if count > _CANDIDATES:
            drawn = np.random.default_rng(seed).choice(count, _CANDIDATES, replace=False)
        rows = np.unique(np.concatenate([held.queries, held.targets, drawn]))
        means = np.empty((len(rows), units.shape[1]), np.float32)
        for part in chunks(len(rows), 64 * units.shape[1]):
            means[part] = graph.means(rows[part], units, weights)
        queries, targets, candidates = (np.searchsorted(rows, which) for which in (held.queries, held.targets, drawn))
        return cls(units[rows], means, graph.degrees[rows], queries, targets, candidates)

    def ranks(self, alpha: float, evidence: float) -> NDArray[np.int64]:
        """(Q,) how many candidates are nearer to the query than the target is, smoothed with this evidence."""
        moved = _moved(self.units, self.means, _shares(self.degrees, alpha, evidence)[:, None])
        found = np.empty(len(self.queries), np.int64)
        for part in chunks(len(found), 8 * len(self.candidates)):
            query, target = self.queries[part], self.targets[part]
            near = moved[query] @ moved[self.candidates].T
            own = np.einsum("ij,ij->i", moved[query], moved[target])[:, None]
            ahead = (near > own) & (self.candidates != query[:, None]) & (self.candidates != target[:, None])
            found[part] = ahead.sum(axis=1)
        return found


def _shares(degrees: Doubles, alpha: float, evidence: float) -> Doubles:
    """(n,) how much the neighbours' mean weighs; 0 without neighbours."""
    return np.asarray(alpha * degrees / np.where(degrees > 0, degrees + evidence, 1))


def _moved(units: Vectors, means: Vectors, shares: Doubles) -> Vectors:
    """(n, D) directions of length 1, moved towards the means (n, D) by their shares (n, 1)."""
    return normalised(units + (means - units) * shares.astype(np.float32))


def _blocks(graph: Graph, units: Vectors) -> list[slice]:
    return list(chunks(len(graph.degrees), 40 * units.shape[1], _BLOCK_BYTES))
