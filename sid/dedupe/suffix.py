"""Numbers for the items of a group, which `append` and `append_colliding` add as one more level."""

from __future__ import annotations

from sid.arrays import Codes
from sid.dedupe.groups import Groups, RowNumbers
from sid.errors import InputError


def number(codes: Codes, strategy: str, max_suffix: int) -> tuple[RowNumbers, RowNumbers]:
    """Number the rows of each group of equal codes 0, 1, 2 ... in the order of rows.

    Args:
        codes: (N, L), N >= 1.
        strategy: the name of the strategy that asks, for the message.
        max_suffix: items that a group may have at most, as many as the new level may have codes.

    Returns:
        (N,) the number of each row within its group, and (N,) how many rows its group has.

    Raises:
        InputError: a group has more than `max_suffix` items.
    """
    groups = Groups.of_equal(codes)
    largest = int(groups.sizes.max())
    if largest > max_suffix:
        raise InputError(
            f"dedupe.strategy {strategy}: the largest group of equal codes has {largest} items and needs a suffix "
            f"level of {largest} codes, dedupe.max_suffix is {max_suffix}"
        )
    return groups.places(), groups.per_row(groups.sizes)
