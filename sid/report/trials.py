"""What other settings would give on this catalogue, where trying them takes seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sid.arrays import Vectors
from sid.files import round6
from sid.measure import metrics
from sid.measure.quality import reconstruction
from sid.params import Index, Quant
from sid.quantizers import levels
from sid.quantizers.assignment import assign

WORK = 2e9  # rows x dimensions x codes of all levels: about 15 s; nothing is tried above

_SEED = 0
_INDEX = Index(assignment="auto", slack=None)
_KMEANS = levels.KMeansConfig(max_iters=10, tol=1e-3, restarts=1)
_BALANCED = levels.BalancedConfig(slack=1, solver="scalable", max_iters=8, n_init=1, n_jobs=1)


def trials(vectors: Vectors, code_sizes: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Quantize a catalogue by k-means of a few kinds and sizes, with few iterations.

    Args:
        vectors: (N, D) float32, those that were quantized.
        code_sizes: of the quantizer that the trials stand beside.

    Returns:
        By name (`rqkmeans`, `rqkmeans_constrained` with the same sizes, `larger`: rqkmeans with twice the codes
        per
        level): `method`, `num_emb_list`, and of the raw codes `collision_rate` and `r2`. None where that would take
        long (`WORK`), or a level has more codes than there are items.
    """
    count, dim = vectors.shape
    larger = [2 * size for size in code_sizes]
    if count * dim * sum(larger) > WORK or max(code_sizes) > count:
        return {}
    rows = np.ascontiguousarray(vectors)
    wanted = {"rqkmeans": ("rqkmeans", list(code_sizes)), "rqkmeans_constrained": ("rqkmeans_constrained", code_sizes)}
    if max(larger) <= count:
        wanted["larger"] = ("rqkmeans", larger)
    return {name: _trial(rows, method, tuple(sizes)) for name, (method, sizes) in wanted.items()}


def _trial(vectors: Vectors, method: str, sizes: tuple[int, ...]) -> dict[str, Any]:
    quant = Quant(
        method=method, num_emb_list=sizes, e_dim=1, seed=_SEED, device="cpu", device_memory_gib=None, train_sample=None
    )
    fitted = (
        levels.fit_balanced(vectors, quant, _BALANCED)
        if method == "rqkmeans_constrained"
        else levels.fit_kmeans(vectors, quant, _KMEANS)
    )
    codes, _ = assign(fitted.quantizer, vectors, _INDEX)
    return {
        "method": method,
        "num_emb_list": " x ".join(map(str, sizes)),
        "collision_rate": round6(metrics.collision_rate(metrics.prefix_ids(codes)[-1])),
        "r2": reconstruction(fitted.quantizer.decode, vectors, codes, codes)["r2"],
    }
