"""Matrices in files of arrays: .npy, .npz, PyTorch's and safetensors."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.catalogue.ids import ids_of_array
from sid.errors import InputError, listed, require
from sid.files import NPY_ERRORS

_MUST = "must be float16, float32 or float64"


@dataclass(frozen=True)
class Matrix:
    """Vectors of one file.

    Attributes:
        rows, dim: its shape.
        dtype: of its values; bfloat16 counts as float32.
        read: start and stop -> (stop - start, dim) floats.
        ids: (rows,) text, where the file has them.
    """

    rows: int
    dim: int
    dtype: str
    read: Callable[[int, int], NDArray[Any]]
    ids: pl.Series | None = None


def open_matrix(path: Path, kind: str, name: str, id_name: str) -> Matrix:
    """The matrix of a file, mapped and not read where its format allows.

    Args:
        kind: npy, npz, torch or safetensors.
        name: of the matrix in a file that holds several arrays; the only matrix is taken whatever its name.
        id_name: of the ids beside it.

    Raises:
        InputError: broken, pickled objects, not 2-D floats, several matrices of which none has that name.
    """
    if kind == "npy":
        return _of_array(path, _npy(path))
    if kind == "npz":
        return _chosen(path, _npz(path), name, id_name)
    return _chosen(path, _torch(path) if kind == "torch" else _safetensors(path), name, id_name)


def _npy(path: Path) -> NDArray[Any]:
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except NPY_ERRORS as error:
        with path.open("rb") as file:
            is_npy = file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX
        if is_npy and "Python objects" in str(error):
            raise InputError(f"{path}: holds pickled objects, must be a float array (rows, dim)") from None
        reason = str(error) if is_npy else "its first bytes are wrong"
        raise InputError(f"{path}: broken, or not a .npy file ({reason})") from None
    if not isinstance(matrix, np.ndarray):
        raise InputError(f"{path}: holds an archive, must be one float array (rows, dim); rename it to .npz")
    beyond = path.stat().st_size - matrix.offset - matrix.nbytes if isinstance(matrix, np.memmap) else 0
    if beyond:  # several calls of numpy.save with one open file
        raise InputError(
            f"{path}: has {beyond} bytes after its {matrix.shape[0] if matrix.ndim else 1} rows, which may be more "
            "arrays: must hold only one; write each to a file of its own in a folder"
        )
    return matrix


def _npz(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                file.seek(0)
                with np.load(file, allow_pickle=False) as archive:
                    return {name: archive[name] for name in archive.files}
    except NPY_ERRORS as error:
        if "Python objects" in str(error) or "allow_pickle" in str(error):
            raise InputError(f"{path}: holds pickled objects, must hold arrays of numbers and of text") from None
        raise InputError(f"{path}: broken, or not a .npz file ({error})") from None
    except Exception as error:
        raise InputError(f"{path}: broken, or not a .npz file ({error})") from None
    raise InputError(f"{path}: broken, or not a .npz file (it is no ZIP archive)")


def _torch(path: Path) -> dict[str, Any]:
    import pickle

    import torch

    try:
        value = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError):
        try:
            value = torch.load(path, map_location="cpu", weights_only=True)  # files of old versions can't be mapped
        except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
            objects = isinstance(error, pickle.UnpicklingError)
            reason = "it holds other Python objects" if objects else next(iter(str(error).splitlines()), "")[:200]
            raise InputError(
                f"{path}: broken, or holds more than tensors, numbers and text, the only things that are loaded "
                f"({reason})"
            ) from None
    if isinstance(value, torch.Tensor):
        return {"": value}
    if isinstance(value, Mapping):
        found = dict(value)
        if found and all(isinstance(row, torch.Tensor) and row.ndim == 1 for row in found.values()):
            dims = {len(row) for row in found.values()}
            if len(dims) == 1 and len(found) > 2:  # id -> vector
                return {"": torch.stack(list(found.values())), "ids": [str(name) for name in found]}
        return found
    if isinstance(value, list | tuple) and value and all(isinstance(row, torch.Tensor) for row in value):
        return {"": torch.stack(list(value))} if len({row.shape for row in value}) == 1 else {}
    raise InputError(f"{path}: holds a {type(value).__name__}, must be a tensor (rows, dim) or an object with one")


def _safetensors(path: Path) -> dict[str, Any]:
    require("tensors", "safetensors")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: broken, or not a safetensors file ({error})") from None


def _chosen(path: Path, found: Mapping[str, Any], name: str, id_name: str) -> Matrix:
    """The matrix among named arrays, with the ids beside it."""
    matrices = {key: value for key, value in found.items() if getattr(value, "ndim", 0) == 2}
    if len(matrices) > 1 and name in matrices:
        matrices = {name: matrices[name]}
    if len(matrices) != 1:
        shapes = [f"{key} {tuple(getattr(value, 'shape', ()))}" for key, value in found.items()]
        raise InputError(
            f"{path}: holds {listed(shapes) or 'nothing'}, must have one 2-D array of floats (rows, dim), "
            "or prepare.embedding_column must name it"
        )
    ((key, matrix),) = matrices.items()
    opened = _of_array(path, matrix)
    named = [other for other in (id_name, "ids", "id", "item_ids", "keys") if other in found and other != key]
    texts = {
        other: value
        for other, value in found.items()
        if other != key and isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "US"
    }
    chosen = named[0] if named else next(iter(texts)) if len(texts) == 1 else None
    if chosen is None:
        return opened
    value = found[chosen]
    value = value if isinstance(value, np.ndarray) else np.array(value.tolist() if hasattr(value, "tolist") else value)
    ids = ids_of_array(value, f"{path}: {chosen}")
    if len(ids) != opened.rows:
        raise InputError(f"{path}: has {len(ids)} ids in {chosen} for {opened.rows} rows, must have one for each")
    return Matrix(opened.rows, opened.dim, opened.dtype, opened.read, ids)


def _of_array(path: Path, matrix: Any) -> Matrix:
    """An array of NumPy's or a tensor."""
    if not isinstance(matrix, np.ndarray):
        return _of_tensor(path, matrix)
    if matrix.dtype.kind != "f" or matrix.dtype.itemsize > 8:
        raise InputError(f"{path}: has dtype {matrix.dtype}, {_MUST}")
    if matrix.ndim != 2:
        raise InputError(f"{path}: has shape {matrix.shape}, must be 2-D (rows, dim)")
    return Matrix(matrix.shape[0], matrix.shape[1], matrix.dtype.name, lambda start, stop: matrix[start:stop])


def _of_tensor(path: Path, tensor: Any) -> Matrix:
    if not tensor.is_floating_point():
        raise InputError(f"{path}: has dtype {tensor.dtype}, {_MUST}")
    if tensor.ndim != 2 or tensor.is_sparse:
        raise InputError(f"{path}: has shape {tuple(tensor.shape)}, must be 2-D (rows, dim) and dense")
    tensor = tensor.detach()

    def read(start: int, stop: int) -> NDArray[Any]:
        part = tensor[start:stop]
        wide = part if str(part.dtype) in ("torch.float16", "torch.float32", "torch.float64") else part.float()
        return np.asarray(wide.contiguous().numpy())

    dtype = str(tensor.dtype).removeprefix("torch.")
    return Matrix(
        tensor.shape[0],
        tensor.shape[1],
        dtype if dtype.startswith("float") and dtype[5:].isdigit() else "float32",
        read,
    )
