"""One .pth per quantizer: tensors and plain values, read without pickle."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from sid.errors import InputError

FORMAT = 1


def write(path: str | Path, kind: str, state: dict[str, Any]) -> None:
    """Write a quantizer's state: nested dicts and lists of tensors, numbers, text and None.

    Args:
        kind: the class that reads it back, `residual` or `autoencoder`.
    """
    # through a file object, else torch writes the file's own name into it and equal models differ in bytes
    with Path(path).open("wb") as file:
        torch.save({"format": FORMAT, "kind": kind, **state}, file)


def read(path: str | Path) -> dict[str, Any]:
    """Read what `write` wrote, tensors on the CPU.

    Raises:
        InputError: missing, broken, holding more than tensors and plain values, or not written by `write`.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        if isinstance(error, pickle.UnpicklingError):  # torch's own text advises to switch this check off
            reason = "not a .pth of tensors and plain values alone"
        elif isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        else:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: can't be read as a quantizer ({reason})") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InputError(f"{path}: holds no quantizer of format {FORMAT}; run the train stage again")
    return state
