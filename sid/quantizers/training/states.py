"""Where an unfinished training is kept, so that it goes on after Ctrl-C, a kill or a crash."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from sid.arrays import Vectors, chunks

_SHARE = 0.01  # of the time, at most about this much goes into writing
_CODE = ("clustering", "quantizers", "measure/metrics.py", "arrays.py")  # metrics decide patience and selection


def key(vectors: Vectors, method: str, params: Mapping[str, Any], extra: bytes = b"") -> str:
    """A name for a training that changes with its data, its params, its code, and torch.

    Args:
        vectors: (N, D), read once.
        method: begins the name.
        params: plain values.
        extra: anything else the result depends on, such as a warm start.
    """
    digest = hashlib.blake2b(digest_size=12)
    package = Path(__file__).parents[2]
    for part in _CODE:
        for file in sorted([package / part] if part.endswith(".py") else (package / part).rglob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    threads = torch.get_num_threads()  # sums are split among them, and so are their last bits
    plain = {"params": params, "torch": torch.__version__, "threads": threads, "shape": vectors.shape}
    digest.update(json.dumps(plain, sort_keys=True).encode())
    digest.update(extra)
    for rows in chunks(len(vectors), 4 * vectors.shape[1]):
        digest.update(vectors[rows].tobytes())
    return f"{method}-{digest.hexdigest()}"


class Checkpoints:
    """The last few states of one training, in a folder of its own. A state is there whole or not at all.

    Args:
        folder: of this training alone (see `key`); made when first written to.
        limit: states kept, the newest ones.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self._limit = limit
        self._due = 0.0  # the first state is written at once, and tells what the next will cost

    def newest(self) -> dict[str, Any] | None:
        """The newest state that can be read, tensors on the CPU; None where there is none."""
        for path in reversed(self._paths()):
            try:
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
                tqdm.write(f"{path}: can't be read ({type(error).__name__}), trying the one before")
                continue
            return state
        return None

    def due(self) -> bool:
        """Whether so much time has passed that writing again costs no more than 1 % of it."""
        return time.monotonic() >= self._due

    def write(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Keep the state after an epoch, and drop those over the limit."""
        started = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"epoch-{epoch:07d}.pt"
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        for old in self._paths()[: -self._limit]:
            old.unlink()
        ended = time.monotonic()
        self._due = ended + (ended - started) / _SHARE

    def clear(self) -> None:
        """Remove the folder: the training is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*.pt"))
