"""Constrained RQ-KMeans: residual k-means whose clusters all have about the same size, level by level."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import Field

from sid.arrays import Vectors
from sid.params import MethodConfig, Quant, Slack
from sid.quantizers.base import Fit


class RQKMeansConstrainedConfig(MethodConfig):
    """`quant.rqkmeans_constrained`."""

    slack: Slack
    solver: Literal["scalable", "exact"]
    max_iters: Annotated[int, Field(ge=1, le=1000)]

    def conflicts(self, quant: Quant) -> list[str]:
        """The exact solver must be installed; told before any work."""
        if self.solver == "scalable" or find_spec("ortools") is not None:
            return []
        return [
            "quant.rqkmeans_constrained.solver is 'exact', which needs OR-tools (pip install 'ortools>=9.10'): install "
            "it or write 'scalable'"
        ]


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

    return fit_levels(vectors, quant, config, partial(balanced_kmeans, **config.model_dump()))
