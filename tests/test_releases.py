"""The life of an index by its stages: published, appended to, refreshed, compared."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from sid import params
from sid.errors import InputError
from sid.export.formats import CHOICES
from sid.ids import SemanticIds, vocabulary
from sid.quantizers.methods import CONFIGS
from sid.releases import folder
from sid.releases.folder import open_release
from stages import preflight
from tests import test_report as report_page
from tests.conftest import ENVIRONMENT, ROOT, Project, catalogue, make_project
from tests.releasing import INDEX, catalogue_of, publish_from, sids_of
from tests.test_report import check_page

VECTORS = catalogue(80, seed=3)
IDS = [f"{row}" for row in range(80)]


@pytest.fixture(scope="module")
def _day1(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """60 items, published as releases/day1, which params.yaml goes on from."""
    project = make_project(tmp_path_factory.mktemp("day1") / "project")
    project.params(quant__num_emb_list=[4, 4, 16], interactions__source="data/none")
    catalogue_of(project, IDS[:60], VECTORS[:60])
    project.succeed(*INDEX)
    project.params(published=str(publish_from(project, "day1")))
    return project


@pytest.fixture
def day1(_day1: Project, tmp_path: Path) -> Project:
    return Project(Path(shutil.copytree(_day1.folder, tmp_path / "project", symlinks=True)))


def second_day(project: Project) -> list[int]:
    """Two items have left, twenty have come, and all are in another order; the rows of VECTORS."""
    rows = np.random.default_rng(0).permutation(np.arange(2, 80)).tolist()
    catalogue_of(project, [IDS[row] for row in rows], VECTORS[rows])
    return rows


def test_two_days_of_an_index(day1: Project) -> None:
    before, quantizer = sids_of(day1), day1.path("data/quantizer.pth").read_bytes()
    second_day(day1)
    day1.succeed()
    after = sids_of(day1)
    assert {one: after[one] for one in IDS[2:60]} == {one: before[one] for one in IDS[2:60]}
    assert len(set(after.values()) | {before["0"], before["1"]}) == 80
    assert day1.path("data/quantizer.pth").read_bytes() == quantizer
    assert day1.report("train")["published"] == "day1"
    assert day1.report("index")["new"] == 20

    sids = SemanticIds.load(day1.path("data/sids.parquet"))
    assert sids.origins is not None
    origin = dict(zip(sids.item_ids, sids.origins, strict=True))
    assert origin == dict.fromkeys(IDS[2:60], "day1") | dict.fromkeys(IDS[60:])
    delta = SemanticIds.load(day1.path("data/delta.parquet"))
    assert dict(zip(delta.item_ids, delta.texts(), strict=True)) == {one: after[one] for one in IDS[60:]}

    drift, churn = day1.report("drift"), day1.report("churn")
    assert drift["items"] == {"published": 58, "new": 20, "retired": 2, "reserved": 2}
    assert drift["places"]["taken"] == 80
    assert drift["verdict"]["say"] in ("append", "refresh")
    assert churn["after"]["kept"] == {"first_1": 1.0, "first_2": 1.0, "all": 1.0}
    assert churn["before"] is None
    page = check_page(
        day1.path("reports/report.html").read_text(), {name: day1.report(name) for name in report_page.REPORTS}
    )
    assert {"drift.items.new", "drift.verdict.say", "churn.after.kept.all"} <= set(page.shown)

    new = json.loads(day1.path("data/sft/new/index/shop.index.json").read_text())
    assert sorted(new, key=int) == IDS[60:]
    assert json.loads(day1.path("data/sft/new/tokens/new_tokens.json").read_text()) == []
    records = day1.path("data/sft/new/prompt_completion/train.jsonl").read_text().splitlines()
    assert len(records) == 40  # title_to_sid and sid_to_title of each new item
    assert len(json.loads(day1.path("data/sft/index/shop.index.json").read_text())) == 78

    # a third day: an item that had left comes back, and releases follow one another
    day1.params(published=str(publish_from(day1, "day2")))
    assert open_release(day1.path("releases/day2")).manifest["retired"] == 2
    catalogue_of(day1, [*IDS[5:], "0", "a"], VECTORS[[*range(5, 80), 0, 3]])
    day1.succeed(*INDEX)
    third = sids_of(day1)
    assert third["0"] == before["0"]
    assert {one: third[one] for one in IDS[5:]} == {one: after[one] for one in IDS[5:]}
    table = pl.read_parquet(day1.path("data/sids.parquet"))
    assert dict(table["release"].value_counts().iter_rows()) == {"day1": 56, "day2": 20, None: 1}


def test_a_refresh_names_its_codes_as_they_were(day1: Project) -> None:
    second_day(day1)
    day1.params(release__mode="refresh", release__warm_start=False, quant__seed=4)
    day1.succeed(*INDEX, "delta")
    renaming, churn = day1.report("train")["renaming"], day1.report("churn")
    assert renaming["common"] == 58
    assert renaming["after"]["first_1"] > renaming["before"]["first_1"]
    assert churn["after"]["kept"]["first_1"] > churn["before"]["kept"]["first_1"]
    assert len(set(sids_of(day1).values())) == 78
    kept = pl.read_parquet(day1.path("data/sids.parquet"))["release"].is_not_null().sum()
    assert kept == round(churn["after"]["kept"]["all"] * 58)
    assert "verdict" not in day1.report("drift")

    day1.params(release__warm_start=True)
    day1.succeed("train")
    warm = day1.report("train")["renaming"]
    assert warm["before"]["first_1"] > renaming["before"]["first_1"]


def test_a_plain_project_says_so(finished: Project) -> None:
    assert finished.report("drift") == finished.report("churn") == {"release": None}
    delta = SemanticIds.load(finished.path("data/delta.parquet"))
    assert (len(delta.codes), delta.code_sizes) == (0, (4, 4, 8))
    assert "release" not in pq.read_schema(finished.path("data/sids.parquet")).names
    assert not finished.path("data/sft/new").exists()


def edit_manifest(project: Project, **changes: object) -> None:
    path = project.path("releases/day1/manifest.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def tabled(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Project], None]:
    """Change the published table, and the manifest with it, as whoever writes one by hand might."""

    def edit(project: Project) -> None:
        path = project.path("releases/day1/sids.parquet")
        change(pl.read_parquet(path)).write_parquet(path, use_pyarrow=True)
        files = json.loads(project.path("releases/day1/manifest.json").read_text())["files"]
        files["sids.parquet"] = {"bytes": path.stat().st_size, "sha256": folder.digest(path)}
        edit_manifest(project, files=files)

    return edit


def codes_of(value: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    kind = pl.Array(pl.Int32, 3)
    return lambda table: table.with_columns(pl.Series("codes", [[value, 0, 0]] * len(table), kind))


DAMAGE: dict[str, tuple[Callable[[Project], object], str]] = {
    "no such release": (lambda p: p.params(published="releases/day9"), "releases/day9: no such folder (published in"),
    "no manifest": (
        lambda p: p.path("releases/day1/manifest.json").unlink(),
        "releases/day1: holds no manifest.json, so it isn't a complete release",
    ),
    "broken manifest": (
        lambda p: p.path("releases/day1/manifest.json").write_text("{"),
        "releases/day1/manifest.json: isn't JSON",
    ),
    "other format": (lambda p: edit_manifest(p, format=9), "releases/day1/manifest.json: isn't the manifest of a"),
    "another name": (
        lambda p: edit_manifest(p, name="day0"),
        "releases/day1: is the release 'day0' according to its manifest",
    ),
    "no sizes": (lambda p: edit_manifest(p, code_sizes=[4, "4"]), "releases/day1/manifest.json: code_sizes isn't as"),
    "a file less": (
        lambda p: p.path("releases/day1/quantizer.pth").unlink(),
        "releases/day1/quantizer.pth: no such file, the release is damaged",
    ),
    "another file": (
        lambda p: p.path("releases/day1/quantizer.pth").write_bytes(b"x"),
        "releases/day1/quantizer.pth: isn't what was published",
    ),
    "other levels": (
        lambda p: p.params(quant__num_emb_list=[4, 4, 8]),
        "params.yaml: quant.num_emb_list is [4, 4, 8]: must be [4, 4, 16], as in releases/day1",
    ),
    "another method": (
        lambda p: p.params(quant__method="rqkmeans_constrained"),
        "params.yaml: quant.method is rqkmeans_constrained: must be rqkmeans, as in releases/day1",
    ),
    "an id twice": (
        tabled(lambda table: table.with_columns(pl.lit("7").alias("item_id"))),
        "releases/day1/sids.parquet and retired.parquet: 1 item ids occur more than once",
    ),
    "impossible codes": (tabled(codes_of(4)), "releases/day1/sids.parquet, codes: row 0 has code 4 at level 0"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=list(DAMAGE))
def test_a_damaged_release_is_one_line_before_any_work(
    day1: Project, damage: Callable[[Project], object], said: str
) -> None:
    damage(day1)
    with chdir(day1.folder), pytest.raises(InputError) as refused:
        preflight.check(params.load("params.yaml", CONFIGS, CHOICES))
    assert str(refused.value).startswith(said)
    assert len(refused.value.problems) == 1


def test_vectors_of_another_dimension_are_refused(day1: Project) -> None:
    catalogue_of(day1, IDS[:60], catalogue(60, dim=5))
    with chdir(day1.folder), pytest.raises(InputError, match="takes vectors of 8 dimensions, the embeddings have 5"):
        preflight.check(params.load("params.yaml", CONFIGS, CHOICES))
    day1.succeed("prepare", "interactions", "align")
    with pytest.raises(InputError, match=r"releases/day1/quantizer.pth: takes vectors of 8 dimensions, the embed"):
        day1.succeed("train")


def test_a_release_is_whole_or_not_there(day1: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever step fails, no folder has the release's name; and one that has it is never written to."""
    from sid.releases import publish

    real = publish.write_json

    def fails(path: Path, value: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(publish, "write_json", fails)
    with pytest.raises(OSError, match="no space"):
        publish_from(day1, "day2")
    assert [path.name for path in day1.path("releases").iterdir()] == ["day1"]
    monkeypatch.setattr(publish, "write_json", real)
    kept = {path: path.read_bytes() for path in day1.path("releases/day1").iterdir()}
    with pytest.raises(InputError, match="day1: exists already, and a release is never overwritten"):
        publish_from(day1, "day1")
    assert kept == {path: path.read_bytes() for path in day1.path("releases/day1").iterdir()}


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.conftest import Project
from tests.releasing import publish_from
left = int(sys.argv[2])
def hook(event, words):
    global left
    if event in ("open", "os.rename", "os.remove", "shutil.copyfile", "os.mkdir") and "day2" in str(words[0]):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
publish_from(Project(Path(sys.argv[1])), "day2")
print(int(sys.argv[2]) - left)
"""


def test_killed_at_any_step_it_leaves_no_folder_that_looks_complete(day1: Project) -> None:
    def publish(step: int) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", KILLED, str(day1.folder), str(step)]
        return subprocess.run(words, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)

    target = day1.path("releases/day2")
    steps = int(publish(10_000).stdout)
    assert steps > 20
    open_release(target)
    shutil.rmtree(target)
    for step in (1, 2, steps // 3, 2 * steps // 3, steps - 2, steps - 1, steps):
        assert publish(step).returncode == -signal.SIGKILL
        assert not target.exists(), f"killed at step {step} of {steps}"
    assert publish(10_000).returncode == 0
    open_release(target)
    assert [path.name for path in sorted(target.parent.iterdir())] == ["day1", "day2"], "what was left is cleaned up"


def test_compare_two_indexes(day1: Project, tmp_path: Path) -> None:
    table = pl.read_parquet(day1.path("releases/day1/sids.parquet"))
    index = {
        item: [f"<a_{codes[0]}>", f"<b_{codes[1]}>", f"<c_{codes[2] if item != '7' else 15 - codes[2]}>"]
        for item, codes in table.select("item_id", "codes").iter_rows()
        if item != "3"
    }
    (tmp_path / "shop.index.json").write_text(json.dumps(index))
    done = day1.program(
        "stages.compare", "releases/day1", str(tmp_path / "shop.index.json"), "--changed", "changed.csv"
    )
    assert done.returncode == 0, done.stderr
    figures, _, shown = done.stdout.partition("\n}\n")
    assert json.loads(figures + "}") == {
        "common": 59,
        "only_before": 1,
        "only_after": 0,
        "changed": 1,
        "kept": {"first_1": 1.0, "first_2": 1.0, "all": 0.983051},
        "together": {"first_1": 1.0, "first_2": 1.0, "all": None},
    }
    assert shown.startswith("  7  <a_")
    assert len(day1.path("changed.csv").read_text().splitlines()) == 2
    (tmp_path / "other.json").write_text('{"3": ["<b_1>"]}')
    done = day1.program("stages.compare", "releases/day1", str(tmp_path / "other.json"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "item '3': '<b_1>' isn't a Semantic ID" in done.stderr


def test_publish_wants_a_workspace_that_can_be_traced(day1: Project) -> None:
    project = day1
    project.params(published="data/none")
    shutil.rmtree(project.path("releases"))
    for name in ("data", "reports"):
        shutil.rmtree(project.path(name))
    project.path("data").mkdir()
    project.path("data/none").write_text("none\n")
    shutil.copy(ROOT / ".dvcignore", project.folder)
    project.path(".dvc").mkdir()
    project.path(".dvc/config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    person = {f"GIT_{role}_{part}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    environment = {
        **ENVIRONMENT,
        **person,
        "PYTHONWARNINGS": "ignore",
        "DVC_SITE_CACHE_DIR": str(project.folder.parent / "cache"),
        "PATH": f"{Path(sys.executable).parent}:{ENVIRONMENT['PATH']}",
    }

    def do(*command: str, fails: str | None = None) -> str:
        done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True)
        assert (done.returncode == 0) == (fails is None), done.stdout + done.stderr
        if fails is not None:
            assert fails in done.stderr
            assert done.stderr.count("\n") == 1
            assert not project.path("releases").exists() or not list(project.path("releases").iterdir())
        return done.stdout

    publish = (sys.executable, "-m", "stages.publish")
    do(*publish, "day1", fails="publish: error: this folder has no Git commit")
    project.path(".gitignore").write_text("__pycache__/\n.checkpoints/\n")
    do("git", "init", "-q")
    do("git", "add", "-A")
    do("git", "commit", "-qm", "start")
    do(*publish, "../day1", fails="publish: error: '../day1' can't be the name of a release")
    do(*publish, "day1", fails="out of date: run dvc repro")
    do(sys.executable, "-m", "dvc", "repro", "-q", "dedupe")
    do(*publish, "day1", fails="from the last commit, so the release couldn't be traced: commit ")
    do("git", "add", "-A")
    do("git", "commit", "-qm", "an index")
    assert "60 items" in do(*publish, "day1")
    release = open_release(project.path("releases/day1"))
    assert release.manifest["git_commit"] == do("git", "rev-parse", "HEAD").strip()
    assert json.loads(release.file("new_tokens.json").read_text()) == vocabulary((4, 4, 16))
    assert {path.name for path in release.folder.iterdir()} == {*folder.FILES, folder.MANIFEST, "aligner.npz"}
