"""Codebooks level by level: what RQ-KMeans and its constrained form share.

A config for each way to cluster, and the one fit over the levels. Importing this loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from itertools import count
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from sid.arrays import Rows, Vectors, rows_of
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.errors import InputError
from sid.files import round6
from sid.params import MethodConfig, Quant, Slack
from sid.quantizers.base import Fit, Quantizer, Scaling

if TYPE_CHECKING:
    from torch import Tensor

    from sid.clustering.kmeans import Clustering
    from sid.clustering.points import Points


_NEEDS = {"exact": ("ortools", "ortools>=9.10"), "k_means_constrained": ("k_means_constrained", "k-means-constrained")}


class KMeansConfig(MethodConfig):
    """`quant.rqkmeans`."""

    max_iters: Annotated[int, Field(ge=1, le=10_000)]
    tol: Annotated[float, Field(ge=0, lt=1)]
    restarts: Annotated[int, Field(ge=1, le=100)]


class BalancedConfig(MethodConfig):
    """`quant.rqkmeans_constrained`."""

    slack: Slack
    solver: Literal["scalable", "exact", "k_means_constrained"]
    max_iters: Annotated[int, Field(ge=1, le=1000)]
    n_init: Annotated[int, Field(ge=1, le=1000)]
    n_jobs: Annotated[int, Field(ge=1, le=1024)]

    def conflicts(self, quant: Quant) -> list[str]:
        """A line if the package that the solver needs isn't installed."""
        module, package = _NEEDS.get(self.solver, (None, None))
        if module is None or find_spec(module) is not None:
            return []
        return [
            f"quant.{quant.method}.solver is {self.solver!r}, which needs a package that isn't installed: pip install "
            f"'{package}', or write 'scalable'"
        ]


class Clusterer(Protocol):
    """Clusters the rows of one level, as `kmeans` and `balanced_kmeans` do with their options filled in."""

    def __call__(
        self,
        vectors: Points,
        k: int,
        /,
        *,
        seed: int,
        on_iteration: Callable[[int, float], None],
        start: Tensor | None = None,
    ) -> Clustering:
        """(N, D) float32 -> K centroids and N labels; from the centroids (K, D) `start`, if they are given."""
        ...


def fit_kmeans(
    vectors: Vectors | Rows,
    quant: Quant,
    config: KMeansConfig,
    warm_start: Quantizer | None = None,
    engine: Engine = LOCAL,
) -> Fit:
    """k-means on each level; see `fit_levels`."""
    from sid.clustering.kmeans import kmeans

    cluster = partial(kmeans, **config.model_dump(), engine=engine)
    return fit_levels(vectors, quant, config, cluster, warm_start=warm_start, engine=engine)


def fit_balanced(
    vectors: Vectors | Rows,
    quant: Quant,
    config: BalancedConfig,
    warm_start: Quantizer | None = None,
    engine: Engine = LOCAL,
) -> Fit:
    """k-means with bounded cluster sizes on each level; see `fit_levels`."""
    if config.solver == "k_means_constrained":
        if warm_start is not None:
            raise InputError(
                f"quant.{quant.method}.solver is {config.solver!r}, which can't start from published codebooks: set "
                "release.warm_start: false"
            )
        return _fit_as_minionerec(vectors, quant, config)
    from sid.clustering.balanced import balanced_kmeans

    options = config.model_dump(exclude={"n_init", "n_jobs"})
    cluster = partial(balanced_kmeans, **options, engine=engine)
    return fit_levels(vectors, quant, config, cluster, warm_start=warm_start, engine=engine)


def _fit_as_minionerec(vectors: Vectors | Rows, quant: Quant, config: BalancedConfig) -> Fit:
    """MiniOneRec's codebooks to the bit: on the rows as they are, at its seeds of the levels, quant.seed + level."""
    from sid.clustering.k_means_constrained import check_spread, k_means_constrained

    dim = rows_of(vectors).dim
    check_spread(Scaling.of(vectors).scale * dim**0.5)
    seeds = count(quant.seed)
    options = config.model_dump(exclude={"solver"})

    def cluster(
        points: Points,
        k: int,
        /,
        *,
        seed: int,
        on_iteration: Callable[[int, float], None],
        start: Tensor | None = None,
    ) -> Clustering:
        return k_means_constrained(points, k, seed=next(seeds), on_iteration=on_iteration, **options)

    return fit_levels(vectors, quant, config, cluster, scaling=Scaling.identity(dim))


