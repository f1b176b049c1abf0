"""Write the index, the items and the fine-tuning records that trainers read."""

import sys

from sid.catalogue.metadata import load_items
from sid.export import write_all
from sid.files import write_json
from sid.ids import SemanticIds
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Sids, items and the interactions of params.yaml -> folder, report."""
    sids, items = SemanticIds.load(stage.input("sids")), load_items(stage.input("items"))
    folder = stage.output("folder")
    folder.mkdir()
    figures = write_all(folder, sids, items, stage.params.export)
    write_json(stage.output("report"), figures)
    for warning in figures["warnings"]:
        print(f"export: warning: {warning}", file=sys.stderr)
    records = sum(sum(task.values()) for task in figures["records"].values())
    return (
        f"{figures['items']:,} items and {records:,} records of {len(figures['records'])} tasks in "
        f"{', '.join(figures['formats'])}"
    )


if __name__ == "__main__":
    run("export", main, inputs=("sids", "items"), outputs=("folder", "report"))
