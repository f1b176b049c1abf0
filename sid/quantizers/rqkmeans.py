"""RQ-KMeans: k-means on the rows, then on what it leaves of them, once per level."""

from __future__ import annotations

from pathlib import Path

from sid.arrays import Rows, Vectors
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.params import Quant
from sid.quantizers import levels
from sid.quantizers.base import Fit, Quantizer

RQKMeansConfig = levels.KMeansConfig


def fit(
    vectors: Vectors | Rows,
    quant: Quant,
    config: RQKMeansConfig,
    _checkpoints: Path | None = None,
    *,
    warm_start: Quantizer | None = None,
    engine: Engine = LOCAL,
) -> Fit:
    """Fit one codebook per level on the residuals of the levels before it.

    Args:
        vectors: (N, D) float32, finite; N at least the largest of `quant.num_emb_list`.
        quant: num_emb_list, seed and device are used; e_dim is not, codebooks have the input's D.
        config: what `kmeans` takes.
        warm_start: a quantizer of this method and these sizes, from whose codebooks each level starts.
        engine: runs the passes over rows that aren't held. It changes no bit.

    Returns:
        A ResidualQuantizer; a curve with a row per level and iteration (level, iteration, mse in the input
        space after the levels so far); figures: `iterations`, `mse`.

    Source: residual quantization after Chen, Guan and Wang, Approximate Nearest Neighbor Search by Residual
    Vector Quantization, Sensors 2010; used for Semantic IDs in OneRec and MiniOneRec.
    """
    return levels.fit_kmeans(vectors, quant, config, warm_start, engine)
