"""The table of engines, and the one that params.yaml names. A new one is a module with a class, and a line here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.params import Engine as Wanted


@contextmanager
def opened(wanted: Wanted) -> Iterator[Engine]:
    """The engine of the section `engine`, for as long as the context lasts.

    Raises:
        MissingExtra: it needs a package that isn't installed.
        InputError: there is no cluster at the address.
    """
    if wanted.name == "local":
        yield LOCAL
        return
    from sid.engine.ray import Ray

    with Ray(wanted.address) as engine:
        yield engine
