"""Prompt files: how the records of each task are worded. No wording is in the code."""

from __future__ import annotations

import string
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from sid.errors import InputError
from sid.files import read_yaml


@dataclass(frozen=True)
class Task:
    """What a task shows and what it asks for: names of placeholders.

    Attributes:
        shown: the placeholder of the question: sid, title, description, or history.
        asked: the placeholder of the answer: sid or title.
        history_of: what a history is made of, sid or title; '' for tasks on one item.
    """

    shown: str
    asked: str
    history_of: str = ""


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "sid_history_to_sid": Task("history", "sid", "sid"),
        "title_to_sid": Task("title", "sid"),
        "sid_to_title": Task("sid", "title"),
        "sid_history_to_title": Task("history", "title", "sid"),
        "title_history_to_sid": Task("history", "sid", "title"),
        "title_history_to_title": Task("history", "title", "title"),
        "description_to_sid": Task("description", "sid"),
    }
)
"""Every task by the name that params.yaml, prompt files and reports use."""

PARTS = ("system", "instruction", "input", "output")
_OPTIONAL = ("system",)
_QUESTION = ("instruction", "input")
_HISTORY = "history"
_HISTORY_PARTS: Mapping[str, frozenset[str]] = {
    "sid": frozenset({"sid"}),
    "title": frozenset({"title"}),
    "separator": frozenset(),
}
_DRAWN_AT_ONCE = 65536


@dataclass(frozen=True)
class Prompts:
    """The wordings of every task, and how a history is written.

    Attributes:
        wordings: task -> its wordings, each a template for every one of PARTS ('' where there is no system).
        history: templates for an earlier item's `sid` and `title`, and the `separator` between items.
    """

    wordings: Mapping[str, Sequence[Mapping[str, str]]]
    history: Mapping[str, str]

    @classmethod
    def load(cls, path: str | Path) -> Prompts:
        """Read a prompt file: task -> list of {system?, instruction, input, output}, and `history`.

        Raises:
            InputError: missing or broken file, unknown or missing task, a wording without a part it must have, a
                placeholder that the task doesn't have, an answer that is in the question or is missing from
                the output. All problems are named at once.
        """
        raw = read_yaml(path)
        known = (_HISTORY, *TASKS)
        problems = [f"{path}: {key} isn't a task, must be one of {', '.join(known)}" for key in raw if key not in known]
        problems += [
            f"{path}: {name} is missing, a prompt file must have {_HISTORY} and every task"
            for name in known
            if name not in raw
        ]
        if _HISTORY in raw:
            problems += [f"{path}: {_HISTORY} {fault}" for fault in _history_faults(raw[_HISTORY])]
        for name, task in TASKS.items():
            if name not in raw:
                continue
            wordings = raw[name]
            if not isinstance(wordings, list) or not wordings:
                problems.append(f"{path}: {name} is {wordings!r}, must be a list of wordings")
                continue
            for number, wording in enumerate(wordings):
                problems += [f"{path}: {name}[{number}] {fault}" for fault in _faults(task, wording)]
        if problems:
            raise InputError(problems)
        filled = {name: [dict.fromkeys(PARTS, "") | wording for wording in raw[name]] for name in TASKS}
        return cls(filled, raw[_HISTORY])

    def choose(self, task: str, split: str, seed: int) -> Iterator[Mapping[str, str]]:
        """Wordings of the task without end, drawn evenly; the same for the same task, split and seed."""
        wordings = self.wordings[task]
        generator = np.random.default_rng([seed, zlib.crc32(task.encode()), zlib.crc32(split.encode())])
        while True:
            for pick in generator.integers(len(wordings), size=_DRAWN_AT_ONCE).tolist():
                yield wordings[pick]

    def history_writer(self, history_of: str) -> Callable[[Iterable[str]], str]:
        """A function from a history's `sid` or `title` texts, oldest first, to the text that replaces {history}."""
        pieces = [""]
        for literal, name, _, _ in string.Formatter().parse(self.history[history_of]):
            pieces[-1] += literal
            if name is not None:
                pieces.append("")
        separator = self.history["separator"].format()
        return lambda texts: separator.join([text.join(pieces) for text in texts])


def _faults(task: Task, wording: object) -> Iterable[str]:
    if not isinstance(wording, dict):
        return [f"is {wording!r:.40}, must be a mapping with {', '.join(PARTS)}"]
    faults = [f"has an unknown part {part}, must have {', '.join(PARTS)}" for part in wording if part not in PARTS]
    shown: set[str] = set()
    for part in PARTS:
        if part not in wording and part in _OPTIONAL:
            continue
        allowed = {task.shown, task.asked} if part == "output" else {task.shown}
        names, wrong = _placeholders(part, wording, allowed)
        faults += wrong
        if part == "output" and not wrong and task.asked not in names:
            faults.append(f"has an output without {{{task.asked}}}, which is what the model should learn")
        if part in _QUESTION:
            shown |= names
    if not faults and task.shown not in shown:
        faults.append(f"shows no {{{task.shown}}} in instruction or input, so there is nothing to answer from")
    return faults


def _history_faults(parts: object) -> Iterable[str]:
    if not isinstance(parts, dict):
        return [f"is {parts!r:.40}, must be a mapping with {', '.join(_HISTORY_PARTS)}"]
    faults = [
        f"has an unknown part {part}, must have {', '.join(_HISTORY_PARTS)}"
        for part in parts
        if part not in _HISTORY_PARTS
    ]
    for part, allowed in _HISTORY_PARTS.items():
        names, wrong = _placeholders(part, parts, allowed)
        faults += wrong
        if not wrong and names != allowed:
            faults.append(f"has a {part} without {{{part}}}")
    return faults


def _placeholders(part: str, templates: Mapping[str, object], allowed: Iterable[str]) -> tuple[set[str], list[str]]:
    """The names of the placeholders in one of the templates, and what is wrong with it."""
    if part not in templates:
        return set(), [f"has no {part}, must have one"]
    text = templates[part]
    if isinstance(text, dict):
        name = ", ".join(map(str, text))
        return set(), [f'has {part} {text!r:.40}, must be text: in quotes, as "{{{name}}}", if a placeholder is meant']
    if not isinstance(text, str):
        return set(), [f"has {part} {text!r}, must be text"]
    try:
        fields = [field for field in string.Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        return set(), [f"has a broken {part} ({error}); a literal brace is written twice"]
    names = {str(name) for _, name, _, _ in fields}
    faults = []
    if any(form or conversion for _, _, form, conversion in fields):
        faults.append(f"has a placeholder with a format in {part}, must be a plain {{name}}")
    must = f"must be {', '.join(sorted(allowed))}" if allowed else "there are none here"
    faults += [f"has a placeholder {{{name}}} in {part}, {must}" for name in sorted(names - set(allowed))]
    return names, faults
