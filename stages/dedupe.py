"""Give every item a Semantic ID of its own."""

import numpy as np

from sid.arrays import check_codes, load_codes, load_vectors
from sid.catalogue.item_ids import load_ids
from sid.dedupe.figures import figures
from sid.dedupe.resolve import resolve
from sid.files import write_json
from sid.ids import SemanticIds
from sid.quantizers import loading
from sid.releases.beside import beside, origins
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors, ids, counts to keep by, quantizer, codes, and the release of params.yaml -> sids, report, metrics."""
    wanted = stage.params.dedupe
    vectors, item_ids = load_vectors(stage.input("vectors"), "align"), load_ids(stage.input("ids"))
    quant = stage.params.quant
    quantizer = loading.load(stage.input("quantizer"), quant.device, quant.device_memory_gib)
    codes = check_codes(load_codes(stage.input("codes")), quantizer.code_sizes, str(stage.input("codes")))
    by = np.load(stage.input("keep") / f"{wanted.keep}.npy", allow_pickle=False)
    found = beside(stage.params, item_ids, codes)
    release, published = found or (None, None)
    after, code_sizes = resolve(codes, quantizer, vectors, wanted, published, by if len(by) else None, stage.engine)
    if release is None:
        sids = SemanticIds(item_ids, after, code_sizes)
    else:
        sids = SemanticIds(item_ids, after, code_sizes, origins(release, item_ids, after), release.code_sizes)
    sids.save(stage.output("sids"))
    report = figures(codes, after, code_sizes, wanted, published)
    write_json(stage.output("report"), report)
    write_json(stage.output("metrics"), {name: report[name] for name in ("collision_rate", "moved")})
    moved = f"{report['moved']:,} items moved, collision rate {report['collision_rate']:.1%}"
    if release is None:
        return f"{wanted.strategy}: {moved}"
    held = f"{report['published']:,} items as in {release.name}, {report['settled']:,} newly placed"
    return f"{wanted.strategy}: {held}; {moved}"


if __name__ == "__main__":
    run(
        "dedupe",
        main,
        inputs=("vectors", "ids", "keep", "quantizer", "codes"),
        outputs=("sids", "report", "metrics"),
    )
