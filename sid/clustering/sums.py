"""Sums of rows by code in whole numbers: exact, so that neither the order of the additions nor the pieces show in them.

An accelerator's threads add in the order in which they come, and float sums then differ from run to run. Rows are
multiplied by a power of 2 and rounded instead: coordinates keep 62 binary digits, less those of N, of the largest one.
"""

from __future__ import annotations

import torch
from torch import Tensor

_DIGITS = 62  # of a sum, beside its sign
_MOST_EXPONENT = 120  # of the power of 2, so that float32 has it


class Sums:
    """Sums and counts of (N, D) rows by K codes, on one device; nothing here waits for the host.

    Args:
        k: codes.
        dim: D.
        rows: N, the most that will be added.
        largest: () float32, at least the largest absolute coordinate.
    """

    def __init__(self, k: int, dim: int, rows: int, largest: Tensor) -> None:
        _, exponent = torch.frexp(largest)
        free = _DIGITS - max(1, rows).bit_length() - exponent.long()
        bits = (free.clamp(max=_MOST_EXPONENT, min=-_MOST_EXPONENT) + 1023) << 52
        self._unit = bits.view(torch.float64)  # the power itself: exp2 doesn't promise it
        self._scale = self._unit.float()
        self._sums = torch.zeros(k, dim, dtype=torch.int64, device=largest.device)
        self.counts = torch.zeros(k, dtype=torch.int64, device=largest.device)

    def clear(self) -> None:
        """Begin with zeros."""
        self._sums.zero_()
        self.counts.zero_()

    def add(self, codes: Tensor, rows: Tensor) -> None:
        """Add (n, D) float32 rows to those of their codes (n,)."""
        whole = (rows * self._scale).round_().long()
        self._sums.index_add_(0, codes, whole)
        self.counts.index_add_(0, codes, torch.ones_like(codes))

    @property
    def sums(self) -> Tensor:
        """(K, D) float64."""
        return self._sums.double() / self._unit

    def means(self, otherwise: Tensor) -> Tensor:
        """(K, D) float32 means; of codes without a row those of `otherwise`."""
        found = (self.sums / self.counts.clamp(min=1)[:, None]).float()
        return torch.where((self.counts > 0)[:, None], found, otherwise)
