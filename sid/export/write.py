"""The export stage's one call: every file of data/sft, and the count of what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from sid import sft
from sid.errors import InputError
from sid.export.index import write_index, write_items
from sid.export.jsonfiles import write_list
from sid.interactions import Split, read_splits
from sid.params import Export, given
from sid.semantic_ids import SemanticIds


def write_all(folder: Path, sids: SemanticIds, items: pl.DataFrame, wanted: Export) -> dict[str, Any]:
    """Write `<dataset>.index.json`, `<dataset>.item.json` and the records of every task into an empty folder.

    Records are JSON lists of {task, instruction, input, output}: `title_to_sid.json` and `sid_to_title.json` for
    the items with a title; `sequence_<split>.json` for each split of `wanted.interactions`, with the user_id and
    the next item's item_id.

    Args:
        items: one row per Semantic ID, in the same order.

    Returns:
        The figures of reports/export.json: `dataset`, `items`, `items_without_title`, `levels`, `vocabulary`
        (tokens of all levels), `records` per task and split, `skipped_interactions` per split.

    Raises:
        InputError: prompts or interactions that can't be used; items that are not those of the Semantic IDs.
    """
    if items["item_id"].to_list() != sids.item_ids.to_list():
        raise InputError("the prepared items are not those of the Semantic IDs; run the pipeline from prepare on")
    prompts = sft.Prompts.load(wanted.prompts)
    texts = sids.texts()
    sid_of = dict(zip(sids.item_ids.to_list(), texts, strict=True))
    interactions = given(wanted.interactions)
    splits: list[Split] = []
    if interactions is not None:
        splits = read_splits(interactions, sid_of, wanted.unknown_items)

    write_index(folder / f"{wanted.dataset}.index.json", sids)
    write_items(folder / f"{wanted.dataset}.item.json", items)
    titles = items["title"].to_list()
    records: dict[str, dict[str, int]] = {}
    for task in (sft.TITLE_TO_SID, sft.SID_TO_TITLE):
        rows = sft.item_records(task, titles, texts, prompts, wanted.seed)
        records[task] = {"all": write_list(folder / f"{task}.json", rows)}
    if splits:
        records[sft.SEQUENCE] = {}
    for split in splits:
        rows = sft.sequence_records(split.name, split.rows, sid_of, prompts, wanted.seed)
        records[sft.SEQUENCE][split.name] = write_list(folder / f"{sft.SEQUENCE}_{split.name}.json", rows)
    return {
        "dataset": wanted.dataset,
        "items": len(texts),
        "items_without_title": len(texts) - records[sft.TITLE_TO_SID]["all"],
        "levels": len(sids.code_sizes),
        "vocabulary": sum(sids.code_sizes),
        "records": records,
        "skipped_interactions": {split.name: split.skipped for split in splits},
    }
