"""Which stages an edit makes stale, as `dvc status` says in a project that is up to date."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENT, ROOT, Project, make_project

# What stages compute doesn't matter here: each writes a line into each of its outputs. `keep` is a folder, of which one
# file is always the same.
STUB = """
import sys
from pathlib import Path
given = dict(zip(sys.argv[1::2], map(Path, sys.argv[2::2])))
for name in {outputs}:
    path = given[f"--{{name}}"]
    if name == "keep":
        path.mkdir(parents=True, exist_ok=True)
        (path / "nearest.npy").write_text("")
        path = path / "popular.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{stage}\\n")
"""
OUTPUTS = {
    "embed": ["vectors", "report"],
    "prepare": ["vectors", "items", "ids", "report", "metrics"],
    "interactions": ["train", "valid", "test", "users", "counts", "keep", "report"],
    "align": ["aligned", "aligner", "report", "metrics"],
    "train": ["quantizer", "report", "curve"],
    "index": ["codes", "report", "metrics"],
    "dedupe": ["sids", "report", "metrics"],
    "delta": ["delta", "drift", "churn"],
    "evaluate": ["report", "metrics", "curve"],
    "report": ["page", "report", "usage", "groups", "metrics"],
    "export": ["folder", "report", "metrics"],
}
# One process that answers each line on stdin with the stages that are stale.
ASK = """
import json, sys
from dvc.repo import Repo
for _ in sys.stdin:
    print(json.dumps(sorted(Repo(".").status())), flush=True)
"""
METHODS = ("rqvae", "rqkmeans", "rqkmeans_constrained", "rqkmeans_plus")

Edit = Callable[[Project], object]


class Pipeline:
    """A project with a repository and a lock of its own for each method; `stale` undoes what it was told to edit."""

    def __init__(self, project: Project, environment: dict[str, str]) -> None:
        self.project = project
        self.environment = environment
        self.locks: dict[str, bytes] = {}
        for method in METHODS:
            project.params(quant__method=method)
            self.dvc("repro", "-q")
            self.locks[method] = project.path("dvc.lock").read_bytes()
        self.params = project.path("params.yaml").read_bytes()
        self.asked = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", ASK],
            cwd=project.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def dvc(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "dvc", *words],
            cwd=self.project.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stale(self, method: str, edit: Edit) -> list[str]:
        """The stages that an edit makes stale which were up to date with this method."""
        folder = self.project.folder
        self.project.params(quant__method=method)
        self.project.path("dvc.lock").write_bytes(self.locks[method])
        before = {path: path.read_bytes() for path in folder.rglob("*") if tracked(folder, path)}
        try:
            edit(self.project)
            assert self.asked.stdin is not None
            assert self.asked.stdout is not None
            self.asked.stdin.write("\n")
            self.asked.stdin.flush()
            found: list[str] = json.loads(self.asked.stdout.readline())
            return found
        finally:
            for path in [path for path in folder.rglob("*") if tracked(folder, path) and path not in before]:
                path.unlink()
            for path, content in before.items():
                if path.read_bytes() != content:
                    path.write_bytes(content)
            self.project.path("params.yaml").write_bytes(self.params)


def tracked(folder: Path, path: Path) -> bool:
    """Whether an edit may have touched a file."""
    return path.is_file() and path.relative_to(folder).parts[0] not in (".dvc", ".git") and not path.is_symlink()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("stale")
    project = make_project(folder / "project")
    for stage, outputs in OUTPUTS.items():
        project.path(f"stages/{stage}.py").write_text(STUB.format(stage=stage, outputs=outputs))
    shutil.copy(ROOT / ".dvcignore", project.folder)
    shutil.copytree(ROOT / ".dvc" / "plots", project.path(".dvc/plots"))
    shutil.copy(ROOT / ".dvc" / "config", project.path(".dvc/config"))
    project.path("data/other.csv").write_text("user_id,item_id,timestamp\n")
    project.path("releases/day1").mkdir(parents=True)
    project.path("releases/day1/manifest.json").write_text("{}")
    project.params(export__prompts="prompts/en.yaml")
    environment = {
        **ENVIRONMENT,
        "DVC_SITE_CACHE_DIR": str(folder / "site-cache"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    subprocess.run(["git", "init", "-q"], cwd=project.folder, check=True)
    started = Pipeline(project, environment)
    yield started
    assert started.asked.stdin is not None
    assert started.asked.stdout is not None
    started.asked.stdin.close()
    started.asked.wait()
    started.asked.stdout.close()


def key(**changes: object) -> Edit:
    return lambda project: project.params(**changes)


def comment(name: str) -> Edit:
    def append(project: Project) -> None:
        mark = "/* edited */" if name.endswith(".css") else "# edited"
        project.path(name).write_text(f"{project.path(name).read_text()}\n{mark}\n")

    return append


def replaced(name: str) -> Edit:
    """Put another file in an output's place: writing into it would change all outputs that DVC links to one copy."""

    def replace(project: Project) -> None:
        project.path(name).unlink()
        project.path(name).write_text("others\n")

    return replace


