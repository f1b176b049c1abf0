"""Recommenders that know nothing of Semantic IDs, on the same questions: what a good index has to beat."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from sid.arrays import chunks
from sid.evaluate.histories import Questions
from sid.evaluate.ranking import Floats, Ints, Slots, slots_of_scores
from sid.interactions.sequences import Sequences

_WINDOW = 3  # items on that many places apart occur together
_SHRINKAGE = 5.0
_DECAY = 0.7  # of an item's weight, for each later item of the history


def popularity(train: Sequences, items: int) -> Floats:
    """(N,) how often each item is in the sequences."""
    return np.bincount(train.items, minlength=items).astype(np.float64)


def co_occurrence(train: Sequences, items: int) -> sparse.csr_array:
    """(N, N) how similar items are by the sequences that they occur in: cosine of the counts, shrunk.

    Two items of one sequence count 1 / distance where they are at most 3 places apart (Sarwar et al., Item-Based
    Collaborative Filtering, 2001, with a window). Counts are divided by sqrt(n_i n_j) + 5, so that chance meetings
    of rare items don't come first.
    """
    owner = np.repeat(np.arange(len(train)), train.lengths)
    met = sparse.csr_array((items, items))
    for distance in range(1, _WINDOW + 1):
        same = owner[distance:] == owner[:-distance]
        left, right = train.items[:-distance][same], train.items[distance:][same]
        weights = np.full(len(left), 1 / distance)
        pairs = sparse.coo_array((weights, (left, right)), shape=(items, items)).tocsr()
        met = met + pairs + pairs.T
    met.setdiag(0)
    met.eliminate_zeros()
    counts = np.sqrt(popularity(train, items))
    rows = np.repeat(np.arange(items), np.diff(met.indptr))
    met.data /= counts[rows] * counts[met.indices] + _SHRINKAGE
    return met


def rank_by_popularity(train: Sequences, asked: Questions, items: int) -> Slots:
    """Every history gets the same ranking; items that are equally popular share their places."""
    counts = popularity(train, items)
    return _ranked(asked, items, lambda part: np.broadcast_to(counts, (len(part), items)))


def rank_by_co_occurrence(train: Sequences, asked: Questions, items: int) -> Slots:
    """An item's score is the sum of its similarities to the history, later items weighing more; then popularity."""
    similar = co_occurrence(train, items)
    counts = popularity(train, items)
    tie = 1e-9 * counts / max(counts.max(initial=0), 1)
    lengths = asked.histories.lengths
    owner = np.repeat(np.arange(len(asked)), lengths)
    age = np.repeat(asked.histories.offsets[1:], lengths) - 1 - np.arange(len(owner))
    weights = sparse.coo_array((_DECAY**age, (owner, asked.histories.items)), shape=(len(asked), items)).tocsr()
    return _ranked(asked, items, lambda part: (weights[part] @ similar).toarray() + tie)


def _ranked(asked: Questions, items: int, scores: Callable[[Ints], Floats]) -> Slots:
    starts, sizes = np.empty(len(asked), np.int64), np.empty(len(asked), np.int64)
    for part in chunks(len(asked), 32 * items):
        rows = np.arange(part.start, part.stop)
        found = slots_of_scores(scores(rows), asked.targets[part].astype(np.int64))
        starts[part], sizes[part] = found.starts, found.sizes
    return Slots(starts, sizes)
