"""Nothing of the size of the vectors is held: eight times the dimensions take chunks more, and no more."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT

ITEMS = 20_000
NARROW, WIDE = 128, 1024  # 10 and 78 MiB
CHUNK = 2 << 20  # in place of 64 MiB, so that few items are many chunks
MORE_MIB = 48
"""What chunks may take more, where there are some copies of one: less than what a sample of the vectors has more."""

SQUARE_MIB = 96
"""What a map of WIDE dimensions takes while it is fitted: twelve matrices of float64 as wide and high as that."""


def anonymous_mib() -> float:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) / 1024


def peak_of(work: Callable[[], Any]) -> float:
    """How much more anonymous memory than before is held while something runs, in MiB."""
    before, ended, seen = anonymous_mib(), threading.Event(), [0.0]

    def look() -> None:
        while not ended.is_set():
            seen[0] = max(seen[0], anonymous_mib() - before)
            time.sleep(0.002)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        work()
    finally:
        ended.set()
        watch.join()
    return seen[0]


def all_steps(folder: Path, dim: int) -> dict[str, float]:
    """What each step takes, in a process that does nothing else."""
    import polars as pl

    from sid import arrays, params
    from sid.align import smoothing
    from sid.align.base import Inputs
    from sid.align.methods import METHODS, align
    from sid.catalogue import cleaning, embeddings
    from sid.clustering import balanced, kmeans, points
    from sid.dedupe.resolve import resolve
    from sid.ids import SemanticIds
    from sid.interactions.split_files import Split
    from sid.measure import neighbours
    from sid.measure.quality import reconstruction
    from sid.quantizers import methods
    from sid.quantizers.assignment import balanced_codes, nearest_codes
    from sid.quantizers.base import Quantizer
    from sid.report import figures, trials

    arrays.chunks.__defaults__ = (CHUNK,)
    arrays.PART_ROWS = 1 << 13
    points._HELD_BYTES = points._SUBSET_BYTES = 0
    embeddings.CHUNK_BYTES = CHUNK
    neighbours.SOME_QUERIES, neighbours._SAMPLE, neighbours._POINTS = 50, 512, 512
    for bounded in (kmeans.kmeans, balanced.balanced_kmeans, balanced.share_out):
        bounded.__kwdefaults__["budget_mib"] = 8
    trials.WORK = 0
    smoothing._BLOCK_BYTES = CHUNK
    wanted = params.load(ROOT / "params.yaml", methods.CONFIGS)
    source = embeddings.open_embeddings(folder / f"{dim}.npy", "item_id", "embedding")
    prepared = folder / f"prepared-{dim}.npy"
    found = {
        "prepare": peak_of(lambda: cleaning.prepare(source, None, cleaning.Cleaning(), prepared, folder / "i.parquet"))
    }
    vectors = np.load(prepared, mmap_mode="r")
    used = np.random.default_rng(2).integers(ITEMS, size=(2_000, 5)).astype(np.int32)
    offsets, ends = np.arange(2_001) * 5, np.ones(2_000, np.int32)
    split = Split("table", np.arange(2_000, dtype=np.int32), used.ravel(), offsets, ends)
    short = {"contrastive": {"pairs": 4096, "batch_size": 256, "hidden": 32}, "fuse": {"dim": 8}, "smooth": {"hops": 2}}
    for name in METHODS:
        section = getattr(wanted.align, name).model_copy(update=short.get(name, {}))
        shared = wanted.align.model_copy(update={"method": name, name: section})
        inputs = Inputs(vectors, split, shared, section, blank=arrays.scratch(folder))

        def make(width: int) -> np.ndarray:
            return np.lib.format.open_memmap(folder / "aligned.npy", "w+", np.float32, (ITEMS, width))

        found[f"align {name}"] = peak_of(lambda inputs=inputs, make=make: align(inputs, make))
    few = {"max_iters": 1}
    changes = {
        "rqvae": {"epochs": 1, "init_epoch": 0, "warmup_epochs": 0, "layers": (32,), "kmeans_iters": 2},
        "rqkmeans": few,
        "rqkmeans_constrained": few,
    }
    fitted: dict[str, Quantizer] = {}
    for method, change in changes.items():
        quant = wanted.quant.model_copy(update={"method": method, "num_emb_list": (8, 40, 80), "train_sample": 18_000})
        section = wanted.methods[method].model_copy(update=change)
        own = replace(wanted, quant=quant, methods={**wanted.methods, method: section})
        found[f"train {method}"] = peak_of(
            lambda own=own, name=method: fitted.update({name: methods.fit(vectors, own).quantizer})
        )
    for method, quantizer in fitted.items():
        codes = nearest_codes(quantizer, vectors)
        found[f"index {method}"] = peak_of(lambda quantizer=quantizer: nearest_codes(quantizer, vectors))
        found[f"decode {method}"] = peak_of(
            lambda quantizer=quantizer, codes=codes: reconstruction(quantizer.decode, vectors, codes, codes)
        )
    found["balanced"] = peak_of(lambda: balanced_codes(fitted["rqkmeans"], vectors, 1))
    codes, after = nearest_codes(fitted["rqkmeans"], vectors), []
    found["dedupe"] = peak_of(lambda: after.extend(resolve(codes, fitted["rqkmeans"], vectors, wanted.dedupe)))
    sids = SemanticIds(pl.int_range(ITEMS, eager=True).cast(pl.String).alias("item_id"), *after)
    found["report"] = peak_of(lambda: figures.measure(fitted["rqkmeans"], vectors, codes, sids))
    return found


def test_wider_vectors_take_chunks_more_and_no_more(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    peaks = []
    for dim in (NARROW, WIDE):
        centres = np.random.default_rng(1).standard_normal((64, dim), np.float32)
        drawn = np.random.default_rng(0)
        noise = 0.3 * drawn.standard_normal((ITEMS, dim), np.float32)
        np.save(tmp_path / f"{dim}.npy", centres[drawn.integers(64, size=ITEMS)] + noise)
        command = [sys.executable, "-m", "tests.test_memory", str(tmp_path), str(dim)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peaks.append(json.loads(done.stdout.splitlines()[-1]))
    growth = {step: round(peaks[1][step] - peak) for step, peak in peaks[0].items()}
    allowed = {"align smooth": MORE_MIB + SQUARE_MIB, "align fuse": MORE_MIB + SQUARE_MIB}
    assert {step: more for step, more in growth.items() if more > allowed.get(step, MORE_MIB)} == {}, growth


if __name__ == "__main__":
    print(json.dumps(all_steps(Path(sys.argv[1]), int(sys.argv[2]))))
