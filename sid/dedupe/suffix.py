"""Numbers for the items of a group, which `append` and `append_colliding` add as one more level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes
from sid.dedupe.groups import Groups, RowNumbers
from sid.errors import InputError
from sid.ids import sid_text
from sid.measure.metrics import prefix_ids


def number(
    codes: Codes,
    strategy: str,
    max_suffix: int,
    taken: Codes | None = None,
    popularity: NDArray[np.int64] | None = None,
) -> tuple[RowNumbers, RowNumbers]:
    """Number the rows of each group of equal codes 0, 1, 2 ..., by the numbers that nobody holds.

    Args:
        codes: (N, L), N >= 1.
        strategy: the name of the strategy that asks, for the message.
        max_suffix: numbers that a group may need at most, as many as the new level may have codes.
        taken: (t, L or L + 1) codes that others hold, with their numbers in the last column, if it is there and isn't
            -1. A group continues with the next number, or fills what was left free among those held.
        popularity: (N,) by which a group is numbered, the highest first; None: in the order of rows.

    Returns:
        (N,) the number of each row within its group, and (N,) how many items its group has, those of `taken` too.

    Raises:
        InputError: a group needs more than `max_suffix` numbers.
    """
    levels, held = codes.shape[1], 0 if taken is None else len(taken)
    keys = prefix_ids(codes if taken is None else np.concatenate([taken[:, :levels], codes]))[-1]
    theirs, ours = keys[:held], keys[held:]
    order = np.arange(len(codes)) if popularity is None else np.argsort(-popularity, kind="stable")
    places = np.empty(len(codes), np.int64)
    places[order] = Groups.of(ours[order]).places()
    groups = int(keys.max()) + 1
    numbered, following = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    has = np.zeros(held, bool)
    if taken is not None and taken.shape[1] > levels:
        has = taken[:, levels] >= 0
        numbered = np.bincount(theirs[has], minlength=groups)
        np.maximum.at(following, theirs[has], taken[has, levels] + 1)
    wanted = numbered + np.bincount(ours, minlength=groups)
    if (largest := int(wanted.max())) > max_suffix:
        row = int((ours == wanted.argmax()).argmax())
        raise InputError(
            f"dedupe.strategy {strategy}: the largest group of equal codes has {largest} items and needs a suffix "
            f"level of {largest} codes, dedupe.max_suffix is {max_suffix}; it is {sid_text(codes[row].tolist())}: "
            "raise dedupe.max_suffix, or use more or larger levels"
        )
    numbers = following[ours] + places
    if taken is not None and len(rows := np.flatnonzero((following > numbered)[ours])):
        _fill(numbers, rows, ours, places, theirs[has], taken[has, levels])
    return numbers, np.bincount(keys, minlength=groups)[ours]


def _fill(
    numbers: RowNumbers,
    rows: RowNumbers,
    ours: RowNumbers,
    places: RowNumbers,
    theirs: RowNumbers,
    held: NDArray[np.int32],
) -> None:
    """Number rows whose groups have numbers free among those held, the lowest free ones first.

    Args:
        rows: those rows.
        ours, theirs: the group of each row, and of each of the numbers `held`.
        places: of each row within its group.
    """
    by_group = Groups.of(theirs)
    names = theirs[by_group.rows[by_group.starts[:-1]]].tolist()
    number_of = {name: place for place, name in enumerate(names)}
    for inside in Groups.of(ours[rows]).larger_than(0):
        some = rows[inside]
        taken = held[by_group[number_of[int(ours[some[0]])]]]
        free = np.setdiff1d(np.arange(len(taken) + len(some)), taken)
        numbers[some] = free[places[some]]
