"""Measure how well a recommender that generates the Semantic IDs recommends."""

import sys

from sid.files import write_csv, write_json
from sid.ids import SemanticIds
from sid.interactions.split_files import SPLITS, load_split
from stages import other_index
from stages.run import Stage, run, tell

CURVE = ("run", "seed", "epoch", "loss", "ndcg_at_10")


def main(stage: Stage) -> str:
    """Semantic IDs, splits -> report, metrics, curve; an interrupted run continues from the states in checkpoints."""
    from sid.evaluate.run import evaluate, headline, line, not_evaluated  # loads torch

    sids = SemanticIds.load(stage.input("sids"))
    train, valid, test = (load_split(stage.input(name), sids.item_ids) for name in SPLITS)
    config = stage.params.evaluate
    if config.method == "none":
        found = not_evaluated("evaluate.method is none")
    elif train.source == "none":
        found = not_evaluated("there are no interactions")
    else:
        found = evaluate(sids.codes, sids.code_sizes, (train, valid, test), config, stage.checkpoints())
    write_json(stage.output("report"), found.figures)
    write_json(stage.output("metrics"), headline(found.figures))
    write_csv(stage.output("curve"), CURVE, found.curve)
    tell("evaluate", found.figures)
    return line(found.figures)


if __name__ == "__main__":
    if not any(word.split("=")[0] == "--metrics" for word in sys.argv):
        sys.exit(other_index.main(sys.argv[1:]))
    run("evaluate", main, inputs=("sids", *SPLITS, "checkpoints"), outputs=("report", "metrics", "curve"))
