"""Give every prepared item its raw codes and measure their quality."""

import numpy as np

from sid.arrays import load_vectors
from sid.files import write_json
from sid.measure import quality
from sid.quantizers import methods
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors, quantizer -> codes, report."""
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
    figures = {"assignment": assignment, **quality.measure(quantizer, vectors, codes)}
    with stage.output("codes").open("wb") as file:
        np.save(file, codes)
    write_json(stage.output("report"), figures)
    collided = figures["collision_rate"]
    return f"{assignment} codes, R2 {figures['r2']:.3f}, {collided:.1%} of the items collide before dedupe"


if __name__ == "__main__":
    run("index", main, inputs=("vectors", "quantizer"), outputs=("codes", "report"))
