"""Which interactions are trained on and which are held out: by each user's last ones, or by time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TRAIN, VALID, TEST = 0, 1, 2
"""Numbers of the splits, in the order of time."""

Labels = NDArray[np.int8]


def leave_one_out(places: NDArray[np.int64], counts: NDArray[np.int64]) -> Labels:
    """Each user's last interaction is TEST's, the one before VALID's, the others are TRAIN's.

    Args:
        places: (M,) the interaction's place in its user's history, from 0.
        counts: (M,) how many interactions its user has.
    """
    behind = counts - 1 - places
    return np.where(behind == 0, TEST, np.where(behind == 1, VALID, TRAIN)).astype(np.int8)


def temporal(times: NDArray[np.int64] | NDArray[np.float64], ratios: Sequence[float]) -> Labels:
    """Two moments for all users cut the time: TRAIN lies before the first, TEST from the second on.

    The moments are those of the interactions at the shares `ratios` of all, in the order of time. What happened at
    such a moment belongs to the later split, so none of TRAIN is later than, or at the same time as, any of the others.

    Args:
        times: (M,) in any order, M > 0.
        ratios: shares of TRAIN, VALID and TEST, adding up to 1. Many equal times move them.
    """
    ordered = np.sort(times)
    labels = np.zeros(len(times), np.int8)
    share = 0.0
    for ratio in ratios[:-1]:
        share += ratio
        place = int(share * len(ordered) + 1e-6)  # 0.7 + 0.1 is below 0.8
        if place < len(ordered):
            labels += times >= ordered[place]
    return labels
