"""A stage never records a lie and never leaves half a file: killed, raced and refused for real."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sid.files import Outputs
from stages.run import Stage, _run
from tests.conftest import ENVIRONMENT, ROOT, STAGES, Project, catalogue, make_project


def start(project: Project, stage: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        project.command(stage), cwd=project.folder, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True
    )


def edit(name: str, old: str, new: str) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        path = project.path(name)
        content = path.read_text()
        assert old in content
        path.write_text(content.replace(old, new, 1))

    return change


def comment(name: str) -> Callable[[Project], None]:
    return lambda project: append(project.path(name), "# edited\n")


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def rewrite_vectors(project: Project) -> None:
    np.save(project.path("data/prepared/embeddings.npy"), catalogue(60, seed=9))


@pytest.mark.parametrize(
    ("stage", "change", "said"),
    [
        (
            "train",
            edit("params.yaml", "seed: 0", "seed: 1"),
            "params.yaml: quant.seed changed during the run from 0 to 1",
        ),
        ("train", edit("params.yaml", "max_iters: 25", "max_iters: 9"), "params.yaml: quant.rqkmeans changed"),
        ("train", comment("sid/clustering/kmeans.py"), "sid/clustering: changed"),
        ("train", rewrite_vectors, "data/prepared/embeddings.npy: changed during the run"),
        ("index", comment("sid/measure/metrics.py"), "sid/measure: changed during the run"),
    ],
    ids=["shared key", "method section", "code", "data", "code of index"],
)
def test_an_edit_during_the_run_makes_the_stage_fail(
    finished: Project, stage: str, change: Callable[[Project], None], said: str
) -> None:
    before = finished.contents()
    running = start(finished, stage)
    # Loading torch alone takes longer than this, and the stage has taken its snapshot before it does.
    wait_until(lambda: "torch" in loaded_libraries(running.pid), running)
    change(finished)
    _, errors = running.communicate()
    assert running.returncode == 1, errors
    lines = errors.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert "nothing was written" in lines[0]
    after = finished.contents()
    del before["data/prepared/embeddings.npy"], after["data/prepared/embeddings.npy"]
    assert after == before


def loaded_libraries(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert process.poll() is None, "the stage ended before it could be disturbed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_edit_of_what_the_stage_does_not_declare_is_none_of_its_business(finished: Project) -> None:
    running = start(finished, "train")
    wait_until(lambda: "torch" in loaded_libraries(running.pid), running)
    edit("params.yaml", "max_suffix: 256", "max_suffix: 99")(finished)
    comment("sid/export/records.py")(finished)
    _, errors = running.communicate()
    assert running.returncode == 0, errors


KILLS = [
    *((signal.SIGKILL, share) for share in (0.5, 0.8, 0.95)),
    *((number, share) for number in (signal.SIGTERM, signal.SIGINT) for share in (0.6, 0.9)),
]


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_any_point_it_leaves_old_outputs_or_new_ones(finished: Project, stage: str) -> None:
    """Sweep the moment of the kill over the whole run."""
    began = time.monotonic()
    finished.succeed(stage)
    took = time.monotonic() - began
    new = finished.contents()
    targets = written_since(finished, time.time() - took)
    assert len(targets) >= 2
    old = {name: b"old" if name in targets else content for name, content in new.items()}
    for number, share in KILLS:
        restore(finished, old)
        running = start(finished, stage)
        time.sleep(took * share)
        running.send_signal(number)
        running.communicate()
        found = finished.contents()
        for name, content in found.items():
            if ".partial" not in name:
                assert content in (old.get(name), new.get(name)), f"{name} is half written"
        kept = {name: content for name, content in found.items() if name in targets}
        assert any(all(content == version.get(name) for name, content in kept.items()) for version in (old, new)), (
            "outputs of two runs side by side"
        )
        if number != signal.SIGKILL:
            assert not [name for name in found if ".partial" in name]
    finished.succeed(stage)
    assert finished.contents() == new, "what a killed run left was not cleaned up"


def written_since(project: Project, moment: float) -> set[str]:
    return {name for name in project.contents() if project.path(name).stat().st_mtime > moment}


def restore(project: Project, contents: dict[str, bytes]) -> None:
    for name in project.contents():
        project.path(name).unlink()
    for name, content in contents.items():
        project.path(name).parent.mkdir(parents=True, exist_ok=True)
        project.path(name).write_bytes(content)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads process states from /proc")
def test_a_stage_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", catalogue(60_000, 64))
    project.params(quant__num_emb_list=[512] * 6)
    project.succeed("prepare")
    code = "import subprocess, sys, time; p = subprocess.Popen(sys.argv[1:]); print(p.pid, flush=True); time.sleep(600)"
    parent = subprocess.Popen(
        [sys.executable, "-c", code, *project.command("train")],
        cwd=project.folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    stage = int(parent.stdout.readline())
    time.sleep(3)  # it has begun by now: the parent's death must not precede the watch
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 15
    while alive(stage):
        assert time.monotonic() < deadline, "the stage outlives its parent"
        time.sleep(0.1)
    assert not project.path("data/quantizer.pth").exists()
    parent.stdout.close()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_same_params_and_data_give_the_same_bytes(finished: Project) -> None:
    before = finished.contents()
    finished.succeed()
    assert finished.contents() == before


def test_a_second_interrupt_during_the_exit_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted_again(*_: object) -> None:
        raise KeyboardInterrupt

    def body(stage: Stage) -> str:
        stage.output("report").write_text("half")
        raise KeyboardInterrupt

    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Outputs, "__exit__", interrupted_again)
    assert _run("prepare", body, {"report": tmp_path / "report.json"}) == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dvc.yaml", "params.yaml"]


def test_outputs_commit_together_and_clean_up(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with Outputs() as outputs:
        outputs.partial(tmp_path / "file").write_text("new")
        folder = outputs.partial(tmp_path / "deep" / "folder")
        folder.mkdir()
        (folder / "a").write_text("new")
        assert (tmp_path / "file").read_text() == "old"
        outputs.commit()
    assert (tmp_path / "file").read_text() == "new"
    assert (tmp_path / "deep" / "folder" / "a").read_text() == "new"

    def fail() -> None:
        with Outputs() as outputs:
            outputs.partial(tmp_path / "file").write_text("half")
            outputs.partial(tmp_path / "deep" / "folder").mkdir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "file").read_text() == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "deep", "file", "folder"]
