"""Run the suites, each contender in a process of its own, and write bench/RESULTS.md.

python -m bench [kmeans] [large] [encode] [balanced] [balanced-large] [memory] [share] [rqvae] [dedupe] [metrics]
                [export] [fair] [tzrec]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from bench.child import ROOT, child
from bench.contenders import mixture

CATALOGUE = ROOT.parent / "shared" / "data" / "industrial" / "embeddings.npy"

TABLES = ("fair", "dedupe", "releases", "metrics", "export")  # modules with a `section`
SUITES = ("kmeans", "large", "encode", "balanced", "balanced-large", "memory", "share", "rqvae", *TABLES, "tzrec")
Contender = tuple[str, str, dict[str, Any], int]  # what to call it, its name, changes to the job, runs


def suites(data: Path | None) -> dict[str, tuple[str, dict[str, Any], list[Contender]]]:
    """Title, job and contenders of each suite; ratios are to the first contender."""
    catalogue = {"data": str(data)} if data else {"rows": 3686, "dim": 384}
    three = {**catalogue, "k": 256, "levels": 3, "iterations": 25}
    large = {"rows": 200_000, "dim": 128, "k": 1024, "iterations": 10, "tol": 0.0}
    return {
        "kmeans": (
            f"Residual k-means, {data.name if data else 'mixture of 3,686 x 384'}, K = 256, 3 levels, 25 iterations",
            three,
            [
                ("sid kmeans", "sid kmeans", {}, 5),
                ("faiss.Kmeans", "faiss.Kmeans", {}, 5),
                ("scikit-learn KMeans", "scikit-learn KMeans", {}, 5),
            ],
        ),
        "large": (
            "k-means, mixture of 200,000 x 128, K = 1,024, all rows, 10 iterations",
            large,
            [("sid kmeans", "sid kmeans", {}, 5), ("faiss.Kmeans", "faiss.Kmeans", {}, 5)],
        ),
        "encode": (
            "Encoding, mixture of 200,000 x 128, K = 1,024",
            large,
            [("sid nearest", "sid nearest", {}, 5), ("faiss IndexFlatL2.search(k=1)", "faiss IndexFlatL2", {}, 5)],
        ),
        "balanced": (
            "Balanced residual k-means, the same catalogue, K = 256, 3 levels, sizes N // K - 1 to N // K + 1",
            three,
            [
                ("sid balanced_kmeans", "sid balanced_kmeans", {}, 5),
                ("KMeansConstrained, n_init=1", "KMeansConstrained", {"n_init": 1}, 3),
                ("KMeansConstrained, n_init=3 (MiniOneRec)", "KMeansConstrained", {"n_init": 3}, 1),
            ],
        ),
        "balanced-large": (
            "Balanced k-means at scale, mixture, K = 256",
            {"k": 256, "iterations": 25},
            [
                ("sid, 100,000 x 64", "sid balanced_kmeans", {"rows": 100_000, "dim": 64}, 3),
                ("sid, 100,000 x 128", "sid balanced_kmeans", {"rows": 100_000, "dim": 128}, 3),
                ("sid, 1,000,000 x 64", "sid balanced_kmeans", {"rows": 1_000_000, "dim": 64}, 1),
            ],
        ),
        "memory": (
            "k-means, mixture of 1,000,000 x 128 (488 MiB), K = 256, 5 iterations",
            {"rows": 1_000_000, "dim": 128, "k": 256, "iterations": 5},
            [("sid kmeans", "sid kmeans", {}, 1), ("faiss.Kmeans", "faiss.Kmeans", {}, 1)],
        ),
    }


def measure(contender: str, job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One run in a process of its own, on the job's catalogue or on a mixture that stays in the folder."""
    if "data" not in job:
        path = folder / f"{job['rows']}x{job['dim']}.npy"
        if not path.exists():
            np.save(path, mixture(job["rows"], job["dim"]))
        job = {**job, "data": str(path)}
    return child("bench.contenders", contender, json.dumps(job))


