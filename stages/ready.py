"""What must be true before anything is installed; `make` runs this with a Python that has no packages yet.

Python 3.6, which some systems still call python3, must be able to read this file: it is told that it is too old.
"""

import re
import sys
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)


def problems(environment: Path, chosen: bool) -> "list[str]":
    """One line for each thing that is wrong.

    Args:
        environment: the folder of the virtual environment, which may not exist yet.
        chosen: whether the user named this Python (make PYTHON=...), rather than took the default.
    """
    return [line for line in (_python(environment, chosen), git(Path())) if line]


def _python(environment: Path, chosen: bool) -> "str | None":
    version = sys.version_info[:2]
    made = _made_with(environment)
    if made is not None and (not chosen or made == version):
        return None
    if made is not None:
        return (
            f"{environment} was made with Python {_shown(made)}, but PYTHON is {_shown(version)}: run make clean "
            "first, or name another environment, e.g. VENV=.venv-" + _shown(version)
        )
    if not OLDEST <= version <= NEWEST:
        return f"{sys.executable} is Python {_shown(version)}, must be 3.11 to 3.13; try make PYTHON=python3.12"
    return None


def _made_with(environment: Path) -> "tuple[int, int] | None":
    try:
        text = (environment / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return None
    match = re.search(r"(?m)^version(?:_info)?\s*=\s*(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match and (environment / "bin" / "python").exists() else None


def _shown(version: "tuple[int, ...]") -> str:
    return ".".join(map(str, version))


def git(folder: Path) -> "str | None":
    """A line where DVC would find no Git repository at or above a folder, and isn't told to do without."""
    folder = folder.resolve()
    if any((place / ".git").exists() for place in (folder, *folder.parents)):
        return None
    config = folder / ".dvc" / "config"
    if config.is_file() and re.search(r"(?mi)^\s*no_scm\s*=\s*true", config.read_text(encoding="utf-8")):
        return None
    return (
        f"{folder} is not in a Git repository (an unpacked archive?), which DVC needs: run "
        "git init && git add -A && git commit -m Start, or do without Git: no_scm = true below [core] in .dvc/config"
    )


def main() -> int:
    """1, with a line for each problem on stderr, or 0."""
    found = problems(Path(sys.argv[1]), sys.argv[2] == "command" or sys.argv[2] == "environment")
    for line in found:
        print("make: error: " + line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
