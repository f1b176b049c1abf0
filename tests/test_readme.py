"""Every command and snippet of the README runs, in order, in a clone without outputs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SHORT = {"epochs": "20", "seeds": "[0]", "controls": "[popularity]", "max_train_users": "200", "max_questions": "100"}
LOCK = "cat pyproject.toml requirements.txt requirements-dev.txt | cksum | cut -d ' ' -f 1"


def environment(clone: Path) -> dict[str, str]:
    """Activated venv, a Git identity, and DVC's shared state inside the clone."""
    person = {
        f"GIT_{role}_{part}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")
    }
    return {
        **os.environ,
        **person,
        "PATH": f"{clone / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "VENV": ".venv",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(clone.parent / "site-cache"),
    }


def run(clone: Path, command: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=clone,
        env=environment(clone),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    assert "Traceback" not in done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's files as Git has them or would add them, committed afresh, sharing this environment.

    Its trainings are cut short: the README's commands run each of them a dozen times.
    """
    lock = subprocess.run(LOCK, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    if not (Path(sys.prefix) / f".ready-{lock}").exists():
        pytest.skip("not in the environment that make sets up; run make test")
    folder = tmp_path_factory.mktemp("readme") / "sid"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    params = folder / "params.yaml"
    content = params.read_text()
    for key, value in SHORT.items():
        content, found = re.subn(rf"(?m)^(  +{key}:) [^#\n]+", rf"\1 {value} ", content, count=1)
        assert found, key
    params.write_text(content)
    (folder / ".venv").symlink_to(sys.prefix)
    run(folder, "git init -q -b main && git add -A && git commit -qm clone")
    return folder


def test_every_command_and_snippet_runs(clone: Path, tmp_path: Path) -> None:
    outputs = []
    for language, block in BLOCKS:
        if language == "bash":
            outputs.append(run(clone, block))
        elif language == "python":
            (tmp_path / "snippet.py").write_text(block)
            outputs.append(run(clone, f"PYTHONPATH=. python {tmp_path / 'snippet.py'}"))
    assert len(outputs) >= 5
    assert "reports/report.html" in outputs[0]

    run(clone, "git checkout -q . && make")
    assert "up to date" in run(clone, "make")


def test_an_edit_to_an_unused_methods_section_changes_nothing(clone: Path) -> None:
    from sid import params
    from sid.quantizers.methods import CONFIGS

    run(clone, "git checkout -q . && dvc repro")
    used = params.load(clone / "params.yaml", CONFIGS).quant.method
    content = (clone / "params.yaml").read_text()
    other = next(name for name in CONFIGS if name != used)
    section = re.search(rf"^  {other}:\n((?:    .*\n)+)", content, re.MULTILINE)
    assert section
    edited = re.sub(r"(max_iters|epochs): (\d+)", lambda m: f"{m[1]}: {int(m[2]) + 1}", section[1], count=1)
    assert edited != section[1]
    (clone / "params.yaml").write_text(content.replace(section[1], edited))
    assert "up to date" in run(clone, "dvc status")
    run(clone, "git checkout -q params.yaml")


def test_the_sids_shown_are_of_the_shape_that_the_sample_gets(clone: Path) -> None:
    (path,) = (clone / "data/sft/index").glob("*.index.json")  # an experiment above gives the data set another name
    index = json.loads(path.read_text())
    shown = re.findall(r"<a_\d+><b_\d+><c_\d+>", README)
    assert shown
    tokens = {token for sid in index.values() for token in sid}
    assert all(set(re.findall(r"<\w_\d+>", sid)) <= tokens for sid in shown)
