"""Give every prepared item its raw codes."""

import numpy as np

from sid.arrays import load_vectors
from sid.catalogue.item_ids import load_ids
from sid.files import round6, write_json
from sid.measure import metrics
from sid.quantizers import loading
from sid.releases.use import taken
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors, ids, quantizer, and the release that params.yaml names -> codes, report, metrics."""
    from sid.quantizers.assignment import assign, slack_of  # loads torch
    from sid.releases.encode import encode_beside

    vectors, wanted = load_vectors(stage.input("vectors"), "align"), stage.params.index
    release = taken(stage.params)
    quant = stage.params.quant
    quantizer = loading.load(stage.input("quantizer"), quant.device, quant.device_memory_gib)
    figures = {}
    if release is None:
        codes, assignment = assign(quantizer, vectors, wanted, stage.engine)
        if assignment == "balanced":
            figures["slack"] = slack_of(quantizer, wanted)
    else:
        codes, figures["new"] = encode_beside(release, quantizer, vectors, load_ids(stage.input("ids")))
        assignment = "nearest"
    with stage.output("codes").open("wb") as file:
        np.save(file, codes)
    collided = round6(metrics.collision_rate(metrics.prefix_ids(codes)[-1]))
    found = {
        "items": len(codes),
        "assignment": assignment,
        **figures,
        "code_sizes": list(quantizer.code_sizes),
        "collision_rate": collided,
    }
    write_json(stage.output("report"), found)
    write_json(stage.output("metrics"), {"collision_rate_before": collided})
    of = f"{len(codes):,} items" if release is None else f"{figures['new']:,} items that are new since {release.name}"
    return f"{assignment} codes of {of}, collision rate {collided:.1%}"


if __name__ == "__main__":
    run("index", main, inputs=("vectors", "ids", "quantizer"), outputs=("codes", "report", "metrics"))
