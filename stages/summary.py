"""Show what the pipeline's reports say, in a few lines, and where its outputs are."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from sid.evaluate.ranking import with_spread
from sid.files import read_yaml
from sid.report.verdict import noise, verdict
from stages import pipeline

OUTPUTS = {
    "data/sids.parquet": "every item's codes and Semantic ID",
    "data/sft/": "files for trainers, one folder per format",
    "data/quantizer.pth": "the fitted quantizer, for new items",
    "reports/report.html": "open this first: is the index good, and what can be improved",
    "reports/*.json": "all figures",
}

_DATA = (("prepare", "embeddings"), ("prepare", "items"), ("interactions", "source"))
"""The keys of params.yaml that name the data: figures of other data aren't compared."""

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
    made = sum(bool(splits) for splits in export["records"].values())
    tasks = f"{records.total():,} of {made} tasks"
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
    if was is not None and was != value["mean"] and _same_data():
        change = value["mean"] - was
        said = (
            "with a single seed it isn't known how much of that is noise"
            if bound is None
            else f"{'within' if abs(change) <= bound else 'beyond'} the noise of {bound:.4f} between seeds"
        )
        lines.append(("", f"NDCG@10 {change:+.4f} since the last commit, {said}"))
    return lines


def _same_data() -> bool:
    """Whether params.yaml names the data that it named in the last commit."""
    done = subprocess.run(["git", "show", f"HEAD:./{pipeline.PARAMS}"], capture_output=True, text=True)
    before = yaml.safe_load(done.stdout) if done.returncode == 0 else {}
    now = read_yaml(pipeline.PARAMS)
    return all(before.get(part, {}).get(key) == now[part][key] for part, key in _DATA)


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
        names = ("prepare", "train", "index", "dedupe", "evaluate", "report", "export")
        reports = {name: json.loads(Path(f"reports/{name}.json").read_text(encoding="utf-8")) for name in names}
    except FileNotFoundError as error:
        print(f"error: {error.filename}: no such file; run dvc repro first", file=sys.stderr)
        return 1
    print()
    for name, value in lines(reports):
        print(f"  {name:<12} {value}")
    judged = verdict(reports)
    print(f"  {'verdict':<12} {judged.grade}: {judged.headline}")
    for point in judged.points:
        if point.advice:
            print(f"  {'':<12} {point.text} {point.advice}")
    print()
    told = (Path(f"reports/{name}.json") for name in TOLD)
    said = [line for report in told if report.exists() for line in warnings(report)]
    for line in said:
        print(f"  warning: {line}")
    if said:
        print()
    for path, what in OUTPUTS.items():
        print(f"  {path:<20} {what}")
    print("\nNext:")
    for step in next_steps(read_yaml(pipeline.PARAMS)):
        print(f"  {step}")
    return 0


def next_steps(params: dict[str, Any]) -> list[str]:
    """What to do now, with commands that can be pasted."""
    done = subprocess.run(["git", "status", "--porcelain", "--", "reports/metrics"], capture_output=True, text=True)
    baseline = 'git commit --all --message "Baseline"  # otherwise the next command has nothing to compare with'
    commit_first = [baseline] if done.returncode == 0 and done.stdout.strip() else []
    other = "rqvae" if params["quant"]["method"] == "rqkmeans" else "rqkmeans"
    sample = str(params["prepare"]["embeddings"]).startswith("data/sample/")
    return [
        "open reports/report.html",
        "source .venv/bin/activate  # once in each shell",
        *commit_first,
        f"dvc exp run -S quant.method={other} && dvc metrics diff  # compares with your last commit",
        "for your own data, set prepare.embeddings, prepare.items and interactions.source in params.yaml and run make"
        if sample
        else "git commit --all && python -m stages.publish NAME  # keeps this index: docs/releases.md",
    ]


if __name__ == "__main__":
    sys.exit(main())
