"""Which items people used close to each other, from the train split alone: a weighted, undirected graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sid.arrays import Vectors
from sid.interactions.split_files import Split

_PLACES = 1 << 22  # of a split that are looked at together
_MOST_HELD_OUT = 4096
_LEAST_STRETCH = 3  # items of a user from whom the last one is held out

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Graph:
    """How often and how closely two items were used together.

    Attributes:
        after: (N, N) float32 in CSR: for the pairs i, j of items in the order in which they were used, the sum of their
            weights. No item is its own neighbour.
        before: its transpose, in CSR too. The graph is their sum, which is never made: it would take as much again.
        degrees: (N,) float64, the sum of weights at each item; 0 for an item without neighbours.
    """

    after: sparse.csr_array
    before: sparse.csr_array
    degrees: NDArray[np.float64]

    @classmethod
    def of(cls, split: Split, items: int, window: int, decay: float, without: Places | None = None) -> Graph:
        """Count pairs of different items of one user.

        Lines of .inter files repeat what came before: pairs that end in a line's target are counted, and of a user's
        first line all. Of a table, all pairs of a user count.

        Args:
            split: train.
            items: N.
            window: how many steps apart the items of a pair may be, 1 or more.
            decay: a pair d steps apart weighs decay ** (d - 1), above 0, at most 1.
            without: places in `split.items` whose pairs with what came before are left out.
        """
        first = np.zeros(len(split.users), bool)
        first[np.unique(split.users, return_index=True)[1]] = True
        left_out = np.zeros(len(split.items), bool)
        if without is not None:
            left_out[without] = True
        sources, targets, distances = [], [], []
        start = 0
        while start < len(split.users):
            most = int(np.searchsorted(split.offsets, split.offsets[start] + _PLACES, "right")) - 1
            stop = max(most, start + 1)
            begin, end = int(split.offsets[start]), int(split.offsets[stop])
            lengths = np.diff(split.offsets[start : stop + 1])
            found = split.items[begin:end]
            places = np.arange(end - begin) - np.repeat(split.offsets[start:stop] - begin, lengths)  # in their stretch
            is_target = places >= np.repeat(split.first_targets[start:stop], lengths)
            counted = np.repeat(first[start:stop], lengths) | is_target
            counted &= ~left_out[begin:end]
            for distance in range(1, window + 1):
                later = np.flatnonzero(counted & (places >= distance))
                later = later[found[later] != found[later - distance]]
                sources.append(found[later - distance])
                targets.append(found[later])
                distances.append(np.full(len(later), distance, np.uint8))
            start = stop
        weights = np.float32(decay) ** np.arange(window + 1, dtype=np.float32)
        rows, columns = (np.concatenate([np.zeros(0, np.int32), *parts]) for parts in (sources, targets))
        values = weights[np.concatenate([np.zeros(0, np.uint8), *distances]) - 1]
        del sources, targets, distances
        after = sparse.coo_array((values, (rows, columns)), shape=(items, items)).tocsr()
        del rows, columns, values
        before = after.T.tocsr()
        degrees = after.sum(axis=1, dtype=np.float64) + before.sum(axis=1, dtype=np.float64)
        return cls(after, before, np.asarray(degrees).ravel())

    @property
    def pairs(self) -> int:
        """Different ordered pairs of items that were used together."""
        return int(self.after.nnz)

    def rows(self, rows: slice | NDArray[np.int64]) -> sparse.csr_array:
        """(n, N) the weights of the neighbours of some items."""
        found: sparse.csr_array = (self.after[rows] + self.before[rows]).tocsr()
        return found

    def products(self, rows: slice, vectors: Vectors) -> Vectors:
        """(n, D) float32: the sum of the vectors (N, D) of some items' neighbours, times the weights of the pairs."""
        return np.asarray(self.after[rows] @ vectors + self.before[rows] @ vectors, np.float32)

    def means(self, rows: slice | NDArray[np.int64], vectors: Vectors, weights: NDArray[np.float32] | None) -> Vectors:
        """(n, D) the weighted mean of the vectors (N, D) of some items' neighbours; zeros where there are none.

        Args:
            weights: (N,) above 0, by which each item counts as a neighbour beside the weight of the pair; None: all 1.
        """
        total = np.zeros((len(self.degrees[rows]), vectors.shape[1]), np.float32)
        mass = np.zeros(len(total))
        for half in (self.after[rows], self.before[rows]):
            if weights is not None:
                scaled = half.data * weights[half.indices]
                half = sparse.csr_array((scaled, half.indices, half.indptr), shape=half.shape)
            total += half @ vectors
            mass += half.sum(axis=1, dtype=np.float64)
        return np.asarray(total / np.where(mass > 0, mass, 1)[:, None], np.float32)


@dataclass(frozen=True)
class HeldOut:
    """Steps of the train split that are kept aside, to see what would have foretold them.

    Attributes:
        places: (Q,) in `split.items`, of the last item of each of some users.
        queries: (Q,) the items before them.
        targets: (Q,) the items at these places, never the query.
    """

    places: Places
    queries: NDArray[np.int64]
    targets: NDArray[np.int64]

    @classmethod
    def of(cls, split: Split, seed: int) -> HeldOut:
        """The last step of up to 4,096 users with three items or more, drawn at random, within the train split."""
        last = np.full(int(split.users.max(initial=-1)) + 1, -1, np.int64)
        last[split.users] = np.arange(len(split.users))  # the last of a user's stretches is the one that stays
        stretches = last[last >= 0]
        stretches = stretches[np.diff(split.offsets)[stretches] >= _LEAST_STRETCH]
        places = split.offsets[stretches + 1] - 1
        places = places[split.items[places] != split.items[places - 1]]
        if len(places) > _MOST_HELD_OUT:
            places = np.sort(np.random.default_rng(seed).choice(places, _MOST_HELD_OUT, replace=False))
        return cls(places, split.items[places - 1].astype(np.int64), split.items[places].astype(np.int64))
