"""The pipeline's stages on catalogues of any size: time, and memory that is the process's own, one stage at a time.

python -m bench.scale FOLDER --items 1000000 --dim 128 [--method rqkmeans] [--sizes 256,256,256] [--stages train,index]

FOLDER gets the data (a seeded mixture, written a part at a time, used again if it is there) and a project that runs
this checkout's code. Each line of JSON on stdout is a stage: seconds of wall clock and of processors, the peak of
anonymous memory (RssAnon and RssShmem of /proc/PID/status, children included: what can't be dropped), and the peak
with the page cache of the files that are mapped (RSS).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from bench.child import ROOT
from sid.arrays import chunks
from stages import pipeline

STAGES = ("prepare", "interactions", "align", "train", "index", "dedupe", "delta", "evaluate", "report", "export")
METHODS = ("rqvae", "rqkmeans", "rqkmeans_constrained", "rqkmeans_plus")

_CODES, _LEVELS = 256, 3  # of the mixture
_NOISE = 0.5
_LOOK = 0.05  # seconds between two looks at the memory of a stage
_ANONYMOUS = ("RssAnon", "RssShmem")


def write_mixture(path: Path, items: int, dim: int, seed: int = 0) -> None:
    """(items, dim) float32: sums of one of 256 vectors of each of three scales, unevenly used, and noise.

    A tenth of the rows are near copies of the row before them, so that about a fifth of the items collide where there
    are many more Semantic IDs than items.
    """
    generator = np.random.default_rng(seed)
    books = [(generator.standard_normal((_CODES, dim)) / 2**level).astype(np.float32) for level in range(_LEVELS)]
    share = 1 / np.arange(1, _CODES + 1) ** 0.3
    partial = path.with_suffix(".partial")
    vectors = np.lib.format.open_memmap(partial, "w+", np.float32, (items, dim))
    for number, part in enumerate(chunks(items, 4 * dim)):
        drawn = np.random.default_rng([seed, number])
        rows = _NOISE * drawn.standard_normal((part.stop - part.start, dim), dtype=np.float32)
        for book in books:
            rows += book[drawn.choice(_CODES, size=len(rows), p=share / share.sum())]
        near = np.flatnonzero(drawn.random(len(rows)) < 0.1)
        near = near[near > 0]
        rows[near] = rows[near - 1] + 0.01 * drawn.standard_normal((len(near), dim), dtype=np.float32)
        vectors[part] = rows
    vectors.flush()
    del vectors
    partial.rename(path)


def write_titles(path: Path, items: int) -> None:
    """A Parquet file of item ids and titles of eight words."""
    generator = np.random.default_rng(0)
    words = pl.Series([f"word{number}" for number in range(1000)])
    columns = [words.gather(generator.integers(len(words), size=items)).rename(str(place)) for place in range(8)]
    titles = pl.DataFrame(columns).select(pl.concat_str(pl.all(), separator=" ").alias("title"))["title"]
    ids = pl.int_range(items, eager=True).cast(pl.String).alias("item_id")
    pl.DataFrame({"item_id": ids, "title": titles}).write_parquet(path)


def project(folder: Path, wanted: argparse.Namespace) -> None:
    """A project in the folder: this checkout's code by links, its dvc.yaml, and params for the data there."""
    for name in ("sid", "stages", "prompts"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(ROOT / name)
    (folder / "data").mkdir(exist_ok=True)
    shutil.copy(ROOT / "data" / "none", folder / "data" / "none")
    shutil.copy(ROOT / "dvc.yaml", folder / "dvc.yaml")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["prepare"] |= {"embeddings": "vectors.npy", "items": "titles.parquet" if wanted.titles else "data/none"}
    params["interactions"]["source"] = "data/none"
    params["align"]["method"] = "none"
    params["evaluate"]["method"] = "none"
    params["quant"] |= {"method": wanted.method, "num_emb_list": list(map(int, wanted.sizes.split(",")))}
    params["quant"]["e_dim"] = wanted.dim if wanted.method == "rqkmeans_plus" else 32
    for change in wanted.set:
        key, value = change.split("=", 1)
        *sections, last = key.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[last] = yaml.safe_load(value)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def processes(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from processes(int(child))


def held_kib(pid: int) -> tuple[int, int]:
    """Anonymous and resident memory of a process and its descendants now."""
    anonymous = resident = 0
    for one in processes(pid):
        try:
            status = Path(f"/proc/{one}/status").read_text()
        except OSError:
            continue
        found = dict(line.split(":", 1) for line in status.splitlines())
        anonymous += sum(int(found.get(name, "0 kB").split()[0]) for name in _ANONYMOUS)
        resident += int(found.get("VmRSS", "0 kB").split()[0])
    return anonymous, resident


def measure(folder: Path, stage: str) -> dict[str, Any]:
    """Run a stage of the project in the folder."""
    command = [sys.executable, *shlex.split(pipeline.declared(folder)[stage].cmd)[1:]]
    began = time.monotonic()
    with (folder / f"{stage}.log").open("w") as log:
        running = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        anonymous = resident = 0
        while True:
            pid, status, usage = os.wait4(running.pid, os.WNOHANG)
            if pid:
                break
            now = held_kib(running.pid)
            anonymous, resident = max(anonymous, now[0]), max(resident, now[1])
            time.sleep(_LOOK)
    running.returncode = os.waitstatus_to_exitcode(status)
    said = (folder / f"{stage}.log").read_text().strip().splitlines()
    if running.returncode:
        raise SystemExit(f"{stage} failed: {said[-1] if said else running.returncode}")
    return {
        "stage": stage,
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "anonymous_mib": round(anonymous / 1024),
        "peak_mib": round(resident / 1024),
        "said": said[-1] if said else "",
    }


def main() -> None:
    """Make what is missing and run the stages that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--method", choices=METHODS, default="rqkmeans")
    parser.add_argument("--sizes", default="256,256,256", help="quant.num_emb_list")
    parser.add_argument("--stages", default=",".join(STAGES), help="in this order; the files before them must be there")
    parser.add_argument("--titles", action="store_true", help="every item has a title")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another key of params.yaml")
    wanted = parser.parse_args()
    folder = wanted.folder
    folder.mkdir(parents=True, exist_ok=True)
    project(folder, wanted)
    if not (folder / "vectors.npy").exists():
        write_mixture(folder / "vectors.npy", wanted.items, wanted.dim)
    if wanted.titles and not (folder / "titles.parquet").exists():
        write_titles(folder / "titles.parquet", wanted.items)
    for stage in wanted.stages.split(","):
        found = {"items": wanted.items, "dim": wanted.dim, "method": wanted.method, "sizes": wanted.sizes}
        print(json.dumps({**found, **measure(folder, stage)}), flush=True)


if __name__ == "__main__":
    main()
