"""dvc.yaml as DVC reads it: what each stage runs, reads and writes, every ${...} filled from params.yaml and `vars`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sid.errors import InputError
from sid.files import read_yaml

PIPELINE = Path("dvc.yaml")
PARAMS = Path("params.yaml")

_TEMPLATE = re.compile(r"\$\{([\w.-]+)\}")


@dataclass(frozen=True)
class Declared:
    """What dvc.yaml says of one stage.

    Attributes:
        cmd: the command line.
        params: the keys that it tracks, by the file that they are in.
        deps, outs: paths; outs are those of `outs`, `metrics` and `plots`.
    """

    cmd: str
    params: Mapping[str, tuple[str, ...]]
    deps: tuple[str, ...]
    outs: tuple[str, ...]

    def option(self, name: str) -> Path:
        """The path that the command line gives as --<name>."""
        words = shlex.split(self.cmd)
        return Path(words[words.index(f"--{name}") + 1])


def declared(folder: Path = Path()) -> dict[str, Declared]:
    """Every stage of a project's dvc.yaml by name, in its order.

    Raises:
        InputError: dvc.yaml or params.yaml can't be read, or a ${...} names nothing.
    """
    pipeline, context = read_yaml(folder / PIPELINE), read_yaml(folder / PARAMS)
    for more in pipeline.get("vars", []):
        context = _merged(context, more)
    return {name: _stage(filled(stage, context)) for name, stage in pipeline.get("stages", {}).items()}


def at(values: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    value: Any = values
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def filled(value: Any, context: Mapping[str, Any]) -> Any:
    """A copy of YAML values in which every ${key} of a text, names of keys included, is the value at that key."""
    if isinstance(value, dict):
        return {filled(name, context): filled(inside, context) for name, inside in value.items()}
    if isinstance(value, list):
        return [filled(inside, context) for inside in value]
    return _TEMPLATE.sub(lambda match: _text(match[1], context), value) if isinstance(value, str) else value


def _text(key: str, context: Mapping[str, Any]) -> str:
    found = at(context, key)
    if not isinstance(found, str | int | float):
        raise InputError(f"{PIPELINE}: ${{{key}}} isn't text or a number in {PARAMS} or vars")
    return str(found).lower() if isinstance(found, bool) else str(found)


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = {name: _merged(one[name], other[name]) for name in one.keys() & other.keys()}
    return {**one, **other, **both}


def _stage(stage: Mapping[str, Any]) -> Declared:
    params: dict[str, tuple[str, ...]] = {}
    for entry in stage.get("params", []):
        for file, keys in {str(PARAMS): [entry]}.items() if isinstance(entry, str) else entry.items():
            params[file] = (*params.get(file, ()), *keys)
    outs = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
    names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in outs]
    return Declared(stage["cmd"], params, tuple(stage.get("deps", ())), tuple(names))
