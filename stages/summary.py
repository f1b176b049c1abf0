"""Show what the pipeline's reports say, in a few lines, and where its outputs are."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from sid.evaluate.ranking import with_spread
from sid.report.verdict import noise

OUTPUTS = {
    "data/sids.parquet": "every item's codes and Semantic ID",
    "data/sft/": "what trainers read, one folder for each of export.formats",
    "data/quantizer.pth": "the fitted quantizer, for new items",
    "reports/report.html": "the page to look at first",
    "reports/*.json": "all figures; dvc metrics diff compares the main ones",
}

TOLD = ("prepare", "interactions", "evaluate", "export")


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
        *recommends(reports["evaluate"], committed("reports/metrics/evaluate.json")),
        ("formats", ", ".join(export["formats"])),
        ("records", ": ".join(filter(None, (tasks, ", ".join(f"{name} {n:,}" for name, n in records.items()))))),
    ]


def recommends(evaluation: dict[str, Any], before: dict[str, float | None]) -> list[tuple[str, str]]:
    """The line of the evaluation, and how much of the difference to the last commit is noise; none without one."""
    if evaluation["method"] == "none":
        return []
    test = evaluation["test"]
    lines = [("recommends", f"HR@10 {with_spread(test['hr_at_10'])}, NDCG@10 {with_spread(test['ndcg_at_10'])}")]
    value, was = test["ndcg_at_10"], before.get("ndcg_at_10")
    bound = noise(value, len(evaluation["seeds"]))
    if was is not None and was != value["mean"]:
        change = value["mean"] - was
        said = (
            "one seed doesn't say how much of it is noise"
            if bound is None
            else f"{'within' if abs(change) <= bound else 'beyond'} the noise of {bound:.4f} between seeds"
        )
        lines.append(("", f"NDCG@10 {change:+.4f} since the last commit, {said}"))
    return lines


def committed(path: str) -> dict[str, Any]:
    """A report of the last commit; empty without Git, or where it has none."""
    done = subprocess.run(["git", "show", f"HEAD:./{path}"], capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def warnings(path: Path) -> list[str]:
    """What a stage warned of, which a run that took it from the cache doesn't say again."""
    return list(json.loads(path.read_text(encoding="utf-8")).get("warnings", []))


def main() -> int:
    """Print the table; 1 if a report is missing."""
    try:
        names = ("prepare", "train", "dedupe", "evaluate", "report", "export")
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
