"""Passes over chunks by threads of our own, each of which works through whole chunks alone.

torch's own threads (OpenMP) meet after each operation. Beside other work on the cores the first to arrive spin, and
then all wait until the last has been given a core, thousands of times a pass. Here nothing waits within a chunk, what
isn't torch runs in parallel too, and results don't depend on the number of threads.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # a stage that doesn't need it doesn't wait for it
    import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")

_AHEAD = 4  # pieces for each thread: a caller that has to wait for a core holds none of them up
# by threads, and whether torch was loaded already; kept, since each new thread costs buffers of its own
_POOLS: dict[tuple[int, bool], ThreadPoolExecutor] = {}
_LOCK = threading.Lock()
_STATE = threading.local()

os.register_at_fork(after_in_child=_POOLS.clear)


def in_order(
    pieces: Iterable[Piece], work: Callable[[Piece], Result], device: torch.device
) -> Iterator[tuple[Piece, Result]]:
    """Each piece and what `work` makes of it, in the order of the pieces.

    On a CPU as many threads as torch has are at work, a few pieces ahead of the caller, each with one thread of
    torch's; on an accelerator the caller's.

    Args:
        work: must be safe in several threads at once. What it raises is raised here, for the first such piece.
    """
    return ahead(pieces, work, None if device.type == "cpu" else 1)


def ahead(
    pieces: Iterable[Piece], work: Callable[[Piece], Result], threads: int | None = None
) -> Iterator[tuple[Piece, Result]]:
    """As `in_order`, with so many threads; None: as many as torch has, or would have if it were loaded."""
    threads = threads or _threads()
    if threads == 1:
        for piece in pieces:
            yield piece, work(piece)
        return
    pool = _pool(threads)
    ahead: deque[tuple[Piece, Future[Result]]] = deque()
    try:
        for piece in pieces:
            ahead.append((piece, pool.submit(work, piece)))
            if len(ahead) > _AHEAD * threads:
                first, found = ahead.popleft()
                yield first, found.result()
        while ahead:
            first, found = ahead.popleft()
            yield first, found.result()
    finally:
        for _, found in ahead:
            found.cancel()
        for _, found in ahead:
            if not found.cancelled():
                found.exception()


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """torch works with one thread in here, but for passes `in_order`, which have as many threads as it had before."""
    outermost = getattr(_STATE, "threads", None) is None
    if device.type != "cpu" or not outermost:
        yield
        return
    import torch

    _STATE.threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(_STATE.threads)
        _STATE.threads = None


def _threads() -> int:
    held: int | None = getattr(_STATE, "threads", None)
    if held is not None:
        return held
    if "torch" in sys.modules:
        import torch

        return torch.get_num_threads()
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(wanted)) if wanted.isdecimal() else _cores()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pool(threads: int) -> ThreadPoolExecutor:
    key = (threads, "torch" in sys.modules)
    with _LOCK:
        if key not in _POOLS:
            _POOLS[key] = _started(*key)
        return _POOLS[key]


def _started(threads: int, with_torch: bool) -> ThreadPoolExecutor:
    """A pool whose threads have all set their own number of torch's threads, which sets that of threads to come too."""
    if not with_torch:
        return ThreadPoolExecutor(threads, "sid-pass", lambda: setattr(_STATE, "threads", 1))
    import torch

    before = torch.get_num_threads()
    all_here = threading.Barrier(threads)

    def begin() -> None:
        torch.set_num_threads(1)
        _STATE.threads = 1
        all_here.wait()

    pool = ThreadPoolExecutor(threads, "sid-pass", begin)
    for found in [pool.submit(all_here.wait) for _ in range(threads)]:
        found.result()
    torch.set_num_threads(before)
    return pool
