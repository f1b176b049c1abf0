"""Give every prepared item its raw codes."""

import numpy as np

from sid.arrays import load_vectors
from sid.files import round6, write_json
from sid.measure import metrics
from sid.quantizers import loading
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors, quantizer -> codes, report, metrics."""
    from sid.quantizers.assignment import assign, slack_of  # loads torch

    vectors, wanted = load_vectors(stage.input("vectors"), "align"), stage.params.index
    quantizer = loading.load(stage.input("quantizer"), stage.params.quant.device)
    codes, assignment = assign(quantizer, vectors, wanted)
    with stage.output("codes").open("wb") as file:
        np.save(file, codes)
    collided = round6(metrics.collision_rate(metrics.prefix_ids(codes)[-1]))
    figures = {
        "items": len(codes),
        "assignment": assignment,
        **({"slack": slack_of(quantizer, wanted)} if assignment == "balanced" else {}),
        "code_sizes": list(quantizer.code_sizes),
        "collision_rate": collided,
    }
    write_json(stage.output("report"), figures)
    write_json(stage.output("metrics"), {"collision_rate_before": collided})
    return f"{assignment} codes of {len(codes):,} items, collision rate {collided:.1%}"


if __name__ == "__main__":
    run("index", main, inputs=("vectors", "quantizer"), outputs=("codes", "report", "metrics"))
