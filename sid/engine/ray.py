"""Ray runs the passes: each piece is a task, on any machine of the cluster with room for it.

Tasks read their rows from the files themselves, which all machines must reach by the same path, and run in the folder
that this process runs in, so that relative paths mean the same. A task of `map` uses as many threads as this process
would (OMP_NUM_THREADS), since sums are split among threads and round accordingly. What a killed worker or a lost
machine had is computed again by another.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sid.engine.base import Piece, Result
from sid.errors import InputError, require

_RETRIES = 8  # of a piece whose worker or machine was lost
_AHEAD = 2  # pieces for each that can run at once: results are waited for in order, and none may pile up
_PATIENCE = 20.0  # seconds until a cluster answers
_STORE_BYTES = 256 << 20  # of the object store of a cluster of this process's own

Value = TypeVar("Value")


class Ray:
    """As `Engine`; use as a context manager.

    Args:
        address: of a running cluster, `auto` for the one that this machine belongs to; None starts one on this machine
            and ends it with the context.

    Raises:
        MissingExtra: Ray isn't installed.
        InputError: there is no cluster at the address.
    """

    def __init__(self, address: str | None = None) -> None:
        require("ray", "ray")
        self._address = address

    def __enter__(self) -> Ray:
        """Connect."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is told to anybody
        os.environ.setdefault("RAY_worker_niceness", "0")  # workers of a cluster of its own are as patient as it is
        import ray
        import torch

        own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
        if self._address is not None:
            # machines of a cluster may not have this project, and all must run the same code
            own = {"address": self._address, "runtime_env": {"py_modules": [str(Path(__file__).parents[1])]}}
        try:
            _knock(self._address)
            ray.init(log_to_driver=False, logging_level="error", ignore_reinit_error=True, **own)
        except (OSError, ValueError, RuntimeError) as error:
            reason = next(iter(str(error).splitlines()), "")
            raise InputError(
                f"params.yaml: engine.address is {self._address!r}: no Ray cluster could be reached there ({reason})"
            ) from None
        self._ray, self._threads = ray, torch.get_num_threads()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect, and end the cluster if it is this process's own."""
        self._ray.shutdown()

    def map(self, work: Callable[[Piece], Result], pieces: Iterable[Piece], piece_bytes: int = 0) -> Iterator[Result]:
        """As in `Engine`."""
        return self._tasks(work, pieces, piece_bytes, self._threads)

    def each(self, work: Callable[[Piece], Result], pieces: Iterable[Piece], piece_bytes: int = 0) -> Iterator[Result]:
        """As in `Engine`."""
        return self._tasks(work, pieces, piece_bytes, 1)

    def _tasks(
        self, work: Callable[[Piece], Result], pieces: Iterable[Piece], piece_bytes: int, threads: int
    ) -> Iterator[Result]:
        ray = self._ray
        cpus, running = self._room(piece_bytes, threads)
        task = ray.remote(_run).options(num_cpus=cpus, memory=piece_bytes or None, max_retries=_RETRIES)
        held, folder = ray.put(work), str(Path.cwd())
        todo = iter(pieces)
        waiting = deque(task.remote(held, piece, threads, folder) for piece in islice(todo, _AHEAD * running))
        try:
            while waiting:
                found: Result = self._got(waiting[0], piece_bytes)
                waiting.popleft()
                waiting.extend(task.remote(held, piece, threads, folder) for piece in islice(todo, 1))
                yield found
        finally:  # the caller stopped, or a piece failed
            for one in waiting:
                ray.cancel(one, force=True)

    def _room(self, piece_bytes: int, threads: int) -> tuple[float, int]:
        """CPUs for each piece, and how many pieces can run at once.

        Raises:
            InputError: no machine has the memory for a piece.
        """
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        large = [node for node in nodes if node.get("CPU") and node.get("memory", 0) >= piece_bytes]
        if not large:
            most = max((node.get("memory", 0) for node in nodes if node.get("CPU")), default=0)
            raise InputError(
                f"engine ray: a part of the rows needs {piece_bytes / 2**20:,.0f} MiB, but no machine of the cluster "
                f"offers more than {most / 2**20:,.0f} MiB to tasks: add one with more memory, or use engine.name local"
            )
        cpus = min(float(threads), max(node["CPU"] for node in large))
        return cpus, max(1, sum(int(node["CPU"] // cpus) for node in large))

    def _got(self, reference: Any, piece_bytes: int) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, InputError | OSError):
                raise cause from None
            if isinstance(cause, errors.RaySystemError):  # what a task is given couldn't be opened where it runs
                reason = str(cause).splitlines()[0].removeprefix("System error: ")
                raise InputError(
                    f"engine ray: a worker can't open its rows ({reason}): all machines must reach the project's files "
                    "by the same path"
                ) from None
            raise
        except errors.OutOfMemoryError:
            raise InputError(
                "engine ray: a machine of the cluster ran out of memory while running a part of "
                f"{piece_bytes / 2**20:,.0f} MiB, "
                f"{_RETRIES} times: give it fewer tasks at once (fewer CPUs), or leave it out of the cluster"
            ) from None
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError) as error:
            reason = next(iter(str(error).splitlines()), "")
            raise InputError(f"engine ray: workers were lost {_RETRIES} times at the same part ({reason})") from None


def _knock(address: str | None) -> None:
    """Raise OSError where nothing listens at host:port; Ray would wait for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def _run(work: Callable[[Piece], Value], piece: Piece, threads: int, folder: str) -> Value:
    try:
        os.chdir(folder)  # paths of params.yaml begin there
    except OSError as error:
        raise InputError(
            f"engine ray: a worker can't enter {folder} ({error.strerror}): all machines must reach the project's "
            "files by the same path"
        ) from None
    import torch

    torch.set_num_threads(threads)
    return work(piece)
