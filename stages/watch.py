"""What a stage looks at while it runs: whether what it depends on is as it was, and whether DVC is still there."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from sid.errors import InputError

STAY = "SID_OUTLIVE_DVC"
"""The environment variable that, set to anything, lets a stage run on when the DVC that started it is gone."""

_LOOK = 5.0  # seconds between two looks at what the stage depends on; a change counts when both see it
_TELL = signal.SIGUSR1


def under_dvc() -> bool:
    """Whether DVC started this process: it names the stage in the environment of its command."""
    return "DVC_STAGE" in os.environ


class Watch:
    """A thread beside the body of a stage. Use as a context manager, on the main thread.

    A change of what the stage depends on raises InputError in the body, hours before the comparison at its end
    would. A body that is deep in native code gets it when it next runs Python.

    Args:
        changes: says what isn't as it was, a line each; InputError while it can't tell.
    """

    def __init__(self, changes: Callable[[], list[str]]) -> None:
        self._changes = changes
        self._found: list[str] = []
        self._ended = threading.Event()
        self._parent = os.getppid() if under_dvc() and STAY not in os.environ else None

    def __enter__(self) -> Watch:
        """Begin."""
        self._handler = signal.signal(_TELL, self._raise)
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """End; nothing is raised from here on."""
        self._ended.set()

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if not self._ended.is_set():
            raise InputError(f"{problem}; the run was stopped, nothing was written" for problem in self._found)

    def _run(self) -> None:
        seen: list[str] = []
        looked = time.monotonic()
        while not self._ended.wait(1.0):
            if self._parent is not None and os.getppid() != self._parent:
                _end()
            if time.monotonic() - looked < _LOOK:
                continue
            try:
                found = self._changes()
            except (InputError, OSError):  # an editor is writing it
                found = []
            if found and found == seen:
                self._found = found
                os.kill(os.getpid(), _TELL)
                return
            seen, looked = found, time.monotonic()


def _end() -> None:
    """A killed DVC leaves its stage running: end it, first as if it had been told to."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)  # the main thread cleans up, unless it is stuck in native code
    os._exit(143)
