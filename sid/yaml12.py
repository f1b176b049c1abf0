"""params.yaml as DVC reads it, with a complaint wherever other YAML readers would read something else.

DVC reads YAML 1.2, PyYAML reads 1.1: `1e-4` is a number to one and a string to the other, `on` a string and
true, `010` 10 and 8. A file that means two things is refused, key by key, instead of trusting either reading.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from sid.errors import InputError

_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^[-+]?[0-9]+$")
_FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_RADIX = re.compile(r"^0(?:o[0-7]+|x[0-9a-fA-F]+)$")
_SPECIAL = re.compile(r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$")


def read(path: str | Path) -> dict[str, Any]:
    """Read a YAML file whose top is a mapping into plain dicts, lists and scalars.

    Raises:
        InputError: the file is missing or no YAML, its top is no mapping, a key stands twice, or a plain
            scalar means different things to YAML 1.1 and 1.2. All such places are named at once.
    """
    path = Path(path)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error})") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{path}: must be a mapping of sections, e.g. 'prepare:' at the start of a line")
    problems: list[str] = []
    try:
        value = _value(root, "", problems)
    except RecursionError:
        raise InputError(f"{path}: holds itself by an alias, or is nested too deep") from None
    if problems:
        raise InputError(f"{path}: {problem}" for problem in problems)
    assert isinstance(value, dict)
    return value


def _value(node: yaml.Node, key: str, problems: list[str]) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, key, problems)
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, f"{key}[{i}]", problems) for i, child in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    return _scalar(node, key, problems)


def _mapping(node: yaml.MappingNode, key: str, problems: list[str]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for name_node, child in node.value:
        if not isinstance(name_node, yaml.ScalarNode):
            problems.append(f"line {name_node.start_mark.line + 1}: a key must be a plain word")
            continue
        name = str(name_node.value)
        dotted = f"{key}.{name}" if key else name
        if name in mapping:
            problems.append(f"{dotted} is given twice, again in line {name_node.start_mark.line + 1}")
        mapping[name] = _value(child, dotted, problems)
    return mapping


def _scalar(node: yaml.ScalarNode, key: str, problems: list[str]) -> Any:
    text = str(node.value)
    if node.style is not None:  # quoted or block text: a string to everyone
        return text
    value = _core_schema(text)
    if not _same(value, _as_yaml11(node)) and not _written_by_dvc(text):
        problems.append(f"{key} is {text}, which YAML 1.1 and YAML 1.2 read differently: {_advice(text, value)}")
    return value


def _core_schema(text: str) -> Any:
    """A plain scalar in YAML 1.2's core schema, as DVC reads it."""
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text.lower() == "true"
    if _INT.match(text):
        return int(text)
    if _RADIX.match(text):
        return int(text, 0)
    if _FLOAT.match(text):
        return float(text)
    if _SPECIAL.match(text):
        return float(text.lower().replace(".", ""))
    return text


def _as_yaml11(node: yaml.ScalarNode) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    except (ValueError, yaml.YAMLError):  # e.g. the date 2026-13-01: YAML 1.1 can't read it at all
        return object()
    finally:
        loader.dispose()


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    return type(a) is type(b) and bool(a == b)


def _written_by_dvc(text: str) -> bool:
    """Whether this is how `dvc exp run -S` writes a float (Python's repr, e.g. 1e-05): it must be accepted."""
    return bool(_FLOAT.match(text)) and not _INT.match(text) and repr(float(text)) == text


def _advice(text: str, value: Any) -> str:
    if text.lower() in ("on", "yes", "y"):
        return f'write true, or "{text}" for the word'
    if text.lower() in ("off", "no", "n"):
        return f'write false, or "{text}" for the word'
    if isinstance(value, int):
        return f"write {value}"
    if re.fullmatch(r"[-+]?[0-9][0-9_]*", text):
        return f"write {text.replace('_', '')}"
    if isinstance(value, float):
        mantissa, _, exponent = text.lower().partition("e")
        return f"write {mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent):+d}"
    return f'write "{text}" in quotes if the word is meant'
