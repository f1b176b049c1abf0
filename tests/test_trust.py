"""A stage never records a lie and never leaves half a file: killed, raced and refused for real."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sid.errors import InputError
from sid.files import Outputs
from stages.run import Stage, _run, _Terminated
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


def code(name: str) -> Callable[[Project], None]:
    return lambda project: append(project.path(name), "EDITED = True\n")


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def rewrite_vectors(project: Project) -> None:
    np.save(project.path("data/aligned.npy"), catalogue(60, seed=9))


@pytest.mark.parametrize(
    ("stage", "change", "said"),
    [
        (
            "train",
            lambda project: project.params(quant__seed=1),
            "params.yaml: quant.seed changed during the run from 0 to 1",
        ),
        ("train", edit("params.yaml", "max_iters: 25", "max_iters: 9"), "params.yaml: quant.rqkmeans changed"),
        ("train", code("sid/clustering/kmeans.py"), "sid/clustering: changed"),
        ("train", rewrite_vectors, "data/aligned.npy: changed during the run"),
        ("index", code("sid/measure/metrics.py"), "sid/measure/metrics.py: changed during the run"),
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
    del before["data/aligned.npy"], after["data/aligned.npy"]
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


def test_an_edit_of_what_the_stage_does_not_depend_on_is_none_of_its_business(finished: Project) -> None:
    running = start(finished, "train")
    wait_until(lambda: "torch" in loaded_libraries(running.pid), running)
    edit("params.yaml", "max_suffix: 256", "max_suffix: 99")(finished)
    code("sid/export/records.py")(finished)
    append(finished.path("sid/clustering/kmeans.py"), "# a comment changes no result\n")
    _, errors = running.communicate()
    assert running.returncode == 0, errors


KILLS = [
    (signal.SIGKILL, 0.5),
    (signal.SIGKILL, 0.8),
    (signal.SIGTERM, 0.6),
    (signal.SIGINT, 0.9),
    (signal.SIGKILL, 0.95),
    (signal.SIGTERM, 0.9),
    (signal.SIGINT, 0.6),
]


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_any_point_it_leaves_old_outputs_or_new_ones(finished: Project, stage: str) -> None:
    """Sweep the moment of the kill over the whole run."""
    began = time.monotonic()
    ran(finished, stage)
    took = time.monotonic() - began
    new = finished.contents()
    targets = written_since(finished, time.time() - took)
    assert len(targets) >= 2
    old = {name: b"old" if name in targets else content for name, content in new.items()}
    for number, share in KILLS if stage == "report" else KILLS[-3:]:  # report has the most outputs
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
    ran(finished, stage)
    assert finished.contents() == new, "what a killed run left was not cleaned up"


def ran(project: Project, stage: str) -> None:
    done = project.run(stage)
    assert done.returncode == 0, done.stdout + done.stderr


def written_since(project: Project, moment: float) -> set[str]:
    return {name for name in project.contents() if project.path(name).stat().st_mtime > moment}


def restore(project: Project, contents: dict[str, bytes]) -> None:
    for name in project.contents():
        project.path(name).unlink()
    for name, content in contents.items():
        project.path(name).parent.mkdir(parents=True, exist_ok=True)
        project.path(name).write_bytes(content)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads process states from /proc")
def test_a_stage_ends_when_the_dvc_that_started_it_is_killed_and_with_no_other_parent(tmp_path: Path) -> None:
    program = "import subprocess as s, sys, time; print(s.Popen(sys.argv[1:]).pid, flush=True); time.sleep(600)"
    project = endless_training(tmp_path)
    under_dvc, told_not_to, nohup = stages = [
        Parent(
            [sys.executable, "-c", program, *project.command("train")],
            cwd=project.folder,
            env={**ENVIRONMENT, "DVC_ROOT": str(tmp_path / place), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for place, environment in (
            ("dvc", {"DVC_STAGE": "train"}),
            ("told", {"DVC_STAGE": "train", "SID_OUTLIVE_DVC": "1"}),
            ("shell", {}),
        )
    ]
    for parent, place in zip(stages, ("dvc", "told", "shell"), strict=True):
        # it has begun: the parent's death must not precede the watch
        wait_until(lambda place=place: has_states(tmp_path / place), parent)  # type: ignore[misc]
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 60
    while alive(under_dvc.child):
        assert time.monotonic() < deadline, "the stage outlives DVC"
        time.sleep(0.1)
    time.sleep(3)  # as long as several looks at the parent
    for left in (told_not_to, nohup):
        assert alive(left.child)
        os.kill(left.child, signal.SIGKILL)
    assert not project.path("data/quantizer.pth").exists()


class Parent(subprocess.Popen[str]):
    """A process that starts another, whose id it prints."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        assert self.stdout is not None
        self.child = int(self.stdout.readline())
        self.stdout.close()


