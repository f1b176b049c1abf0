"""Plain codebooks and what their codes cost, worked out as plainly as can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sid.arrays import Codes, Vectors
from sid.quantizers.residual import sum_codewords


@dataclass(frozen=True)
class Books:
    """The `Costs` of latents (N, e_dim) at codebooks (K, e_dim), one a level."""

    latents: Vectors
    codebooks: list[Vectors]

    @property
    def code_sizes(self) -> tuple[int, ...]:
        return tuple(len(book) for book in self.codebooks)

    def __call__(self, rows: np.ndarray, prefix: Codes) -> np.ndarray:
        left = self.latents[rows].astype(np.float64)
        for level in range(prefix.shape[1]):
            left = left - self.codebooks[level].astype(np.float64)[prefix[:, level]]
        return ((left[:, None] - self.codebooks[prefix.shape[1]].astype(np.float64)[None]) ** 2).sum(axis=2)


def books(sizes: tuple[int, ...], dim: int = 3, seed: int = 0) -> list[Vectors]:
    generator = np.random.default_rng(seed)
    return [(generator.normal(size=(size, dim)) / 4**level).astype(np.float32) for level, size in enumerate(sizes)]


def encode(latents: Vectors, codebooks: list[Vectors]) -> Codes:
    residual, codes = latents.astype(np.float64), []
    for book in codebooks:
        labels = ((residual[:, None] - book[None]) ** 2).sum(axis=2).argmin(axis=1)
        residual = residual - book[labels]
        codes.append(labels)
    return np.stack(codes, axis=1).astype(np.int32)


def normal(rows: int, dim: int = 3, seed: int = 1, scale: float = 1.0) -> Vectors:
    return (np.random.default_rng(seed).normal(size=(rows, dim)) * scale).astype(np.float32)


def unique(codes: Codes) -> int:
    return len(np.unique(codes, axis=0))


def group_sizes(codes: Codes) -> np.ndarray:
    _, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    return counts[inverse.reshape(-1)]


def distances(latents: Vectors, codes: Codes, codebooks: list[Vectors]) -> np.ndarray:
    """(N, K) costs of the last level's codes."""
    return Books(latents, codebooks)(np.arange(len(codes)), codes[:, :-1])


def error(latents: Vectors, codes: Codes, codebooks: list[Vectors]) -> float:
    return float(((latents.astype(np.float64) - sum_codewords(codes, codebooks)) ** 2).sum())
