"""params.yaml is read as DVC reads it, which is by ruamel.yaml."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sid.errors import InputError
from sid.files import read_yaml
from tests.conftest import ROOT


def read(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path)


def same(one: object, other: object) -> bool:
    """Equal in type and value, all the way down; NaN equals NaN."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("3E5", 3e5),
        ("1e-05", 1e-5),  # as `dvc exp run -S` writes it
        ("on", "on"),
        ("No", "No"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", 1000),
        ("1:30", "1:30"),
        (".5", 0.5),
        ("-.inf", -math.inf),
        (".nan", math.nan),
        ("True", True),
        ("~", None),
        ("", None),
        ("'1e-4'", "1e-4"),
        ('"on"', "on"),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
        ("[1, 2.5, a]", [1, 2.5, "a"]),
    ],
)
def test_scalars_mean_what_they_mean_to_dvc(tmp_path: Path, text: str, value: object) -> None:
    found = read(tmp_path, f"key: {text}\n")["key"]
    assert same(found, value)
    assert same(YAML(typ="safe").load(f"key: {text}\n")["key"], value)


CHARACTERS = st.text("0123456789_+-.eExobXOaAfFnN~tTrRuUlL <=:", max_size=8)
WORDS = st.sampled_from(
    [
        "true",
        "TRUE",
        "tRue",
        "yes",
        "off",
        "null",
        "Null",
        "nan",
        ".NaN",
        ".inf",
        "+.INF",
        "1e5",
        "1.e-3",
        "0b101",
        "0o8",
        "2020-01-31",
        "<<",
    ]
)


@settings(deadline=None, max_examples=400)
@given(CHARACTERS | WORDS)
@example("-_1")
@example("1_")
@example("+.5e3")
@example("+.5e+3")
@example("0_7")
def test_any_plain_scalar_is_read_as_dvc_reads_it_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    document = f"key: {text}\n"
    folder = tmp_path_factory.mktemp("yaml")
    try:
        theirs = YAML(typ="safe").load(document)
    except (YAMLError, ValueError, IndexError, AttributeError):  # ruamel stumbles over dates such as 2020-99-99
        theirs = None
    plain = theirs is not None and isinstance(theirs["key"], str | int | float | None)
    try:
        ours = read(folder, document)
    except InputError:
        ours = None
    assert plain == (ours is not None) or theirs is None
    assert not plain or same(ours, theirs)


NAMES = st.sampled_from(["a", "b", "lr", "e_dim", "on"])
LEAVES = st.sampled_from(["1", "1e-4", "010", "on", "~", "'x'", "[1, [2, 1e3]]", "{a: 1, b: no}"])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A few sections with anchors, aliases, merges and the like."""
    lines, anchors = [], []
    for place, name in enumerate(draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))):
        kind = draw(st.sampled_from(["leaf", "section", "alias"]))
        if kind == "leaf":
            lines.append(f"{name}: {draw(LEAVES)}")
        elif kind == "alias" and anchors:
            lines.append(f"{name}: *{draw(st.sampled_from(anchors))}")
        else:
            lines.append(f"{name}: &at{place}")
            if anchors and draw(st.booleans()):
                sources = draw(st.lists(st.sampled_from(anchors), min_size=1, max_size=3))
                one = draw(st.booleans())
                lines.append(f"  <<: *{sources[0]}" if one else f"  <<: [{', '.join(f'*{name}' for name in sources)}]")
            lines += [f"  {key}: {draw(LEAVES)}" for key in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))]
            anchors.append(f"at{place}")
    return "\n".join(lines) + "\n"


@settings(deadline=None, max_examples=200)
@given(documents())
def test_documents_are_read_as_dvc_reads_them_or_both_refuse(
    tmp_path_factory: pytest.TempPathFactory, document: str
) -> None:
    try:
        theirs = YAML(typ="safe").load(document)
    except YAMLError:
        with pytest.raises(InputError):
            read(tmp_path_factory.mktemp("yaml"), document)
        return
    assert same(read(tmp_path_factory.mktemp("yaml"), document), theirs)


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "prompts/en.yaml", "prompts/zh.yaml"])
def test_the_projects_own_files_are_read_as_dvc_reads_them(name: str) -> None:
    assert same(read_yaml(ROOT / name), YAML(typ="safe").load((ROOT / name).read_text(encoding="utf-8")))


def test_an_alias_of_an_alias_costs_no_copies(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30))]
    assert read(tmp_path, "\n".join(lines))["a29"][0][0] is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {b: 2020-01-31}", "a.b is 2020-01-31, which YAML reads as a date: quote it"),
        ("a: {b: !!binary aGk=}", "a.b has the tag tag:yaml.org,2002:binary: must be text, a number"),
        ("a: !!int word", "a is word: can't be read as int"),
        ("a: {1: x}", "line 1: the key 1 must be text"),
        ("a: {on: x, on: y}", "a.on is given twice, again in line 1"),
        ("a: {<<: 1}", "a: << must name a mapping"),
        ("a: &a {x: 1}\nb: {<<: *a, <<: *a}", "b has << twice"),
        ("%YAML 1.1\n---\na: on", "is YAML 1.1 by its first line, must be 1.2"),
        ("a: &a [*a]", "contains itself through an alias"),
        ("a: &a {x: *a}", "contains itself through an alias"),
    ],
)
def test_what_params_have_no_use_for_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text + "\n")
    (line,) = caught.value.problems
    assert said in line


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, "a: 2020-01-31\nb: [1, 2020-01-31]\nc: 1\nc: 2\n")
    lines = caught.value.problems
    assert [line.split(": ", 1)[1].split(" ")[0] for line in lines] == ["a", "b[1]", "c"]


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [1\n", "a: {b: 1\n", "\tx: 1\n", "a: 1\n---\nb: 2\n"])
def test_what_is_not_one_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"params\.yaml"):
        read(tmp_path, text)


def test_a_missing_and_a_binary_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_yaml(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(InputError, match="not UTF-8"):
        read_yaml(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n  b: [1, 2\n  c: 3\n", "2:6: not valid YAML: this [ isn't closed by ]"),
        ("a: {b: 1\nc: 2\n", "1:4: not valid YAML: this { isn't closed by }"),
        ("a: 'x\nb: 2\n", "1:4: not valid YAML: this quote isn't closed"),
        ("a:\n\tb: 3\n", "2:1: not valid YAML: a tab can't be used here"),
        ("a:\n  items: dt: 3\n", "2:12: not valid YAML: a colon isn't expected here"),
        ("a:\n  b: 1\n c: 2\n", "3:2: not valid YAML: doesn't belong after what comes before it"),
        ("a:\n  b: 1\n  c\nd: 2\n", "3:3: not valid YAML: must be 'key: value'"),
        ("a: *.csv\n", "1:4: not valid YAML: a value that starts like this must be quoted"),
        ("a: @x\n", "1:4: not valid YAML: a value that starts like this must be quoted"),
    ],
)
def test_a_mistake_in_yaml_is_one_line_with_its_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    (line,) = error.value.problems
    assert line.startswith(f"{tmp_path / 'params.yaml'}:{said}")
