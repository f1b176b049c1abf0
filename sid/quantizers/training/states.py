"""Where a training is kept until its result is safe, so that it continues after Ctrl-C, a kill, a crash or a full disk.

A training writes its last state too. Whoever asked for it clears it, once model and figures are on the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from sid.arrays import Rows, chunks

_SHARE = 0.01  # of the time, at most about this much goes into writing
_TRAININGS = 4  # that were begun and never finished, of which a folder keeps the states; the oldest go first
QUANTIZER_CODE = ("clustering", "quantizers", "measure/metrics.py", "arrays.py")  # metrics decide patience, selection


def key(
    data: Sequence[NDArray[Any] | Rows], name: str, params: Mapping[str, Any], code: Sequence[str], extra: bytes = b""
) -> str:
    """A name for a training that changes with its data, its params, its code, and torch.

    Args:
        data: arrays of any shape but (), or `Rows`, read once, in chunks.
        name: begins the name.
        params: plain values.
        code: the modules and packages of `sid` that decide the result, as paths.
        extra: anything else the result depends on, such as a warm start.
    """
    digest = hashlib.blake2b(digest_size=12)
    package = Path(__file__).parents[2]
    for place in code:
        for file in sorted([package / place] if place.endswith(".py") else (package / place).rglob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    threads = torch.get_num_threads()  # sums are split among them, and so are their last bits
    plain = {
        "params": params,
        "torch": torch.__version__,
        "threads": threads,
        "shapes": [_shape(given) for given in data],
    }
    digest.update(json.dumps(plain, sort_keys=True).encode())
    digest.update(extra)
    for given in data:
        if isinstance(given, np.ndarray):
            for part in chunks(len(given), max(1, given[:1].nbytes)):
                digest.update(given[part].tobytes())
        else:
            for part in chunks(len(given), 4 * given.dim):
                digest.update(given.part(part.start, part.stop).tobytes())
    return f"{name}-{digest.hexdigest()}"


def _shape(data: NDArray[Any] | Rows) -> tuple[int, ...]:
    return data.shape if isinstance(data, np.ndarray) else (len(data), data.dim)


class Checkpoints:
    """The last few states of one training, in a folder of its own. A state is there whole or not at all.

    Args:
        folder: of this training alone (see `key`), in a folder of all; made when first written to.
        limit: states kept, the newest ones.
        unit: what `write` counts.
        whole: of a training in several parts, the folder that holds the parts' folders, which is looked after by a
            Checkpoints of its own.
    """

    def __init__(self, folder: Path, limit: int, unit: str = "epoch", whole: Path | None = None) -> None:
        self.folder = folder
        self._whole = whole or folder
        self.unit = unit
        self._limit = limit
        self._due = 0.0  # the first state is written at once, and tells what the next will cost
        self._warned = False
        if whole is None:
            _OWN[folder.parent] = self

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
        """Keep the state after an epoch, and drop those over the limit; a warning where the disk doesn't let it."""
        started = time.monotonic()
        path = self.folder / f"epoch-{epoch:07d}.pt"
        partial = path.with_name(f".{path.name}.partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("wb") as file:
                    torch.save(dict(state), file)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, path)
            finally:
                partial.unlink(missing_ok=True)
            for old in self._paths()[: -self._limit]:
                old.unlink()
            _remove_abandoned(self._whole)
        except (OSError, RuntimeError) as error:  # torch says RuntimeError of a full disk
            if not self._warned:
                tqdm.write(f"{path}: can't be written ({error}); the training continues without it", file=sys.stderr)
            self._warned = True
        ended = time.monotonic()
        self._due = ended + (ended - started) / _SHARE

    def epoch(self) -> int | None:
        """The epoch after which the newest state was written, of several parts their sum; None where there is none."""
        newest: dict[Path, int] = {}
        for path in sorted(self.folder.rglob("epoch-*.pt")):
            newest[path.parent] = int(path.stem.removeprefix("epoch-"))
        return sum(newest.values()) if newest else None

    def clear(self) -> None:
        """Remove the folder: the training's result is safe."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*.pt"))


_OWN: dict[Path, Checkpoints] = {}  # this process's training by the folder of all


def left_at(folder: Path) -> str | None:
    """Where this process's training would go on that keeps its states below `folder`; None where it has none."""
    epoch = _OWN[folder].epoch() if folder in _OWN else None
    return None if epoch is None else f"after {_OWN[folder].unit} {epoch}"


def clear(folder: Path) -> None:
    """Remove the states of this process's training below `folder`: what it was for is safe."""
    if folder in _OWN:
        _OWN.pop(folder).clear()


def _remove_abandoned(own: Path) -> None:
    """Of the trainings beside `own`, keep those written to last; what isn't a training's is left alone."""
    os.utime(own)  # parts write below it
    written = []
    for folder in own.parent.iterdir():
        if folder != own and next(folder.rglob("epoch-*.pt"), None) is not None:
            with suppress(FileNotFoundError):  # another process removes them too
                written.append((folder.stat().st_mtime, folder))
    for _, folder in sorted(written, reverse=True)[_TRAININGS - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)
