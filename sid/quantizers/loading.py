"""Read a fitted quantizer, whichever method fitted it. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sid.errors import InputError
from sid.quantizers.base import Quantizer


def load(path: str | Path, device: str = "auto", memory_gib: float | None = None) -> Quantizer:
    """The fitted quantizer in a .pth file, or one of the codebooks in MiniOneRec's .npz.

    Args:
        device: where `encode` works: 'auto' (a GPU if there is one), 'cpu' or 'cuda'.
        memory_gib: most of a GPU's memory that this process uses from now on; None: all of it.

    Raises:
        InputError: missing, broken or unknown file, or a device that isn't there.
    """
    from sid.clustering import memory
    from sid.quantizers import autoencoder, model_file, npz, residual

    # by what a quantizer is, not by its method: a new method that ends in one of these adds nothing here
    kinds: dict[str, Callable[[dict[str, Any], str], Quantizer]] = {
        residual.KIND: residual.ResidualQuantizer.from_state,
        autoencoder.KIND: autoencoder.AutoencoderQuantizer.from_state,
    }
    where = resolve_device(device)
    memory.limit(where, memory_gib)
    if Path(path).suffix == ".npz":
        return npz.load_npz(path, where)
    state = model_file.read(path)
    kind = state.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise InputError(f"{path}: is a quantizer of kind {kind!r}, must be one of {', '.join(kinds)}")
    try:
        return kinds[kind](state, where)
    except InputError as error:
        raise InputError(f"{path}: {problem}" for problem in error.problems) from None


def resolve_device(device: str) -> str:
    """'cpu' or 'cuda' for 'auto', 'cpu' or 'cuda'.

    Raises:
        InputError: another word, or CUDA is asked for and absent.
    """
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device is {device!r}: must be 'auto', 'cpu' or 'cuda'")
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise InputError("quant.device is 'cuda': must be 'cpu' or 'auto', torch finds no CUDA device here")
    return device if device != "auto" else ("cuda" if available else "cpu")
