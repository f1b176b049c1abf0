"""Evaluate an index that isn't the pipeline's, by the settings of params.yaml, and print what comes out.

It may be a .parquet or an index.json, of this project or of MiniOneRec's. Nothing of the pipeline's is written.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sid import params
from sid.catalogue.items import load_items
from sid.errors import InputError
from sid.evaluate.ranking import with_spread
from sid.evaluate.run import evaluate
from sid.export.formats import CHOICES
from sid.files import read_json, write_json
from sid.interactions import SPLITS, load_split
from sid.quantizers.methods import CONFIGS
from stages import pipeline
from stages.revisions import read_sids
from stages.run import alone


def evaluate_other(sids: Path, report: Path | None) -> str:
    """An index's figures compared with the pipeline's own, as lines; all of them are written if a path is given."""
    wanted = params.load(pipeline.PARAMS, CONFIGS, CHOICES)
    config = wanted.evaluate.model_copy(update={"method": "transformer"})
    stages = pipeline.declared()
    item_ids = load_items(stages["interactions"].option("items"), [])["item_id"]
    index = read_sids(sids).of_items(item_ids, sids)
    train, valid, test = (load_split(stages["evaluate"].option(name), item_ids) for name in SPLITS)
    if train.source == "none":
        raise InputError(f"{pipeline.PARAMS}: interactions.source is data/none: there is nothing to evaluate on")
    found = evaluate(index.codes, index.code_sizes, (train, valid, test), config).figures
    own = stages["evaluate"].option("report")
    columns = {str(sids): found}
    if own.exists() and (before := read_json(own))["method"] != "none":
        columns[str(own)] = before
    if report is not None:
        write_json(report, found)
    return "\n".join(table(columns))


def table(columns: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lines that compare evaluations by name."""
    width = max(map(len, columns))
    lines = [f"{'':<{width}}  {'split':<5}  {'HR@10':>16}  {'NDCG@10':>16}"]
    for split in SPLITS[1:]:
        for name, found in columns.items():
            cells = [with_spread(found[split][metric]) for metric in ("hr_at_10", "ndcg_at_10")]
            lines.append(f"{name:<{width}}  {split:<5}  {cells[0]:>16}  {cells[1]:>16}")
    return lines


def main(words: list[str]) -> int:
    """What `python -m stages.evaluate` does without --metrics; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m stages.evaluate", description=__doc__)
    parser.add_argument("--sids", type=Path, required=True, metavar="PATH", help="a .parquet or index.json")
    parser.add_argument("--report", type=Path, metavar="PATH", help="a JSON file for all figures")
    arguments = parser.parse_args(words)
    return alone("evaluate", lambda: evaluate_other(arguments.sids, arguments.report))
