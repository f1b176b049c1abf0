"""k-means beside faiss's on equal terms: the same threads, which wait alike, and a BLAS that knows the processor.

python -m bench.fair ours|faiss <K> <threads>     prints a line of JSON

Two things would slow faiss: its threads spin where ours are told to sleep (GOMP_SPINCOUNT), and the OpenBLAS in its
wheels is older than many processors, for which it takes its slowest kernels. So it is told the kernels that NumPy's
OpenBLAS takes here (OPENBLAS_CORETYPE).
"""

from __future__ import annotations

import ctypes
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.child import child
from bench.contenders import mixture

ROWS, DIM, ITERATIONS, TURNS = 200_000, 64, 5, 3
SIZES, THREADS = (256, 1024, 8192), (1, 2)


def kernels() -> str | None:
    """The name of the kernels that NumPy's OpenBLAS takes on this processor, None where NumPy has another BLAS."""
    for library in (Path(np.__file__).parents[1] / "numpy.libs").glob("*openblas*"):
        for name in ("scipy_openblas_get_corename64_", "openblas_get_corename64_", "openblas_get_corename"):
            if found := getattr(ctypes.CDLL(str(library)), name, None):
                found.restype = ctypes.c_char_p
                return str(found().decode())
    return None


def ours(rows: np.ndarray, k: int) -> tuple[list[float], list[float], float]:
    """Seconds until each iteration is done, MSE after it, and seconds in all, labels of all rows included."""
    import torch

    from sid.clustering.kmeans import kmeans

    stamps: list[tuple[float, float]] = []
    vectors = torch.from_numpy(rows)
    kmeans(vectors[: 4 * k], k, max_iters=1)  # imports and threads are not what is measured
    began = time.perf_counter()
    kmeans(vectors, k, max_iters=ITERATIONS, tol=0, on_iteration=lambda _, v: stamps.append((time.perf_counter(), v)))
    done = time.perf_counter() - began
    return [stamp - began for stamp, _ in stamps], [inertia / rows.size for _, inertia in stamps], done


def theirs(rows: np.ndarray, k: int) -> tuple[list[float], list[float], float]:
    """The same of faiss.Kmeans, which gives no labels; it tells the MSE before an iteration's update."""
    import faiss

    faiss.Kmeans(DIM, k, niter=1, max_points_per_centroid=ROWS).train(rows[: 4 * k])
    kmeans = faiss.Kmeans(DIM, k, niter=ITERATIONS, seed=1, max_points_per_centroid=ROWS)
    began = time.perf_counter()
    kmeans.train(rows)
    done = time.perf_counter() - began
    after = [stats["obj"] / rows.size for stats in kmeans.iteration_stats[1:]]
    last = float(kmeans.index.search(rows, 1)[0].sum(dtype=np.float64)) / rows.size
    return [stats["time"] for stats in kmeans.iteration_stats], [*after, last], done


def run(name: str, k: int, threads: int) -> dict[str, Any]:
    """One contender in a process of its own."""
    env = {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "20000"}
    if (core := kernels()) is not None:
        env["OPENBLAS_CORETYPE"] = core
    return child("bench.fair", name, str(k), str(threads), env=env)


def reached(seconds: list[float], mse: list[float], wanted: float) -> float | None:
    """When an MSE was reached, None if never."""
    return next((second for second, value in zip(seconds, mse, strict=True) if value <= wanted), None)


def section() -> str:
    """All runs as Markdown."""
    lines = [
        f"## k-means on equal terms: mixture of {ROWS:,} x {DIM}, {ITERATIONS} iterations\n",
        f"Medians of {TURNS} turns. GOMP_SPINCOUNT is 20000 for both, OPENBLAS_CORETYPE is {kernels()}.\n",
        "| K | threads | | an iteration | / faiss | in all | / faiss | MSE / faiss | to faiss's MSE | / faiss "
        "| to our MSE |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for k in SIZES:
        for threads in THREADS:
            runs = {name: [] for name in ("ours", "faiss")}  # type: dict[str, list[dict[str, Any]]]
            for _ in range(TURNS):
                for name, found in runs.items():
                    found.append(run(name, k, threads))
            seconds = {
                name: [statistics.median(times) for times in zip(*(one["seconds"] for one in found), strict=True)]
                for name, found in runs.items()
            }
            whole = {name: statistics.median(one["done"] for one in found) for name, found in runs.items()}
            mse = {name: found[0]["mse"] for name, found in runs.items()}
            step = {name: statistics.median(np.diff(found).tolist()) for name, found in seconds.items()}
            for name in runs:
                to_faiss = reached(seconds[name], mse[name], mse["faiss"][-1])
                to_ours = reached(seconds[name], mse[name], mse["ours"][-1])
                share = "-" if to_faiss is None else f"{to_faiss / seconds['faiss'][-1]:.2f}"
                lines.append(
                    f"| {k:,} | {threads} | {name} | {step[name]:.3f} s | {step[name] / step['faiss']:.2f} "
                    f"| {whole[name]:.2f} s | {whole[name] / whole['faiss']:.2f} "
                    f"| {mse[name][-1] / mse['faiss'][-1]:.4f} | {_time(to_faiss)} | {share} | {_time(to_ours)} |"
                )
    return "\n".join(lines) + "\n"


def _time(seconds: float | None) -> str:
    return "not reached" if seconds is None else f"{seconds:.2f} s"


def main() -> None:
    """One contender."""
    name, k = sys.argv[1], int(sys.argv[2])
    rows = mixture(ROWS, DIM)
    rows -= rows.mean(axis=0)
    seconds, mse, done = (ours if name == "ours" else theirs)(rows, k)
    print(json.dumps({"seconds": seconds, "mse": mse, "done": done, "threads": os.environ.get("OMP_NUM_THREADS")}))


if __name__ == "__main__":
    main()
