"""Rows from the host to an accelerator, and results back, while it works: pinned buffers, a stream for copies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sid.arrays import Vectors

_AHEAD = 2  # pieces on the device beside the one that is worked on
_READERS = 4  # threads that copy a piece into its buffer: one alone is slower than the bus
_ROW_VALUES = 8  # of the values that a piece may have, its rows are one in so many: their buffers stay small


def row_width(dim: int, *others: int) -> int:
    """The width by which `memory.pieces` cuts rows of `dim` columns that are fed, and whose work has other widths."""
    return max(_ROW_VALUES * dim, 1, *others)


def fed(
    read: Callable[[slice], Vectors], pieces: Iterable[slice], dim: int, device: torch.device
) -> Iterator[tuple[slice, Tensor]]:
    """Each slice and its rows (n, D) float32 on the device, in memory of their own; the next are on their way.

    Args:
        read: a slice's rows, on the host; called by a thread, for one slice after the other.
        pieces: the first one is the largest.
        dim: D.
    """
    if device.type != "cuda":
        for part in pieces:
            yield part, torch.from_numpy(np.array(read(part)))
        return
    todo = deque(pieces)
    if not todo:
        return
    buffers = [_Buffer(todo[0].stop - todo[0].start, dim) for _ in range(_AHEAD)]
    copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    worked: deque[torch.cuda.Event] = deque()
    with ThreadPoolExecutor(1) as loader, ThreadPoolExecutor(_READERS) as readers:
        waiting: deque[tuple[slice, _Buffer, Future[None]]] = deque()

        def load(buffer: _Buffer) -> None:
            if todo:
                part = todo.popleft()
                waiting.append((part, buffer, loader.submit(buffer.fill, read, part, readers)))

        for buffer in buffers:
            load(buffer)
        while waiting:
            part, buffer, filled = waiting.popleft()
            filled.result()
            if len(worked) >= _AHEAD:  # or rows would pile up on the device
                worked.popleft().synchronize()
            with torch.cuda.stream(copies):
                rows = buffer.values[: part.stop - part.start].to(device, non_blocking=True)
                buffer.copied.record(copies)
            current = torch.cuda.current_stream(device)
            current.wait_event(buffer.copied)
            rows.record_stream(current)
            load(buffer)
            yield part, rows
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(torch.cuda.current_stream(device))
            worked.append(done)


class _Buffer:
    """(n, D) float32 in pinned memory."""

    def __init__(self, rows: int, dim: int) -> None:
        self.values = torch.empty(rows, dim, pin_memory=True)
        self._array: Vectors = self.values.numpy()
        self.copied = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def fill(self, read: Callable[[slice], Vectors], part: slice, readers: ThreadPoolExecutor) -> None:
        """Read a slice's rows once those before have left."""
        self.copied.synchronize()
        rows = read(part)
        bounds = np.linspace(0, len(rows), _READERS + 1).astype(int).tolist()
        cuts = [slice(start, stop) for start, stop in pairwise(bounds)]
        list(readers.map(lambda cut: np.copyto(self._array[cut], rows[cut]), cuts))


class Returned:
    """Results on their way from the device to the host, given out once they have arrived: the first ones first.

    The host waits for what was begun some pieces ago, while the device works on the next.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[slice, list[Tensor], Any]] = deque()

    def put(self, part: slice, *results: Tensor) -> None:
        """Begin to copy what a slice came to."""
        event = None
        if results[0].device.type == "cuda":
            copies = [torch.empty(one.shape, dtype=one.dtype, pin_memory=True) for one in results]
            for copy, one in zip(copies, results, strict=True):
                copy.copy_(one, non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
            self._waiting.append((part, copies, event))
            return
        self._waiting.append((part, list(results), event))

    def arrived(self, most: int = _AHEAD) -> Iterator[tuple[slice, list[NDArray[Any]]]]:
        """Slices and their results as arrays, until `most` are left."""
        while len(self._waiting) > most:
            part, found, event = self._waiting.popleft()
            if event is not None:
                event.synchronize()
            yield part, [one.numpy() for one in found]
