"""Write the index, the items and the fine-tuning records that trainers read."""

from sid.export import write_all
from sid.files import write_json
from sid.prepared import load_items
from sid.semantic_ids import SemanticIds
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Sids, items and the interactions of params.yaml -> folder, report."""
    sids, items = SemanticIds.load(stage.input("sids")), load_items(stage.input("items"))
    folder = stage.output("folder")
    folder.mkdir()
    figures = write_all(folder, sids, items, stage.params.export)
    write_json(stage.output("report"), figures)
    records = sum(sum(task.values()) for task in figures["records"].values())
    return f"index, items and {records:,} records of {len(figures['records'])} tasks for {figures['items']:,} items"


if __name__ == "__main__":
    run("export", main, inputs=("sids", "items"), outputs=("folder", "report"))
