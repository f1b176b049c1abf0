"""Give every prepared item its raw codes."""

import numpy as np

from sid.arrays import load_vectors
from sid.files import round6, write_json
from sid.measure import metrics
from sid.quantizers import methods
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors, quantizer -> codes, report, metrics."""
    from sid.quantizers.assignment import balanced_codes, nearest_codes  # loads torch

    vectors, wanted = load_vectors(stage.input("vectors")), stage.params.index
    device = methods.resolve_device(stage.params.quant.device)
    quantizer = methods.load(stage.input("quantizer"), device)
    assignment = wanted.assignment
    if assignment == "auto":
        assignment = "balanced" if methods.METHODS[quantizer.method].balanced else "nearest"
    if assignment == "balanced":
        codes = balanced_codes(quantizer, vectors, wanted.slack, device)
    else:
        codes = nearest_codes(quantizer, vectors)
    with stage.output("codes").open("wb") as file:
        np.save(file, codes)
    collided = round6(metrics.collision_rate(metrics.prefix_ids(codes)[-1]))
    figures = {
        "items": len(codes),
        "assignment": assignment,
        **({"slack": wanted.slack} if assignment == "balanced" else {}),
        "code_sizes": list(quantizer.code_sizes),
        "collision_rate": collided,
    }
    write_json(stage.output("report"), figures)
    write_json(stage.output("metrics"), {"collision_rate": collided})
    return f"{assignment} codes of {len(codes):,} items, collision rate {collided:.1%}"


if __name__ == "__main__":
    run("index", main, inputs=("vectors", "quantizer"), outputs=("codes", "report", "metrics"))
