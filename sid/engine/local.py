"""This process runs the passes, one part after another; the threads within a part are torch's and NumPy's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sid.engine.base import Result


class Local:
    """As `Engine`."""

    def map(self, work: Callable[[slice], Result], parts: Sequence[slice], part_bytes: int = 0) -> Iterator[Result]:
        """As in `Engine`."""
        return map(work, parts)


LOCAL = Local()
