"""What every stage does around its one call: arguments, params, errors in one line, whole outputs or none."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

from sid import params
from sid.engine import engines
from sid.engine.base import Engine
from sid.errors import InputError
from sid.export.formats import CHOICES
from sid.files import Outputs, read_yaml
from sid.params import Params
from sid.quantizers.methods import CONFIGS
from stages.pipeline import PARAMS
from stages.snapshot import Snapshot
from stages.watch import Watch, under_dvc

LOCK = Path("dvc.lock")


@dataclass
class Stage:
    """What a stage's body works with: params and the paths that dvc.yaml passes.

    Attributes:
        params: the whole of params.yaml, checked.
        resumes: says where an unfinished run of this stage would go on, e.g. 'after epoch 40'; None where it would
            start over.
        committed: called once all outputs are in place.
    """

    params: Params
    _paths: dict[str, Path]
    _outputs: Outputs
    _snapshot: Snapshot
    resumes: Callable[[], str | None] = field(default=lambda: None)
    committed: Callable[[], None] = field(default=lambda: None)
    _open: ExitStack = field(default_factory=ExitStack)

    def input(self, name: str) -> Path:
        """Where to read an input that dvc.yaml passes as --<name>."""
        return self._paths[name]

    def output(self, name: str) -> Path:
        """Where to write what becomes the output --<name> once the stage has succeeded."""
        return self._outputs.partial(self._paths[name])

    def checkpoints(self) -> Path:
        """The folder for the states of a training; the stage says where it would go on, and clears them in the end.

        Experiments in a folder of their own (--queue, --temp) share the project's, and so go on as well.
        """
        from sid.quantizers.training import states  # loads torch

        folder = Path(os.environ.get("DVC_ROOT", "")) / self.input("checkpoints")
        self.resumes = lambda: states.left_at(folder)
        self.committed = lambda: states.clear(folder)
        return folder

    @cached_property
    def engine(self) -> Engine:
        """What runs passes over the rows, until the stage ends."""
        return self._open.enter_context(engines.opened(self.params.engine))

    def also_reads(self, path: Path) -> None:
        """Have the stage fail if this file, which dvc.yaml doesn't declare, changes while it runs."""
        self._snapshot.add(path)


def run(name: str, body: Callable[[Stage], str], *, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Run a stage as a program and exit.

    Args:
        name: as in dvc.yaml.
        body: does the work and returns a line that says what came out.
        inputs, outputs: names of the paths; each is a required option of the command line.

    Exit status 0 after all outputs are in place, 1 for a user's mistake (one line each on stderr), 130 and 143
    when interrupted or terminated. Without success, this program leaves earlier outputs as they are; DVC removes
    them before it starts the program, and then a line says how they come back.
    """
    parser = argparse.ArgumentParser(prog=f"python -m stages.{name}", description=sys.modules["__main__"].__doc__)
    for option in (*inputs, *outputs):
        parser.add_argument(f"--{option}", type=Path, required=True, metavar="PATH")
    paths = {key.replace("_", "-"): value for key, value in vars(parser.parse_args()).items()}
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_run(name, body, paths))


def alone(name: str, body: Callable[[], str]) -> int:
    """Run a program that isn't a stage of the pipeline and print what it returns: 0, or 1 for a user's mistake.

    A mistake is one line each on stderr.
    """
    try:
        print(body())
    except InputError as error:
        for problem in error.problems:
            _say(name, f"error: {problem}")
        return 1
    except OSError as error:
        _say(name, f"error: {error.filename or 'disk'}: {error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        _say(name, "interrupted")
        return 130
    return 0


class _Terminated(BaseException):
    """SIGTERM, as an exception that lets every `with` clean up."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _run(name: str, body: Callable[[Stage], str], paths: dict[str, Path]) -> int:
    started = time.monotonic()
    outputs = Outputs()
    stage: Stage | None = None
    try:
        before = Snapshot.take(name)
        stage = Stage(params.load(PARAMS, CONFIGS, CHOICES), paths, outputs, before)
        with outputs:
            with Watch(before.changes), stage._open:
                line = body(stage)
            before.refuse_changes()
            outputs.commit()
        stage.committed()
    except InputError as error:
        for problem in error.problems:
            _say(name, f"error: {problem}")
        return _failed(name, 1)
    except OSError as error:  # a full disk, a folder without permission
        _say(name, f"error: {error.filename or 'disk'}: {error.strerror or error}")
        return _failed(name, 1)
    except (KeyboardInterrupt, _Terminated) as stop:
        interrupted = isinstance(stop, KeyboardInterrupt)
        where = None if stage is None else stage.resumes()
        then = (
            f"run the same command again to continue {where}" if where else "run the same command again to start over"
        )
        _say(name, f"{'interrupted' if interrupted else 'terminated'}; {then}")
        return _failed(name, 130 if interrupted else 143)
    finally:
        outputs.discard()  # one Ctrl-C may interrupt twice, in polars and in Python, and the second cut the exit short
    print(f"{name}: {line} ({time.monotonic() - started:.1f} s)")
    return 0


def tell(name: str, figures: Mapping[str, Any]) -> None:
    """Say a report's warnings and notes on the terminal."""
    for kind in ("warnings", "notes"):
        for line in figures.get(kind, ()):
            _say(name, f"{kind[:-1]}: {line}")


def _failed(name: str, status: int) -> int:
    """Say how what DVC removed comes back; the exit status."""
    if under_dvc() and _ran_before(name):
        _say(
            name,
            "DVC removed this stage's last outputs before it began; undo what you changed and run dvc repro, "
            "which restores them from its cache",
        )
    return status


def _ran_before(name: str) -> bool:
    try:
        return name in read_yaml(LOCK).get("stages", {})
    except InputError:
        return False


def _say(name: str, line: str) -> None:
    print(f"{name}: {line}", file=sys.stderr)
