"""ResidualQuantizer: codebooks in the (centred, scaled) input space. RQ-KMeans and its constrained form end here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from sid.arrays import Codes, Vectors, check_codes, row_chunks
from sid.clustering.distances import nearest
from sid.clustering.kmeans import Clustering
from sid.errors import InputError
from sid.files import round6
from sid.params import MethodConfig, Quant
from sid.quantizers import model_file
from sid.quantizers.base import Fit, Scaling

KIND = "residual"


class Engine(Protocol):
    """Clusters the rows of one level; `kmeans` and `balanced_kmeans` with their options filled in are engines."""

    def __call__(
        self, vectors: Tensor, k: int, /, *, seed: int, on_iteration: Callable[[int, float], None]
    ) -> Clustering:
        """(N, D) float32 -> K centroids and N labels."""
        ...


def quantize(residual: Tensor, codebooks: Sequence[Tensor]) -> Tensor:
    """Code (n, e_dim) rows level by level, each level what the ones before it left.

    Args:
        residual: (n, e_dim) float32; overwritten with what the last level leaves.
        codebooks: L tensors (K, e_dim) float32 on the same device.

    Returns:
        (n, L) int64; a row's codes depend on that row alone.
    """
    codes = []
    for codebook in codebooks:
        labels = nearest(residual, codebook)
        residual -= codebook[labels]
        codes.append(labels)
    return torch.stack(codes, dim=1)


def sum_codewords(codes: Codes, codebooks: Sequence[Vectors]) -> Vectors:
    """(n, L) codes -> (n, e_dim) float32: the sum of their codewords, first level first."""
    total = codebooks[0][codes[:, 0]].astype(np.float32, copy=True)
    for level in range(1, len(codebooks)):
        total += codebooks[level][codes[:, level]]
    return total


def next_costs(latents: Vectors, codebooks: Sequence[Vectors], prefix: Codes) -> NDArray[np.float64]:
    """`Quantizer.costs` of latents (n, e_dim), in float64."""
    left = latents.astype(np.float64)
    for level in range(prefix.shape[1]):
        left -= codebooks[level][prefix[:, level]]
    book = codebooks[prefix.shape[1]].astype(np.float64)
    squared = left @ book.T
    squared *= -2
    squared += (left**2).sum(axis=1)[:, None]
    squared += (book**2).sum(axis=1)
    return np.asarray(np.maximum(squared, 0, out=squared))


def check_dim(vectors: Vectors, dim: int) -> None:
    """Raise InputError unless the vectors are (N, dim) float32."""
    if vectors.ndim != 2 or vectors.shape[1] != dim or vectors.dtype != np.float32:
        raise InputError(f"vectors have shape {vectors.shape} and dtype {vectors.dtype}, must be (N, {dim}) float32")


@dataclass(frozen=True)
class ResidualQuantizer:
    """Residual quantization by nearest codeword, level after level.

    Attributes:
        codebooks: L arrays (K, D) float32 in the space of `scaling`; K may differ.
        scaling: what is done to a row before the first level.
        method: the name of the method that fitted it.
        device: where `encode` works, e.g. 'cpu' or 'cuda'.
        info: the config and figures of the fit, as plain values; saved with it, of no effect.
    """

    codebooks: tuple[Vectors, ...]
    scaling: Scaling
    method: str = "rqkmeans"
    device: str = "cpu"
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the codebooks against each other; InputError where they don't fit."""
        if not self.codebooks:
            raise InputError("a residual quantizer needs at least one codebook")
        for level, codebook in enumerate(self.codebooks):
            if codebook.ndim != 2 or codebook.shape[1] != self.dim or codebook.dtype != np.float32:
                raise InputError(
                    f"codebook {level} has shape {codebook.shape} and dtype {codebook.dtype}, "
                    f"must be (K, {self.dim}) float32"
                )
            if not np.isfinite(codebook).all():
                raise InputError(f"codebook {level} holds NaN or Inf, must be finite")

    @property
    def dim(self) -> int:
        """D, the dimension of the vectors it takes."""
        return len(self.scaling.mean)

    @property
    def code_sizes(self) -> tuple[int, ...]:
        """Codes there are at each level, read off the codebooks."""
        return tuple(len(codebook) for codebook in self.codebooks)

    def latents(self, vectors: Vectors) -> Vectors:
        """(N, D) -> (N, D) float32: the centred and scaled rows."""
        check_dim(vectors, self.dim)
        return self.scaling.apply(vectors)

    def costs(self, vectors: Vectors, prefix: Codes) -> NDArray[np.float64]:
        """(n, D), (n, l) -> (n, K_l) float64: what each code of the next level costs, see `Quantizer`."""
        return next_costs(self.latents(vectors), self.codebooks, prefix)

    def encode(self, vectors: Vectors) -> Codes:
        """(N, D) -> (N, L) int32, nearest code by level; a row's codes never depend on the other rows."""
        check_dim(vectors, self.dim)
        books = [torch.from_numpy(book).to(self.device) for book in self.codebooks]
        codes = np.empty((len(vectors), len(books)), np.int32)
        for part in row_chunks(len(vectors)):
            rows = torch.from_numpy(self.scaling.apply(vectors[part])).to(self.device)
            codes[part] = quantize(rows, books).cpu().numpy()
        return codes

    def decode(self, codes: Codes) -> Vectors:
        """(N, L) -> (N, D) float32, in the input space."""
        codes = check_codes(codes, self.code_sizes, "codes")
        return self.scaling.undo(sum_codewords(codes, self.codebooks))

    def save(self, path: str | Path) -> None:
        """Write one .pth, which `sid.quantizers.methods.load` reads."""
        state = {
            "method": self.method,
            "codebooks": [torch.from_numpy(book) for book in self.codebooks],
            "mean": torch.from_numpy(self.scaling.mean),
            "scale": self.scaling.scale,
            "info": dict(self.info),
        }
        model_file.write(path, KIND, state)

    @classmethod
    def from_state(cls, state: Mapping[str, Any], device: str) -> ResidualQuantizer:
        """The quantizer that `save` wrote, to work on `device`."""
        return cls(
            tuple(book.numpy() for book in state["codebooks"]),
            Scaling(state["mean"].numpy(), float(state["scale"])),
            str(state["method"]),
            device,
            state["info"],
        )