def endless_training(folder: Path) -> Project:
    """A project whose training ends with the test, and writes a state every so often."""
    project = make_project(folder / "project")
    project.params(quant__method="rqvae", quant__rqvae__epochs=1_000_000, quant__rqvae__patience=0)
    project.succeed("prepare", "interactions", "align")
    return project


def has_states(folder: Path) -> bool:
    return any(folder.glob(".checkpoints/*/epoch-*.pt"))


def test_an_edit_stops_a_long_training_early_and_its_states_stay(tmp_path: Path) -> None:
    project = endless_training(tmp_path)
    running = start(project, "train")
    wait_until(lambda: has_states(project.folder), running)
    code("sid/clustering/kmeans.py")(project)
    _, errors = running.communicate()
    assert running.returncode == 1
    assert errors.splitlines()[-1] == (
        "train: error: sid/clustering: changed during the run; the run was stopped, nothing was written"
    )
    assert has_states(project.folder)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_same_params_and_data_give_the_same_bytes(finished: Project) -> None:
    before = finished.contents()
    for stage in STAGES:
        ran(finished, stage)
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


FAIL_AT_COMMIT = """
import os, runpy, signal, sys
from sid.files import Outputs
commit = Outputs.commit
def fail(self):
    {how}
Outputs.commit = fail
sys.argv = sys.argv[1:]
runpy.run_module("stages.train", run_name="__main__", alter_sys=True)
"""


def test_a_finished_training_survives_what_fails_after_it(finished: Project, tmp_path: Path) -> None:
    project = finished
    project.params(quant__method="rqvae", quant__rqvae__epochs=3, quant__rqvae__init_epoch=0, quant__rqvae__eval_step=1)
    project.params(quant__rqvae__warmup_epochs=1)
    project.succeed("train")
    unbroken = project.contents()
    assert not has_states(project.folder), "states outlive the outputs that they were kept for"
    project.path("data/quantizer.pth").write_text("old")
    # as in an experiment's own folder, for which DVC_ROOT is the project's
    environment = {**ENVIRONMENT, "DVC_ROOT": str(tmp_path / "root")}

    def train(code: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *project.command("train")[2:]]
        return subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True)

    killed = train(FAIL_AT_COMMIT.format(how="os.kill(os.getpid(), signal.SIGKILL)"))
    assert killed.returncode == -signal.SIGKILL
    assert "goes on" not in killed.stdout
    full = train(FAIL_AT_COMMIT.format(how="raise OSError(28, 'No space left on device')"))
    assert full.returncode == 1
    assert "rqvae: resuming after epoch 3" in full.stdout
    assert full.stderr == "train: error: disk: No space left on device\n"
    assert project.path("data/quantizer.pth").read_text() == "old"
    assert has_states(tmp_path / "root")
    again = train(FAIL_AT_COMMIT.format(how="commit(self)"))
    assert again.returncode == 0
    assert "rqvae: resuming after epoch 3" in again.stdout
    assert {name: project.contents().get(name) for name in unbroken} == unbroken
    assert not has_states(tmp_path / "root")
    assert not has_states(project.folder)


def said_by(
    monkeypatch: pytest.MonkeyPatch, folder: Path, body: Callable[[Stage], str], **environment: str
) -> tuple[int, list[str]]:
    """The status of a stage that is run here, and what it says on stderr."""
    if not (folder / "params.yaml").exists():
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / "stages/tracked", folder / "stages/tracked", symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        status = _run("train", body, {"quantizer": folder / "quantizer.pth"})
    return status, errors.getvalue().splitlines()


BACK = (
    "train: DVC removed this stage's last outputs before it began; undo what you changed and run dvc repro, "
    "which restores them from its cache"
)


