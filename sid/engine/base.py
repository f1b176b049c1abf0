"""What an engine is.

A pass over the rows is a map over pieces of work, most often parts of the rows (`sid.arrays.parts`), and a sum of what
comes back, in the order of the pieces. Whoever runs it calls the same function on the same pieces, so that the sums
round alike everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs passes."""

    def map(self, work: Callable[[Piece], Result], pieces: Iterable[Piece], piece_bytes: int = 0) -> Iterator[Result]:
        """What `work` makes of each piece, in the order of the pieces. A piece has all of a process's threads.

        Args:
            work: can be pickled. It holds the rows as `Rows`, which travel as the name of a file where they are a whole
                memory map. It changes nothing but what it only needs to be faster, or a place in a file that is this
                piece's alone, and may run again for a piece whose worker was lost.
            pieces: can be pickled: slices of the rows, or a slice and what the work needs to know of those rows. They
                are asked for a few at a time.
            piece_bytes: memory that a piece takes at most, result and `work` included; 0: little.

        Raises:
            InputError: the engine has no machine for it, or `work` raised it.
        """
        ...

    def each(self, work: Callable[[Piece], Result], pieces: Iterable[Piece], piece_bytes: int = 0) -> Iterator[Result]:
        """As `map`, but each piece has one thread, and as many are worked on at once as there are threads."""
        ...
