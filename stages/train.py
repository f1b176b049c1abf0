"""Fit the quantizer that quant.method names to the prepared vectors."""

import os
from pathlib import Path

from sid import params
from sid.arrays import load_vectors
from sid.files import digest, write_csv, write_json
from sid.quantizers import methods
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors -> quantizer, report, curve; a training that was cut off goes on from the states in checkpoints."""
    from sid.quantizers.training import states  # loads torch

    vectors = load_vectors(stage.input("vectors"), "align")
    params.refuse_too_many(len(vectors), stage.params)  # dedupe would, after all the work
    # experiments in a folder of their own (--queue, --temp) share the project's, and so go on as well
    checkpoints = Path(os.environ.get("DVC_ROOT", "")) / stage.input("checkpoints")
    stage.resumes = lambda: states.left_at(checkpoints)
    stage.committed = lambda: states.clear(checkpoints)
    warm_start = params.warm_start_file(stage.params)
    if warm_start is not None:
        stage.also_reads(warm_start)
    fitted = methods.fit(vectors, stage.params, checkpoints)
    fitted.quantizer.save(stage.output("quantizer"))
    method, sizes = fitted.quantizer.method, fitted.quantizer.code_sizes
    figures = {
        "method": method,
        "items": len(vectors),
        "dim": fitted.quantizer.dim,
        "num_emb_list": list(sizes),
    }
    if warm_start is not None:
        figures["warm_start_sha256"] = digest(warm_start)
    write_json(stage.output("report"), {**figures, **fitted.figures})
    columns = list(dict.fromkeys(name for row in fitted.curve for name in row))
    write_csv(stage.output("curve"), columns, fitted.curve)
    return f"{method} with codebooks of {' x '.join(map(str, sizes))} codes on {len(vectors):,} items"


if __name__ == "__main__":
    run("train", main, inputs=("vectors", "checkpoints"), outputs=("quantizer", "report", "curve"))
