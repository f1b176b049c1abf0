"""Export of a synthetic catalogue in all formats, in a process of its own: time, records and peak memory.

python -m bench.export prepare <folder> <items> <users>
python -m bench.export measure <folder>     prints a line of JSON
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.child import ROOT, child
from bench.contenders import peak_mib
from sid import params
from sid.catalogue.items import FIELDS
from sid.export import write_all
from sid.export.formats import FORMATS
from sid.export.prompts import TASKS
from sid.ids import SemanticIds
from sid.interactions.read import read_interactions
from sid.params import Export
from sid.quantizers.methods import CONFIGS

SIZES = (256, 256, 256)
RUNS = [(100_000, 25_000), (1_000_000, 25_000)]
LONGEST = 20


def prepare(folder: Path, items: int, users: int) -> None:
    """Semantic IDs and items as the stages before write them, and a table of 2 to LONGEST interactions a user."""
    generator = np.random.default_rng(0)
    ids = pl.Series("item_id", [f"sku-{row}" for row in range(items)])
    flat = generator.choice(int(np.prod(SIZES)), size=items, replace=False)
    codes = np.stack(np.unravel_index(flat, SIZES), axis=1).astype(np.int32)
    SemanticIds(ids, codes, SIZES).save(folder / "sids.parquet")
    words = [f"word{number}" for number in range(1000)]

    def texts(length: int) -> Iterator[str]:
        for row in generator.integers(len(words), size=(items, length)).tolist():
            yield " ".join([words[word] for word in row])

    described = {FIELDS[0]: list(texts(8)), FIELDS[1]: list(texts(40))}
    nothing = [pl.lit(None, pl.String).alias(name) for name in FIELDS[2:]]
    pl.DataFrame({"item_id": ids, **described}).with_columns(nothing).write_parquet(folder / "items.parquet")
    counts = generator.integers(2, LONGEST + 1, size=users)
    pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(users), counts),
            "item_id": ids.gather(generator.integers(items, size=int(counts.sum()))),
            "timestamp": generator.integers(1 << 40, size=int(counts.sum())),
        }
    ).write_parquet(folder / "log.parquet")


def measure(folder: Path) -> dict[str, Any]:
    """The export of what `prepare` wrote."""
    log = folder / "log.parquet"
    split = params.load(ROOT / "params.yaml", CONFIGS).interactions.model_copy(update={"source": str(log)})
    wanted = Export(
        dataset="bench",
        max_history=10,
        min_history=1,
        keep_longest_only=False,
        tasks=tuple(TASKS),
        formats=tuple(FORMATS),
        prompts=str(ROOT / "prompts" / "en.yaml"),
        seed=0,
    )
    out = folder / "sft"
    out.mkdir()
    began = time.perf_counter()
    sids, items = SemanticIds.load(folder / "sids.parquet"), pl.read_parquet(folder / "items.parquet")
    loaded = peak_mib()
    read = read_interactions(log, sids.item_ids, split).interactions
    figures = write_all(out, sids, items, read, wanted)
    return {
        "seconds": time.perf_counter() - began,
        "records": sum(sum(splits.values()) for splits in figures["records"].values()),
        "written_mib": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 2**20,
        "loaded_mib": loaded,
        "peak_mib": peak_mib(),
    }


def section() -> str:
    """All runs as Markdown."""
    lines = [
        "## Export, all tasks in all formats, titles of 8 and descriptions of 40 words, histories up to 10\n",
        "| items | users | records | written | time | time a record | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for items, users in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            # in another process: the peak is the export's alone
            child("bench.export", "prepare", folder, str(items), str(users))
            found = child("bench.export", "measure", folder)
        each = 1e6 * found["seconds"] / found["records"]
        lines.append(
            f"| {items:,} | {users:,} | {found['records']:,} | {found['written_mib']:,.0f} MiB "
            f"| {found['seconds']:.1f} s | {each:.0f} us | {found['peak_mib']:,.0f} MiB "
            f"({found['loaded_mib']:,.0f} MiB with the catalogue loaded) |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        print(json.dumps(measure(Path(sys.argv[2]))))
