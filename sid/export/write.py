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
from sid.export.prompts import TASKS, Prompts
from sid.export.records import TRAIN, records
from sid.export.source import Source
from sid.ids import SemanticIds
from sid.interactions.sequences import Interactions, read_interactions
from sid.params import NOT_GIVEN, Export, given

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
        `warnings`: what which reader would lose, and where a split or a task has nothing to train on.

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
    if interactions is not None and not any(split.name == TRAIN and len(split) for split in interactions.splits):
        warnings.insert(0, _no_train_rows(interactions, wanted))
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
    if of_records:
        warnings += _no_train_records(of_records, made, wanted, interactions)
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


def _no_train_rows(found: Interactions, wanted: Export) -> str:
    """Why no row of the interactions is left for train."""
    shortest = f"export.min_history {wanted.min_history}"
    if found.whole is None:
        reason = f"train.inter is missing, has no rows, or none with the history that {shortest} wants"
    elif wanted.split == "leave_one_out":
        reason = (
            f"no user has {wanted.min_history + 3} known interactions, which leave_one_out (two held out) and "
            f"{shortest} need for one row to train on"
        )
    else:
        reason = (
            f"before the first cut of export.ratios {list(wanted.ratios)} no row has the history that {shortest} wants"
        )
    counts = ", ".join(f"{name} {count:,}" for name, count in found.skipped.items() if count)
    return f"{wanted.interactions}: no row is left for train: {reason}" + (f" (left out: {counts})" if counts else "")


def _no_train_records(
    of_records: Sequence[str], made: Counts, wanted: Export, interactions: Interactions | None
) -> list[str]:
    """A line if a wanted task, or all of them, have nothing to train on."""
    formats = ", ".join(of_records)
    if not made:
        return [f"no record of any task: {formats} hold nothing to train on"]
    untrained = [task for task in wanted.tasks if not made[task, TRAIN]]
    if not untrained:
        return []
    of_history = [task for task in untrained if TASKS[task].history_of]
    why = f" (export.interactions is {NOT_GIVEN})" if of_history and interactions is None else ""
    return [f"no train record of {', '.join(untrained)}{why}: nothing in {formats} trains them"]


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
