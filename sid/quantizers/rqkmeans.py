"""RQ-KMeans: k-means on the rows, then on what it leaves of them, once a level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sid.codes import Vectors
from sid.params import MethodConfig, Quant
from sid.quantizers.base import Fit, Scaling

if TYPE_CHECKING:
    from torch import Tensor


class RQKMeansConfig(MethodConfig):
    """`quant.rqkmeans`."""

    max_iters: Annotated[int, Field(ge=1, le=10_000)]
    restarts: Annotated[int, Field(ge=1, le=100)]


def fit(vectors: Vectors, quant: Quant, config: RQKMeansConfig) -> Fit:
    """Fit one codebook a level on the residuals of the levels before it.

    Args:
        vectors: (N, D) float32, finite; N at least the largest of `quant.num_emb_list`.
        quant: num_emb_list, seed and device are used; e_dim is not, codebooks have the input's D.
        config: iterations (25 is faiss' default; 10 to 100 is sane) and restarts.

    Returns:
        A ResidualQuantizer; a curve with a row per level and iteration (level, iteration, mse in the input
        space after the levels so far).

    Source: residual quantisation after Chen, Guan and Wang, Approximate Nearest Neighbor Search by Residual
    Vector Quantization, Sensors 2010; used for Semantic IDs in OneRec and MiniOneRec.
    """
    # torch takes a second to import, and checking params.yaml needs this module's config alone
    import torch
    from tqdm import tqdm

    from sid.clustering.lloyd import kmeans
    from sid.quantizers.residual import ResidualQuantizer

    scaling = Scaling.of(vectors)
    residual = torch.from_numpy(scaling.apply(vectors)).to(quant.device)
    per_coordinate = scaling.scale**2 / vectors.size
    books: list[Tensor] = []
    curve: list[dict[str, float | int]] = []
    for level, size in enumerate(quant.num_emb_list):
        with tqdm(desc=f"{quant.method} level {level + 1}", unit="it", disable=None) as bar:

            def show(_iteration: int, inertia: float, bar: tqdm = bar) -> None:  # type: ignore[type-arg]
                bar.set_postfix_str(f"mse {inertia * per_coordinate:.4g}", refresh=False)
                bar.update()

            found = kmeans(
                residual,
                size,
                max_iters=config.max_iters,
                restarts=config.restarts,
                seed=quant.seed + level,
                on_iteration=show,
            )
        residual -= found.centroids[found.labels]
        books.append(found.centroids)
        for iteration, inertia in enumerate(found.inertia, 1):
            mse = inertia * per_coordinate
            curve.append({"step": len(curve) + 1, "level": level + 1, "iteration": iteration, "mse": mse})
    figures = {"iterations": len(curve), "mse": curve[-1]["mse"]}
    info = {"config": {**quant.model_dump(mode="json"), **config.model_dump(mode="json")}, "figures": figures}
    codebooks = tuple(book.cpu().numpy() for book in books)
    return Fit(ResidualQuantizer(codebooks, scaling, quant.method, quant.device, info), curve, figures)
