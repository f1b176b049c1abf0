"""Every command and snippet of README and docs/ runs, document by document, in a clone.

The pipeline runs once, on the sample with short trainings. From then on DVC runs a stage by copying what it left then:
commands, keys and paths are checked as before, and a run costs seconds. What is no stage of the pipeline always runs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sid import params
from sid.export.formats import CHOICES
from sid.quantizers.methods import CONFIGS
from stages import pipeline
from tests.conftest import ROOT

DOCUMENTS = ("README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")))
SHORT = {
    "init_epoch": "1",
    "epochs": "6",
    "seeds": "[0]",
    "controls": "[popularity]",
    "max_train_users": "100",
    "max_questions": "50",
    "formats": "[index, prompt_completion, tokens, trie, grammar, transitions]",
}
LOCK = "cat pyproject.toml requirements.txt requirements-dev.txt | cksum | cut -d ' ' -f 1"
REPLAY = """\
#!/bin/sh
# python, but for the stages that DVC runs, which leave what they left before
if [ -n "$DVC_STAGE" ] && [ -f "$SID_STORE/$2" ]; then
  while read -r path; do
    mkdir -p "$(dirname "$path")" && rm -rf "$path" && cp -r "$SID_STORE/files/$path" "$path" || exit 1
  done < "$SID_STORE/$2"
  exit 0
fi
exec "{python}" "$@"
"""


def blocks(name: str) -> list[tuple[str, str]]:
    """The fenced blocks of a document: language and content."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


class Clone:
    """The project's files as Git has them or would add them, committed afresh, with this environment as its .venv."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, folder.parent / "store"
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
        lock = subprocess.run(LOCK, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        venv = folder / ".venv"
        venv.mkdir()
        for part in ("bin", "lib", "lib64", "pyvenv.cfg", "include"):
            if (Path(sys.prefix) / part).exists():
                (venv / part).symlink_to(Path(sys.prefix) / part)
        (venv / f".ready-{lock}").touch()
        values = folder / "params.yaml"
        content = values.read_text()
        for key, value in SHORT.items():
            content, found = re.subn(
                rf"(?m)^(  +{key}:)(?: [^#\n]*|\n(?:    - .*\n)+)", rf"\1 {value} ", content, count=1
            )
            assert found, key
        values.write_text(content)
        self.run("git init -q -b main && git add -A && git commit -qm clone")

    def run(self, command: str) -> str:
        person = {
            f"GIT_{role}_{part}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")
        }
        environment = {
            **os.environ,
            **person,
            "PATH": os.pathsep.join([str(self.store / "bin"), str(self.folder / ".venv" / "bin"), os.environ["PATH"]]),
            "VENV": ".venv",
            "SID_STORE": str(self.store),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.folder.parent / "site-cache"),
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        assert "Traceback" not in done.stdout
        return done.stdout

    def replay(self) -> None:
        """Have DVC's stages leave from now on what they have left."""
        for name, stage in pipeline.declared(self.folder).items():
            for out in stage.outs:
                target = self.store / "files" / out
                target.parent.mkdir(parents=True, exist_ok=True)
                source = self.folder / out
                (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
            (self.store / f"stages.{name}").write_text("".join(f"{out}\n" for out in stage.outs))
        (self.store / "bin").mkdir()
        script = self.store / "bin" / "python"
        script.write_text(REPLAY.format(python=self.folder / ".venv" / "bin" / "python"))
        script.chmod(0o755)
        # `make` puts the environment's own python first, so that one is the script as well
        (self.folder / ".venv" / "bin").unlink()
        (self.folder / ".venv" / "bin").mkdir()
        for path in (Path(sys.prefix) / "bin").iterdir():
            if path.name != "python":
                (self.folder / ".venv" / "bin" / path.name).symlink_to(path)
        script.write_text(REPLAY.format(python=self.folder / ".venv" / "bin" / "python3"))
        shutil.copy(script, self.folder / ".venv" / "bin" / "python")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    made = Clone(tmp_path_factory.mktemp("readme") / "sid")
    said = made.run("make")
    assert "reports/report.html" in said
    assert "up to date" in made.run("make")
    made.replay()
    made.run("git add -A && git commit -qm 'First run'")
    return made


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_and_snippet_runs(clone: Clone, name: str, tmp_path: Path) -> None:
    clone.run("git checkout -q . && git clean -fdq && dvc checkout -q --force")
    for language, block in blocks(name):
        if language == "bash":
            clone.run(block)
        elif language == "python":
            (tmp_path / "snippet.py").write_text(block)
            clone.run(f"PYTHONPATH=. python3 {tmp_path / 'snippet.py'}")
        elif language == "yaml":
            check_keys(block)
        params.load(clone.folder / "params.yaml", CONFIGS, CHOICES)
    clone.run("git add -A && git commit -q --allow-empty -m done")


def check_keys(block: str) -> None:
    """Each `section: key: value` of a snippet is one of params.yaml's."""
    known, shown = yaml.safe_load((ROOT / "params.yaml").read_text()), yaml.safe_load(block)
    for section, keys in shown.items():
        assert section in known
        assert not isinstance(keys, dict) or not set(keys) - set(known[section]), (section, keys)


def test_an_edit_to_an_unused_methods_section_changes_nothing(clone: Clone) -> None:
    clone.run("git checkout -q . && dvc repro")
    content = (clone.folder / "params.yaml").read_text()
    used = params.load(clone.folder / "params.yaml", CONFIGS).quant.method
    other = next(name for name in CONFIGS if name != used)
    section = re.search(rf"^  {other}:\n((?:    .*\n)+)", content, re.MULTILINE)
    assert section
    edited = re.sub(r"(max_iters|epochs): (\d+)", lambda m: f"{m[1]}: {int(m[2]) + 1}", section[1], count=1)
    assert edited != section[1]
    (clone.folder / "params.yaml").write_text(content.replace(section[1], edited))
    assert "up to date" in clone.run("dvc status")
    clone.run("git checkout -q params.yaml")


def test_the_sids_shown_are_of_the_shape_that_the_sample_gets(clone: Clone) -> None:
    index = json.loads((clone.store / "files/data/sft/index/sample.index.json").read_text())
    shown = re.findall(r"<a_\d+><b_\d+><c_\d+>", (ROOT / "README.md").read_text())
    assert shown
    tokens = {token for sid in index.values() for token in sid}
    assert all(set(re.findall(r"<\w_\d+>", sid)) <= tokens for sid in shown)


def test_the_readme_is_short() -> None:
    # but for the lines of params that it shows, which are to be copied and not read
    prose = re.sub(r"^```yaml\n.*?^```$", "", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(prose.split()) < 1200


@pytest.mark.parametrize("name", [*DOCUMENTS, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    """Links to files of the project, and to their headings."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / name).read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / name).parent / path if path else ROOT / name
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="pip install 'sid[docs]'")
    pytest.importorskip("mkdocstrings_handlers.python", reason="pip install 'sid[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")],
        cwd=ROOT,
        env={
            **os.environ,
            "NO_MKDOCS_2_WARNING": "1",
            "http_proxy": "http://127.0.0.1:9",
            "https_proxy": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "choosing.html").read_text()
    assert not re.findall(r'<(?:script|link)[^>]+(?:src|href)="https?://(?!127)[^"]+\.(?:js|css)', page), (
        "works offline"
    )
    assert "sid.fit" in (tmp_path / "site" / "api.html").read_text()
