"""Fit the quantizer that quant.method names to the prepared vectors."""

from sid import params
from sid.arrays import load_vectors
from sid.files import write_csv, write_json
from sid.quantizers import methods
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors -> quantizer, report, curve; a training that was cut off goes on from the states in checkpoints."""
    vectors = load_vectors(stage.input("vectors"))
    params.refuse_too_many(len(vectors), stage.params)  # dedupe would, after all the work
    fitted = methods.fit(vectors, stage.params, stage.input("checkpoints"))
    fitted.quantizer.save(stage.output("quantizer"))
    method, sizes = fitted.quantizer.method, fitted.quantizer.code_sizes
    figures = {
        "method": method,
        "items": len(vectors),
        "dim": fitted.quantizer.dim,
        "num_emb_list": list(sizes),
    }
    write_json(stage.output("report"), {**figures, **fitted.figures})
    columns = list(dict.fromkeys(name for row in fitted.curve for name in row))
    write_csv(stage.output("curve"), columns, fitted.curve)
    return f"{method} with codebooks of {' x '.join(map(str, sizes))} codes on {len(vectors):,} items"


if __name__ == "__main__":
    run("train", main, inputs=("vectors", "checkpoints"), outputs=("quantizer", "report", "curve"))
