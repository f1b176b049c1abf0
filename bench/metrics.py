"""The figures of codes and of vectors, each run in a process of its own: time, memory and how they grow.

python -m bench.metrics <what> <rows>     prints a line of JSON
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.contenders import mixture, peak_mib
from sid import metrics, neighbours, quality
from sid.equality import first_equal

ROOT = Path(__file__).parents[1]
K, LEVELS, DIM = 256, 3, 64
CODES, VECTORS = "all figures of the codes", "neighbours and purity"
RUNS = [
    *((CODES, rows) for rows in (10_000, 100_000, 1_000_000, 10_000_000)),
    *(("groups of equal vectors, half the rows in pairs", rows) for rows in (10_000, 100_000, 1_000_000)),
    *((VECTORS, rows) for rows in (10_000, 100_000, 1_000_000)),
    *(("recall", rows) for rows in (10_000, 100_000, 1_000_000)),
]


def raw_codes(rows: int) -> np.ndarray:
    """(rows, LEVELS) unevenly used codes."""
    share = 1 / np.arange(1, K + 1) ** 0.5
    generator = np.random.default_rng(0)
    return np.stack([generator.choice(K, size=rows, p=share / share.sum()) for _ in range(LEVELS)], 1).astype(np.int32)


def job(what: str, rows: int) -> Callable[[], object]:
    """The work to be timed, its data made."""
    codes = raw_codes(rows)
    if what == CODES:

        def of_codes() -> None:
            prefixes = metrics.prefix_ids(codes)
            metrics.collisions(prefixes[-1], np.ones(rows, np.int64))
            metrics.group_sizes(prefixes[-1])
            metrics.levels(codes, (K,) * LEVELS, prefixes)

        return of_codes
    vectors = mixture(rows, DIM)
    if what.startswith("groups"):
        half = rows // 4
        vectors[half : 2 * half] = vectors[:half]
        ids = np.unique(first_equal(vectors, np.arange(rows)), return_inverse=True)[1]
        return lambda: quality.collisions(ids, vectors)
    if what == VECTORS:
        prefixes = metrics.prefix_ids(codes)
        return lambda: quality.levels(codes, (K,) * LEVELS, prefixes, neighbours.search(vectors))
    generator = np.random.default_rng(0)
    books = [(generator.standard_normal((K, DIM)) / 2**level).astype(np.float32) for level in range(LEVELS)]
    near = neighbours.search(vectors)
    ids = metrics.prefix_ids(codes)[-1]

    def decode(some: np.ndarray) -> np.ndarray:
        return sum(book[some[:, level]] for level, book in enumerate(books))  # type: ignore[return-value]

    return lambda: neighbours.recall(near, codes, ids, decode)


def measure(what: str, rows: int) -> dict[str, Any]:
    """One run."""
    work = job(what, rows)
    began = time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - began, "peak_mib": peak_mib()}


def section() -> str:
    """Markdown of all runs."""
    lines = [
        f"## Metrics, {LEVELS} levels of {K} codes, vectors of {DIM} dimensions, up to "
        f"{neighbours.ALL_QUERIES:,} items all as queries, beyond {neighbours.SOME_QUERIES:,}\n",
        "| | items | time | an item | peak memory, data included |",
        "|---|---|---|---|---|",
    ]
    for what, rows in RUNS:
        command = [sys.executable, "-m", "bench.metrics", what, str(rows)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        lines.append(
            f"| {what} | {rows:,} | {found['seconds']:.2f} s | {1e6 * found['seconds'] / rows:.2f} us "
            f"| {found['peak_mib']:,.0f} MiB |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
