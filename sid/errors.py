"""The one exception that means 'what the user gave is wrong', and how it names offenders."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

_LISTED = 5


class InputError(ValueError):
    """A mistake in params, data or paths, with one line per problem.

    Every problem names the file, key, row or column, what it is and what it must be, so that a stage can
    print the problems as they are and exit with a status that is not 0. Anything else that is raised is a
    defect of the project and keeps its traceback.

    Args:
        problems: one line, or several if several things are wrong.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        lines = [problems] if isinstance(problems, str) else problems
        self.problems: tuple[str, ...] = tuple(" ".join(line.split()) for line in lines)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[str, ...]]]:
        """Other processes hand it on as it is."""
        return type(self), (self.problems,)


def listed(ids: Iterable[Any]) -> str:
    """The first five of some ids, for a message."""
    ids = list(ids)
    return ", ".join(str(item) for item in ids[:_LISTED]) + (", ..." if len(ids) > _LISTED else "")


class MissingExtra(InputError, ImportError):
    """A package isn't installed that comes with an extra of this project."""


def require(extra: str, *modules: str) -> None:
    """Raise MissingExtra unless all these modules, which come with an extra of this project, are installed."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise MissingExtra(f"{', '.join(missing)} is not installed: pip install 'sid[{extra}]'")
