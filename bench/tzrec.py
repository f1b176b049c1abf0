"""`reassign` beside TorchEasyRec's collision resolver with kNN candidates, on the same codes in one process.

python -m bench.tzrec <file> <published> <rows> [<threads>]     prints a line of JSON

<file> is tzrec/utils/sid/collision.py of a checkout of alibaba/TorchEasyRec, which isn't part of this project. With 0
published items all rows are resolved, else new ones beside those.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import dedupe, releases
from bench.child import child
from sid.arrays import Codes, Vectors, rows_of
from sid.dedupe.costs import QuantizerCosts
from sid.dedupe.reassign import reassign
from sid.quantizers.assignment import nearest_codes
from sid.quantizers.base import Scaling
from sid.quantizers.residual import ResidualQuantizer, remainder

RUNS = [(0, 200_000), (0, 1_000_000), (200_000, 30_000), (900_000, 100_000)]  # published, rows
K, TURNS = 256, 5
CANDIDATES = 64  # nearest codes that each overflowing item brings; more leave as few items colliding, and take longer


def load_resolver(file: Path) -> Any:
    """Their module alone, without the package around it, which needs much more."""
    logging = types.ModuleType("tzrec.utils.logging_util")

    class ProgressLogger:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def __getattr__(self, _name: str) -> Any:
            return lambda *_, **__: None

    logging.ProgressLogger = ProgressLogger  # type: ignore[attr-defined]
    sys.modules |= {"tzrec": types.ModuleType("tzrec"), "tzrec.utils": types.ModuleType("tzrec.utils")}
    sys.modules["tzrec.utils.logging_util"] = logging
    spec = importlib.util.spec_from_file_location("collision", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["collision"] = module
    spec.loader.exec_module(module)
    return module


def resolve_overflow(
    theirs: Any, codes: Codes, vectors: Vectors, quantizer: ResidualQuantizer, taken: Codes | None = None
) -> tuple[Codes, float, float]:
    """Their new codes for (n, L) codes of (n, D) vectors; seconds of their plan and resolver; those of the candidates.

    The candidates come from a plain float32 `torch.cdist` and `topk` of what the first levels leave.
    """
    sizes = quantizer.code_sizes
    began = time.perf_counter()
    prior = None
    if taken is not None:
        prior = theirs.PriorOccupancy(*np.unique(theirs.sid_bucket_keys(taken, sizes), return_counts=True))
    config = theirs.CollisionResolutionConfig(sizes, 1)
    plan = theirs.prepare_collision_plan(np.arange(len(codes)), codes, config, prior)
    planned = time.perf_counter()
    books = [torch.from_numpy(book) for book in quantizer.codebooks]
    rows = plan.overflow_rows
    left = torch.from_numpy(quantizer.latents(vectors[rows]))
    left = remainder(left, books, torch.from_numpy(codes[rows, :-1]))
    found = [torch.cdist(part, books[-1]).topk(min(CANDIDATES, sizes[-1]), largest=False) for part in left.split(8192)]
    candidates = torch.cat([part.indices for part in found]).numpy()
    ready = time.perf_counter()
    resolved = theirs.KnnCollisionResolver().resolve(plan, candidates, collect_grouping=False)
    done = time.perf_counter()
    after = codes.copy()
    after[:, -1] = resolved.resolved_last_codes
    return after, planned - began + done - ready, ready - planned


def measure(file: Path, published: int, rows: int) -> dict[str, Any]:
    """Both in turn: seconds (medians), items left colliding, and MSE added."""
    taken: Codes | None = None
    if published:
        every, quantizer, release = releases.catalogue(published, rows, K)
        vectors, taken = every[published:], release.codes
        codes = nearest_codes(quantizer, vectors, np.arange(rows))
    else:
        vectors, codes, books = dedupe.catalogue(rows, 0)
        quantizer = ResidualQuantizer(tuple(books), Scaling.identity(vectors.shape[1]))
    theirs = load_resolver(file)
    seconds: list[float] = []
    core: list[float] = []
    candidates: list[float] = []
    for turn in range(TURNS + 1):
        began = time.perf_counter()
        ours = reassign(codes, QuantizerCosts(quantizer, rows_of(vectors)), taken=taken)
        took = time.perf_counter() - began
        moved, resolver, nearest = resolve_overflow(theirs, codes, vectors, quantizer, taken)
        if turn:  # the first warms up
            seconds.append(took)
            core.append(resolver)
            candidates.append(nearest)
    return {
        "ours": {"seconds": statistics.median(seconds), **_quality(vectors, quantizer, codes, ours, taken)},
        "theirs": {
            "seconds": statistics.median(core),
            "candidates": statistics.median(candidates),
            **_quality(vectors, quantizer, codes, moved, taken),
        },
    }


def _quality(
    vectors: Vectors, quantizer: ResidualQuantizer, before: Codes, after: Codes, taken: Codes | None
) -> dict[str, Any]:
    sizes = tuple(quantizer.code_sizes)
    keys = np.ravel_multi_index(tuple(after.T), sizes)
    every = keys if taken is None else np.concatenate([np.ravel_multi_index(tuple(taken.T), sizes), keys])
    values, counts = np.unique(every, return_counts=True)
    error = [float(np.square(vectors - quantizer.decode(codes)).mean()) for codes in (before, after)]
    return {
        "moved": int((before != after).any(axis=1).sum()),
        "colliding": int((counts[np.searchsorted(values, keys)] > 1).sum()),
        "mse_added": error[1] - error[0],
    }


def section(file: Path | None = None) -> str:
    """All runs as Markdown."""
    title = f"## reassign beside TorchEasyRec's resolver with kNN candidates, {K} x 3, 64 dimensions\n\n"
    if file is None:
        return f"{title}Not run: `--tzrec FILE` names tzrec/utils/sid/collision.py of a checkout of TorchEasyRec.\n"
    lines = [
        f"{title}Medians of {TURNS} turns in one process.\n",
        "| published | items | threads | ours | their resolver | their candidates | ours / resolver "
        "| ours / both | MSE added / theirs | left colliding, ours · theirs |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for published, rows in RUNS:
        for threads in (1, 2):
            found = child("bench.tzrec", str(file.resolve()), str(published), str(rows), str(threads))
            ours, theirs = found["ours"], found["theirs"]
            both = theirs["seconds"] + theirs["candidates"]
            lines.append(
                f"| {published:,} | {rows:,} | {threads} | {ours['seconds']:.3f} s | {theirs['seconds']:.3f} s "
                f"| {theirs['candidates']:.3f} s | {ours['seconds'] / theirs['seconds']:.2f} "
                f"| {ours['seconds'] / both:.2f} | {ours['mse_added'] / theirs['mse_added']:.4f} "
                f"| {ours['colliding']} · {theirs['colliding']} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
