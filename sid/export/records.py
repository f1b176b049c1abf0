"""Supervised fine-tuning records: items, Semantic IDs and histories put into the wordings of a prompt file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.arrays import Codes, chunks
from sid.export.columns import is_blank, texts_of, texts_of_codes
from sid.export.histories import TRAIN, Behaviour, Histories
from sid.export.prompts import TASKS, Prompts, Task
from sid.ids import sid_texts

_ITEM_BYTES = 1 << 10  # about what an item's texts take


class Record(NamedTuple):
    """One thing for a model to learn, from which every record format takes what its reader wants.

    Attributes:
        task: a name of `prompts.TASKS`.
        split: train, valid or test.
        user_id: '' for tasks on one item.
        item_id: the item that is asked for, or for sid_to_title asked about.
        history: ids of the earlier items that are shown, oldest first; empty for tasks on one item.
        system: '' where the wording has none.
        instruction, input: the question.
        output: the answer, the only part that a loss should count.
    """

    task: str
    split: str
    user_id: str
    item_id: str
    history: list[str]
    system: str
    instruction: str
    input: str
    output: str

    @property
    def question(self) -> str:
        """Instruction and input, each on lines of its own."""
        return "\n".join(filter(None, (self.instruction, self.input)))


@dataclass(frozen=True)
class Catalogue:
    """What records say of items; all of N entries, in item order.

    Attributes:
        item_ids: text.
        codes: (N, L) of their Semantic IDs.
        titles: '' where there is none.
        descriptions: as the metadata has them, null where there is none.
    """

    item_ids: pl.Series
    codes: Codes
    titles: pl.Series
    descriptions: pl.Series

    @cached_property
    def texts(self) -> Sequence[str]:
        """The Semantic IDs as text."""
        return texts_of_codes(self.codes)

    @cached_property
    def id_texts(self) -> Sequence[str]:
        """`item_ids` to be read in any order."""
        return texts_of(self.item_ids)

    @cached_property
    def title_texts(self) -> Sequence[str]:
        """`titles` to be read in any order."""
        return texts_of(self.titles)

    def with_all(self, parts: Collection[str]) -> NDArray[np.int64]:
        """The row numbers of the items that have all of some of sid, title and description."""
        there = np.ones(len(self.codes), bool)
        if "title" in parts:
            there &= (self.titles != "").to_numpy()
        if "description" in parts:
            there &= ~is_blank(self.descriptions).to_numpy()
        return np.flatnonzero(there)


def records(
    tasks: Sequence[str],
    catalogue: Catalogue,
    behaviour: Behaviour | None,
    prompts: Prompts,
    seed: int,
    left_out: Counter[tuple[str, str]],
) -> Iterator[Record]:
    """The records of all tasks as a stream, task by task and split by split.

    Tasks on one item belong to train and are in item order; the others follow the rows of each split.

    Args:
        left_out: counts, by task and split, the records there can't be: no title or description where the task
            needs one. An earlier item without a title is left out of a history of titles, and the record only
            where none is left.
    """
    for name in tasks:
        task = TASKS[name]
        if not task.history_of:
            yield from _item_records(name, task, catalogue, prompts, seed, left_out)
        elif behaviour is not None:
            for split in behaviour.splits:
                yield from _history_records(name, task, catalogue, behaviour.user_ids, split, prompts, seed, left_out)


def count_records(name: str, catalogue: Catalogue, split: Histories | None) -> int:
    """How many records of a task `records` makes of a split, or of the catalogue where `split` is None."""
    task = TASKS[name]
    if split is None:
        return len(catalogue.with_all((task.shown, task.asked)))
    titled = (catalogue.titles != "").to_numpy()
    if "title" not in (task.history_of, task.asked) or titled.all():
        return len(split)
    count = 0
    for part in chunks(len(split), 3 * 64):
        starts, targets = split.starts[part], split.targets[part]
        first = int(starts.min())
        shown = titled[split.items[first : int(targets.max()) + 1]]
        before = np.r_[0, shown.cumsum()]
        kept = before[targets - first] > before[starts - first] if task.history_of == "title" else np.True_
        count += int((kept & shown[targets - first]).sum() if task.asked == "title" else kept.sum())
    return count


def _item_records(
    name: str, task: Task, catalogue: Catalogue, prompts: Prompts, seed: int, left_out: Counter[tuple[str, str]]
) -> Iterator[Record]:
    wordings = prompts.choose(name, TRAIN, seed)
    there = catalogue.with_all((task.shown, task.asked))
    if lacking := len(catalogue.codes) - len(there):
        left_out[name, TRAIN] += lacking
    for part in chunks(len(there), _ITEM_BYTES):
        rows = there[part]
        item_ids, titles = (column.gather(rows).to_list() for column in (catalogue.item_ids, catalogue.titles))
        values = [
            {"sid": sid, "title": title} for sid, title in zip(sid_texts(catalogue.codes[rows]), titles, strict=True)
        ]
        if task.shown == "description":
            for one, description in zip(values, catalogue.descriptions.gather(rows), strict=True):
                one["description"] = description.strip()
        for item_id, one in zip(item_ids, values, strict=True):
            yield _record(name, TRAIN, "", item_id, [], next(wordings), one)


def _history_records(
    name: str,
    task: Task,
    catalogue: Catalogue,
    users: pl.Series,
    split: Histories,
    prompts: Prompts,
    seed: int,
    left_out: Counter[tuple[str, str]],
) -> Iterator[Record]:
    item_ids, titles = catalogue.id_texts, catalogue.title_texts
    shown, asked = (catalogue.texts if kind == "sid" else titles for kind in (task.history_of, task.asked))
    user_ids = texts_of(users)
    write = prompts.history_writer(task.history_of)
    wordings = prompts.choose(name, split.name, seed)
    for user, history, item in split.rows():
        if task.history_of == "title":
            history = [earlier for earlier in history if titles[earlier]]
        if not history or not asked[item]:
            left_out[name, split.name] += 1
            continue
        values = {"history": write([shown[earlier] for earlier in history]), task.asked: asked[item]}
        ids = [item_ids[earlier] for earlier in history]
        yield _record(name, split.name, user_ids[user], item_ids[item], ids, next(wordings), values)


def _record(
    name: str,
    split: str,
    user_id: str,
    item_id: str,
    history: list[str],
    wording: Mapping[str, str],
    values: Mapping[str, str],
) -> Record:
    system, instruction, text, output = (
        wording[part].format_map(values) for part in ("system", "instruction", "input", "output")
    )
    return Record(name, split, user_id, item_id, history, system, instruction, text, output)
