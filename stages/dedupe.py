"""Give every item a Semantic ID of its own."""

from sid.arrays import check_codes, load_codes, load_vectors
from sid.catalogue.metadata import load_items
from sid.dedupe.figures import figures
from sid.dedupe.strategies import resolve
from sid.files import write_json
from sid.ids import SemanticIds
from sid.quantizers import loading
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors, items, quantizer, codes -> sids, report, metrics."""
    wanted = stage.params.dedupe
    vectors, item_ids = load_vectors(stage.input("vectors"), "align"), load_items(stage.input("items"))["item_id"]
    quantizer = loading.load(stage.input("quantizer"), stage.params.quant.device)
    codes = check_codes(load_codes(stage.input("codes")), quantizer.code_sizes, str(stage.input("codes")))
    after, code_sizes = resolve(codes, quantizer, vectors, wanted)
    SemanticIds(item_ids, after, code_sizes).save(stage.output("sids"))
    found = figures(codes, after, code_sizes, wanted)
    write_json(stage.output("report"), found)
    write_json(stage.output("metrics"), {name: found[name] for name in ("collision_rate", "moved")})
    return f"{wanted.strategy}: {found['moved']:,} items moved, collision rate {found['collision_rate']:.1%}"


if __name__ == "__main__":
    run(
        "dedupe",
        main,
        inputs=("vectors", "items", "quantizer", "codes"),
        outputs=("sids", "report", "metrics"),
    )
