"""Compare the index with the release that it continues: what is new, what drifted, what changed."""

from sid.arrays import load_codes, load_vectors
from sid.catalogue.item_ids import load_ids
from sid.files import write_json
from sid.ids import SemanticIds
from sid.interactions import load_counts
from sid.releases.published import published
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """What the stages before it wrote, and the release that params.yaml names -> delta, drift, churn."""
    release, wanted = published(stage.params), stage.params.release
    sids = SemanticIds.load(stage.input("sids"))
    if release is None:
        for name in ("drift", "churn"):
            write_json(stage.output(name), {"release": None})
        SemanticIds(sids.item_ids.clear(), sids.codes[:0], sids.code_sizes).save(stage.output("delta"))
        return "nothing to compare with, published is data/none"
    from sid.quantizers import loading
    from sid.releases.delta import churn_figures, drift_figures  # loads torch

    quant = stage.params.quant
    quantizer = loading.load(stage.input("quantizer"), quant.device, quant.device_memory_gib)
    vectors, raw = load_vectors(stage.input("vectors"), "align"), load_codes(stage.input("codes"))
    counts = load_counts(stage.input("counts"), load_ids(stage.input("ids")))
    drift = drift_figures(release, quantizer, vectors, raw, sids, wanted)
    if wanted.mode == "refresh" or release.bare:  # the new quantizer has seen them all
        del drift["verdict"]
    churn = churn_figures(release, quantizer, sids, wanted, None if counts is None else counts.train)
    write_json(stage.output("drift"), drift)
    write_json(stage.output("churn"), churn)
    new = sids.new()
    new.save(stage.output("delta"))
    kept = churn["after"]
    said = f"{len(new.codes):,} new Semantic IDs; {kept['kept']['all']:.1%} of {kept['items']:,} items keep theirs"
    if drift["agreement"] is not None:
        first = next(iter(drift["agreement"].values()))
        return f"{said}; with the new quantizer's own codes, {first:.1%} of them would keep their first token"
    return said if "verdict" not in drift else f"{said}; verdict: {drift['verdict']['say']}"


if __name__ == "__main__":
    run(
        "delta",
        main,
        inputs=("vectors", "ids", "quantizer", "codes", "sids", "counts"),
        outputs=("delta", "drift", "churn"),
    )
