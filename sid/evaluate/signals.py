"""What an index promises before any training: how often the next item shares first codes with the items before it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes
from sid.evaluate.histories import Questions
from sid.files import round6
from sid.measure.metrics import prefix_ids

_LEVELS = 2


def signals(codes: Codes, asked: Questions) -> dict[str, Any]:
    """How often the target shares its first code, or first two, with the last item or with any of the history.

    Where the target itself is in the history, it is left out there: every index sees that it is the same.

    Args:
        codes: (N, L) of every item.
        asked: histories and targets, one or more.

    Returns:
        For `level_1` and `level_2` (where L is 2 or more): `last` and `any`, shares of the questions; `last_random` and
        `any_random`, what they are for targets drawn from all questions' targets whatever the history; and
        `items_with_neighbour`, the share of the N items that share this many codes with another item.
    """
    offsets = asked.histories.offsets
    lengths = asked.histories.lengths
    owner = np.repeat(np.arange(len(asked)), lengths)
    other = asked.histories.items != asked.targets[owner]
    last = np.full(len(asked), -1)
    places = np.flatnonzero(other)
    last[owner[places]] = places  # the latest of each question is written last
    compared = last >= 0
    found: dict[str, Any] = {"questions": int(compared.sum())}
    for level, prefixes in enumerate(prefix_ids(codes[:, :_LEVELS])):
        targets = prefixes[asked.targets]
        history = prefixes[asked.histories.items]
        shared = (history == targets[owner]) & other
        any_shared = np.zeros(len(asked), bool)
        any_shared[owner[shared]] = True
        chances = np.bincount(targets, minlength=int(prefixes.max()) + 1) / len(asked)
        sizes = np.bincount(prefixes)
        found[f"level_{level + 1}"] = {
            "last": _share(targets[compared] == history[last[compared]]),
            "last_random": _share(chances[history[last[compared]]]),
            "any": _share(any_shared[compared]),
            "any_random": _share(_masses(history, owner, chances, len(offsets) - 1)[compared]),
            "items_with_neighbour": _share(sizes[prefixes] > 1),
        }
    return found


def _masses(
    history: NDArray[np.int64], owner: NDArray[np.int64], chances: NDArray[np.float64], questions: int
) -> NDArray[np.float64]:
    """(R,) the chance that a target drawn at random has one of the history's prefixes."""
    pairs = np.unique(owner * len(chances) + history)
    masses = np.zeros(questions)
    np.add.at(masses, pairs // len(chances), chances[pairs % len(chances)])
    return masses


def _share(values: NDArray[np.bool_] | NDArray[np.float64]) -> float | None:
    return round6(float(values.mean())) if len(values) else None
