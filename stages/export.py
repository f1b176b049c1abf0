"""Write the index, the items and the fine-tuning records that trainers read."""

import sys
from functools import partial

from sid.catalogue.items import load_items
from sid.export import write_all
from sid.files import write_json
from sid.ids import SemanticIds
from sid.interactions import SPLITS, load_interactions
from stages.run import Stage, run, tell


def main(stage: Stage) -> str:
    """Sids, items and interactions -> folder, report, metrics."""
    sids, items = SemanticIds.load(stage.input("sids")), load_items(stage.input("items"))
    interactions = load_interactions(list(map(stage.input, SPLITS)), stage.input("users"), sids.item_ids)
    say = partial(print, "export:", file=sys.stderr)
    folder = stage.output("folder")
    folder.mkdir()
    figures = write_all(folder, sids, items, interactions, stage.params.export, say)
    records = sum(sum(task.values()) for task in figures["records"].values())
    write_json(stage.output("report"), figures)
    write_json(stage.output("metrics"), {"records": records})
    tell("export", figures)
    tasks = sum(bool(splits) for splits in figures["records"].values())
    return f"{figures['items']:,} items and {records:,} records of {tasks} tasks in {', '.join(figures['formats'])}"


if __name__ == "__main__":
    inputs = ("sids", "items", *SPLITS, "users")
    run("export", main, inputs=inputs, outputs=("folder", "report", "metrics"))
