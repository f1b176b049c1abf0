"""The pipeline's stages: each reads, makes one call into `sid`, and writes. Run as `python -m stages.<name>`."""

import sys
from pathlib import Path
from types import TracebackType

from sid.errors import MissingExtra


def _told_in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A missing extra is a user's mistake too, but it fails the imports of a stage, before `run` could catch it."""
    if isinstance(error, MissingExtra):
        print(f"{Path(sys.argv[0]).stem}: error: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _told_in_one_line