@pytest.mark.parametrize(
    ("raised", "resumes", "status", "said"),
    [
        (
            KeyboardInterrupt(),
            "after epoch 40",
            130,
            "train: interrupted; run the same command again to continue after epoch 40",
        ),
        (KeyboardInterrupt(), None, 130, "train: interrupted; run the same command again to start over"),
        (
            _Terminated(),
            "after epoch 40",
            143,
            "train: terminated; run the same command again to continue after epoch 40",
        ),
        (InputError("x: is wrong"), None, 1, "train: error: x: is wrong"),
        (OSError(28, "No space left on device", "x"), None, 1, "train: error: x: No space left on device"),
    ],
    ids=["interrupted", "interrupted early", "terminated", "refused", "disk full"],
)
def test_a_run_that_stops_says_what_is_true(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    resumes: str | None,
    status: int,
    said: str,
) -> None:
    def body(stage: Stage) -> str:
        stage.resumes = lambda: resumes
        stage.output("quantizer").write_text("half")
        raise raised

    assert said_by(monkeypatch, tmp_path, body) == (status, [said])
    assert said_by(monkeypatch, tmp_path, body, DVC_STAGE="train") == (status, [said])  # there was nothing to remove
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  train: {}\n")
    assert said_by(monkeypatch, tmp_path, body, DVC_STAGE="train") == (status, [said, BACK])
    assert not list(tmp_path.glob(".*partial")), "half an output is left"


def test_ctrl_c_in_a_terminal(tmp_path: Path) -> None:
    """DVC's own last line can't be avoided; before it is what is true, and how to go on."""
    project = endless_training(tmp_path)
    project.path(".dvc").mkdir()
    project.path(".dvc/config").write_text("[core]\n    no_scm = true\n")
    project.path("dvc.lock").write_text("schema: '2.0'\nstages:\n  train:\n    cmd: an earlier run\n")
    environment = {
        **ENVIRONMENT,
        "PYTHONWARNINGS": "ignore",
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site-cache"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    here, there = pty.openpty()
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", "train"]
    running = subprocess.Popen(
        command,
        cwd=project.folder,
        env=environment,
        stdin=there,
        stdout=there,
        stderr=there,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(there)
    written = bytearray()

    def read(descriptor: int) -> None:
        with contextlib.suppress(OSError):  # the terminal's other end is closed
            while content := os.read(descriptor, 65536):
                written.extend(content)

    reader = threading.Thread(target=read, args=(here,))
    reader.start()
    wait_until(lambda: has_states(project.folder), running)
    os.write(here, b"\x03")
    assert running.wait() == 255
    reader.join()
    os.close(here)
    text = re.sub(r"\x1b\[[0-9;]*m", "", written.decode()).split("^C", 1)[1]
    lines = [line.split("\r")[-1] for line in text.replace("\r\n", "\n").splitlines() if line.strip()]
    assert re.fullmatch(r"train: interrupted; run the same command again to continue after epoch \d+", lines[0])
    assert lines[1] == BACK
    assert lines[2].startswith("ERROR: failed to reproduce 'train'")
    assert len(lines) == 3


def test_a_file_that_dvc_does_not_know_is_compared_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "warm.npz"
    file.write_text("one")

    def body(stage: Stage) -> str:
        stage.also_reads(file)
        file.write_text("other")
        return ""

    status, said = said_by(monkeypatch, tmp_path, body)
    assert status == 1
    assert said == [f"train: error: {file}: changed during the run; nothing was written, run the stage again"]


def test_outputs_replace_links_and_are_on_the_disk_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC may link outputs to its cache: writing into one would change the cache."""
    cached = tmp_path / "cached"
    cached.write_text("old")
    cached.chmod(0o444)
    (tmp_path / "out").hardlink_to(cached)
    events: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (events.append("sync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("replace"), replace(*paths)))
    with Outputs() as outputs:
        outputs.partial(tmp_path / "out").write_text("new")
        folder = outputs.partial(tmp_path / "folder")
        folder.mkdir()
        (folder / "inside").write_text("new")
        outputs.commit()
    assert cached.read_text() == "old"
    assert (tmp_path / "out").read_text() == "new"
    assert events == [*["sync"] * 3, *["replace"] * 2, "sync"]


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
