"""This process runs the passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sid.engine import threads
from sid.engine.base import Piece, Result


class Local:
    """As `Engine`."""

    def map(self, work: Callable[[Piece], Result], pieces: Iterable[Piece], piece_bytes: int = 0) -> Iterator[Result]:
        """As in `Engine`: one piece after another; the threads within a piece are the work's."""
        return map(work, pieces)

    def each(self, work: Callable[[Piece], Result], pieces: Iterable[Piece], piece_bytes: int = 0) -> Iterator[Result]:
        """As in `Engine`."""
        return (found for _, found in threads.ahead(pieces, work))


LOCAL = Local()
