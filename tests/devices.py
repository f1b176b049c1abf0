"""An accelerator's way of working on a CPU: the same code on CPU tensors, and a count of what would make it wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sid.clustering import memory

# what reads a value on the host (item, bool, int, float, tolist), or has a size that the host must learn first
_WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2", "unique_dim", "bincount", "equal")


class Watched(TorchDispatchMode):
    """Counts the operations that run in it, and those for which a host would wait for its accelerator."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self._patched = pytest.MonkeyPatch()

    def __enter__(self) -> Watched:
        for name in ("tolist", "cpu", "numpy"):  # which a CPU tensor does without an operation
            plain = getattr(torch.Tensor, name)

            def counted(tensor: Any, *args: Any, name: str = name, plain: Any = plain, **kwargs: Any) -> Any:
                self.waits[name] += 1
                return plain(tensor, *args, **kwargs)

            self._patched.setattr(torch.Tensor, name, counted)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._patched.undo()
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if "View" not in str(func._schema) and name not in ("view", "t", "slice", "select", "expand", "detach"):
            self.ran[name] += 1
        masked = name in ("index", "index_put", "index_put_") and any(
            isinstance(one, torch.Tensor) and one.dtype == torch.bool for one in args[1]
        )
        if name in _WAITS or masked:
            self.waits[f"{name} by a mask" if masked else name] += 1
        return func(*args, **(kwargs or {}))

    @property
    def launches(self) -> int:
        """How many operations ran that aren't views."""
        return self.ran.total()


@contextmanager
def as_accelerator(patch: pytest.MonkeyPatch, piece_bytes: int | None = None) -> Iterator[None]:
    """In here CPU tensors go the way of an accelerator's."""
    with patch.context() as inner:
        inner.setattr(memory, "accelerated", lambda _device: True)
        if piece_bytes is not None:
            inner.setattr(memory, "piece_bytes", lambda _device: piece_bytes)
        yield


def waits_of(work: Callable[[], Any]) -> Counter[str]:
    """For what a host would wait in some work."""
    with Watched() as seen:
        work()
    return seen.waits


class Recording(TorchDispatchMode):
    """What a CUDA graph does, on a CPU: operations are recorded once, and replayed on the very same memory.

    What a step takes from Python (a number, another tensor) stays as it was when it was recorded.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ran: list[tuple[Any, Any, Any, list[torch.Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        given = {one.untyped_storage().data_ptr() for one in _tensors((args, kwargs))}
        made = [one for one in _tensors(found) if one.untyped_storage().data_ptr() not in given]
        if made or func._schema.is_mutable:  # else a view
            self._ran.append((func, args, kwargs or {}, made))
        return found

    def replay(self) -> None:
        """Run everything again."""
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd():
            for func, args, kwargs, made in self._ran:
                given = {one.untyped_storage().data_ptr() for one in _tensors((args, kwargs))}
                found = [
                    one for one in _tensors(func(*args, **kwargs)) if one.untyped_storage().data_ptr() not in given
                ]
                for held, one in zip(made, found, strict=True):
                    held.copy_(one)


def _tensors(found: Any) -> list[torch.Tensor]:
    return [one for one in tree_leaves(found) if isinstance(one, torch.Tensor)]
