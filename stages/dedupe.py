"""Give every item a Semantic ID of its own, and report what it cost."""

import sys

from sid.arrays import load_codes, load_vectors
from sid.catalogue.metadata import load_items
from sid.dedupe import resolve as dedupe
from sid.files import read_json, write_csv, write_json
from sid.ids import SemanticIds
from sid.interactions.read import read_interactions
from sid.params import given
from sid.quantizers import methods
from sid.report import charts
from sid.report import page as report
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors, items, quantizer, codes, figures of index and train -> sids, report, page, usage, groups."""
    vectors, items = load_vectors(stage.input("vectors")), load_items(stage.input("items"))
    codes = load_codes(stage.input("codes"))
    index, train = read_json(stage.input("index")), read_json(stage.input("train"))
    curve = charts.read_curve(stage.input("curve"))
    params = stage.params
    source = given(params.interactions.source)
    read = None if source is None else read_interactions(source, items["item_id"], params.interactions)
    done = dedupe.dedupe(
        codes,
        [level["size"] for level in index["levels"].values()],
        vectors,
        params.dedupe,
        lambda: methods.load(stage.input("quantizer"), params.quant.device),
        index["recall_at_10"],
        None if read is None else read.counts.total,
    )
    sids = SemanticIds(items["item_id"], done.codes, done.code_sizes)
    sids.save(stage.output("sids"))
    write_json(stage.output("report"), done.figures)
    usage, groups = dedupe.usage_rows(done.codes, done.code_sizes), dedupe.group_rows(codes, done.codes)
    write_csv(stage.output("usage"), ("level", "rank", "code", "items"), usage)
    write_csv(stage.output("groups"), ("when", "size", "groups"), groups)
    reports = {"collisions": done.figures, "index": index, "train": train}
    page = report.page(sids, codes, items, done.near, reports, curve)
    stage.output("page").write_text(page, encoding="utf-8")
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
        inputs=("vectors", "items", "quantizer", "codes", "index", "train", "curve"),
        outputs=("sids", "report", "page", "usage", "groups"),
    )
