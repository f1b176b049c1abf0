"""What every stage does around its one call: arguments, params, errors in one line, whole outputs or none."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sid import params
from sid.errors import InputError
from sid.export.formats import CHOICES
from sid.files import Outputs
from sid.params import Params
from sid.quantizers.methods import CONFIGS
from stages.snapshot import PARAMS, Snapshot


@dataclass(frozen=True)
class Stage:
    """What a stage's body works with: params and the paths that dvc.yaml passes."""

    params: Params
    _paths: dict[str, Path]
    _outputs: Outputs

    def input(self, name: str) -> Path:
        """Where to read an input that dvc.yaml passes as --<name>."""
        return self._paths[name]

    def output(self, name: str) -> Path:
        """Where to write what becomes the output --<name> once the stage has succeeded."""
        return self._outputs.partial(self._paths[name])


def run(name: str, body: Callable[[Stage], str], *, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Run a stage as a program and exit.

    Args:
        name: as in dvc.yaml.
        body: does the work and returns a line that says what came out.
        inputs, outputs: names of the paths; each is a required option of the command line.

    Exit status 0 after all outputs are in place, 1 for a user's mistake (one line each on stderr), 130 and 143
    when interrupted or terminated. Without success, earlier outputs stay as they are.
    """
    parser = argparse.ArgumentParser(prog=f"python -m stages.{name}", description=sys.modules["__main__"].__doc__)
    for option in (*inputs, *outputs):
        parser.add_argument(f"--{option}", type=Path, required=True, metavar="PATH")
    paths = {key.replace("_", "-"): value for key, value in vars(parser.parse_args()).items()}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _end_with_parent()
    sys.exit(_run(name, body, paths))


def _run(name: str, body: Callable[[Stage], str], paths: dict[str, Path]) -> int:
    started = time.monotonic()
    outputs = Outputs()
    try:
        before = Snapshot.take(name)
        checked = params.load(PARAMS, CONFIGS, CHOICES)
        with outputs:
            line = body(Stage(checked, paths, outputs))
            before.refuse_changes(Snapshot.take(name))
            outputs.commit()
    except InputError as error:
        for problem in error.problems:
            print(f"{name}: error: {problem}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a folder without permission
        print(f"{name}: error: {error.filename or 'disk'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted, its outputs are as they were before", file=sys.stderr)
        return 130
    finally:
        outputs.discard()  # one Ctrl-C may interrupt twice, in polars and in Python, and the second cut the exit short
    print(f"{name}: {line} ({time.monotonic() - started:.1f} s)")
    return 0


def _end_with_parent() -> None:
    """End this process soon after its parent is gone: a killed DVC leaves its stage running otherwise."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)  # the main thread cleans up, unless it is stuck in native code
        os._exit(143)

    threading.Thread(target=watch, daemon=True).start()
