"""The rows that a network trains on: on the device at once where they fit, else read as they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from torch import Tensor

from sid.arrays import Rows, Vectors, chunks, rows_of
from sid.clustering import memory
from sid.quantizers.base import Scaling
from sid.quantizers.residual import held

_BLOCK_BYTES = 8 << 20  # of the rows that go through a network at once where no gradient is wanted
_DEVICE_BLOCK_BYTES = 128 << 20  # the same on an accelerator


class TrainingRows:
    """(N, D) vectors in a model's space. Held and streamed rows are equal to the bit.

    Args:
        vectors: (N, D) float32, or `Rows`; a memory map is never written nor copied whole where it is streamed.
        scaling: takes the vectors into the model's space.
        device: where the rows are wanted.
        held_bytes: most that may be held at once; None is what `Points.held` takes.
    """

    def __init__(self, vectors: Vectors | Rows, scaling: Scaling, device: str, held_bytes: int | None = None) -> None:
        self.scaling = scaling
        self._points = held(rows_of(vectors), scaling, device, held_bytes)
        self.device = self._points.device
        self.dim = self._points.dim

    def __len__(self) -> int:
        """N."""
        return len(self._points)

    @property
    def tensor(self) -> Tensor | None:
        """All rows, where they are held."""
        return self._points.tensor

    def take(self, index: Tensor) -> Tensor:
        """(n,) int64 row numbers on the CPU -> (n, D) on the device."""
        return self._points.take(index)

    def batches(self, indices: Sequence[Tensor]) -> Iterator[Tensor]:
        """The rows of each batch of row numbers in turn; streamed ones are read while the last are worked on."""
        if self._points.tensor is not None:
            for index in indices:
                yield self.take(index)
            return
        with ThreadPoolExecutor(1) as reader:
            waiting = reader.submit(self.take, indices[0])
            for following in [*indices[1:], None]:
                rows = waiting.result()
                if following is not None:
                    waiting = reader.submit(self.take, following)
                yield rows

    def blocks(self, index: Tensor | None = None) -> Iterator[Tensor]:
        """All rows in their order, or those of (n,) row numbers, some thousands at a time."""
        count = len(self) if index is None else len(index)
        budget = _DEVICE_BLOCK_BYTES if memory.accelerated(self.device) else _BLOCK_BYTES
        for part in chunks(count, 4 * self.dim, budget):
            yield self._points.part(part) if index is None else self.take(index[part])
