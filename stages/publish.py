"""Turn the index in the workspace into a release, which later indexes go on from: python -m stages.publish NAME

Writes releases/NAME; then `dvc add releases/NAME` and `dvc push` keep it. Refused where the index is out of date, or
where Git couldn't say later which code and params made it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from sid import params
from sid.arrays import load_codes, load_vectors
from sid.errors import InputError
from sid.export.formats import CHOICES
from sid.ids import SemanticIds
from sid.quantizers.methods import CONFIGS
from sid.releases import folder
from sid.releases.publish import Index, publish, refuse_existing
from sid.releases.published import published
from stages import pipeline
from stages.run import LOCK, alone

RELEASES = Path("releases")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TRACED = (pipeline.PIPELINE, pipeline.PARAMS, LOCK, "sid", "stages", "prompts")  # must all be in Git
_LAST = "dedupe"  # the stage whose output is published


def main() -> int:
    """0 after the release is there; 1 for a user's mistake, one line each on stderr."""
    parser = argparse.ArgumentParser(prog="python -m stages.publish", description=__doc__)
    parser.add_argument("name", help="of the release, e.g. 2026-11-28")
    name = parser.parse_args().name
    return alone("publish", lambda: _publish(name))


def _publish(name: str) -> str:
    target = _target(name)
    wanted = params.load(pipeline.PARAMS, CONFIGS, CHOICES)
    commit = _commit()
    _refuse_stale()
    stages = pipeline.declared()
    codes = load_codes(stages["index"].option("codes"))
    index = Index(
        SemanticIds.load(stages[_LAST].option("sids")),
        codes,
        {
            folder.QUANTIZER: stages["train"].option("quantizer"),
            folder.TRAINING: stages["train"].option("report"),
            folder.CURVE: stages["train"].option("curve"),
            folder.PARAMS: pipeline.PARAMS,
        },
        stages["align"].option("aligner") if "align" in stages else None,
        load_vectors(stages["train"].option("vectors")).shape[1],
        wanted.dedupe.strategy,
    )
    earlier = published(wanted)
    reserve = wanted.release.mode == "append" and wanted.release.retired == "keep"
    facts = {"created": datetime.now(UTC).isoformat(timespec="seconds"), "git_commit": commit}
    manifest = publish(index, target, earlier, reserve=reserve, facts=facts)
    since = "" if earlier is None else f", {manifest['items'] - manifest['new']:,} of them as in {earlier.name}"
    kept = f", {manifest['retired']:,} Semantic IDs kept for items that left" if manifest["retired"] else ""
    return (
        f"publish: {target}: {manifest['items']:,} items{since}{kept}\n"
        f"keep it: dvc add {target} && git add {RELEASES} && git commit -m 'Release {name}' && dvc push"
    )


def _target(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} can't be the name of a release: must be letters, digits, ., _ and -, e.g. 2026-11-28"
        )
    target = RELEASES / name
    for path in (target, target.with_name(f"{name}.dvc")):
        refuse_existing(path)
    return target


def _commit() -> str:
    """The Git commit that the workspace is; InputError where it is none."""
    try:
        head = _output("git", "rev-parse", "HEAD").strip()
    except (InputError, FileNotFoundError):
        raise InputError(
            "this folder has no Git commit, so nobody could tell later what made the release: run git init and commit"
        ) from None
    code = [str(path) for path in _TRACED if Path(path).exists()]
    changed = _output("git", "status", "--porcelain", "--untracked-files=no").splitlines()
    changed += _output("git", "status", "--porcelain", "--untracked-files=all", "--", *code).splitlines()
    files = sorted({line[3:] for line in changed})
    if files:
        shown = ", ".join(files[:5]) + (", ..." if len(files) > 5 else "")
        count = "1 file differs" if len(files) == 1 else f"{len(files)} files differ"
        raise InputError(f"{count} from the last commit, so the release couldn't be traced: commit {shown}")
    return head


def _refuse_stale() -> None:
    said = _output(sys.executable, "-W", "ignore", "-m", "dvc", "status", "--json", "--with-deps", _LAST)
    try:
        stale = sorted(json.loads(said[said.index("{") :]))
    except ValueError:
        raise InputError(f"dvc status can't be read: {said.strip()[:200]}") from None
    if stale:
        raise InputError(f"{', '.join(stale)} out of date: run dvc repro and commit its outputs first")


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise InputError(f"{' '.join(command[:3])} failed: {said[-1] if said else done.returncode}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
