"""Give every prepared item its raw codes and measure their quality."""

import numpy as np

from sid import quality
from sid.files import write_json
from sid.prepared import load_vectors
from sid.quantizers import methods
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors, quantizer -> codes, report."""
    vectors = load_vectors(stage.input("vectors"))
    quantizer = methods.load(stage.input("quantizer"), stage.params.quant.device)
    codes, figures = quality.encode_and_measure(quantizer, vectors)
    with stage.output("codes").open("wb") as file:
        np.save(file, codes)
    write_json(stage.output("report"), figures)
    return f"R2 {figures['r2']:.3f}, {figures['collision_rate']:.1%} of the items collide before dedupe"


if __name__ == "__main__":
    run("index", main, inputs=("vectors", "quantizer"), outputs=("codes", "report"))
