"""The pipeline's stages: each reads, makes one call into `sid`, and writes. Run as `python -m stages.<name>`."""

import os
import sys
from pathlib import Path
from types import TracebackType

from sid.errors import MissingExtra

# Threads of torch that wait for one another spin on a core each, for so long that a training takes ten times as long
# where other work wants the cores. Told before torch is loaded, they soon sleep: 5 to 10 % slower on idle cores.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")


def _told_in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A missing extra is a user's mistake too, but it fails the imports of a stage, before `run` could catch it."""
    if isinstance(error, MissingExtra):
        print(f"{Path(sys.argv[0]).stem}: error: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _told_in_one_line
