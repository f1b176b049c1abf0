"""Semantic IDs for generative recommenders: quantize item embeddings, resolve collisions, export for trainers.

>>> quantizer = sid.fit(vectors, "params.yaml")  # or sid.load("quantizer.pth")
>>> codes = quantizer.encode(vectors)  # (N, D) float32 -> (N, L) int32

`SemanticIds` are the codes of a catalogue with its item ids, `Trie` says which of them exist; `sid.decoding` generates
with it. Importing this loads nothing: torch comes with the first `fit` or `load`, polars with `SemanticIds` or `Trie`.
It sets GOMP_SPINCOUNT, unless that is set: import it before torch if other processes need the cores.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike

    from sid.decoding.trie import Trie
    from sid.ids import SemanticIds
    from sid.params import Params
    from sid.quantizers.base import Quantizer

# Threads of torch that wait for one another spin on a core each, for so long that a training takes ten times as long
# where other work wants the cores. Told before torch is loaded, they soon sleep: 5 to 10 % slower on idle cores.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

__version__ = "0.1.0"

__all__ = ["SemanticIds", "Trie", "__version__", "fit", "load"]

_LAZY = {"SemanticIds": "sid.ids", "Trie": "sid.decoding.trie"}


def fit(vectors: ArrayLike, params: str | Path | Params) -> Quantizer:
    """Fit the quantizer that the section `quant` of params.yaml describes.

    Args:
        vectors: (N, D) floats, one embedding per row, all finite; N at least the largest of `quant.num_emb_list`.
            Computed with as float32.
        params: the path of a params.yaml, such as this project's, or the result of `sid.params.load`.

    Returns:
        The fitted quantizer: `encode` (N, D) float32 -> (N, L) int32, `decode` (N, L) -> (N, D) float32, `save`.

    Raises:
        InputError: params.yaml is wrong, `vectors` aren't (N, D) finite floats, or `quant.device` isn't available.
    """
    import numpy as np

    from sid import params as reading
    from sid.errors import InputError
    from sid.quantizers import methods

    rows = np.asarray(vectors)
    if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.floating) or not rows.size:
        raise InputError(f"vectors have shape {rows.shape} and dtype {rows.dtype}, must be (N, D) floats")
    checked = params if isinstance(params, reading.Params) else reading.load(params, methods.CONFIGS)
    return methods.fit(rows.astype(np.float32, copy=False), checked).quantizer


def load(path: str | Path, device: str = "auto") -> Quantizer:
    """The fitted quantizer in a .pth of any method, or one with the codebooks in MiniOneRec's .npz.

    Args:
        path: what the train stage or a quantizer's `save` wrote.
        device: where `encode` and `decode` work: 'auto' (a GPU if there is one), 'cpu' or 'cuda'.

    Raises:
        InputError: the file is missing, broken or holds no quantizer, or the device isn't available.
    """
    from sid.quantizers import methods

    return methods.load(path, device)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
