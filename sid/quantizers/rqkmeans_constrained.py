"""Constrained RQ-KMeans: residual k-means whose clusters all have about the same size, level by level."""

from __future__ import annotations

from pathlib import Path

from sid.arrays import Rows, Vectors
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.params import Quant
from sid.quantizers import levels
from sid.quantizers.base import Fit, Quantizer

RQKMeansConstrainedConfig = levels.BalancedConfig


def fit(
    vectors: Vectors | Rows,
    quant: Quant,
    config: RQKMeansConstrainedConfig,
    _checkpoints: Path | None = None,
    *,
    warm_start: Quantizer | None = None,
    engine: Engine = LOCAL,
) -> Fit:
    """Fit one codebook per level by k-means with bounded cluster sizes on the residuals of the levels before it.

    Args:
        vectors: (N, D) float32, finite; N at least the largest of `quant.num_emb_list`.
        quant: num_emb_list, seed and device are used; e_dim is not, codebooks have the input's D.
        config: what `balanced_kmeans` takes.
        warm_start: a quantizer of this method and these sizes, from whose codebooks each level starts.
        engine: runs the passes over rows that aren't held. It changes no bit.

    Returns:
        A ResidualQuantizer. Its `encode` is by nearest codeword, row by row, and loses the balance: the index
        stage restores it for the catalogue (`index.assignment`), with the slack that is kept here.

    Source: the constrained RQ-KMeans of OneRec and MiniOneRec, on Bradley, Bennett and Demiriz, Constrained
    K-Means Clustering, MSR-TR-2000-65.
    """
    return levels.fit_balanced(vectors, quant, config, warm_start, engine)
