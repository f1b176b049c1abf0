"""Codebooks as MiniOneRec's scripts keep them: a .npz with codebook_0, codebook_1, ... in the input space."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from sid.errors import InputError
from sid.quantizers.base import Scaling
from sid.quantizers.residual import ResidualQuantizer


def load_npz(path: str | Path, device: str = "cpu") -> ResidualQuantizer:
    """A ResidualQuantizer over the codebooks of a .npz.

    Raises:
        InputError: missing or broken file, no codebook_0, a gap in the numbers, or codebooks that don't fit.
    """
    try:
        with Path(path).open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            held = {name: archive[name] for name in archive.files if name.startswith("codebook_")}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: can't be read as a .npz of codebooks ({error})") from None
    wanted = [f"codebook_{level}" for level in range(len(held))]
    if not held or set(held) != set(wanted):
        found = ", ".join(held) or "none"
        raise InputError(f"{path}: must hold codebook_0, codebook_1, ... without a gap, holds {found}")
    codebooks = tuple(np.ascontiguousarray(held[name], np.float32) for name in wanted)
    if codebooks[0].ndim != 2:
        raise InputError(f"{path}: codebook_0 has shape {codebooks[0].shape}, must be (K, D)")
    try:
        return ResidualQuantizer(codebooks, Scaling.identity(codebooks[0].shape[1]), "rqkmeans", device)
    except InputError as error:
        raise InputError(f"{path}: {problem}" for problem in error.problems) from None


def save_npz(quantizer: ResidualQuantizer, path: str | Path) -> None:
    """Write codebooks in the input space: the model's centre goes into the first one.

    Nearest codewords are the same but for rounding, and sums of codewords decode to the same vectors.
    """
    books = [book * np.float32(quantizer.scaling.scale) for book in quantizer.codebooks]
    books[0] = books[0] + quantizer.scaling.mean
    with Path(path).open("wb") as file:
        np.savez(file, **{f"codebook_{level}": book for level, book in enumerate(books)})  # type: ignore[arg-type]
