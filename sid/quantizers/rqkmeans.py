"""RQ-KMeans: k-means on the rows, then on what it leaves of them, once a level."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import Field

from sid.arrays import Vectors
from sid.params import MethodConfig, Quant
from sid.quantizers.base import Fit


class RQKMeansConfig(MethodConfig):
    """`quant.rqkmeans`."""

    max_iters: Annotated[int, Field(ge=1, le=10_000)]
    tol: Annotated[float, Field(ge=0, lt=1)]
    restarts: Annotated[int, Field(ge=1, le=100)]
    train_sample: Annotated[int, Field(ge=2)] | None

    def conflicts(self, quant: Quant) -> list[str]:
        """train_sample must hold a row for each code."""
        largest = max(quant.num_emb_list)
        if self.train_sample is None or self.train_sample >= largest:
            return []
        return [
            f"quant.rqkmeans.train_sample is {self.train_sample} but quant.num_emb_list has {largest} codes a level"
        ]


def fit(vectors: Vectors, quant: Quant, config: RQKMeansConfig) -> Fit:
    """Fit one codebook a level on the residuals of the levels before it.

    Args:
        vectors: (N, D) float32, finite; N at least the largest of `quant.num_emb_list`.
        quant: num_emb_list, seed and device are used; e_dim is not, codebooks have the input's D.
        config: what `kmeans` takes.

    Returns:
        A ResidualQuantizer; a curve with a row per level and iteration (level, iteration, mse in the input
        space after the levels so far); figures: `train_rows` that each level was trained on, `iterations`, `mse`.

    Source: residual quantization after Chen, Guan and Wang, Approximate Nearest Neighbor Search by Residual
    Vector Quantization, Sensors 2010; used for Semantic IDs in OneRec and MiniOneRec.
    """
    # torch takes a second to import, and checking params.yaml needs this module's config alone
    from sid.clustering.kmeans import kmeans
    from sid.quantizers.residual import fit_levels

    rows = len(vectors) if config.train_sample is None else min(config.train_sample, len(vectors))
    return fit_levels(vectors, quant, config, partial(kmeans, **config.model_dump()), {"train_rows": rows})
