"""One contender on one job, in a process of its own: prints a line of JSON with what it took and what came out.

python -m bench.contenders <contender> <job as JSON>
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Result = tuple[np.ndarray, np.ndarray]  # (N,) labels, (K, D) centroids
Level = Callable[[np.ndarray, dict[str, Any], int], Result]


def mixture(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    """A seeded mixture of 2,000 uneven clusters: (rows, dim) float32."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(2000, dim)).astype(np.float32)
    share = 1 / np.arange(1, 2001) ** 0.7
    pick = generator.choice(2000, size=rows, p=share / share.sum())
    return centres[pick] + 0.5 * generator.standard_normal((rows, dim), dtype=np.float32)


def sid_kmeans(rows: np.ndarray, job: dict[str, Any], level: int) -> Result:
    """Ours, with the job's iterations."""
    import torch

    from sid.clustering.kmeans import kmeans

    found = kmeans(torch.from_numpy(rows), job["k"], max_iters=job["iterations"], tol=job.get("tol", 1e-4), seed=level)
    return found.labels.numpy(), found.centroids.numpy()


def faiss_kmeans(rows: np.ndarray, job: dict[str, Any], level: int) -> Result:
    """faiss.Kmeans on all rows."""
    import faiss

    k = job["k"]
    kmeans = faiss.Kmeans(rows.shape[1], k, niter=job["iterations"], seed=level + 1, max_points_per_centroid=len(rows))
    kmeans.train(rows)
    return kmeans.index.search(rows, 1)[1][:, 0], kmeans.centroids


def sklearn_kmeans(rows: np.ndarray, job: dict[str, Any], level: int) -> Result:
    """scikit-learn's KMeans, one run."""
    from sklearn.cluster import KMeans

    found = KMeans(job["k"], n_init=1, max_iter=job["iterations"], random_state=level).fit(rows)
    return found.labels_, found.cluster_centers_


def sid_balanced(rows: np.ndarray, job: dict[str, Any], level: int) -> Result:
    """Ours, scalable, with its default iterations."""
    import torch

    from sid.clustering.balanced import balanced_kmeans

    found = balanced_kmeans(torch.from_numpy(rows), job["k"], seed=level)
    return found.labels.numpy(), found.centroids.numpy()


def constrained(rows: np.ndarray, job: dict[str, Any], level: int) -> Result:
    """k-means-constrained under MiniOneRec's bounds and settings but for n_init."""
    from k_means_constrained import KMeansConstrained

    least = len(rows) // job["k"]
    model = KMeansConstrained(
        job["k"], size_min=max(1, least - 1), size_max=least + 1, n_init=job["n_init"], n_jobs=1, random_state=42
    )
    return model.fit_predict(rows), model.cluster_centers_


def sid_encode(rows: np.ndarray, job: dict[str, Any], level: int) -> Result:
    """Ours: nearest centroid of every row, exact row by row."""
    import torch

    from sid.clustering.kmeans import nearest

    table = rows[: job["k"]].copy()
    return nearest(torch.from_numpy(rows), torch.from_numpy(table)).numpy(), table


def faiss_encode(rows: np.ndarray, job: dict[str, Any], level: int) -> Result:
    """faiss.IndexFlatL2.search(k=1)."""
    import faiss

    table = rows[: job["k"]].copy()
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(table)
    return index.search(rows, 1)[1][:, 0], table


CONTENDERS: dict[str, Level] = {
    "sid kmeans": sid_kmeans,
    "faiss.Kmeans": faiss_kmeans,
    "scikit-learn KMeans": sklearn_kmeans,
    "sid balanced_kmeans": sid_balanced,
    "KMeansConstrained": constrained,
    "sid nearest": sid_encode,
    "faiss IndexFlatL2": faiss_encode,
}


def peak_mib() -> float:
    """The most memory that this process has held. Not ru_maxrss where it can be helped: on Linux it begins at the
    parent's peak."""
    status = Path("/proc/self/status")
    if status.exists():
        held = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if held:
            return int(held[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run one contender over the job's levels, each on what the one before left."""
    name, job = sys.argv[1], json.loads(sys.argv[2])
    rows = np.load(job["data"])  # (N, D) float32, and nothing beside it, so that the peak is the contender's
    rows -= rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    run = CONTENDERS[name]
    run(rows[: 4 * job["k"]], {**job, "iterations": 1}, 0)  # imports and threads are not what is measured
    mse, sizes, took, peak = [], [], 0.0, 0.0
    for level in range(job.get("levels", 1)):
        began = time.perf_counter()
        labels, centroids = run(rows, job, level)
        took += time.perf_counter() - began
        peak = peak or peak_mib()
        error = 0.0
        for part in (slice(start, start + 65536) for start in range(0, len(rows), 65536)):
            rows[part] -= centroids[labels[part]]
            error += float(np.square(rows[part], dtype=np.float64).sum())
        mse.append(error / rows.size)
        counts = np.bincount(labels, minlength=job["k"])
        sizes.append([int(counts.min()), int(counts.max())])
    print(json.dumps({"seconds": took, "mse": mse, "sizes": sizes, "rows": len(rows), "peak_mib": peak}))


if __name__ == "__main__":
    main()
