"""New items beside published ones: time and memory of index and dedupe.

python -m bench.releases <published> <new> <K>            prints a line of JSON: both stages' work
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.child import child
from bench.contenders import peak_mib
from sid.dedupe.resolve import resolve
from sid.params import Dedupe
from sid.quantizers.base import Scaling
from sid.quantizers.residual import ResidualQuantizer
from sid.releases.beside import appended
from sid.releases.encode import encode_beside
from sid.releases.folder import Release

DIM, LEVELS = 64, 3
RUNS = [(1_000_000, 100_000, 256), (1_000_000, 100_000, 8192)]
WANTED = Dedupe(
    strategy="reassign",
    move="colliding",
    max_items_per_sid=1,
    keep="nearest",
    sk_epsilon=0.003,
    sk_iters=50,
    max_suffix=256,
)


def catalogue(items: int, new: int, size: int) -> tuple[np.ndarray, ResidualQuantizer, Release]:
    """Vectors around sums of codewords, used unevenly: of a release's items, all with different codes, then new ones.

    A fifth of the new items are near copies of published ones.
    """
    generator = np.random.default_rng(0)
    books = [(generator.standard_normal((size, DIM)) / 2**level).astype(np.float32) for level in range(LEVELS)]
    share = 1 / np.arange(1, size + 1) ** 0.3
    drawn = np.stack([generator.choice(size, 2 * (items + new), p=share / share.sum()) for _ in books], axis=1)
    first = np.unique(drawn, axis=0, return_index=True)[1]
    codes = drawn[np.sort(first)[:items]].astype(np.int32)
    assert len(codes) == items
    more = drawn[-new:].astype(np.int32)
    more[: new // 5] = codes[generator.choice(items, new // 5, replace=False)]
    vectors = 0.05 * generator.standard_normal((items + new, DIM), dtype=np.float32)
    for book, column in zip(books, np.concatenate([codes, more]).T, strict=True):
        vectors += book[column]
    ids = pl.Series("item_id", np.arange(items).astype(str))
    release = Release(
        Path("nowhere"), "day1", {}, ids, codes, codes, pl.Series("release", ["day1"] * items), (size,) * LEVELS
    )
    return vectors, ResidualQuantizer(tuple(books), Scaling.identity(DIM)), release


def both_stages(items: int, new: int, size: int) -> dict[str, Any]:
    """What index and dedupe do for new items beside published ones."""
    vectors, quantizer, release = catalogue(items, new, size)
    ids = pl.Series("item_id", np.arange(items + new).astype(str))
    before = peak_mib()
    began = time.perf_counter()
    raw, encoded = encode_beside(release, quantizer, vectors, ids)
    index = time.perf_counter() - began
    after, _ = resolve(raw, quantizer, vectors, WANTED, appended(release, ids, "keep"))
    return {
        "encoded": encoded,
        "index": index,
        "dedupe": time.perf_counter() - began - index,
        "moved": int((after[:items] != release.codes).any(axis=1).sum()),
        "colliding": len(after) - len(np.unique(after, axis=0)),
        "before_mib": before,
        "peak_mib": peak_mib(),
    }


def section() -> str:
    """All runs as Markdown."""
    lines = [
        f"## New items beside published ones, {DIM} dimensions, reassign\n",
        "| codebooks | published | new | encoded | index | dedupe | published items moved | colliding | peak memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for items, new, size in RUNS:
        found = child("bench.releases", str(items), str(new), str(size))
        lines.append(
            f"| {size} x {LEVELS} | {items:,} | {new:,} | {found['encoded']:,} | {found['index']:.1f} s "
            f"| {found['dedupe']:.1f} s | {found['moved']} | {found['colliding']} "
            f"| {found['peak_mib']:,.0f} MiB ({found['before_mib']:,.0f} MiB before) |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(json.dumps(both_stages(*map(int, sys.argv[1:4]))))
