"""k-means with bounded cluster sizes by the package k-means-constrained, called as MiniOneRec calls it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sid.clustering.balanced import size_bounds
from sid.clustering.distances import squared_distances
from sid.clustering.kmeans import Clustering
from sid.clustering.points import Points
from sid.errors import InputError

_TOL = 1e-4  # MiniOneRec's
_STEP, _MOST_STEPS = 1e-3, 2**31 - 1  # the package rounds distances to thousandths and holds them as int32


def k_means_constrained(
    vectors: Tensor | Points,
    k: int,
    *,
    slack: int = 1,
    max_iters: int = 100,
    n_init: int = 3,
    n_jobs: int = 1,
    seed: int = 0,
    on_iteration: Callable[[int, float], None] | None = None,
) -> Clustering:
    """The best of `n_init` runs of `KMeansConstrained` on the CPU, for up to about 10,000 rows.

    The runs are those of the package with more than one job, whatever `n_jobs` is here. The package itself draws other
    seeds for one job, and with more it fails above 1 MB, where joblib hands its workers read-only memory maps.

    Args:
        vectors: (N, D) float32; read into memory whole.
        k: number of centroids, 1 <= k <= N.
        slack: sizes are within `size_bounds(N, k, slack)`; 1 gives MiniOneRec's bounds.
        max_iters: iterations of a run; 100 is MiniOneRec's.
        n_init: runs, of which the one with the lowest inertia is kept; 3 is MiniOneRec's.
        n_jobs: processes that share the runs, at most `n_init` of them are of use. It changes no result.
        seed: as MiniOneRec's seed of a level, --seed + level.
        on_iteration: called once, with (0, inertia) of the result.

    Returns:
        Clustering with the package's centroids and labels, and one entry of `inertia`.

    Raises:
        InputError: fewer rows than k, a slack below 0, NaN or infinity, or rows too far apart for the package.

    Source: `balanced_kmeans_level_constrained` in MiniOneRec's rq/rqkmeans_constrained.py; Levy-Kramer,
    k-means-constrained.
    """
    from joblib import Parallel, delayed
    from k_means_constrained import KMeansConstrained

    points = Points.of(vectors)
    size_min, size_max = size_bounds(len(points), k, slack)
    rows = np.array(points.part(slice(0, len(points))).cpu().numpy(), order="C")  # (N, D), a copy
    _check_rows(rows)
    level_seed = np.random.RandomState(seed % 2**32).randint(0, 2**31 - 1)
    run_seeds = np.random.RandomState(level_seed).randint(np.iinfo(np.int32).max, size=n_init)
    models = [
        KMeansConstrained(
            k,
            size_min=size_min,
            size_max=min(size_max, len(rows)),
            n_init=1,
            max_iter=max_iters,
            tol=_TOL,
            random_state=int(run_seed),
        )
        for run_seed in run_seeds
    ]
    fitted = Parallel(n_jobs=min(n_jobs, n_init), max_nbytes=None)(delayed(model.fit)(rows) for model in models)
    best = min(fitted, key=lambda model: model.inertia_)
    centroids = torch.from_numpy(best.cluster_centers_.astype(np.float32)).to(points.device)
    labels = torch.from_numpy(best.labels_.astype(np.int64)).to(points.device)
    inertia = float(squared_distances(points, centroids, labels).sum())
    if on_iteration is not None:
        on_iteration(0, inertia)
    return Clustering(centroids, labels, (inertia,))


def check_spread(spread: float) -> None:
    """Raise InputError where a row's typical distance from the mean is so small that the package rounds it away."""
    if spread < 10 * _STEP:
        raise InputError(
            f"vectors: lie {spread:.2g} from their mean, must be {10 * _STEP:g} or more with solver "
            f"k_means_constrained, which rounds distances to {_STEP:g}: set prepare.normalize: l2 or solver: scalable"
        )


def _check_rows(rows: np.ndarray) -> None:
    if not np.isfinite(rows).all():
        row = int((~np.isfinite(rows).all(axis=1)).argmax())
        raise InputError(f"vectors: row {row} holds NaN or infinity, every value must be finite")
    far = 2 * float(np.sqrt(((rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)) ** 2).sum(axis=1).max()))
    if far >= _STEP * _MOST_STEPS:
        raise InputError(
            f"vectors: lie up to {far:.2g} apart, must be below {_STEP * _MOST_STEPS:.2g} with solver "
            "k_means_constrained: set prepare.normalize: l2 or solver: scalable"
        )
