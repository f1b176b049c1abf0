"""The rows that a network trains on: on the device at once where they fit, else read as they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from sid.arrays import Vectors
from sid.quantizers.base import Scaling

_HELD_BYTES = 2 << 30  # on a CPU, beside the copy that the system's page cache has
_BLOCK_ROWS = 8192


class Rows:
    """(N, D) vectors in a model's space. Held and streamed rows are equal to the bit.

    Args:
        vectors: (N, D) float32; may be a memory map, never written nor copied whole where it is streamed.
        scaling: takes the vectors into the model's space.
        device: where the rows are wanted.
        held_bytes: most that may be held at once; None is half of a GPU's free memory, or 2 GiB on a CPU.
    """

    def __init__(self, vectors: Vectors, scaling: Scaling, device: str, held_bytes: int | None = None) -> None:
        self.device = torch.device(device)
        self.scaling = scaling
        self._vectors = vectors
        self._held: Tensor | None = None
        if held_bytes is None:
            held_bytes = _HELD_BYTES if self.device.type == "cpu" else torch.cuda.mem_get_info(self.device)[0] // 2
        if vectors.nbytes <= held_bytes:
            self._held = torch.empty(vectors.shape, dtype=torch.float32, device=self.device)
            for start in range(0, len(vectors), _BLOCK_ROWS):
                block = scaling.apply(vectors[start : start + _BLOCK_ROWS])
                self._held[start : start + len(block)] = torch.from_numpy(block)

    def __len__(self) -> int:
        """N."""
        return len(self._vectors)

    @property
    def dim(self) -> int:
        """D."""
        return int(self._vectors.shape[1])

    def take(self, index: Tensor) -> Tensor:
        """(n,) int64 row numbers on the CPU -> (n, D) on the device."""
        if self._held is not None:
            return self._held.index_select(0, index.to(self.device))
        return self._load(index.numpy())

    def batches(self, indices: Sequence[Tensor]) -> Iterator[Tensor]:
        """The rows of each batch of row numbers in turn; streamed ones are read while the last are worked on."""
        if self._held is not None:
            for index in indices:
                yield self.take(index)
            return
        with ThreadPoolExecutor(1) as reader:
            waiting = reader.submit(self._load, indices[0].numpy())
            for following in [*indices[1:], None]:
                rows = waiting.result()
                if following is not None:
                    waiting = reader.submit(self._load, following.numpy())
                yield rows

    def blocks(self) -> Iterator[Tensor]:
        """All rows in their order, some thousands at a time."""
        for start in range(0, len(self), _BLOCK_ROWS):
            if self._held is not None:
                yield self._held[start : start + _BLOCK_ROWS]
            else:
                yield self._load(slice(start, start + _BLOCK_ROWS))

    def _load(self, index: np.ndarray | slice) -> Tensor:
        return torch.from_numpy(self.scaling.apply(self._vectors[index])).to(self.device)