def fit_levels(
    vectors: Vectors, quant: Quant, config: MethodConfig, engine: Engine, figures: Mapping[str, Any] | None = None
) -> Fit:
    """Fit one codebook a level on what the levels before it leave of the rows.

    Args:
        vectors: (N, D) float32, finite.
        quant: num_emb_list, seed and device ('cpu' or 'cuda') are used.
        config: the method's section, kept in the checkpoint.
        engine: clusters the rows of a level.
        figures: what the report says beside `iterations` (of all levels together) and the last `mse`.

    Returns:
        A ResidualQuantizer; a curve with a row per level and iteration: level, iteration, and the mse in the
        input space after the levels so far.
    """
    scaling = Scaling.of(vectors)
    residual = torch.from_numpy(scaling.apply(vectors)).to(quant.device)
    per_coordinate = scaling.scale**2 / vectors.size
    books: list[Vectors] = []
    curve: list[dict[str, float | int]] = []
    for level, size in enumerate(quant.num_emb_list):
        with tqdm(desc=f"{quant.method} level {level + 1}", unit="it", disable=None) as bar:

            def show(_iteration: int, inertia: float, bar: tqdm = bar) -> None:  # type: ignore[type-arg]
                bar.set_postfix_str(f"mse {inertia * per_coordinate:.4g}", refresh=False)
                bar.update()

            found = engine(residual, size, seed=quant.seed + level, on_iteration=show)
        residual -= found.centroids[found.labels]
        books.append(found.centroids.cpu().numpy())
        for iteration, inertia in enumerate(found.inertia, 1):
            mse = inertia * per_coordinate
            curve.append({"step": len(curve) + 1, "level": level + 1, "iteration": iteration, "mse": mse})
    found_figures = {**(figures or {}), "iterations": len(curve), "mse": round6(curve[-1]["mse"])}
    info = {"config": {**quant.model_dump(mode="json"), **config.model_dump(mode="json")}, "figures": found_figures}
    return Fit(ResidualQuantizer(tuple(books), scaling, quant.method, quant.device, info), curve, found_figures)
