"""Supervised fine-tuning records: items, Semantic IDs and histories put into the wordings of a prompt file."""

from __future__ import annotations

import string
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sid import yaml12
from sid.errors import InputError
from sid.interactions import Interaction

TITLE_TO_SID = "title_to_sid"
SID_TO_TITLE = "sid_to_title"
SEQUENCE = "sequence"

Record = dict[str, str]

_PARTS = ("instruction", "input", "output")
_PLACEHOLDERS: dict[str, frozenset[str]] = {
    TITLE_TO_SID: frozenset({"title", "sid"}),
    SID_TO_TITLE: frozenset({"title", "sid"}),
    SEQUENCE: frozenset({"history", "sid"}),
}


@dataclass(frozen=True)
class Prompts:
    """The wordings of every task, each a template for instruction, input and output."""

    wordings: Mapping[str, Sequence[Mapping[str, str]]]

    @classmethod
    def load(cls, path: str | Path) -> Prompts:
        """Read a prompt file: task -> list of {instruction, input, output} with {placeholders}.

        Raises:
            InputError: missing or broken file, unknown or missing task, a wording without one of its three
                parts, or a placeholder that the task doesn't have. All problems are named at once.
        """
        raw = yaml12.read(path)
        problems = [
            f"{path}: {task} is no task, must be one of {', '.join(_PLACEHOLDERS)}"
            for task in raw
            if task not in _PLACEHOLDERS
        ]
        for task in _PLACEHOLDERS:
            wordings = raw.get(task)
            if not isinstance(wordings, list) or not wordings:
                problems.append(f"{path}: {task} is {wordings!r}, must be a list of wordings")
                continue
            for number, wording in enumerate(wordings):
                problems += [f"{path}: {task}[{number}] {fault}" for fault in _faults(task, wording)]
        if problems:
            raise InputError(problems)
        return cls(raw)

    def choose(self, task: str, count: int, seed: int) -> Iterator[Mapping[str, str]]:
        """A wording of the task for each of `count` records, drawn evenly; the same for the same seed."""
        wordings = self.wordings[task]
        generator = np.random.default_rng([seed, zlib.crc32(task.encode())])
        return (wordings[pick] for pick in generator.integers(len(wordings), size=count))


def item_records(
    task: str, titles: Sequence[str | None], sids: Sequence[str], prompts: Prompts, seed: int
) -> Iterator[Record]:
    """A record per item that has a title: TITLE_TO_SID or SID_TO_TITLE, in item order."""
    for title, sid, wording in zip(titles, sids, prompts.choose(task, len(sids), seed), strict=True):
        if title and title.strip():
            yield _fill(task, wording, {"title": title, "sid": sid})


def sequence_records(
    split: str, rows: Sequence[Interaction], sid_of: Mapping[str, str], prompts: Prompts, seed: int
) -> Iterator[Record]:
    """A record per interaction, in order: the history's Semantic IDs, oldest first -> the next item's."""
    wordings = prompts.choose(SEQUENCE, len(rows), seed + zlib.crc32(split.encode()))
    for row, wording in zip(rows, wordings, strict=True):
        history = ", ".join(sid_of[item] for item in row.history)
        values = {"history": history, "sid": sid_of[row.item_id]}
        yield {**_fill(SEQUENCE, wording, values), "user_id": row.user_id, "item_id": row.item_id}


def _fill(task: str, wording: Mapping[str, str], values: Mapping[str, str]) -> Record:
    return {"task": task, **{part: wording[part].format_map(values) for part in _PARTS}}


def _faults(task: str, wording: object) -> Iterable[str]:
    if not isinstance(wording, dict):
        return [f"is {wording!r:.40}, must be a mapping with {', '.join(_PARTS)}"]
    faults = [f"has an unknown part {part}, must have {', '.join(_PARTS)}" for part in wording if part not in _PARTS]
    for part in _PARTS:
        text = wording.get(part)
        if not isinstance(text, str):
            faults.append(f"has {part} {text!r}, must be text")
            continue
        try:
            fields = [field for field in string.Formatter().parse(text) if field[1] is not None]
        except ValueError as error:
            faults.append(f"has a broken {part} ({error}); a literal brace is written twice")
            continue
        names = {str(name) for _, name, _, _ in fields}
        if any(form or conversion for _, _, form, conversion in fields):
            faults.append(f"has a placeholder with a format in {part}, must be a plain {{name}}")
        faults += [
            f"has an unknown placeholder {{{name}}}, must be one of {', '.join(sorted(_PLACEHOLDERS[task]))}"
            for name in sorted(names - _PLACEHOLDERS[task])
        ]
    return faults
