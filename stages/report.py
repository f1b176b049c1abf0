"""Measure the index before and after dedupe, and draw the page to look at first."""

import sys

from sid.arrays import check_codes, load_codes, load_vectors
from sid.catalogue.items import load_items
from sid.files import read_json, write_csv, write_json
from sid.ids import SemanticIds
from sid.interactions import load_counts
from sid.quantizers import loading
from sid.report import charts, figures
from sid.report.about import About
from sid.report.page import page
from stages.run import Stage, run

REPORTS = ("prepare", "align", "index", "dedupe", "evaluate", "train", "drift", "churn")


def main(stage: Stage) -> str:
    """What the stages before it wrote -> report, metrics, page, usage, groups."""
    items = load_items(stage.input("items"), ["title"])
    quant = stage.params.quant
    quantizer = loading.load(stage.input("quantizer"), quant.device, quant.device_memory_gib)
    codes = check_codes(load_codes(stage.input("codes")), quantizer.code_sizes, str(stage.input("codes")))
    sids = SemanticIds.load(stage.input("sids"))
    reports = {name: read_json(stage.input(name)) for name in REPORTS}
    curve = charts.read_curve(stage.input("curve"))
    counts = load_counts(stage.input("counts"), items["item_id"])
    total = None if counts is None else counts.total
    vectors = load_vectors(stage.input("vectors"), "align")
    original = None if reports["align"]["applied"] == "none" else load_vectors(stage.input("original"))
    found, near, near_original = figures.measure(quantizer, vectors, codes, sids, total, original, stage.engine)
    write_json(stage.output("report"), found)
    write_json(stage.output("metrics"), figures.headline(found))
    write_csv(
        stage.output("usage"), ("level", "rank", "code", "items"), figures.usage_rows(sids.codes, sids.code_sizes)
    )
    write_csv(stage.output("groups"), ("when", "size", "groups"), figures.group_rows(codes, sids.codes))
    html = page(sids, codes, items, (near_original, near), {"report": found, **reports}, curve, About.of(stage.params))
    stage.output("page").write_text(html, encoding="utf-8")
    for warning in found["warnings"]:
        print(f"report: warning: {warning}", file=sys.stderr)
    after = found["after"]
    return f"R2 {found['r2']:.3f}, recall@10 {after['recall_at_10']:.3f}, collision rate {after['collision_rate']:.1%}"


if __name__ == "__main__":
    run(
        "report",
        main,
        inputs=("vectors", "original", "items", "quantizer", "codes", "sids", "counts", *REPORTS, "curve"),
        outputs=("report", "metrics", "page", "usage", "groups"),
    )
