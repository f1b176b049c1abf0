"""Give every prepared item its raw codes and measure their quality."""

import numpy as np

from sid.arrays import load_vectors
from sid.files import write_json
from sid.measure import quality
from sid.quantizers import methods
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors, quantizer -> codes, report."""
    from sid.quantizers.assignment import assign  # loads torch

    vectors, wanted = load_vectors(stage.input("vectors")), stage.params.index
    quantizer = methods.load(stage.input("quantizer"), stage.params.quant.device)
    codes, assignment = assign(quantizer, vectors, wanted)
    figures = {"assignment": assignment, **quality.measure(quantizer, vectors, codes)}
    with stage.output("codes").open("wb") as file:
        np.save(file, codes)
    write_json(stage.output("report"), figures)
    collided = figures["collision_rate"]
    return f"{assignment} codes, R2 {figures['r2']:.3f}, {collided:.1%} of the items collide before dedupe"


if __name__ == "__main__":
    run("index", main, inputs=("vectors", "quantizer"), outputs=("codes", "report"))
