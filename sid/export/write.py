"""The export stage's one call: a folder of files for each format, and the count of what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import polars as pl
from tqdm import tqdm

from sid.errors import InputError
from sid.export.formats import FORMATS
from sid.export.source import Source
from sid.interactions import Interactions, read_interactions
from sid.params import Export, given
from sid.prompts import Prompts
from sid.semantic_ids import SemanticIds
from sid.sft import records

Counts = Counter[tuple[str, str]]


def write_all(folder: Path, sids: SemanticIds, items: pl.DataFrame, wanted: Export) -> dict[str, Any]:
    """Write the files of `wanted.formats` into an empty folder, each format into a folder of its name.

    Records of `wanted.tasks` are made once and handed to all formats of records as they come; formats of the
    catalogue and of sequences are written one after another.

    Args:
        items: one row per Semantic ID, in the same order.

    Returns:
        The figures of reports/export.json: `dataset`, `items`, `items_without_title`, `levels`, `vocabulary` (tokens
        of all levels); `interactions` per split, `skipped_interactions` per reason (see `Interactions`), `users`
        with an interaction in a split and `users_left_out`; `records` and `records_left_out` (for want of a title or
        description) per task and split; per format `files` and `records` (entries or rows for what is no record);
        `warnings` by reader.

    Raises:
        InputError: prompts or interactions that can't be used, items that are not those of the Semantic IDs, or
            Semantic IDs that a format's reader can't read.
    """
    if not items["item_id"].equals(sids.item_ids):
        raise InputError("the prepared items are not those of the Semantic IDs; run the pipeline from prepare on")
    prompts = Prompts.load(wanted.prompts)
    path = given(wanted.interactions)
    interactions = read_interactions(path, sids.item_ids, wanted) if path is not None else None
    source = Source(wanted.dataset, sids, items, interactions)
    warnings = [warning for name in wanted.formats for warning in FORMATS[name].warnings(source)]
    for name in wanted.formats:
        (folder / name).mkdir()

    counts = Counter[str]()
    for name in wanted.formats:
        write = FORMATS[name].write
        if write is not None:
            counts[name] = write(folder / name, source)
    made, left_out = _write_records(folder, source, prompts, wanted)
    of_records = [name for name in wanted.formats if FORMATS[name].open is not None]
    counts.update(dict.fromkeys(of_records, made.total()))
    if of_records and not made:
        warnings.append(f"no record of any task: {', '.join(of_records)} hold nothing to train on")
    return {
        "dataset": wanted.dataset,
        "items": len(items),
        "items_without_title": source.catalogue.titles.count(""),
        "levels": len(sids.code_sizes),
        "vocabulary": sum(sids.code_sizes),
        **_interaction_figures(interactions),
        "records": _by_task(wanted.tasks, made),
        "records_left_out": _by_task(wanted.tasks, left_out),
        "formats": {
            name: {"files": sum(path.is_file() for path in (folder / name).rglob("*")), "records": counts[name]}
            for name in wanted.formats
        },
        "warnings": warnings,
    }


def _write_records(folder: Path, source: Source, prompts: Prompts, wanted: Export) -> tuple[Counts, Counts]:
    """Write all records to all formats of records; returns counts by task and split of those made and left out."""
    made, left_out = Counts(), Counts()
    with ExitStack() as stack:
        writers = [
            stack.enter_context(closing(opened(folder / name, source)))
            for name in wanted.formats
            if (opened := FORMATS[name].open) is not None
        ]
        stream = records(wanted.tasks, source.catalogue, source.interactions, prompts, wanted.seed, left_out)
        for record in tqdm(stream, "export", unit="record", disable=None):
            made[record.task, record.split] += 1
            for writer in writers:
                writer.add(record)
    return made, left_out


def _by_task(tasks: Sequence[str], counts: Counts) -> dict[str, dict[str, int]]:
    by_task: dict[str, dict[str, int]] = {task: {} for task in tasks}
    for (task, split), count in counts.items():
        by_task[task][split] = count
    return by_task


def _interaction_figures(found: Interactions | None) -> dict[str, Any]:
    splits = found.splits if found else ()
    return {
        "interactions": {split.name: len(split) for split in splits},
        "skipped_interactions": found.skipped if found else {},
        "users": len(found.user_ids) - found.users_left_out if found else 0,
        "users_left_out": found.users_left_out if found else 0,
    }
