"""What the tests share: small catalogues, and a project folder in which stages can be run as users run them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import chdir
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is loaded: tests that run side by side share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import yaml
from hypothesis import settings

from sid import params
from sid.export.formats import CHOICES
from sid.files import Outputs
from sid.quantizers.methods import CONFIGS
from stages import pipeline  # first: sets how threads wait, before torch is loaded
from stages.run import Stage
from stages.snapshot import Snapshot

ROOT = Path(__file__).parents[1]
CATALOGUE = ROOT.parent / "shared" / "data" / "industrial"

needs_catalogue = pytest.mark.skipif(
    not CATALOGUE.is_dir(), reason=f"the real catalogue is not there ({CATALOGUE.relative_to(ROOT.parent)} is absent)"
)

# what Hugging Face's libraries read when they are imported: no test asks a hub for anything
os.environ["HF_HUB_OFFLINE"] = "1"

# Two runs try the same examples, so that what fails can be repeated; HYPOTHESIS_PROFILE=random looks for new ones.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("random")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

ENVIRONMENT = {**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "error"}

STAGES = {name: stage.cmd for name, stage in pipeline.declared(ROOT).items()}


def catalogue(rows: int = 60, dim: int = 8, seed: int = 0) -> np.ndarray:
    """A small mixture: (rows, dim) float32."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(6, dim))
    return (centres[generator.integers(6, size=rows)] + 0.3 * generator.normal(size=(rows, dim))).astype(np.float32)


@dataclass
class Project:
    """A copy of the project's code and params beside a small catalogue of its own."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name

    def params(self, **changes: Any) -> None:
        """Change keys of params.yaml, dots written as __."""
        values = yaml.safe_load(self.path("params.yaml").read_text())
        for dotted, value in changes.items():
            *sections, key = dotted.split("__")
            section = values
            for name in sections:
                section = section[name]
            section[key] = value
        self.path("params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))

    def command(self, stage: str) -> list[str]:
        return [sys.executable, *shlex.split(STAGES[stage])[1:]]

    def run(self, stage: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(stage), cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True)

    def paths(self, stage: str) -> dict[str, Path]:
        """The paths that dvc.yaml passes to a stage, by the names of their options."""
        words = shlex.split(STAGES[stage])[3:]
        return {option.removeprefix("--"): Path(path) for option, path in zip(words[::2], words[1::2], strict=True)}

    def program(self, module: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program that isn't a stage: python -m <module> <words>."""
        command = [sys.executable, "-m", module, *words]
        return subprocess.run(command, cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True)

    def succeed(self, *stages: str) -> None:
        """Run stages, or all of them, in this process, which has loaded torch; an error of the user's is raised."""
        with chdir(self.folder):
            for stage in stages or STAGES:
                wanted = params.load("params.yaml", CONFIGS, CHOICES)
                with Outputs() as outputs:
                    run = Stage(wanted, self.paths(stage), outputs, Snapshot({}, {}, {}))
                    import_module(f"stages.{stage}").main(run)
                    outputs.commit()
                run.committed()

    def report(self, name: str) -> Any:
        return json.loads(self.path(f"reports/{name}.json").read_text())

    def contents(self) -> dict[str, bytes]:
        """Every file below data/ and reports/, as it is."""
        files = [path for top in ("data", "reports") for path in self.path(top).rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}


def make_project(folder: Path, vectors: np.ndarray | None = None) -> Project:
    """A project of 60 items (or of other vectors) in a new folder, params set for it, nothing run yet."""
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("sid", "stages", "prompts"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignored, symlinks=True)
    for part in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / part, folder / part)
    (folder / "data").mkdir()
    shutil.copy(ROOT / "data" / "none", folder / "data" / "none")
    vectors = catalogue() if vectors is None else vectors
    np.save(folder / "embeddings.npy", vectors)
    items = {str(row): {"title": f"Item {row}", "description": ""} for row in range(len(vectors))}
    (folder / "items.json").write_text(json.dumps(items))
    (folder / "inter").mkdir()
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    for split, rows in (("train", "7\t0 1\t2\n8\t3\t4\n"), ("valid", "7\t0 1 2\t3\n"), ("test", "7\t0 1 2 3\t4\n")):
        (folder / "inter" / f"{split}.inter").write_text(header + rows)
    project = Project(folder)
    project.params(
        prepare__embeddings="embeddings.npy",
        prepare__items="items.json",
        quant__num_emb_list=[4, 4, 8],
        quant__method="rqkmeans",
        interactions__source="inter",
        evaluate__method="none",  # a training that most tests don't look at
        export__dataset="shop",
    )
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("finished") / "project")
    project.succeed()
    return project


@pytest.fixture
def finished(_finished: Project, tmp_path: Path) -> Project:
    """A project whose pipeline has run; each test has a copy of its own."""
    return Project(Path(shutil.copytree(_finished.folder, tmp_path / "project", symlinks=True)))
