"""Prompt files: the shipped ones, and everything that can be wrong with one."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from sid.errors import InputError
from sid.export.prompts import PARTS, TASKS, Prompts
from tests.conftest import ROOT

SHIPPED = sorted((ROOT / "prompts").glob("*.yaml"))


def test_english_and_chinese_are_shipped() -> None:
    assert [path.stem for path in SHIPPED] == ["en", "zh"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_prompts_have_several_wordings_and_answer_plainly(path: Path) -> None:
    prompts = Prompts.load(path)
    for name, task in TASKS.items():
        wordings = prompts.wordings[name]
        assert len({wording["instruction"] for wording in wordings}) == len(wordings) >= 3
        assert {wording["output"] for wording in wordings} == {f"{{{task.asked}}}"}


def test_histories_are_joined_as_the_file_says() -> None:
    write = Prompts({}, {"sid": "[{sid}/{sid}]", "title": "{{{title}}}", "separator": " {{}} "}).history_writer
    assert write("sid")(["a", "b"]) == "[a/a] {} [b/b]"
    assert write("title")(["{x}", "%s\0"]) == "{{x}} {} {%s\0}"


def test_wordings_are_drawn_evenly_and_by_task_split_and_seed() -> None:
    prompts = Prompts.load(SHIPPED[0])

    def drawn(task: str, split: str, seed: int) -> list[int]:
        wordings = list(prompts.wordings[task])
        return [wordings.index(one) for one in itertools.islice(prompts.choose(task, split, seed), 3000)]

    usual = drawn("title_to_sid", "train", 0)
    assert usual == drawn("title_to_sid", "train", 0)
    assert min(Counter(usual).values()) > 900
    assert usual not in (
        drawn("sid_to_title", "train", 0),
        drawn("title_to_sid", "test", 0),
        drawn("title_to_sid", "train", 1),
    )


def first(prompts: dict[str, Any], task: str = "sid_history_to_sid") -> dict[str, Any]:
    wording: dict[str, Any] = prompts[task][0]
    return wording


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.pop("title_to_sid"), "title_to_sid is missing, a prompt file must have history and every task"),
        (lambda p: p.update(sequence=[]), "sequence isn't a task, must be one of history, sid_history_to_sid"),
        (lambda p: p.update(title_to_sid=[]), "title_to_sid is [], must be a list"),
        (lambda p: p["title_to_sid"].append("x"), "title_to_sid[3] is 'x', must be a mapping"),
        (lambda p: first(p).pop("input"), "sid_history_to_sid[0] has no input, must have one"),
        (lambda p: first(p).update(input={"history": None}), """must be text: in quotes, as "{history}", if a"""),
        (lambda p: first(p).update(output={"sid": None}), """must be text: in quotes, as "{sid}", if a placeholder"""),
        (lambda p: first(p).update(system="{history}", input=""), "shows no {history} in instruction or input"),
        (lambda p: p.update(title_to_sid=None), "title_to_sid is None, must be a list of wordings"),
        (lambda p: first(p).update(system=None), "sid_history_to_sid[0] has system None, must be text"),
        (lambda p: first(p).update(role="x"), "sid_history_to_sid[0] has an unknown part role"),
        (lambda p: first(p).update(input="{title}"), "has a placeholder {title} in input, must be history"),
        (lambda p: first(p).update(input="{history} {sid}"), "has a placeholder {sid} in input, must be history"),
        (lambda p: first(p).update(system="{sid}"), "has a placeholder {sid} in system, must be history"),
        (lambda p: first(p).update(output="it"), "has an output without {sid}, which is what the model should learn"),
        (lambda p: first(p).update(input=""), "shows no {history} in instruction or input"),
        (lambda p: first(p).update(input="{history"), "sid_history_to_sid[0] has a broken input"),
        (lambda p: first(p).update(input="{}{history}"), "has a placeholder {} in input"),
        (lambda p: first(p).update(input="{history!r}"), "has a placeholder with a format in input"),
        (lambda p: first(p).update(input="{history.x}"), "has a placeholder {history.x} in input"),
        (lambda p: p.pop("history"), "history is missing, a prompt file must have history and every task"),
        (lambda p: p["history"].pop("separator"), "history has no separator, must have one"),
        (
            lambda p: p["history"].update(separator="{sid}"),
            "history has a placeholder {sid} in separator, there are none",
        ),
        (lambda p: p["history"].update(title="x"), "history has a title without {title}"),
        (lambda p: p["history"].update(joint=""), "history has an unknown part joint"),
    ],
)
def test_each_fault_is_one_line(tmp_path: Path, change: Any, said: str) -> None:
    prompts = yaml.safe_load(SHIPPED[0].read_text(encoding="utf-8"))
    change(prompts)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(prompts, allow_unicode=True), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        Prompts.load(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: ")
    assert said in problem


def test_a_system_may_be_left_out() -> None:
    wording = Prompts.load(SHIPPED[0]).wordings["title_to_sid"][0]
    assert set(wording) == set(PARTS)
    assert wording["system"] == ""
