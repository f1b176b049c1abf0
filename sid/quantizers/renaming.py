"""Other names for the codes of a quantizer: the same quantizer, with each level's codes renumbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sid.arrays import Codes
from sid.errors import InputError
from sid.quantizers.autoencoder import AutoencoderQuantizer
from sid.quantizers.base import Quantizer
from sid.quantizers.residual import ResidualQuantizer

RENAMED = "renamed"
"""Where `info` of a renamed quantizer keeps the names: of each level, the new number of each code."""

Names = NDArray[np.int64]


def agreeing_names(codes: Codes, wanted: Codes, code_sizes: Sequence[int]) -> list[Names]:
    """Names by which the most rows have the codes that they should have, first level first.

    At each level an assignment of codes to names (`linear_sum_assignment`) makes the most rows agree among those that
    agree at all levels before it; where that leaves a choice, the most among all rows.

    Args:
        codes: (n, L) of some rows.
        wanted: (n, L') the codes that these rows should have; -1 where a row has none at a level.
        code_sizes: codes there are at each of the L levels.

    Returns:
        Of each of the L levels, (K,) the name of each code, a permutation of 0..K-1. A level that `wanted` doesn't have
        keeps its names.
    """
    agree = np.ones(len(codes), bool)
    found = []
    for level, size in enumerate(code_sizes):
        names = np.arange(size)
        if level < wanted.shape[1]:
            names = _best(codes[:, level], wanted[:, level], agree, size)
            agree &= names[codes[:, level]] == wanted[:, level]
        found.append(names)
    return found


def _best(codes: NDArray[np.int32], wanted: NDArray[np.int32], agree: NDArray[np.bool_], size: int) -> Names:
    """(K,) names at one level."""
    possible = (wanted >= 0) & (wanted < size)
    pair = codes.astype(np.int64) * size + wanted
    weight = np.where(agree, 1.0, 1.0 / (len(codes) + 1))
    gain = np.bincount(pair[possible], weight[possible], minlength=size * size).reshape(size, size)
    return np.asarray(linear_sum_assignment(gain, maximize=True)[1], np.int64)


def renamed(quantizer: Quantizer, names: Sequence[Names]) -> Quantizer:
    """The same quantizer with code c of level l called names[l][c]; `info` keeps the names.

    Raises:
        InputError: it has no codebooks to put into another order.
    """
    if not isinstance(quantizer, ResidualQuantizer | AutoencoderQuantizer):
        raise InputError(f"a quantizer of {quantizer.method} has no codebooks, so its codes can't be renamed")
    books = tuple(book[np.argsort(own)] for book, own in zip(quantizer.codebooks, names, strict=True))
    info = {**quantizer.info, RENAMED: [own.tolist() for own in names]}
    return cast("Quantizer", replace(quantizer, codebooks=books, info=info))


def as_before(quantizer: Quantizer, codes: Codes) -> Codes | None:
    """The codes (N, L or L + 1) as they were called before the quantizer was renamed; None if it never was."""
    names = quantizer.info.get(RENAMED)
    if not names:
        return None
    found = codes.copy()
    for level, own in enumerate(names):
        found[:, level] = np.argsort(np.asarray(own))[codes[:, level]]
    return found
