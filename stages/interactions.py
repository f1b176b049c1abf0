"""Read interactions, split them, and write them as integer sequences, with a count for every item."""

import numpy as np

from sid.catalogue.items import load_items
from sid.files import write_json
from sid.interactions.read import read_interactions
from sid.interactions.split_files import SPLITS, save_counts, save_split, save_users
from sid.params import given
from stages.run import Stage, run, tell


def main(stage: Stage) -> str:
    """Items, and what params.yaml names -> a file for each split, users, counts, keep, report."""
    item_ids = load_items(stage.input("items"), [])["item_id"]
    wanted = stage.params.interactions
    found = read_interactions(given(wanted.source), item_ids, wanted)
    for name, split in zip(SPLITS, found.interactions.splits, strict=True):
        save_split(stage.output(name), split, item_ids)
    save_users(stage.output("users"), found.interactions.user_ids)
    save_counts(stage.output("counts"), found.counts, item_ids, found.interactions.source)
    keep = stage.output("keep")
    keep.mkdir()
    for name, by in (("nearest", []), ("popular", found.counts.train)):
        np.save(keep / f"{name}.npy", np.asarray(by, np.int64))  # dedupe.keep names the one that dedupe reads
    figures = found.figures()
    write_json(stage.output("report"), figures)
    tell("interactions", figures)
    if found.interactions.source == "none":
        return "none are given"
    rows = ", ".join(f"{name} {count:,}" for name, count in figures["rows"].items())
    return f"{figures['users']:,} users; targets: {rows}"


if __name__ == "__main__":
    run("interactions", main, inputs=("items",), outputs=(*SPLITS, "users", "counts", "keep", "report"))