def new(name: str) -> Edit:
    return lambda project: project.path(name).write_text("")


ALL = ["align", "dedupe", "delta", "embed", "evaluate", "export", "index", "interactions", "prepare", "report", "train"]
ROWS: dict[str, tuple[str, Edit, list[str]]] = {
    "nothing": ("rqkmeans", lambda project: None, []),
    # params
    "e_dim under k-means": ("rqkmeans", key(quant__e_dim=99), []),
    "e_dim under balanced k-means": ("rqkmeans_constrained", key(quant__e_dim=99), []),
    "e_dim under rqvae": ("rqvae", key(quant__e_dim=99), ["report", "train"]),
    "e_dim under rqkmeans_plus": ("rqkmeans_plus", key(quant__e_dim=99), ["report", "train"]),
    "an unused method's warm start file": (
        "rqkmeans",
        key(quant__rqkmeans_plus__warm_start_file="no/such/file.pth"),
        [],
    ),
    "the used method's warm start file": (
        "rqkmeans_plus",
        key(quant__rqkmeans_plus__warm_start_file="no/such/file.pth"),
        ["report", "train"],
    ),
    "the section of the method that the used one starts from": (
        "rqkmeans_plus",
        key(quant__rqkmeans__max_iters=7),
        ["report", "train"],
    ),
    "the section of the method that an unused one starts from": ("rqvae", key(quant__rqkmeans__max_iters=7), []),
    "an unused method's section": ("rqkmeans", key(quant__rqvae__lr=0.5), []),
    "the used method's section": ("rqkmeans", key(quant__rqkmeans__max_iters=7), ["report", "train"]),
    "another method": ("rqkmeans", key(quant__method="rqvae"), ["report", "train"]),
    "device": ("rqkmeans", key(quant__device="cpu"), ["report", "train"]),
    "another method of alignment": ("rqkmeans", key(align__method="fuse"), ["align", "report"]),
    "the used aligner's section": ("rqkmeans", key(align__smooth__hops=2), ["align", "report"]),
    "an unused aligner's section": ("rqkmeans", key(align__fuse__share=0.5), []),
    "the graph's window": ("rqkmeans", key(align__window=9), ["align", "report"]),
    "a file of behaviour": ("rqkmeans", key(align__behaviour="data/other.csv"), ["align", "report"]),
    "seeds of the evaluation": ("rqkmeans", key(evaluate__seeds=[5]), ["evaluate", "report"]),
    "what encodes texts": ("rqkmeans", key(embed__model="some/model"), ["embed", "report"]),
    "invalid rows": ("rqkmeans", key(prepare__invalid_rows="drop"), ["prepare", "report"]),
    "the column of titles": ("rqkmeans", key(prepare__title_column="name"), ["embed", "prepare", "report"]),
    "the name of the data set": ("rqkmeans", key(export__dataset="other"), ["export", "report"]),
    "formats": ("rqkmeans", key(export__formats=["grid"]), ["export"]),
    "another table of interactions": (
        "rqkmeans",
        key(interactions__source="data/other.csv"),
        ["interactions", "report"],
    ),
    # files
    "the page's stylesheet": ("rqkmeans", comment("sid/report/templates/report.css"), ["report"]),
    "a wording": ("rqkmeans", comment("prompts/en.yaml"), ["export"]),
    "a new quantizer's file": ("rqkmeans", new("sid/quantizers/fsq.py"), []),
    "a new strategy's file": ("rqkmeans", new("sid/dedupe/other.py"), []),
    "a release to continue": (
        "rqkmeans",
        key(published="releases/day1"),
        ["align", "dedupe", "delta", "index", "report", "train"],
    ),
    "how a release is written": ("rqkmeans", comment("sid/releases/publish.py"), []),
    "how what left is treated": ("rqkmeans", key(release__retired="free"), ["dedupe", "delta", "report"]),
    "who keeps a contested Semantic ID": ("rqkmeans", key(dedupe__keep="popular"), ["dedupe", "report"]),
    "a line in the table of methods": ("rqkmeans", comment("sid/quantizers/methods.py"), []),
    "the chosen method": ("rqkmeans", comment("sid/quantizers/rqkmeans.py"), ["train"]),
    "another method's module": ("rqkmeans", comment("sid/quantizers/rqvae.py"), []),
    "another method's module under rqvae": ("rqvae", comment("sid/quantizers/rqkmeans.py"), []),
    "the levels that rqkmeans_plus starts from": (
        "rqkmeans_plus",
        comment("sid/quantizers/levels.py"),
        ["report", "train"],
    ),
    "the chosen aligner": ("rqkmeans", comment("sid/align/smooth.py"), ["align"]),
    "another aligner's module": ("rqkmeans", comment("sid/align/contrastive.py"), []),
    "a new aligner's file": ("rqkmeans", new("sid/align/other.py"), []),
    "a line in the table of aligners": ("rqkmeans", comment("sid/align/methods.py"), []),
    # DVC calls a stage stale whose output isn't the one it left: interactions itself, whatever is edited of it
    "the valid split": (
        "rqkmeans",
        replaced("data/interactions/valid.parquet"),
        ["evaluate", "export", "interactions"],
    ),
    "the test split": ("rqkmeans", replaced("data/interactions/test.parquet"), ["evaluate", "export", "interactions"]),
    "the train split": (
        "rqkmeans",
        replaced("data/interactions/train.parquet"),
        ["align", "evaluate", "export", "interactions"],
    ),
    "another strategy's module": ("rqkmeans", comment("sid/dedupe/sinkhorn.py"), []),
    "the chosen strategy": ("rqkmeans", comment("sid/dedupe/reassign.py"), ["dedupe"]),
    "the training loop": ("rqvae", comment("sid/quantizers/training/loop.py"), ["train"]),
    "k-means": ("rqkmeans", comment("sid/clustering/kmeans.py"), ["dedupe", "delta", "index", "report", "train"]),
    "the catalogue's cleaning": ("rqkmeans", comment("sid/catalogue/cleaning.py"), ["prepare"]),
    "the catalogue as prepared": (
        "rqkmeans",
        comment("sid/catalogue/items.py"),
        ["embed", "export", "interactions", "prepare", "report"],
    ),
    "reading tables": ("rqkmeans", comment("sid/tables/table.py"), ["align", "embed", "interactions", "prepare"]),
    "the items' texts": ("rqkmeans", comment("sid/embed/texts.py"), ["embed"]),
    "reading interactions": (
        "rqkmeans",
        comment("sid/interactions/read.py"),
        ["delta", "export", "interactions", "report"],
    ),
    "tokens": ("rqkmeans", comment("sid/ids.py"), ["dedupe", "delta", "evaluate", "export", "report"]),
    "the recommender": ("rqkmeans", comment("sid/evaluate/recommender.py"), ["evaluate"]),
    "an export format": ("rqkmeans", comment("sid/export/grid.py"), ["export"]),
    "what rounds figures and reads prompts": ("rqkmeans", comment("sid/files.py"), ALL),
    "what words errors": ("rqkmeans", comment("sid/errors.py"), []),
    "what checks params": ("rqkmeans", comment("sid/params.py"), []),
    "what runs the stages": ("rqkmeans", comment("stages/run.py"), []),
    "a stage": ("rqkmeans", comment("stages/index.py"), ["index"]),
    "the items": ("rqkmeans", comment("items.json"), ["embed", "prepare"]),
}


