"""RQ-VAE: an epoch beside the plain PyTorch loop that one would write, and what the default params reach in a time.

Then the same on changed catalogues, and RQ-KMeans+ beside its warm start. `python -m bench rqvae` runs it.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sid import params
from sid.measure import metrics
from sid.params import Quant
from sid.quantizers import methods, rqvae
from sid.quantizers.rqvae import RQVAEConfig
from sid.quantizers.training import loop as training

PARAMS = Path(__file__).parents[1] / "params.yaml"
SIZES = (256, 256, 256)
E_DIM = 32
REPEATS = 5
SECONDS = (15.0, 60.0)
SEEDS = (0, 1, 2)


def settings(seed: int = 0, **changes: Any) -> tuple[Quant, RQVAEConfig]:
    """The project's default params on codebooks of 256 x 3."""
    loaded = params.load(PARAMS, methods.CONFIGS)
    shared = {"method": "rqvae", "num_emb_list": SIZES, "e_dim": E_DIM, "seed": seed, "device": "cpu"}
    config = loaded.methods["rqvae"]
    assert isinstance(config, RQVAEConfig)
    return loaded.quant.model_copy(update=shared), config.model_copy(update=changes)


class Plain(nn.Module):
    """The same model as people write it: Sequential, Embedding, cdist."""

    def __init__(self, dim: int, layers: tuple[int, ...], beta: float) -> None:
        super().__init__()
        widths = [dim, *layers, E_DIM]
        self.encoder = self._mlp(widths)
        self.decoder = self._mlp(widths[::-1])
        self.books = nn.ModuleList(nn.Embedding(size, E_DIM) for size in SIZES)
        self.beta = beta

    @staticmethod
    def _mlp(widths: list[int]) -> nn.Sequential:
        parts: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            parts += [nn.Linear(a, b), nn.ReLU()]
        return nn.Sequential(*parts[:-1])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, D) -> its reconstruction and the quantization loss."""
        latents = self.encoder(x)
        residual, total, losses = latents, torch.zeros_like(latents), []
        for book in self.books:
            words = book(torch.cdist(residual.detach(), book.weight.detach()).argmin(dim=1))
            losses.append(
                nn.functional.mse_loss(words, residual.detach())
                + self.beta * nn.functional.mse_loss(residual, words.detach())
            )
            total = total + words
            residual = residual - words.detach()
        return self.decoder(latents + (total - latents).detach()), torch.stack(losses).mean()


def plain_epoch(model: Plain, loader: DataLoader[Any], learner: torch.optim.Optimizer, config: RQVAEConfig) -> float:
    """Seconds of one epoch."""
    started = time.perf_counter()
    for (rows,) in loader:
        learner.zero_grad()
        decoded, quant_loss = model(rows)
        loss = nn.functional.mse_loss(decoded, rows) + config.quant_loss_weight * quant_loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_grad_norm)
        learner.step()
        if not torch.isfinite(loss):
            raise ValueError("loss is not finite")
    return time.perf_counter() - started


def epoch_times(vectors: np.ndarray) -> tuple[list[float], list[float]]:
    """Seconds of an epoch with codebooks: ours and the plain loop's, in turn."""
    quant, config = settings(init_epoch=0, epochs=1000, eval_step=1000)
    task = rqvae.task(vectors, quant, config)
    loop = training.Loop(task)
    rows = torch.cat(list(task.rows.blocks()))
    loader = DataLoader(TensorDataset(rows), batch_size=config.batch_size, shuffle=True)
    plain = Plain(vectors.shape[1], config.layers, config.beta)
    learner = torch.optim.AdamW(plain.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    ours, theirs = [], []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        loop.epoch()
        ours.append(time.perf_counter() - started)
        theirs.append(plain_epoch(plain, loader, learner, config))
    return ours[1:], theirs[1:]  # the first of each warms up: k-means, caches, threads


def quality(vectors: np.ndarray, seed: int) -> list[tuple[str, Mapping[str, float | int]]]:
    """The last evaluation before each time, and the end's, in a run from the default params."""
    quant, config = settings(seed, eval_step=5)
    started = time.perf_counter()
    seen: list[tuple[float, dict[str, float | int]]] = []
    task = rqvae.task(vectors, quant, config)
    training.train(task, watch=lambda row: seen.append((time.perf_counter() - started, dict(row))))
    found = [(f"{limit:.0f} s", [row for at, row in seen if at <= limit]) for limit in SECONDS]
    table = [(name, rows[-1]) for name, rows in found if rows]
    return [*table, (f"end, {seen[-1][0]:.0f} s", seen[-1][1])]


def variants(vectors: np.ndarray) -> dict[str, np.ndarray]:
    """The vectors as they are, and changed in ways that must not make a training collapse, (N, D) float32 each."""
    generator = np.random.default_rng(0)
    changed = {"as they are": vectors, "x 0.01": vectors * 0.01, "x 100": vectors * 100, "+ 5": vectors + 5}
    for dim in (64, 1536):
        projection = generator.normal(size=(vectors.shape[1], dim)) / np.sqrt(dim)
        changed[f"projected to {dim}"] = vectors @ projection
    return {name: np.ascontiguousarray(rows, np.float32) for name, rows in changed.items()}


def robust_section(vectors: np.ndarray) -> str:
    """Markdown of what the default params end at on each variant: ranges over five seeds."""
    lines = [
        "| vectors | R2 | collisions | least perplexity of a level: at the end | at any evaluation |",
        "|---|---|---|---|---|",
    ]
    for name, rows in variants(vectors).items():
        r2, collisions, ends, least = [], [], [], []
        for seed in range(5):
            curve = training.train(rqvae.task(rows, *settings(seed))).curve
            even = [min(row[f"perplexity_{level}"] for level in (1, 2, 3)) for row in curve]
            r2.append(curve[-1]["r2"])
            collisions.append(100 * curve[-1]["collision_rate"])
            ends.append(even[-1])
            least.append(min(even))
        lines.append(
            f"| {name} | {min(r2):.3f} to {max(r2):.3f} | {min(collisions):.1f} to {max(collisions):.1f} % "
            f"| {min(ends):.0f} | {min(least):.0f} |"
        )
    return "\n".join(lines)


def speed_section(vectors: np.ndarray) -> str:
    """Markdown of `epoch_times`."""
    ours, theirs = (statistics.median(times) for times in epoch_times(vectors))
    return "\n".join(
        [
            "| loop | an epoch, median of 5 |",
            "|---|---|",
            f"| sid | {ours * 1000:.0f} ms |",
            f"| plain PyTorch over a DataLoader, same model and batch | {theirs * 1000:.0f} ms |",
            f"| ratio | {ours / theirs:.2f} |",
        ]
    )


def quality_section(vectors: np.ndarray) -> str:
    """Markdown of `quality` over the seeds."""
    lines = [
        "| seed | after | epoch | R2 | MSE | collisions | used | perplexity |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for seed in SEEDS:
        for name, row in quality(vectors, seed):
            used = " · ".join(f"{row[f'used_{level}']}" for level in (1, 2, 3))
            even = " · ".join(f"{row[f'perplexity_{level}']:.0f}" for level in (1, 2, 3))
            lines.append(
                f"| {seed} | {name} | {row['step']} | {row['r2']:.3f} | {row['mse']:.3g} "
                f"| {100 * row['collision_rate']:.1f} % | {used} | {even} |"
            )
    return "\n".join(lines)


def plus_section(vectors: np.ndarray) -> str:
    """Markdown of RQ-KMeans+ beside the RQ-KMeans that it starts from, default params, over the seeds."""
    loaded = params.load(PARAMS, methods.CONFIGS)
    shared = {"method": "rqkmeans_plus", "num_emb_list": SIZES, "e_dim": vectors.shape[1], "device": "cpu"}
    lines = [
        "| seed | MSE of the warm start | MSE | ratio | perplexity of the warm start | perplexity |",
        "|---|---|---|---|---|---|",
    ]
    for seed in SEEDS:
        quant = loaded.quant.model_copy(update={**shared, "seed": seed})
        start = methods.fit(vectors, replace(loaded, quant=quant.model_copy(update={"method": "rqkmeans"}))).quantizer
        fitted = methods.fit(vectors, replace(loaded, quant=quant))
        even = [
            " · ".join(f"{level['perplexity']:.0f}" for level in metrics.levels(q.encode(vectors), SIZES).values())
            for q in (start, fitted.quantizer)
        ]
        before, after = fitted.figures["warm_start_mse"], fitted.figures["mse"]
        lines.append(f"| {seed} | {before:.3e} | {after:.3e} | {after / before:.3f} | {even[0]} | {even[1]} |")
    return "\n".join(lines)


def sections(vectors: np.ndarray, robust: bool) -> str:
    """Markdown for bench/RESULTS.md.

    Args:
        vectors: (N, D) float32, a catalogue.
        robust: also train on the vectors scaled, shifted and projected, a quarter of an hour.
    """
    n, dim = vectors.shape
    parts = [
        f"## RQ-VAE, {n:,} x {dim}, codebooks 256 x 3, e_dim {E_DIM}, default params",
        speed_section(vectors),
        quality_section(vectors),
    ]
    if robust:
        parts += ["Changed catalogues, five seeds each (`python -m bench rqvae --robust`):", robust_section(vectors)]
    parts += [f"## RQ-KMeans+, the same catalogue, e_dim {dim}, default params", plus_section(vectors)]
    return "\n\n".join(parts) + "\n"
