"""Show what the pipeline's reports say, in a few lines, and where its outputs are."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

OUTPUTS = {
    "data/sids.parquet": "every item's codes and Semantic ID",
    "data/sft/": "what trainers read, one folder for each of export.formats",
    "data/quantizer.pth": "the fitted quantizer, for new items",
    "reports/report.html": "the page to look at first",
    "reports/*.json": "all figures; dvc metrics diff compares the main ones",
}

TOLD = ("prepare", "interactions", "export")


def lines(reports: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each line of the table, from the reports by name."""
    prepare, train, dedupe = reports["prepare"], reports["train"], reports["dedupe"]
    report, export = reports["report"], reports["export"]
    before, after = report["before"], report["after"]
    levels = before["levels"].values()
    records: Counter[str] = Counter()
    for splits in export["records"].values():
        records.update(splits)
    tasks = f"{records.total():,} of {len(export['records'])} tasks"
    return [
        ("items", f"{prepare['items']:,} of {prepare['dim']} dimensions"),
        ("method", f"{train['method']}, {' x '.join(map(str, train['num_emb_list']))} codes"),
        ("codes used", " ".join(f"{level['used']}/{level['size']}" for level in levels)),
        ("perplexity", " ".join(f"{level['perplexity']:.1f}" for level in levels)),
        ("R2", f"{report['r2']:.3f}"),
        (
            "collisions",
            f"{before['collision_rate']:.1%} -> {after['collision_rate']:.1%} "
            f"({dedupe['strategy']}, {dedupe['moved']:,} items moved)",
        ),
        ("recall@10", f"{after['recall_at_10']:.3f}"),
        ("formats", ", ".join(export["formats"])),
        ("records", ": ".join(filter(None, (tasks, ", ".join(f"{name} {n:,}" for name, n in records.items()))))),
    ]


def warnings(path: Path) -> list[str]:
    """What a stage warned of, which a run that took it from the cache doesn't say again."""
    return list(json.loads(path.read_text(encoding="utf-8")).get("warnings", []))


def main() -> int:
    """Print the table; 1 if a report is missing."""
    try:
        names = ("prepare", "train", "dedupe", "report", "export")
        reports = {name: json.loads(Path(f"reports/{name}.json").read_text(encoding="utf-8")) for name in names}
    except FileNotFoundError as error:
        print(f"error: {error.filename}: no such file; run dvc repro first", file=sys.stderr)
        return 1
    print()
    for name, value in lines(reports):
        print(f"  {name:<12} {value}")
    print()
    told = (Path(f"reports/{name}.json") for name in TOLD)
    said = [line for report in told if report.exists() for line in warnings(report)]
    for line in said:
        print(f"  warning: {line}")
    if said:
        print()
    for path, what in OUTPUTS.items():
        print(f"  {path:<20} {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
