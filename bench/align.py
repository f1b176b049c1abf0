"""Time and memory of a method of alignment; every method and its control on a real catalogue.

    python -m bench.align speed smooth 100000 300000 1000000  # items; ten interactions for each, 256 dimensions
    python -m bench.align quality FOLDER  # embeddings.npy, and .inter files as MiniOneRec's; trains no recommender

`quality` says how often the item that comes next in the valid split is among the 10 nearest of the one before it: by
text, by each method, and by each on a graph whose items are permuted, which must gain nothing.
"""

from __future__ import annotations

import dataclasses
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from sid.align import methods
from sid.align.base import Inputs
from sid.align.directions import Directions, centre_of
from sid.arrays import Blank, Vectors, in_memory, scratch
from sid.interactions import Split
from sid.interactions.read import read_interactions
from sid.params import load
from sid.quantizers.methods import CONFIGS

PARAMS = load("params.yaml", CONFIGS)
DIM, EACH, HISTORY = 256, 10, 10


def inputs(vectors: Vectors, split: Split, method: str, blank: Blank = in_memory) -> Inputs:
    wanted = PARAMS.align.model_copy(update={"method": method})
    return Inputs(vectors, split, wanted, getattr(wanted, method), blank=blank)


def speed(method: str, items: int) -> None:
    """Align vectors that lie on the disk, as the stage does; popular items are used often (Zipf)."""
    generator = np.random.default_rng(0)
    acts = items * EACH
    users = acts // HISTORY
    used = np.minimum(items * generator.random(acts) ** 3, items - 1).astype(np.int32)
    offsets = np.arange(0, acts + 1, HISTORY, dtype=np.int64)
    split = Split("table", np.arange(users, dtype=np.int32), used, offsets, np.ones(users, np.int32))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        vectors = np.lib.format.open_memmap(path, "w+", np.float32, (items, DIM))
        for start in range(0, items, 1 << 16):
            vectors[start : start + (1 << 16)] = generator.normal(size=(min(1 << 16, items - start), DIM))
        vectors.flush()
        del vectors
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        started, spent = time.perf_counter(), time.process_time()

        def make(dim: int) -> Vectors:
            return np.lib.format.open_memmap(Path(folder) / "aligned.npy", "w+", np.float32, (items, dim))

        given = inputs(np.load(path, mmap_mode="r"), split, method, scratch(Path(folder)))
        done = methods.align(given, make)
        wall, cpu = time.perf_counter() - started, time.process_time() - spent
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{items:>9,} items, {acts:>10,} interactions, {given.graph.pairs:>10,} pairs: {wall:6.1f} s wall, "
            f"{cpu:6.1f} s CPU, peak {peak:.2f} GiB ({before:.2f} before; a matrix is {items * DIM * 4 / 2**30:.2f}), "
            f"{dict(done.figures)}",
            flush=True,
        )


def hit_rate(aligned: Vectors, valid: Split) -> float:
    """The share of valid's steps whose target is among the 10 nearest items of the item before it."""
    places = valid.targets()[1]
    last, target = valid.items[places - 1], valid.items[places]
    last, target = last[last != target], target[last != target]
    units = Directions.of(aligned, centre_of(aligned)).units
    near = units[last] @ units.T
    near[np.arange(len(near)), last] = -np.inf
    return float(((near > near[np.arange(len(near)), target][:, None]).sum(axis=1) < 10).mean())


def quality(folder: Path) -> None:
    """Every method and its control, on the valid split."""
    vectors = np.load(folder / "embeddings.npy").astype(np.float32)
    ids = pl.Series([str(row) for row in range(len(vectors))])
    train, valid, _ = read_interactions(folder, ids, PARAMS.interactions).interactions.splits
    permuted = np.random.default_rng(0).permutation(len(vectors)).astype(np.int32)
    print(f"text: {hit_rate(vectors, valid):.4f}", flush=True)
    for method in ("smooth", "contrastive", "fuse"):
        for name, split in (("", train), (", items permuted", dataclasses.replace(train, items=permuted[train.items]))):
            made = [vectors]

            def make(dim: int, made: list[Vectors] = made) -> Vectors:
                made[0] = np.empty((len(vectors), dim), np.float32)
                return made[0]

            done = methods.align(inputs(vectors, split, method), make)
            print(f"{method}{name}: {hit_rate(made[0], valid):.4f} ({done.figures.get('evidence')})", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["speed"] and len(sys.argv) > 3:
        for count in sys.argv[3:]:
            speed(sys.argv[2], int(count))
    elif sys.argv[1:2] == ["quality"] and len(sys.argv) == 3:
        quality(Path(sys.argv[2]))
    else:
        sys.exit(__doc__)
