"""Products in an accelerator's matrix units, by factors that are rounded to what those keep of them (TF32).

Each factor is rounded to the nearest number of 11 binary digits before the product, so that the units have nothing to
cut off: they multiply exactly and add in float32, and how far a score may be off is known, whatever the hardware.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

UNIT = 2.0**-11  # unit roundoff of the factors
_SUM_UNIT = 2.0**-22  # of one addition within the units, which may cut digits off instead of rounding
_CUT = 13  # digits of float32 that are not kept


@contextmanager
def matrix_units(device: torch.device) -> Iterator[None]:
    """float32 products on CUDA are made in TF32 in here; torch's setting is as before afterwards."""
    if device.type != "cuda":
        yield
        return
    setting = torch.backends.cuda.matmul
    before = setting.fp32_precision
    setting.fp32_precision = "tf32"
    try:
        yield
    finally:
        setting.fp32_precision = before


def rounded(values: Tensor) -> Tensor:
    """float32 values at 11 binary digits, the nearest, a copy; what isn't finite stays so."""
    bits = values.contiguous().view(torch.int32)
    carried: Tensor = bits.add(1 << (_CUT - 1)).bitwise_and_(-(1 << _CUT))
    return carried.view(torch.float32)


class UnitProduct:
    """The scores x.c - |c|^2 / 2 of rows at a (K, D) table, from rounded factors.

    Args:
        table: (K, D) float32.
        half: (K,) float32, |c|^2 / 2 of the table as it is.
    """

    def __init__(self, table: Tensor, half: Tensor) -> None:
        self._columns, self._less = rounded(table).t(), -half

    def __call__(self, rows: Tensor) -> Tensor:
        """(n, K) float32 for (n, D) rows."""
        with matrix_units(rows.device):
            return torch.addmm(self._less, rounded(rows), self._columns)


def unit_rounding(rows: Tensor, half: Tensor) -> Tensor:
    """A bound on |computed - true score| of `UnitProduct` for each row, (n,) float32.

    Two factors off by u each: a product is off by 2 u + u^2 of itself, and the sum of the products' sizes is at most
    |x| |c|. The additions err as those of any order do (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
    """
    norms = torch.linalg.vector_norm(rows, dim=1)
    largest = (2 * half.max()).sqrt()
    terms = (rows.shape[1] + 4) * _SUM_UNIT
    growth = terms / (1 - terms) if terms < 0.5 else float("inf")
    product = norms * largest
    bound = (2 * UNIT + UNIT**2) * (1 + growth) * product + growth * (product + largest.square() / 2)
    both, dim = norms + largest, rows.shape[1]
    # rows and centroids were moved to their mean in float32 before, as in `distances`; the least numbers vanish
    other = 3 * 2.0**-24 * both.square() + dim * (2.0**-125 * both + 2.0**-125)
    widened: Tensor = (bound + other) * (1 + dim * 2.0**-20)
    return widened
