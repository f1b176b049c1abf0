"""What an engine is.

A pass over the rows is a map over parts of them (`sid.arrays.parts`) and a sum of what comes back, in the order of the
parts. Whoever runs it calls the same function on the same parts, so that the sums round alike everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Engine(Protocol):
    """Runs passes."""

    def map(self, work: Callable[[slice], Result], parts: Sequence[slice], part_bytes: int = 0) -> Iterator[Result]:
        """What `work` makes of each part, in the order of the parts.

        Args:
            work: can be pickled. It holds the rows as `Rows`, which travel as the name of a file where they are a whole
                memory map, and changes nothing but what it only needs to be faster.
            parts: slices of the rows.
            part_bytes: memory that a part takes at most, result and `work` included; 0: little.

        Raises:
            InputError: the engine has no machine for it, or `work` raised it.
        """
        ...
