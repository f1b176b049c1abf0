"""The prepared artifacts, as every stage after prepare reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from sid.codes import Vectors
from sid.errors import InputError
from sid.files import NPY_ERRORS


def load_vectors(path: str | Path) -> Vectors:
    """The prepared vectors (N, D) float32, mapped from disk and read only."""
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except NPY_ERRORS as error:
        raise InputError(f"{path}: can't be read, run the prepare stage ({error})") from None
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise InputError(f"{path}: has shape {vectors.shape} and dtype {vectors.dtype}, must be (N, D) float32")
    return vectors  # type: ignore[no-any-return]


def load_items(path: str | Path) -> pl.DataFrame:
    """The prepared items: item_id and metadata columns, all text, in the order of the vectors."""
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path}: can't be read, run the prepare stage ({error})") from None
