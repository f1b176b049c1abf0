"""Files that appear whole or not at all, and JSON and CSV in the one form that this project writes."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sid.errors import InputError


class Outputs:
    """A set of outputs that are written under temporary names and then moved into place together.

    Use as a context manager. `partial` names the place to write to; `commit` moves everything. Leaving without
    `commit`, by an error or not, removes what was written and leaves the earlier outputs as they were.
    """

    def __init__(self) -> None:
        self._targets: dict[Path, Path] = {}

    def __enter__(self) -> Outputs:
        """Nothing is made before `partial` asks for it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove whatever was not committed."""
        self.discard()

    def discard(self) -> None:
        """Remove whatever was not committed; harmless at any time, so that an interrupted exit can be made up for."""
        for partial in self._targets.values():
            _remove(partial)

    def partial(self, target: str | Path) -> Path:
        """Where to write what is to become `target` (a file, or a folder that the caller makes).

        Raises:
            InputError: the folder it is to lie in can't be made or written.
        """
        target = Path(target)
        partial = target.with_name(f".{target.name}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove(partial)
        except OSError as error:
            raise InputError(f"{target}: can't be written ({error.strerror or error})") from None
        if not os.access(target.parent, os.W_OK):
            raise InputError(f"{target}: can't be written (no permission in {target.parent})")
        self._targets[target] = partial
        return partial

    def commit(self) -> None:
        """Move every output into place. Killed halfway, some are missing, but none is old beside a new one."""
        for target in self._targets:
            _remove(target)
        for target, partial in self._targets.items():
            os.replace(partial, target)
        self._targets.clear()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


NPY_ERRORS = (OSError, ValueError, EOFError, OverflowError, SyntaxError, tokenize.TokenError)
"""What `numpy.load` raises for files that are missing, cut off or no .npy."""


def round6(value: float) -> float:
    """A figure as reports hold it: six significant digits."""
    return float(f"{value:.6g}")


def read_json(path: Path) -> Any:
    """What `write_json` wrote.

    Raises:
        InputError: no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: is no JSON, run the stage that writes it ({error})") from None


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """A report: indented JSON with keys in their own order; NaN and Inf are refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A table with a header; cells a row lacks stay empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
