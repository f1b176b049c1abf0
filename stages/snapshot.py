"""What a stage's result depends on, taken at its start and compared at its end.

DVC reads params and dependencies for dvc.lock after the command has ended: an edit made during a run would be
recorded as if it had been used. A stage that finds its snapshot changed fails instead.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any


from sid.errors import InputError
from sid.files import read_yaml

PIPELINE = Path("dvc.yaml")
PARAMS = Path("params.yaml")

_TEMPLATE = re.compile(r"\$\{([\w.-]+)\}")


@dataclass(frozen=True)
class Snapshot:
    """The declared params of a stage by key, and the state of its declared dependencies by path."""

    params: dict[str, Any]
    files: dict[str, str]

    @classmethod
    def take(cls, stage: str) -> Snapshot:
        """Look at what dvc.yaml declares for a stage, as it is now.

        Raises:
            InputError: not in the project's root, or dvc.yaml or params.yaml can't be understood.
        """
        params = read_yaml(PARAMS)
        declared = read_yaml(PIPELINE).get("stages", {}).get(stage)
        if not isinstance(declared, dict):
            raise InputError(f"{PIPELINE}: has no stage {stage!r}; it must declare the stage that runs")
        keys = [_filled(key, params) for key in declared.get("params", [])]
        deps = [_filled(path, params) for path in declared.get("deps", [])]
        return cls({key: _at(params, key) for key in keys}, {dep: _state(Path(dep)) for dep in deps})

    def refuse_changes(self, now: Snapshot) -> None:
        """Raise InputError naming every param and file that differs from `now`."""
        problems = [
            f"{PARAMS}: {key} changed during the run from {value!r} to {now.params.get(key)!r}"
            for key, value in self.params.items()
            if now.params.get(key) != value
        ]
        problems += [
            f"{path}: changed during the run" for path, state in self.files.items() if now.files.get(path) != state
        ]
        if problems:
            raise InputError(f"{problem}; nothing was written, run the stage again" for problem in problems)


def _filled(text: str, params: dict[str, Any]) -> str:
    return _TEMPLATE.sub(lambda match: str(_at(params, match[1])), text)


def _at(params: dict[str, Any], key: str) -> Any:
    value: Any = params
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _state(path: Path) -> str:
    """Code by its content; data by inode, size and time of change, which cost nothing at any size."""
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        return "\n".join(f"{file} {_state(file)}" for file in inside)
    if not path.exists():
        return "missing"
    if path.suffix == ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    found = path.stat()
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"