@pytest.mark.parametrize(("method", "edit", "stale"), ROWS.values(), ids=list(ROWS))
def test_an_edit_makes_these_stages_stale(pipeline: Pipeline, method: str, edit: Edit, stale: list[str]) -> None:
    assert pipeline.stale(method, edit) == stale


def test_a_missing_file_of_an_unused_method_stops_nothing(pipeline: Pipeline) -> None:
    pipeline.project.params(quant__method="rqkmeans", quant__rqkmeans_plus__warm_start_file="no/such/file.pth")
    pipeline.project.path("dvc.lock").write_bytes(pipeline.locks["rqkmeans"])
    said = pipeline.dvc("repro", "--force", "train")
    assert "Running stage 'train'" in said


def test_another_table_of_interactions_runs_what_reads_it(pipeline: Pipeline) -> None:
    stub = pipeline.project.path("stages/interactions.py")
    stub.write_text(stub.read_text().replace('"interactions', '"others'))
    pipeline.project.params(quant__method="rqkmeans", interactions__source="data/other.csv")
    pipeline.project.path("dvc.lock").write_bytes(pipeline.locks["rqkmeans"])
    said = pipeline.dvc("repro")
    ran = [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]
    assert sorted(ran) == ["align", "delta", "evaluate", "export", "interactions", "report"]
