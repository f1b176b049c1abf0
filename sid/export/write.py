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
from sid.export.columns import is_blank
from sid.export.estimate import estimate
from sid.export.formats import FORMATS
from sid.export.histories import TRAIN, Behaviour
from sid.export.prompts import TASKS, Prompts, Task
from sid.export.records import records
from sid.export.source import RecordWriter, Source
from sid.ids import SemanticIds
from sid.interactions import Interactions
from sid.params import NOT_GIVEN, Export

Counts = Counter[tuple[str, str]]

NEW = "new"
"""The folder, beside those of the formats, of the same formats with nothing but new Semantic IDs."""

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
    catalogue and of sequences are written one after another. Where the index continues a release, all formats are
    written once more into the folder `NEW`, of the items whose Semantic IDs are new and the records that ask for them.

    Args:
        items: one row per Semantic ID, in the same order.
        interactions: with these items, as the interactions stage left them; None where none were given.
        say: is told before records are written how many there will be and how large they are.

    Returns:
        The figures of reports/export.json: `dataset`, `items`, `items_without_title`, `levels`, `vocabulary` (tokens
        of all levels); `shared_titles`: how many `titles` belong to `items` with different Semantic IDs;
        `new`, where the index continues a release: `items`, `tokens` that it didn't have, and `formats`;
        `interactions` per split, `skipped_interactions` per reason (see `Behaviour`), `users` with a row in a split
        and `users_left_out`; `records` and `records_left_out` (those without a title or description) per task and
        split; per format `files` and `records` (entries or rows of formats that hold no records); `warnings`: what
        each reader would lose, where a split or a task has nothing to train on, and contradictory records.

    Raises:
        InputError: prompts that can't be used, no row left of the interactions, items that are not those of the
            Semantic IDs, or Semantic IDs that a format's reader can't read.
    """
    if not items["item_id"].equals(sids.item_ids):
        raise InputError("the prepared items and the Semantic IDs belong to different catalogues; run dvc repro")
    prompts = Prompts.load(wanted.prompts)
    behaviour = None if interactions is None else Behaviour.of(interactions, wanted)
    source = Source(wanted.dataset, sids, items, behaviour)
    warnings = [warning for name in wanted.formats for warning in FORMATS[name].warnings(source)]
    if behaviour is not None and not len(behaviour.splits[0]):
        warnings.insert(0, _no_train_rows(behaviour, wanted))
    expected = estimate(source, prompts, wanted)
    if expected.bytes:
        say(expected.line())
    if (large := expected.warning(wanted)) is not None:
        say(large)
        warnings.append(large)
    for name in wanted.formats:
        (folder / name).mkdir()

    counts = _write_catalogue(folder, source, wanted)
    delta, new_counts = _delta(source), Counter[str]()
    if delta is not None:
        for name in wanted.formats:
            (folder / NEW / name).mkdir(parents=True)
        new_counts = _write_catalogue(folder / NEW, delta, wanted)
    made, left_out, made_new = _write_records(folder, source, delta, prompts, wanted)
    of_records = [name for name in wanted.formats if FORMATS[name].open is not None]
    counts.update(dict.fromkeys(of_records, made.total()))
    new_counts.update(dict.fromkeys(of_records, made_new))
    if of_records:
        warnings += _no_train_records(of_records, made, wanted, source)
        warnings += _contradictory_records(made, source.shared_titles)
    return {
        "dataset": wanted.dataset,
        "items": len(items),
        "items_without_title": int((source.titles == "").sum()),
        "levels": len(sids.code_sizes),
        "vocabulary": sum(sids.code_sizes),
        "shared_titles": source.shared_titles,
        **_interaction_figures(behaviour),
        "records": _by_task(wanted.tasks, made),
        "records_left_out": _by_task(wanted.tasks, left_out),
        "formats": _files(folder, wanted, counts),
        "expected_bytes": expected.bytes,
        **({} if source.sids.origins is None else {NEW: _new_figures(folder, delta, wanted, new_counts)}),
        "warnings": warnings,
    }


def _files(folder: Path, wanted: Export, counts: Counter[str]) -> dict[str, dict[str, int]]:
    return {
        name: {"files": sum(path.is_file() for path in (folder / name).rglob("*")), "records": counts[name]}
        for name in wanted.formats
    }


def _delta(source: Source) -> Source | None:
    """The items whose Semantic IDs are new; None where the index continues no release, or nothing is new."""
    sids = source.sids
    if sids.origins is None or not sids.origins.null_count():
        return None
    return Source(source.dataset, sids.new(), source.items.filter(sids.origins.is_null()), None, sids.published_sizes)


def _new_figures(folder: Path, delta: Source | None, wanted: Export, counts: Counter[str]) -> dict[str, Any]:
    if delta is None:
        return {"items": 0, "tokens": 0, "formats": {}}
    before, now = sum(delta.known_sizes), sum(delta.sids.code_sizes)
    return {"items": len(delta.items), "tokens": now - before, "formats": _files(folder / NEW, wanted, counts)}


def _write_catalogue(folder: Path, source: Source, wanted: Export) -> Counter[str]:
    """Write the formats that aren't made of records; how many entries or rows each holds."""
    counts = Counter[str]()
    for name in wanted.formats:
        write = FORMATS[name].write
        if write is not None:
            counts[name] = write(folder / name, source)
    return counts


