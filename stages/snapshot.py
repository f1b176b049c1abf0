"""What a stage's result depends on, taken at its start and compared while it runs and at its end.

DVC reads params and dependencies for dvc.lock after the command has ended: an edit made during a run would be
recorded as if it had been used. A stage that finds its snapshot changed fails instead.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sid.errors import InputError
from sid.files import read_yaml
from stages import pipeline

State = bytes | tuple[int, int, int] | None


@dataclass(frozen=True)
class Snapshot:
    """What a stage depends on, as it was.

    Attributes:
        params: the values of its keys, by file and key.
        params_files: the states of these files, which spare reading one that nobody wrote.
        files: by dependency, its files with their states.
    """

    params: dict[tuple[str, str], Any]
    params_files: dict[str, State]
    files: dict[str, dict[str, State]]

    @classmethod
    def take(cls, stage: str) -> Snapshot:
        """Look at what dvc.yaml declares for a stage, as it is now.

        Raises:
            InputError: not in the project's root, or dvc.yaml or params.yaml can't be understood.
        """
        found = pipeline.declared().get(stage)
        if found is None:
            raise InputError(f"{pipeline.PIPELINE}: has no stage {stage!r}; it must declare the stage that is running")
        written = {file: _state(Path(file)) for file in found.params}
        return cls(_values(found.params), written, {path: _states(Path(path)) for path in found.deps})

    def add(self, path: Path) -> None:
        """Have a file compared that dvc.yaml doesn't declare."""
        self.files[str(path)] = _states(path)

    def changes(self) -> list[str]:
        """One line for each param and dependency that isn't as it was.

        A .py file is as it was while it means the same: comments and layout may change. (DVC will hash the file as
        it then is, and that is right: the run's result is that file's.)

        Raises:
            InputError: a file of params can't be read now.
        """
        edited = [file for file, state in self.params_files.items() if _state(Path(file)) != state]
        now = _values({file: [key for of, key in self.params if of == file] for file in edited})
        problems = [
            f"{file}: {key} changed during the run from {self.params[file, key]!r} to {value!r}"
            for (file, key), value in now.items()
            if value != self.params[file, key]
        ]
        return problems + [
            f"{path}: changed during the run"
            for path, states in self.files.items()
            if not _same(states, _states(Path(path)))
        ]

    def refuse_changes(self) -> None:
        """Raise InputError naming every param and dependency that isn't as it was."""
        problems = self.changes()
        if problems:
            raise InputError(f"{problem}; nothing was written, run the stage again" for problem in problems)


def _values(params: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], Any]:
    found: dict[tuple[str, str], Any] = {}
    for file, keys in params.items():
        values = read_yaml(file)
        found |= {(file, key): pipeline.at(values, key) for key in keys}
    return found


def _states(path: Path) -> dict[str, State]:
    """Code by its content; data by inode, size and time of change, which cost nothing at any size."""
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        return {str(file): _state(file) for file in inside}
    return {str(path): _state(path)}


def _state(path: Path) -> State:
    try:
        if path.suffix == ".py":
            return path.read_bytes()
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _same(before: dict[str, State], now: dict[str, State]) -> bool:
    return before.keys() == now.keys() and all(
        state == now[name] or _meaning(state) == _meaning(now[name]) for name, state in before.items()
    )


def _meaning(state: State) -> object:
    if not isinstance(state, bytes):
        return state
    try:
        return ast.dump(ast.parse(state))
    except (SyntaxError, ValueError):
        return state
