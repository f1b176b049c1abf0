"""Run a part of the benchmark in a process of its own, so that its time and its peak of memory are its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def child(module: str, *arguments: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    """`python -m module arguments`: the JSON in the last line that it prints, {} if it prints none; it must succeed."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    lines = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return found
