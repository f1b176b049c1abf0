"""How much of an accelerator's memory is used: the bound of params.yaml, pieces that fit it, one line where not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sid.arrays import chunks
from sid.errors import InputError

_PIECE_BYTES = 1 << 30  # of a piece's largest values: few launches, each long enough to hide the next one's start
_SHARE = 8  # of the memory that may be used a piece has one part in so many: scores, rows, and what is made of them
_LEAST_BYTES = 16 << 20
_LARGE = 4  # the same for what can't be cut into pieces
_HELD = 2  # of what is free, rows may hold one part in so many
_REFUSALS = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")  # by others than torch's own allocator
_limits: dict[int, int] = {}  # bytes, by the number of the device


def accelerated(device: torch.device) -> bool:
    """Whether work on a device goes the way of accelerators: nothing waits for the host, and pieces are large."""
    return device.type != "cpu"


def limit(device: str, gib: float | None) -> None:
    """Use at most so much of a device's memory from now on, in this process; None: all of it.

    torch itself refuses more. The size of a piece depends on this bound, or on what the device has, and never on
    what happens to be free: sums and products may round otherwise in pieces of other sizes.

    Args:
        device: 'cpu', which this leaves alone, or 'cuda'.
        gib: 0.25 or more.
    """
    if torch.device(device).type != "cuda":
        return
    number = torch.cuda.current_device()
    total = torch.cuda.get_device_properties(number).total_memory
    wanted = total if gib is None else min(total, int(gib * 2**30))
    _limits[number] = wanted
    torch.cuda.set_per_process_memory_fraction(wanted / total, number)


def free_bytes(device: torch.device) -> int:
    """What may still be taken of a device."""
    if device.type != "cuda":
        return 1 << 40
    free = torch.cuda.mem_get_info(device)[0]
    taken, kept = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    return max(0, min(free + kept - taken, _bound(device) - taken))


def held_bytes(device: torch.device) -> int:
    """How much of it rows may take that are held."""
    return free_bytes(device) // _HELD


def large_bytes(device: torch.device) -> int:
    """What one matrix and its copies may take that can't be cut into pieces: as much in each run."""
    return _bound(device) // _LARGE if device.type == "cuda" else _SHARE * _PIECE_BYTES


def piece_bytes(device: torch.device) -> int:
    """What a piece's largest values may take: a power of 2, the same in each run."""
    if device.type != "cuda":
        return _PIECE_BYTES
    most = max(_LEAST_BYTES, _bound(device) // _SHARE)
    return min(_PIECE_BYTES, 1 << (most.bit_length() - 1))


def pieces(count: int, width: int, device: torch.device) -> Iterator[slice]:
    """Slices of rows whose (n, width) float32 values may be on the device together with what is made of them."""
    return chunks(count, 4 * max(width, 1), piece_bytes(device))


@contextmanager
def one_line(key: str = "quant.device_memory_gib") -> Iterator[None]:
    """Turn a device's refusal of memory into an InputError that names the key that bounds it."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(words in str(error) for words in _REFUSALS):
            raise
        held = torch.cuda.memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
        raise InputError(
            f"the GPU has no memory left for this beside what others use of it (this process held {held:.1f} GiB): "
            f"end what else runs there, set {key} to what is free, or quant.device to 'cpu'"
        ) from None


def _bound(device: torch.device) -> int:
    number = torch.cuda.current_device() if device.index is None else device.index
    return _limits.get(number, torch.cuda.get_device_properties(number).total_memory)
