"""Give every item a Semantic ID of its own, and report what it cost."""

import json
import sys

from sid import dedupe, report
from sid.codes import load_codes
from sid.files import write_csv, write_json
from sid.prepared import load_items, load_vectors
from sid.quantizers import methods
from sid.semantic_ids import SemanticIds
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors, items, quantizer, codes and the index stage's figures -> sids, report, page, usage."""
    vectors, items = load_vectors(stage.input("vectors")), load_items(stage.input("items"))
    codes = load_codes(stage.input("codes"))
    index = json.loads(stage.input("index").read_text(encoding="utf-8"))
    sizes = [level["size"] for level in index["levels"].values()]
    params = stage.params
    done = dedupe.dedupe(
        codes,
        sizes,
        vectors,
        params.dedupe,
        lambda: methods.load(stage.input("quantizer"), params.quant.device),
    )
    sids = SemanticIds(items["item_id"], done.codes, done.code_sizes)
    sids.save(stage.output("sids"))
    write_json(stage.output("report"), done.figures)
    write_csv(
        stage.output("usage"),
        ("level", "rank", "code", "items"),
        dedupe.usage_rows(done.codes, done.code_sizes),
    )
    stage.output("page").write_text(report.page(sids, codes, items, index, done.figures), encoding="utf-8")
    for warning in done.figures["warnings"]:
        print(f"dedupe: warning: {warning}", file=sys.stderr)
    before, after = done.figures["before"], done.figures["after"]
    return (
        f"{params.dedupe.strategy}: collisions {before['collision_rate']:.1%} -> {after['collision_rate']:.1%}, "
        f"{done.figures['moved']:,} items moved"
    )


if __name__ == "__main__":
    run(
        "dedupe",
        main,
        inputs=("vectors", "items", "quantizer", "codes", "index"),
        outputs=("sids", "report", "page", "usage"),
    )
