"""The figures of codes and of vectors, each run in a process of its own: time, memory and how they grow.

python -m bench.metrics <what> <rows>     prints a line of JSON
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from bench.child import ROOT, child
from bench.contenders import mixture, peak_mib
from sid import params
from sid.align.figures import UNKNOWN
from sid.catalogue.duplicates import first_equal
from sid.dedupe.figures import figures as account
from sid.ids import SemanticIds
from sid.measure import metrics, neighbours, quality
from sid.quantizers import methods
from sid.quantizers.base import Scaling
from sid.quantizers.residual import ResidualQuantizer
from sid.report import figures, page
from sid.report.about import About

K, LEVELS, DIM = 256, 3, 64
CODES, VECTORS, PAGE = "all figures of the codes", "neighbours and purity", "the page, neighbours known"
RUNS = [
    *((CODES, rows) for rows in (10_000, 100_000, 1_000_000, 10_000_000)),
    *(("groups of equal vectors, half the rows in pairs", rows) for rows in (10_000, 100_000, 1_000_000)),
    *((VECTORS, rows) for rows in (10_000, 100_000, 1_000_000)),
    *(("recall", rows) for rows in (10_000, 100_000, 1_000_000)),
    *((PAGE, rows) for rows in (10_000, 100_000, 1_000_000)),
]


def raw_codes(rows: int) -> np.ndarray:
    """(rows, LEVELS) unevenly used codes."""
    share = 1 / np.arange(1, K + 1) ** 0.5
    generator = np.random.default_rng(0)
    return np.stack([generator.choice(K, size=rows, p=share / share.sum()) for _ in range(LEVELS)], 1).astype(np.int32)


def titles(rows: int) -> pl.Series:
    """Titles of 5 to 20 words, some of them in Chinese."""
    generator = np.random.default_rng(0)
    words = ["".join(letters) for letters in generator.choice(list("abcdefghijklmnop"), (20_000, 6))]
    words[:4000] = ["".join(letters) for letters in generator.choice(list("电动螺丝刀套装灯泡水管钳子"), (4000, 3))]
    lengths = generator.integers(5, 21, rows)
    chosen = iter(np.minimum(generator.zipf(1.3, int(lengths.sum())), 20_000) - 1)
    return pl.Series([" ".join(words[next(chosen)] for _ in range(length)) for length in lengths])


def page_job(vectors: np.ndarray, codes: np.ndarray) -> Callable[[], object]:
    """Makes reports/report.html of codes that nothing was done to; says its size in MB."""
    rows = len(codes)
    sizes = (K,) * LEVELS
    wanted = params.load(ROOT / "params.yaml", methods.CONFIGS).dedupe.model_copy(update={"strategy": "none"})
    sids = SemanticIds(pl.Series([f"item{row}" for row in range(rows)]), codes, sizes)
    model = ResidualQuantizer(books(), Scaling.identity(DIM))
    found, near, original = figures.measure(model, vectors, codes, sids, np.ones(rows, np.int64))
    reports = {
        "report": found,
        "prepare": {},
        "align": {**UNKNOWN, "method": "none", "applied": "none", "items": rows, "dim": DIM, "warnings": []},
        "dedupe": account(codes, codes, sizes, wanted),
        "index": {"assignment": "nearest"},
        "evaluate": {"method": "none", "reason": "there are no interactions"},
        "train": {"method": "rqkmeans", "num_emb_list": [K] * LEVELS},
        "drift": {"release": None},
        "churn": {"release": None},
    }
    about = About.of(params.load(ROOT / "params.yaml", methods.CONFIGS))
    items, curve = pl.DataFrame({"title": titles(rows)}), pl.DataFrame({"step": [1, 2], "mse": [0.2, 0.1]})
    return lambda: {"MB": len(page.page(sids, codes, items, (original, near), reports, curve, about).encode()) / 1e6}


def books() -> tuple[np.ndarray, ...]:
    """Codebooks (K, DIM) of LEVELS levels."""
    generator = np.random.default_rng(0)
    return tuple((generator.standard_normal((K, DIM)) / 2**level).astype(np.float32) for level in range(LEVELS))


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
    if what == PAGE:
        return page_job(vectors, codes)
    if what == VECTORS:
        prefixes = metrics.prefix_ids(codes)
        return lambda: quality.levels(codes, (K,) * LEVELS, prefixes, neighbours.search(vectors))
    near = neighbours.search(vectors)
    ids = metrics.prefix_ids(codes)[-1]
    chosen = books()

    def decode(some: np.ndarray) -> np.ndarray:
        return sum(book[some[:, level]] for level, book in enumerate(chosen))  # type: ignore[return-value]

    return lambda: neighbours.recall(near, codes, ids, decode)


def measure(what: str, rows: int) -> dict[str, Any]:
    """One run."""
    work = job(what, rows)
    began = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak_mib": peak_mib(), **(found if what == PAGE and isinstance(found, dict) else {})}


def section() -> str:
    """Markdown of all runs."""
    lines = [
        f"## Metrics, {LEVELS} levels of {K} codes, vectors of {DIM} dimensions, up to "
        f"{neighbours.ALL_QUERIES:,} items all as queries, beyond {neighbours.SOME_QUERIES:,}\n",
        "| | items | time | an item | peak memory, data included |",
        "|---|---|---|---|---|",
    ]
    for what, rows in RUNS:
        found = child("bench.metrics", what, str(rows))
        size = f", {found['MB']:.1f} MB" if "MB" in found else ""
        lines.append(
            f"| {what}{size} | {rows:,} | {found['seconds']:.2f} s | {1e6 * found['seconds'] / rows:.2f} us "
            f"| {found['peak_mib']:,.0f} MiB |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
