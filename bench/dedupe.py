"""Dedupe of synthetic catalogues, each in a process of its own: time, what was moved, memory and how they grow.

python -m bench.dedupe <strategy> <rows> <equal rows> <items for a Semantic ID>     prints a line of JSON
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

from bench.child import child
from bench.contenders import peak_mib
from sid.arrays import chunks
from sid.dedupe.groups import in_groups_above
from sid.dedupe.resolve import resolve
from sid.params import Dedupe
from sid.quantizers.base import Scaling
from sid.quantizers.residual import ResidualQuantizer

K, DIM, LEVELS = 256, 64, 3
RUNS = [
    ("reassign", 10_000, 0, 1),
    ("reassign", 100_000, 0, 1),
    ("reassign", 1_000_000, 0, 1),
    ("reassign", 1_000_000, 100_000, 1),
    ("reassign", 200_000, 40_000, 200),
    ("sinkhorn", 10_000, 0, 1),
]


def catalogue(rows: int, equal: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Latents, nearest codes and codebooks: uneven use of 256 x 256 x 256 codes, and 20 % of the items in collision.

    A tenth of the items are near copies of another tenth; `equal` rows are all zero, as embeddings that are missing.
    """
    generator = np.random.default_rng(0)
    books = [(generator.standard_normal((K, DIM)) / 2**level).astype(np.float32) for level in range(LEVELS)]
    share = 1 / np.arange(1, K + 1) ** 0.3
    drawn = [generator.choice(K, size=rows, p=share / share.sum()) for _ in books]
    original = generator.permutation(rows)[: rows // 5].reshape(2, -1)
    for column in drawn:
        column[original[0]] = column[original[1]]
    latents = np.zeros((rows, DIM), np.float32)
    for book, column in zip(books, drawn, strict=True):
        latents += book[column]
    latents += 0.05 * generator.standard_normal(latents.shape, dtype=np.float32)
    latents[generator.permutation(rows)[:equal]] = 0
    codes = np.empty((rows, LEVELS), np.int32)
    for part in chunks(rows, 8 * K):
        left = latents[part].copy()
        for level, book in enumerate(books):
            codes[part, level] = ((book**2).sum(axis=1) - 2 * left @ book.T).argmin(axis=1)
            left -= book[codes[part, level]]
    return latents, codes, books


def measure(strategy: str, rows: int, equal: int, limit: int) -> dict[str, Any]:
    """One strategy on one catalogue, with up to `limit` items for a Semantic ID."""
    latents, codes, books = catalogue(rows, equal)
    quantizer = ResidualQuantizer(tuple(books), Scaling.identity(DIM))
    wanted = Dedupe(
        strategy=strategy,  # type: ignore[arg-type]
        move="colliding",
        max_items_per_sid=limit,
        keep="nearest",
        sk_epsilon=0.003,
        sk_iters=50,
        max_suffix=256,
    )
    before = peak_mib()
    began = time.perf_counter()
    after, _ = resolve(codes, quantizer, latents, wanted)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "colliding": float(in_groups_above(codes, limit).mean()),
        "left": int(in_groups_above(after, limit).sum()),
        "moved": float((after != codes).any(axis=1).mean()),
        "before_mib": before,
        "peak_mib": peak_mib(),
    }


def section() -> str:
    """All runs as Markdown."""
    lines = [
        f"## Dedupe, codebooks {K} x {LEVELS}, {DIM} dimensions, a fifth of the items in collision\n",
        "| strategy | items a SID | items | of them equal | colliding before | after | moved | time | per item "
        "| peak memory |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for strategy, rows, equal, limit in RUNS:
        found = child("bench.dedupe", strategy, str(rows), str(equal), str(limit))
        lines.append(
            f"| {strategy} | {limit} | {rows:,} | {equal:,} | {found['colliding']:.1%} | {found['left']:,} items "
            f"| {found['moved']:.1%} | {found['seconds']:.2f} s | {1e6 * found['seconds'] / rows:.0f} us "
            f"| {found['peak_mib']:,.0f} MiB ({found['before_mib']:,.0f} MiB before) |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], *map(int, sys.argv[2:]))))
