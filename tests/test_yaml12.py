import math
from pathlib import Path

import pytest

from sid import yaml12
from sid.errors import InputError


def read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return yaml12.read(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-3", -3),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1.0e-4", 1e-4),
        ("1e-05", 1e-5),  # as `dvc exp run -S` writes it
        ("1e+20", 1e20),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("word", "word"),
        ("'1e-4'", "1e-4"),
        ('"on"', "on"),
        ("[1, 2.5, a]", [1, 2.5, "a"]),
        (".inf", math.inf),
    ],
)
def test_reads_what_all_readers_agree_on(tmp_path: Path, text: str, value: object) -> None:
    found = read(tmp_path, f"key: {text}\n")["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("1e-4", "write 1.0e-4"),
        ("3E5", "write 3.0e+5"),
        ("on", "write true"),
        ("No", "write false"),
        ("010", "write 10"),
        ("0o17", "write 15"),
        ("1_000", "write 1000"),
        ("1:30", "in quotes"),
        ("2020-01-01", "in quotes"),
        ("2020-13-45", "in quotes"),
    ],
)
def test_refuses_what_readers_disagree_on(tmp_path: Path, text: str, advice: str) -> None:
    with pytest.raises(InputError, match=r"a\.key is .* read differently") as caught:
        read(tmp_path, f"a:\n  key: {text}\n")
    assert text in str(caught.value)
    assert advice in str(caught.value)


def test_the_advice_is_accepted(tmp_path: Path) -> None:
    assert read(tmp_path, "a: 1.0e-4\nb: 3.0e+5\n") == {"a": 1e-4, "b": 3e5}


def test_names_all_problems_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, "a: on\nb: [1, 1e-4]\nc: 1\nc: 2\n")
    lines = caught.value.problems
    assert [line.split(": ", 1)[1].split(" ")[0] for line in lines] == ["a", "b[1]", "c"]


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [1\n", "a: {b: 1\n", "\tx: 1\n"])
def test_refuses_files_that_are_no_mapping(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"params\.yaml"):
        read(tmp_path, text)


def test_refuses_a_missing_and_a_binary_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        yaml12.read(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(InputError, match="not UTF-8"):
        yaml12.read(tmp_path / "binary.yaml")
