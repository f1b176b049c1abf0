"""Every training of an evaluation: on a CPU several at once, a process each, and resumed after a kill."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection, get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from sid.arrays import Codes
from sid.errors import InputError
from sid.evaluate.histories import Questions, questions, stretches, user_histories
from sid.evaluate.index import Index, item_index, random_index
from sid.evaluate.ranking import Ints, metrics_of, slots_of_beams
from sid.evaluate.training import Training
from sid.interactions.sequences import Sequences
from sid.interactions.split_files import Split
from sid.params import Evaluate
from sid.quantizers.training import states
from sid.quantizers.training.states import Checkpoints

_CODE = ("evaluate", "decoding/trie.py", "measure/metrics.py", "interactions", "arrays.py")
_KEPT = 2
SPLITS = ("valid", "test")

Run = dict[str, Any]
"""What came out of a training: `run`, `seed`, `curve`, `coverage`, and for each split its metrics by question."""


@dataclass(frozen=True)
class Data:
    """What all trainings learn from and are asked.

    Attributes:
        whole: all that each user did in train.
        train: the same in stretches.
        asked: questions by split, valid first.
    """

    whole: Sequences
    train: Sequences
    asked: dict[str, Questions]

    @classmethod
    def of(cls, splits: tuple[Split, Split, Split], config: Evaluate) -> Data:
        """From train, valid and test; InputError where one of them has nothing to train on or to ask for."""
        train, *later = splits
        whole = user_histories(train, config.max_train_users, config.sample_seed)
        remedy = "give more interactions, or set evaluate.method: none"
        users = len(np.unique(train.users))
        if users < 2:
            raise InputError(f"evaluate: the train split has {users} users, must have 2 or more: {remedy}")
        if (longer := int((whole.lengths > 1).sum())) < 2:
            raise InputError(
                f"evaluate: {longer} users have 2 items or more in the train split, must be 2 or more: {remedy}"
            )
        asked = {
            name: questions(split, config.max_questions, config.max_history, config.sample_seed)
            for name, split in zip(SPLITS, later, strict=True)
        }
        for name, found in asked.items():
            if not len(found):
                raise InputError(f"evaluate: the {name} split has no targets to predict: {remedy}")
        return cls(whole, stretches(whole, config.max_history), asked)


@dataclass(frozen=True)
class Job:
    """One training to do.

    Attributes:
        run: what it learns to write: index | random | sasrec.
        seed: of the training.
        codes: (N, L) of all items, from which the index is made.
        code_sizes: L of them.
    """

    run: str
    seed: int
    codes: Codes
    code_sizes: tuple[int, ...]

    def index(self) -> Index:
        """What it learns to write."""
        if self.run == "random":
            return random_index(len(self.codes), self.code_sizes, self.seed)
        return item_index(len(self.codes)) if self.run == "sasrec" else Index.of(self.codes, self.code_sizes)


@dataclass(frozen=True)
class _Work:
    """What all jobs share. `folder` is where they leave their states; None leaves nothing."""

    data: Data
    config: Evaluate
    device: torch.device
    folder: Path | None

    def do(self, job: Job, tell: Callable[[int], None]) -> Run:
        """Train and ask. `tell` is called with each number of epochs done."""
        saved, state = None, None
        if self.folder is not None:
            saved = Checkpoints(self.folder / f"{job.run}-{job.seed}", _KEPT, whole=self.folder)
            state = saved.newest()
        if state is not None and "run" in state:
            tell(self.config.epochs)
            return state
        index = job.index()
        training = Training(index, self.data.train, self.data.asked["valid"], self.config, job.seed, self.device)
        if state is not None:
            training.restore(state)
            tell(training.progress.epoch)

        def keep(now: dict[str, Any]) -> None:
            if saved is not None and saved.due():
                saved.write(training.progress.epoch, now)

        training.run(tell, keep)
        done = {"run": job.run, "seed": job.seed, **_ask(training, index, self.data, self.config)}
        if saved is not None:
            saved.write(self.config.epochs + 1, done)
        return done


def train_all(jobs: Sequence[Job], data: Data, config: Evaluate, checkpoints: Path | None) -> list[Run]:
    """Do all the jobs; what came out, in their order.

    Args:
        jobs: of the same items.
        data: what they learn from and are asked.
        config: the section `evaluate`; `processes` says how many are done at once on a CPU.
        checkpoints: a folder where they leave what they have, and go on from; None leaves nothing.

    Raises:
        InputError: CUDA is asked for and not there, a loss became infinite, or a process was killed.
    """
    device = _device(config.device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = 1 if device.type == "cuda" else min(len(jobs), config.processes or cores)
    threads = torch.get_num_threads() if processes == 1 else max(1, cores // processes)
    folder = None if checkpoints is None else checkpoints / _name(jobs, data, config, threads)
    work = _Work(data, config, device, folder)
    total = config.epochs * len(jobs)
    if folder is not None and (before := Checkpoints(folder, _KEPT).epoch()):
        tqdm.write(f"evaluate: resuming after epoch {min(before, total)} of {total}")
    with tqdm(total=total, desc="evaluate", unit="epoch", disable=None) as bar:
        epochs = [0] * len(jobs)

        def moved(number: int, epoch: int) -> None:
            bar.update(epoch - epochs[number])
            epochs[number] = epoch

        return _here(jobs, work, moved) if processes == 1 else _apart(jobs, work, processes, threads, moved)


def _name(jobs: Sequence[Job], data: Data, config: Evaluate, threads: int) -> str:
    arrays: list[NDArray[Any]] = [jobs[0].codes, data.train.items, data.train.offsets]
    for asked in data.asked.values():
        arrays += [asked.histories.items, asked.histories.offsets, asked.targets]
    settings = config.model_dump(mode="json", exclude={"processes"})
    return states.key(arrays, "evaluate", settings, _CODE, extra=f"{threads} threads".encode())


def _here(jobs: Sequence[Job], work: _Work, moved: Callable[[int, int], None]) -> list[Run]:
    """One by one in this process, whose random state of torch stays as it was."""
    with torch.random.fork_rng([] if work.device.type == "cpu" else [work.device]):
        return [work.do(job, partial(moved, number)) for number, job in enumerate(jobs)]


def _apart(
    jobs: Sequence[Job], work: _Work, processes: int, threads: int, moved: Callable[[int, int], None]
) -> list[Run]:
    """`processes` at once, each job in a process of its own: two threads hardly speed up such small matrices."""
    context = get_context("spawn")
    waiting = list(enumerate(jobs))
    busy: dict[connection.Connection, tuple[int, SpawnProcess]] = {}
    done: dict[int, Run] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < processes:
                number, job = waiting.pop(0)
                ours, theirs = context.Pipe()
                process = context.Process(target=_child, args=(theirs, threads), daemon=True)
                process.start()
                theirs.close()
                busy[ours] = number, process
                with suppress(BrokenPipeError):  # it died, which the next `recv` finds
                    ours.send((job, work))  # as an argument, start() would wait for a dead child to read it
            ready = connection.wait(list(busy))
            for ours in [one for one in busy if one in ready]:
                number, process = busy[ours]
                said = _heard(ours, process)
                if isinstance(said, int):
                    moved(number, said)
                else:
                    done[number] = said
                    process.join()
                    ours.close()
                    del busy[ours]
    finally:
        for _, process in busy.values():
            process.kill()
            process.join()
    return [done[number] for number in range(len(jobs))]


def _heard(ours: connection.Connection, process: SpawnProcess) -> int | Run:
    """What a job says next: epochs done, or what came out."""
    try:
        said: int | Run | InputError = pickle.loads(ours.recv_bytes())
    except (EOFError, ConnectionResetError):
        process.join()
        if process.exitcode is not None and process.exitcode < 0:
            raise InputError(
                f"evaluate: a training was killed by {signal.Signals(-process.exitcode).name}; if memory ran out, set "
                "evaluate.processes to 1"
            ) from None
        raise RuntimeError(f"a training ended with status {process.exitcode}") from None
    if isinstance(said, InputError):
        raise said
    return said


def _child(theirs: connection.Connection, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent as well, which ends this process
    torch.set_num_threads(threads)
    job, work = theirs.recv()

    def say(said: int | Run | InputError) -> None:
        theirs.send_bytes(
            pickle.dumps(said)
        )  # `send` would leave tensors in shared memory, which ends with this process

    try:
        say(work.do(job, say))
    except InputError as error:
        say(error)


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("params.yaml: evaluate.device is 'cuda': torch finds no CUDA device; use auto or cpu")
    return torch.device(wanted)


def _ask(training: Training, index: Index, data: Data, config: Evaluate) -> dict[str, Any]:
    """Metrics by question of each split, coverage in test, and the curve: tensors and plain values."""
    found: dict[str, Any] = {"curve": training.progress.curve}
    for split, asked in data.asked.items():
        leaves = training.ask(asked, config.beams)
        slots = slots_of_beams(leaves, index.leaves[asked.targets], index.items)
        found[split] = {name: torch.from_numpy(values) for name, values in metrics_of(slots).items()}
        found["coverage"] = _coverage(leaves, index.items)
    return found


def _coverage(leaves: Ints, items: Ints) -> float:
    """Share of the items that are among the first 10 of a question at least once; shared slots count for all."""
    filled = np.where(leaves >= 0, items[leaves], 0)
    shown = leaves[(leaves >= 0) & (filled.cumsum(axis=1) - filled < 10)]
    return float(items[np.unique(shown)].sum() / items.sum())