def table(title: str, job: dict[str, Any], contenders: list[Contender]) -> str:
    """A suite as Markdown: medians over runs that take turns, and ratios to the first contender."""
    runs: list[list[dict[str, Any]]] = [[] for _ in contenders]
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(max(count for *_, count in contenders)):
            for place, (_, name, change, count) in enumerate(contenders):
                if turn < count:
                    runs[place].append(measure(name, {**job, **change}, Path(folder)))
    lines = [
        f"## {title}\n",
        "| | runs | time | time / ours | MSE after each level | MSE / ours | sizes | time an item | peak memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    first: tuple[float, float] | None = None
    for (label, *_), found in zip(contenders, runs, strict=True):
        seconds = statistics.median(run["seconds"] for run in found)
        mse = [statistics.median(level) for level in zip(*(run["mse"] for run in found), strict=True)]
        first = first or (seconds, mse[-1])
        sizes = " · ".join(f"{low}..{high}" for low, high in found[-1]["sizes"])
        peak = statistics.median(run["peak_mib"] for run in found)
        errors = " · ".join(f"{value:.3e}" for value in mse)
        ratio, worse = seconds / first[0], mse[-1] / first[1]
        lines.append(
            f"| {label} | {len(found)} | {seconds:.2f} s | {ratio:.2f} | {errors} | {worse:.3f} | {sizes} "
            f"| {1e6 * seconds / found[-1]['rows']:.1f} us | {peak:,.0f} MiB |"
        )
    return "\n".join(lines) + "\n"


def assignment_share() -> str:
    """How much of the machine's matrix speed a pass of `nearest` reaches, against torch's own matrix product."""
    import time

    import torch

    from sid.clustering.kmeans import nearest

    def rate(work: Any, flops: float) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        return flops / statistics.median(times) / 1e9

    rows, table_ = torch.randn(100_000, 128), torch.randn(1024, 128)
    flops = 2.0 * 100_000 * 1024 * 128
    part, out = rows[:4096], torch.empty(4096, 1024)
    gemm = rate(lambda: [torch.mm(part, table_.t(), out=out) for _ in range(24)], flops * 24 * 4096 / 100_000)
    ours = rate(lambda: nearest(rows, table_), flops)
    return (
        f"## Share of the machine's matrix speed\n\n`nearest` on 100,000 x 128, K = 1,024: {ours:.0f} GFLOP/s, "
        f"{ours / gemm:.0%} of torch.mm's {gemm:.0f} GFLOP/s on the same shapes.\n"
    )


def machine() -> str:
    """The machine and the versions, for the head of the results."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        name = models[0] if models else name
    packages = ("torch", "faiss-cpu", "scikit-learn", "k-means-constrained", "numpy")
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in packages)
    return f"{name}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}."


def main() -> None:
    """Run the suites that are asked for, print them, and write all of them to RESULTS.md."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("suite", nargs="*", help=", ".join(SUITES))
    parser.add_argument(
        "--data", type=Path, default=CATALOGUE if CATALOGUE.exists() else None, help="a catalogue, .npy"
    )
    parser.add_argument("--robust", action="store_true", help="rqvae also on changed catalogues, a quarter of an hour")
    parser.add_argument("--tzrec", type=Path, help="tzrec/utils/sid/collision.py of a checkout of TorchEasyRec")
    wanted = parser.parse_args()
    if unknown := sorted(set(wanted.suite) - set(SUITES)):
        parser.error(f"no suite {', '.join(unknown)}; there are {', '.join(SUITES)}")
    parts = [
        "# Measured beside others\n",
        "Medians of runs that take turns; all on two threads or as many as there are cores.\n",
    ]
    parts.append(machine() + "\n")
    found = suites(wanted.data)
    for name, suite in found.items():
        if not wanted.suite or name in wanted.suite:
            parts.append(table(*suite))
            print(parts[-1], flush=True)
    if not wanted.suite or "share" in wanted.suite:
        parts.append(assignment_share())
        print(parts[-1], flush=True)
    if not wanted.suite or "rqvae" in wanted.suite:
        from bench import rqvae

        rows = np.load(wanted.data) if wanted.data else mixture(3686, 384)
        parts.append(rqvae.sections(rows, wanted.robust))
        print(parts[-1], flush=True)
    for name in TABLES:
        if not wanted.suite or name in wanted.suite:
            parts.append(importlib.import_module(f"bench.{name}").section())
            print(parts[-1], flush=True)
    if not wanted.suite or "tzrec" in wanted.suite:
        from bench import tzrec

        parts.append(tzrec.section(wanted.tzrec))
        print(parts[-1], flush=True)
    if not wanted.suite:
        (ROOT / "bench" / "RESULTS.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
