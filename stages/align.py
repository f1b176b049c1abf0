"""Put what people do, as the train split has it, into the prepared vectors."""

import os
import sys
from pathlib import Path

import numpy as np

from sid.align import methods
from sid.align.base import Inputs
from sid.align.behaviour import read_behaviour
from sid.align.figures import figures, headline
from sid.arrays import Vectors, load_vectors
from sid.catalogue.items import load_items
from sid.files import link_or_copy, write_json
from sid.interactions import load_split
from sid.params import given
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors, items, the train split alone -> aligned vectors, aligner, report, metrics."""
    wanted, columns = stage.params.align, stage.params.prepare
    vectors, target = load_vectors(stage.input("vectors")), stage.output("aligned")
    items = load_items(stage.input("items"))["item_id"]
    split, made = load_split(stage.input("train"), items), list[Vectors]()
    behaviour, warnings = None, tuple[str, ...]()
    if wanted.method == "fuse" and (file := given(wanted.behaviour)) is not None:
        behaviour, warnings = read_behaviour(file, items, columns.item_id_column, columns.embedding_column)

    def make(dim: int) -> Vectors:
        made.append(np.lib.format.open_memmap(target, "w+", np.float32, (len(vectors), dim)))
        return made[0]

    checkpoints = Path(os.environ.get("DVC_ROOT", "")) / stage.input("checkpoints")
    if wanted.method == "contrastive":
        from sid.quantizers.training import states  # loads torch

        stage.resumes = lambda: states.left_at(checkpoints)
        stage.committed = lambda: states.clear(checkpoints)
    inputs = Inputs(vectors, split, wanted, getattr(wanted, wanted.method), checkpoints, behaviour)
    done = methods.align(inputs, make)
    done.aligner.save(stage.output("aligner"))
    if not made:
        link_or_copy(stage.input("vectors"), target)
    found = figures(inputs, done, made[0] if made else None, warnings)
    write_json(stage.output("report"), found)
    write_json(stage.output("metrics"), headline(found))
    for warning in found["warnings"]:
        print(f"align: warning: {warning}", file=sys.stderr)
    return f"{found['method']} ({found['applied']} applied), {found['neighbours_kept']:.0%} of the nearest items kept"


if __name__ == "__main__":
    run(
        "align",
        main,
        inputs=("vectors", "items", "train", "checkpoints"),
        outputs=("aligned", "aligner", "report", "metrics"),
    )
