"""One .pth per quantizer: tensors and plain values, read without pickle."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sid.errors import InputError
from sid.quantizers.base import Scaling

FORMAT = 1

T = TypeVar("T")


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


def value(state: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """What a state holds under a name.

    Raises:
        InputError: nothing, or something that isn't of that type.
    """
    if name not in state:
        raise InputError(f"holds no {name!r}; run the train stage again")
    found = state[name]
    if not isinstance(found, kind):
        raise InputError(f"{name!r} is of type {type(found).__name__}, must be {kind.__name__}")
    return found


def array(found: object, name: str, ndim: int) -> NDArray[np.float32]:
    """A float32 tensor of a state as an array.

    Raises:
        InputError: another type, dtype or number of dimensions.
    """
    if not isinstance(found, Tensor) or found.dtype != torch.float32 or found.ndim != ndim:
        kind = f"{found.dtype} of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"{name!r} is {kind}, must be a float32 tensor of {ndim} dimensions")
    return np.asarray(found.numpy())


def arrays(state: Mapping[str, Any], name: str, ndim: int) -> tuple[NDArray[np.float32], ...]:
    """The float32 tensors of a list in a state as arrays.

    Raises:
        InputError: no such list, or an entry that isn't such a tensor.
    """
    found = value(state, name, list)
    return tuple(array(entry, f"{name}[{number}]", ndim) for number, entry in enumerate(found))


def scaling(state: Mapping[str, Any]) -> Scaling:
    """The centre and scale of a state.

    Raises:
        InputError: missing, of another type, NaN or infinite, or a scale that isn't above 0.
    """
    mean, scale = array(value(state, "mean", Tensor), "mean", 1), value(state, "scale", float)
    if not (np.isfinite(mean).all() and 0 < scale < float("inf")):
        raise InputError(f"'mean' and 'scale' ({scale}) must be finite, the scale above 0")
    return Scaling(mean, scale)