def _write_records(
    folder: Path, source: Source, delta: Source | None, prompts: Prompts, wanted: Export
) -> tuple[Counts, Counts, int]:
    """Write all records to all formats of records, and those that ask for an item of `delta` to its formats too.

    Returns:
        Counts by task and split of those made and left out, and how many are of `delta`.
    """
    made, left_out, made_new = Counts(), Counts(), 0
    new = set() if delta is None else set(delta.sids.item_ids)
    with ExitStack() as stack:

        def opened(into: Path, of: Source) -> list[RecordWriter]:
            formats = [(name, FORMATS[name].open) for name in wanted.formats]
            return [stack.enter_context(closing(one(into / name, of))) for name, one in formats if one is not None]

        writers, new_writers = opened(folder, source), [] if delta is None else opened(folder / NEW, delta)
        stream = records(wanted.tasks, source.catalogue, source.behaviour, prompts, wanted.seed, left_out)
        for record in tqdm(stream, "export", unit="record", disable=None):
            made[record.task, record.split] += 1
            for writer in writers:
                writer.add(record)
            if record.item_id in new:
                made_new += 1
                for writer in new_writers:
                    writer.add(record)
    return made, left_out, made_new


def _no_train_rows(behaviour: Behaviour, wanted: Export) -> str:
    """Why no row of the interactions is left for train."""
    if not behaviour.read.splits[0].target_counts.any():
        return "no row is left for train: the interactions have no train rows, see reports/interactions.json"
    counts = ", ".join(f"{name} {count:,}" for name, count in behaviour.left_out.items() if count)
    return (
        f"no row is left for train: none has as long a history as export.min_history {wanted.min_history} requires "
        f"(left out: {counts})"
    )


def _no_train_records(of_records: Sequence[str], made: Counts, wanted: Export, source: Source) -> list[str]:
    """A line for each reason why wanted tasks, or all of them, have nothing to train on."""
    found = [] if made else [f"there are no records at all: nothing to train on in {', '.join(of_records)}"]
    by_reason: dict[str, list[str]] = {}
    for task in wanted.tasks:
        if not made[task, TRAIN]:
            for reason in _lacking(TASKS[task], source):
                by_reason.setdefault(reason, []).append(task)
    return found + [f"no train records of {', '.join(tasks)}: {reason}" for reason, tasks in by_reason.items()]


def _lacking(task: Task, source: Source) -> list[str]:
    """What a task without train records would need, and the key of params.yaml that gives it."""
    reasons = []
    if task.history_of and source.behaviour is None:
        reasons.append(f"there are no interactions (interactions.source is {NOT_GIVEN})")
    parts = (task.shown, task.asked, task.history_of)
    for part, column in (("title", source.titles), ("description", source.items["description"])):
        if part in parts and is_blank(column).all():
            reasons.append(f"no item has a {part} (prepare.items names the file, prepare.{part}_column its column)")
    return reasons or ["no row of the train split has all that these tasks show and ask for"]


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