def fit_levels(
    vectors: Vectors | Rows,
    quant: Quant,
    config: MethodConfig,
    cluster: Clusterer,
    scaling: Scaling | None = None,
    warm_start: Quantizer | None = None,
    engine: Engine = LOCAL,
) -> Fit:
    """Fit one codebook per level on what the levels before it leave of the rows.

    Rows that fit (1 GiB on a CPU, half of a GPU's free memory) are held once; of more, a chunk at a time is read and
    its residual computed again from its codes, to the same bits.

    Args:
        vectors: (N, D) float32, finite; may be a memory map.
        quant: num_emb_list, seed and device ('cpu' or 'cuda') are used.
        config: the method's section, kept in the model.
        cluster: clusters the rows of a level.
        scaling: what is done to rows before the first level; None centres and scales them.
        warm_start: a ResidualQuantizer of these sizes, whose codebooks each level starts from.
        engine: measures the scaling.

    Returns:
        A ResidualQuantizer; a curve with a row per level and iteration: level, iteration, and the mse in the
        input space after the levels so far; figures: `iterations` of all levels together and the last `mse`.
    """
    # torch takes a second to import, and checking params.yaml needs the configs alone
    from tqdm import tqdm

    from sid.clustering.points import sub_seed
    from sid.quantizers.residual import ResidualQuantizer, cascade, held, measured

    rows = rows_of(vectors)
    if scaling is None:
        first, scaling = measured(rows, quant.device, engine)
    else:
        first = held(rows, scaling, quant.device)
    per_coordinate = scaling.scale**2 / (len(rows) * rows.dim)
    starts = [None] * len(quant.num_emb_list) if warm_start is None else _starts(warm_start, scaling, quant.device)
    books: list[Vectors] = []
    curve: list[dict[str, float | int]] = []

    def choose(level: int, left: Points) -> tuple[Tensor, Tensor]:
        with tqdm(desc=f"{quant.method} level {level + 1}", unit="it", disable=None) as bar:

            def show(_iteration: int, inertia: float) -> None:
                bar.set_postfix_str(f"mse {inertia * per_coordinate:.4g}", refresh=False)
                bar.update()

            own = sub_seed(quant.seed, level)
            found = cluster(left, quant.num_emb_list[level], seed=own, on_iteration=show, start=starts[level])
        books.append(found.centroids.cpu().numpy())
        for iteration, inertia in enumerate(found.inertia, 1):
            mse = inertia * per_coordinate
            curve.append({"step": len(curve) + 1, "level": level + 1, "iteration": iteration, "mse": mse})
        return found.labels, found.centroids

    cascade(first, len(quant.num_emb_list), choose, _less)
    figures = {"iterations": len(curve), "mse": round6(curve[-1]["mse"])}
    info = {"config": {**quant.model_dump(mode="json"), **config.model_dump(mode="json")}, "figures": figures}
    return Fit(ResidualQuantizer(tuple(books), scaling, quant.method, quant.device, info), curve, figures)


def _starts(warm_start: Quantizer, scaling: Scaling, device: str) -> list[Tensor]:
    """The codebooks of a ResidualQuantizer in the space of another centre and scale."""
    import torch

    from sid.quantizers.residual import ResidualQuantizer

    if not isinstance(warm_start, ResidualQuantizer):
        raise InputError(f"the warm start, by {warm_start.method}, must have codebooks in the input's space")
    unit = np.float32(warm_start.scaling.scale / scaling.scale)
    books = [book * unit for book in warm_start.codebooks]
    books[0] = books[0] + (warm_start.scaling.mean - scaling.mean) / np.float32(scaling.scale)
    return [torch.from_numpy(book).to(device) for book in books]


def _less(left: Points, codebook: Tensor, labels: Tensor) -> Points:
    """What a level leaves: of held rows in place, of streamed ones by their codes."""
    from sid.clustering.points import Points
    from sid.quantizers.residual import Residuals, subtract

    if left.tensor is not None:
        return Points(subtract(left.tensor, codebook, labels))
    assert isinstance(left.rows, Residuals)
    return Points(left.rows.less(codebook.cpu().numpy(), labels.cpu().numpy()), left.device)
