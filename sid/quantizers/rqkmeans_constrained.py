"""Constrained RQ-KMeans: residual k-means whose clusters all have about the same size, level by level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sid.codes import Vectors
from sid.params import MethodConfig, Quant, Slack
from sid.quantizers.base import Fit

if TYPE_CHECKING:
    from torch import Tensor

    from sid.clustering.lloyd import Clustering
    from sid.quantizers.residual import OnIteration


class RQKMeansConstrainedConfig(MethodConfig):
    """`quant.rqkmeans_constrained`."""

    slack: Slack
    solver: Literal["scalable", "exact"]
    max_iters: Annotated[int, Field(ge=1, le=1000)]


def fit(vectors: Vectors, quant: Quant, config: RQKMeansConstrainedConfig) -> Fit:
    """Fit one codebook a level by k-means with bounded cluster sizes on the residuals of the levels before it.

    Args:
        vectors: (N, D) float32, finite; N at least the largest of `quant.num_emb_list`.
        quant: num_emb_list, seed and device are used; e_dim is not, codebooks have the input's D.
        config: what `balanced_kmeans` takes.

    Returns:
        A ResidualQuantizer. Its `encode` is by nearest codeword, row by row, and loses the balance: the index
        stage restores it for the catalogue (`index.assignment`).

    Source: the constrained RQ-KMeans of OneRec and MiniOneRec, on Bradley, Bennett and Demiriz, Constrained
    K-Means Clustering, MSR-TR-2000-65.
    """
    from sid.clustering.balanced import balanced_kmeans
    from sid.quantizers.residual import fit_levels

    def engine(rows: Tensor, k: int, seed: int, show: OnIteration) -> Clustering:
        return balanced_kmeans(
            rows,
            k,
            slack=config.slack,
            solver=config.solver,
            max_iters=config.max_iters,
            seed=seed,
            on_iteration=show,
        )

    return fit_levels(vectors, quant, config, engine)
