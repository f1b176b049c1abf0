"""The table of methods: name -> (config, fit), and `load` for what any of them saved.

A new method is a module with a config and a `fit`, and a line in METHODS. Importing this module loads no torch:
params.yaml is checked without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sid.codes import Vectors
from sid.errors import InputError
from sid.params import MethodConfig, Params, Quant
from sid.quantizers import rqkmeans, rqkmeans_constrained
from sid.quantizers.base import Fit, Quantizer


@dataclass(frozen=True)
class Method:
    """A method of quantisation.

    Attributes:
        config: its section in params.yaml.
        fit: fits it.
        balanced: whether `index.assignment: auto` keeps the sizes of its codes within bounds.
    """

    config: type[MethodConfig]
    fit: Callable[[Vectors, Quant, Any], Fit]
    balanced: bool = False


METHODS: dict[str, Method] = {
    "rqkmeans": Method(rqkmeans.RQKMeansConfig, rqkmeans.fit),
    "rqkmeans_constrained": Method(
        rqkmeans_constrained.RQKMeansConstrainedConfig, rqkmeans_constrained.fit, balanced=True
    ),
}

CONFIGS: dict[str, type[MethodConfig]] = {name: method.config for name, method in METHODS.items()}


def fit(vectors: Vectors, params: Params) -> Fit:
    """Fit the method that `quant.method` names.

    Args:
        vectors: (N, D) float32, finite.

    Raises:
        InputError: a codebook larger than N, or a device that isn't there.
    """
    quant = params.quant.model_copy(update={"device": resolve_device(params.quant.device)})
    problems = [
        f"quant.num_emb_list[{level}] is {size}: must be at most {len(vectors)}, the number of items"
        for level, size in enumerate(quant.num_emb_list)
        if size > len(vectors)
    ]
    if problems:
        raise InputError(problems)
    return METHODS[quant.method].fit(vectors, quant, params.methods[quant.method])


def load(path: str | Path, device: str = "auto") -> Quantizer:
    """The fitted quantiser in a .pth file, whichever method fitted it, or of the codebooks in MiniOneRec's .npz.

    Args:
        device: where `encode` works: 'auto' (a GPU if there is one), 'cpu' or 'cuda'.

    Raises:
        InputError: missing, broken or unknown file, or a device that isn't there.
    """
    from sid.quantizers import checkpoint, npz, residual

    if Path(path).suffix == ".npz":
        return npz.load_npz(path, resolve_device(device))
    state = checkpoint.read(path)
    kinds = {residual.KIND: residual.ResidualQuantizer.from_state}
    if state["kind"] not in kinds:
        raise InputError(f"{path}: is a quantiser of kind {state['kind']!r}, must be one of {', '.join(kinds)}")
    return kinds[state["kind"]](state, resolve_device(device))


def resolve_device(device: str) -> str:
    """'cpu' or 'cuda' for 'auto', 'cpu' or 'cuda'; InputError where CUDA is asked for and absent."""
    import torch

    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise InputError("quant.device is 'cuda': must be 'cpu' or 'auto', torch finds no CUDA device here")
    return device if device != "auto" else ("cuda" if available else "cpu")
