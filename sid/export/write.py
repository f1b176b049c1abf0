"""The export stage's one call: a folder of files for each format, and the count of what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import polars as pl
from tqdm import tqdm

from sid.errors import InputError
from sid.export.estimate import estimate
from sid.export.formats import FORMATS
from sid.export.histories import TRAIN, Behaviour
from sid.export.prompts import TASKS, Prompts
from sid.export.records import records
from sid.export.source import Source
from sid.ids import SemanticIds
from sid.interactions import Interactions
from sid.params import NOT_GIVEN, Export

Counts = Counter[tuple[str, str]]

_TITLE_TASK = "title_to_sid"


def write_all(
    folder: Path,
    sids: SemanticIds,
    items: pl.DataFrame,
    interactions: Interactions | None,
    wanted: Export,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Write the files of `wanted.formats` into an empty folder, each format into a folder of its name.

    Records of `wanted.tasks` are made once and handed to all formats of records as they come; formats of the
    catalogue and of sequences are written one after another.

    Args:
        items: one row per Semantic ID, in the same order.
        interactions: with these items, as the interactions stage left them; None where none were given.
        say: is told before records are written how many there will be and how large they are.

    Returns:
        The figures of reports/export.json: `dataset`, `items`, `items_without_title`, `levels`, `vocabulary` (tokens
        of all levels); `shared_titles`: how many `titles` belong to `items` with different Semantic IDs;
        `interactions` per split, `skipped_interactions` per reason (see `Behaviour`), `users` with a row in a split
        and `users_left_out`; `records` and `records_left_out` (those without a title or description) per task and
        split; per format `files` and `records` (entries or rows of formats that hold no records); `warnings`: what
        each reader would lose, where a split or a task has nothing to train on, and contradictory records.

    Raises:
        InputError: prompts that can't be used, no row left of the interactions, items that are not those of the
            Semantic IDs, or Semantic IDs that a format's reader can't read.
    """
    if not items["item_id"].equals(sids.item_ids):
        raise InputError("the prepared items are not those of the Semantic IDs; run the pipeline from prepare on")
    prompts = Prompts.load(wanted.prompts)
    behaviour = None if interactions is None else Behaviour.of(interactions, wanted)
    source = Source(wanted.dataset, sids, items, behaviour)
    warnings = [warning for name in wanted.formats for warning in FORMATS[name].warnings(source)]
    if behaviour is not None and not len(behaviour.splits[0]):
        warnings.insert(0, _no_train_rows(behaviour, wanted))
    expected = estimate(source, prompts, wanted)
    if expected.records and any(FORMATS[name].open for name in wanted.formats):
        say(expected.line())
    if (large := expected.warning(wanted)) is not None:
        say(large)
        warnings.append(large)
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
        warnings += _no_train_records(of_records, made, wanted, behaviour)
        warnings += _contradictory_records(made, source.shared_titles)
    return {
        "dataset": wanted.dataset,
        "items": len(items),
        "items_without_title": source.catalogue.titles.count(""),
        "levels": len(sids.code_sizes),
        "vocabulary": sum(sids.code_sizes),
        "shared_titles": source.shared_titles,
        **_interaction_figures(behaviour),
        "records": _by_task(wanted.tasks, made),
        "records_left_out": _by_task(wanted.tasks, left_out),
        "formats": {
            name: {"files": sum(path.is_file() for path in (folder / name).rglob("*")), "records": counts[name]}
            for name in wanted.formats
        },
        "expected_bytes": expected.bytes,
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
        stream = records(wanted.tasks, source.catalogue, source.behaviour, prompts, wanted.seed, left_out)
        for record in tqdm(stream, "export", unit="record", disable=None):
            made[record.task, record.split] += 1
            for writer in writers:
                writer.add(record)
    return made, left_out


def _no_train_rows(behaviour: Behaviour, wanted: Export) -> str:
    """Why no row of the interactions is left for train."""
    if not behaviour.read.splits[0].target_counts.any():
        return "no row is left for train: the interactions have none, as reports/interactions.json says"
    counts = ", ".join(f"{name} {count:,}" for name, count in behaviour.left_out.items() if count)
    return (
        f"no row is left for train: none has the history that export.min_history {wanted.min_history} wants "
        f"(left out: {counts})"
    )


def _no_train_records(
    of_records: Sequence[str], made: Counts, wanted: Export, behaviour: Behaviour | None
) -> list[str]:
    """A line if a wanted task, or all of them, have nothing to train on."""
    formats = ", ".join(of_records)
    if not made:
        return [f"no record of any task: {formats} hold nothing to train on"]
    untrained = [task for task in wanted.tasks if not made[task, TRAIN]]
    if not untrained:
        return []
    of_history = [task for task in untrained if TASKS[task].history_of]
    why = f" (interactions.source is {NOT_GIVEN})" if of_history and behaviour is None else ""
    return [f"no train record of {', '.join(untrained)}{why}: nothing in {formats} trains them"]


def _contradictory_records(made: Counts, shared: Mapping[str, int]) -> list[str]:
    """A line if records ask for the Semantic ID of a title that several have."""
    if not made[_TITLE_TASK, TRAIN] or not shared["titles"]:
        return []
    return [
        f"{shared['titles']:,} titles are shared by items with different Semantic IDs, {shared['items']:,} items in "
        f"all: {_TITLE_TASK} trains contradictory answers"
    ]


def _by_task(tasks: Sequence[str], counts: Counts) -> dict[str, dict[str, int]]:
    by_task: dict[str, dict[str, int]] = {task: {} for task in tasks}
    for (task, split), count in counts.items():
        by_task[task][split] = count
    return by_task


def _interaction_figures(behaviour: Behaviour | None) -> dict[str, Any]:
    if behaviour is None:
        return {"interactions": {}, "skipped_interactions": {}, "users": 0, "users_left_out": 0}
    return {
        "interactions": {split.name: len(split) for split in behaviour.splits},
        "skipped_interactions": behaviour.left_out,
        "users": behaviour.users,
        "users_left_out": len(behaviour.user_ids) - behaviour.users,
    }
