"""The gradient loop: trains an Autoencoder on rows, watches it, stops it, and picks up where it was killed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sid.clustering import memory
from sid.clustering.kmeans import kmeans
from sid.errors import InputError
from sid.measure import metrics
from sid.quantizers.residual import cascade, subtract
from sid.quantizers.training.config import TrainingConfig
from sid.quantizers.training.network import Autoencoder
from sid.quantizers.training.rows import TrainingRows
from sid.quantizers.training.states import Checkpoints
from sid.quantizers.training.steps import Steps

_INIT_ROWS = 1 << 18  # codebooks start from all rows, or from so many
_REVIVE_ROWS = 1024
_TOLERANCE = 1e-3  # R2 and collision rate have moved if by more than this
_CHECK_STEPS = 32  # losses of streamed rows are looked at that often on a GPU, where looking waits for it
_WIDE = 1024  # from here on bfloat16 products pay on a GPU

State = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What to train and how.

    Attributes:
        model: trained in place; ends as the best evaluated one.
        rows: what it trains on, on the model's device.
        config: the method's section.
        method: its name, for the bar and errors.
        seed: of shuffling, dropout, k-means and restarts.
        kmeans_iters: Lloyd iterations that initialise the codebooks after `config.plain_epochs`, unless they are
            initialised; None keeps the model's own.
        mse_unit: turns mean squared errors of the model's space into the input's.
        variance: of the rows, per coordinate in the input space, for R2.
    """

    model: Autoencoder
    rows: TrainingRows
    config: TrainingConfig
    method: str
    seed: int
    kmeans_iters: int | None
    mse_unit: float
    variance: float


@dataclass
class Progress:
    """Where a training is; with the states of model, learner and generators, all that resuming needs.

    Attributes:
        epoch: epochs done.
        curve: one row per evaluation.
        best: by criterion, the epoch and value of the best evaluation so far.
        chosen: the model at the best evaluation by `select`.
        moved: the R2 and collision rate that later ones are compared with to see movement.
        still: evaluations since they last moved.
    """

    epoch: int = 0
    curve: list[dict[str, float | int]] = field(default_factory=list)
    best: dict[str, list[float]] = field(default_factory=dict)
    chosen: State = field(default_factory=dict)
    moved: list[float] = field(default_factory=lambda: [-math.inf, math.inf])
    still: int = 0


def train(
    task: Task, checkpoints: Checkpoints | None = None, watch: Callable[[Mapping[str, float | int]], None] | None = None
) -> Progress:
    """Train until the last epoch, or until neither R2 nor collision rate has moved for `patience` evaluations.

    Args:
        task: its model is changed in place.
        checkpoints: where to resume from and what to keep, the last state too; the caller clears them once the
            result is safe. None keeps nothing.
        watch: called with each row of the curve.

    Returns:
        The curve: `step` (the epoch), `mse` in the input space, `loss_recon` and `loss_quant` (means over that
        epoch), `r2`, `collision_rate`, `lr`, and `perplexity_l` and `used_l` of each level l from 1; and the
        best epoch and value by loss, collision and r2.

    Raises:
        InputError: the loss or a gradient became NaN or infinite.
    """
    devices = [] if task.rows.device.type == "cpu" else [task.rows.device]
    with torch.random.fork_rng(devices):
        torch.manual_seed(task.seed)
        loop = Loop(task)
        saved = checkpoints.newest() if checkpoints is not None else None
        if saved is not None:
            loop.restore(saved)
            tqdm.write(f"{task.method}: resuming after epoch {loop.progress.epoch}")
        progress = loop.progress
        with tqdm(
            total=task.config.epochs, initial=progress.epoch, desc=task.method, unit="epoch", disable=None
        ) as bar:
            while progress.epoch < task.config.epochs and not loop.settled():
                row = loop.epoch()
                if row is not None:
                    bar.set_postfix_str(f"r2 {row['r2']:.4f}, collisions {row['collision_rate']:.4f}", refresh=False)
                    if watch is not None:
                        watch(row)
                bar.update()
                if checkpoints is not None and checkpoints.due():
                    checkpoints.write(progress.epoch, loop.state())
        if checkpoints is not None and checkpoints.epoch() != progress.epoch:
            checkpoints.write(progress.epoch, loop.state())
        task.model.load_state_dict(progress.chosen)
    return progress


def learning_rate(config: TrainingConfig, epoch: float) -> float:
    """The rate after a number of epochs, fractions included: a linear rise, then as `lr_scheduler_type` says."""
    if epoch < config.warmup_epochs:
        return config.lr * epoch / config.warmup_epochs
    done = (epoch - config.warmup_epochs) / max(config.epochs - config.warmup_epochs, 1)
    if config.lr_scheduler_type == "linear":
        return config.lr * (1 - done)
    if config.lr_scheduler_type == "cosine":
        return config.lr * (1 + math.cos(math.pi * done)) / 2
    return config.lr


def make_learner(model: Autoencoder, config: TrainingConfig, recorded: bool = False) -> torch.optim.Optimizer:
    """The optimiser. Codebooks learn at a rate in the unit of their space, and don't decay: zero isn't their place.

    Args:
        recorded: its learning rates are tensors, which a CUDA graph reads.
    """
    books = list(model.codebooks)
    kept = {id(book) for book in books}
    groups = [
        {"params": [p for p in model.parameters() if id(p) not in kept], "weight_decay": config.weight_decay},
        {"params": books, "weight_decay": 0.0},
    ]
    if config.learner == "rmsprop":
        return torch.optim.RMSprop(groups, lr=config.lr)
    if config.learner == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, fused=True)
    if config.learner == "adagrad":
        return torch.optim.Adagrad(groups, lr=config.lr)
    kind = torch.optim.Adam if config.learner == "adam" else torch.optim.AdamW
    if not recorded:
        return kind(groups, lr=config.lr, fused=True)
    device = books[0].device
    for group in groups:
        group["lr"] = torch.tensor(config.lr, device=device)
    return kind(groups, fused=True, capturable=device.type == "cuda")


def split_evenly(order: Tensor, batch_size: int) -> list[Tensor]:
    """(N,) row numbers in batches of batch_size rows, or a few more, so that no small rest is left over."""
    return list(torch.tensor_split(order, max(1, len(order) // batch_size)))


@torch.no_grad()
def initialise(model: Autoencoder, rows: TrainingRows, iters: int, generator: torch.Generator) -> None:
    """Set all codebooks by k-means on the latents of all rows (or of a large sample), level after level."""
    residual = _latents(model, rows, max(_INIT_ROWS, 2 * max(map(len, model.codebooks))), generator)

    def choose(level: int, left: Tensor) -> tuple[Tensor, Tensor]:
        book = model.codebooks[level]
        seed = int(torch.randint(1 << 31, (), generator=generator))
        found = kmeans(left, len(book), max_iters=iters, seed=seed)
        book.copy_(found.centroids)
        return found.labels, found.centroids

    cascade(residual, len(model.codebooks), choose, subtract)
    model.initialised.fill_(True)


@torch.no_grad()
def revive(
    model: Autoencoder,
    rows: TrainingRows,
    usage: list[Tensor],
    learner: torch.optim.Optimizer,
    threshold: float,
    generator: torch.Generator,
) -> int:
    """Move codes that hardly any row uses onto residuals of rows of crowded codes.

    After the random restarts of Zeghidour et al., SoundStream, 2021; rows of crowded codes are likelier, so that
    usage evens out.

    Args:
        usage: a level's (K,) rows per code, over an epoch.
        threshold: share of even use below which a code is moved.

    Returns:
        How many codes moved.
    """
    dead = [(count < threshold * count.sum() / len(count)).nonzero().flatten() for count in usage]
    moved = sum(map(len, dead))
    if not moved:
        return 0
    residual = _latents(model, rows, max(_REVIVE_ROWS, 4 * max(map(len, dead))), generator)

    def choose(level: int, left: Tensor) -> tuple[Tensor, Tensor]:
        book = model.codebooks[level]
        count = min(len(dead[level]), len(left))
        if count:
            labels = model.choose(left, level, balance=False)
            weight = usage[level][labels].double().clamp(min=1e-3).cpu()
            picked = torch.multinomial(weight, count, generator=generator).to(left.device)
            book[dead[level][:count]] = left[picked]
            for value in learner.state.get(book, {}).values():
                if isinstance(value, Tensor) and value.shape == book.shape:
                    value[dead[level][:count]] = 0
        return model.choose(left, level, balance=False), book

    cascade(residual, len(model.codebooks), choose, subtract)
    return moved


def _latents(model: Autoencoder, rows: TrainingRows, limit: int, generator: torch.Generator) -> Tensor:
    """The latents of all rows, or of `limit` drawn at random, (n, e_dim) float32 that may be overwritten."""
    count = min(limit, len(rows))
    index = torch.randperm(len(rows), generator=generator)[:count].sort().values
    with _evaluating(model):
        return torch.cat([model.encoder(block) for block in rows.blocks(index)])


@contextlib.contextmanager
def _evaluating(model: Autoencoder) -> Iterator[None]:
    model.eval()
    try:
        yield
    finally:
        model.train()


@torch.no_grad()
def evaluate(model: Autoencoder, rows: TrainingRows) -> tuple[np.ndarray, float]:
    """The codes of all rows (N, L) int32 by plain nearest codes, and the mean squared error in the model's space."""
    error = torch.zeros((), dtype=torch.float64, device=rows.device)
    codes = np.empty((len(rows), len(model.codebooks)), np.int32)
    start = 0
    with _evaluating(model):
        for block in rows.blocks():
            words, _, found = model.quantize(model.encoder(block), balance=False)
            error += (model.decoder(words) - block).square().sum(dtype=torch.float64)
            codes[start : start + len(block)] = found.cpu().numpy()
            start += len(block)
    return codes, float(error) / (len(rows) * rows.dim)


def _in_bfloat16(task: Task) -> bool:
    """Whether `precision` asks for bfloat16 products."""
    if task.config.precision != "auto":
        return task.config.precision == "bfloat16"
    wide = max([task.rows.dim, *task.config.layers]) >= _WIDE
    return task.rows.device.type == "cuda" and wide and torch.cuda.is_bf16_supported()


class Loop:
    """The mutable middle of `train`: an epoch at a time."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.progress = Progress()
        self.generator = torch.Generator().manual_seed(task.seed)
        device, held = task.rows.device, task.rows.tensor
        accelerated = memory.accelerated(device)
        self.recorded = accelerated and held is not None and task.config.cuda_graphs
        self.learner = make_learner(task.model, task.config, self.recorded)
        self.check_every = _CHECK_STEPS if accelerated else 1
        # what is cached of the weights within a step must not outlive its recording
        self.autocast = torch.autocast(
            device.type, torch.bfloat16, enabled=_in_bfloat16(task), cache_enabled=not self.recorded
        )
        self.rate = task.config.lr
        self.steps: Steps | None = None
        if accelerated and held is not None:
            self.steps = Steps(held, self._step, self.learner, len(task.model.codebooks), self.recorded)

    def state(self) -> State:
        """Everything that the next epoch depends on, as tensors and plain values."""
        device = self.task.rows.device
        return {
            "model": self.task.model.state_dict(),
            "learner": self.learner.state_dict(),
            "progress": vars(self.progress),
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.task.model.load_state_dict(state["model"])
        self.learner.load_state_dict(state["learner"])
        if self.recorded:
            for group in self.learner.param_groups:
                group["lr"] = torch.as_tensor(group["lr"]).to(self.task.rows.device)
        self.progress = Progress(**state["progress"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"], self.task.rows.device)

    def settled(self) -> bool:
        """Whether `patience` says that nothing moves any more."""
        return 0 < self.task.config.patience <= self.progress.still

    def epoch(self) -> dict[str, float | int] | None:
        """One pass over the rows, restarts after it, and an evaluation where one is due: its row of the curve."""
        task, config, progress = self.task, self.task.config, self.progress
        if progress.epoch == config.plain_epochs and not bool(task.model.initialised):
            if task.kmeans_iters is None:
                task.model.initialised.fill_(True)
            else:
                initialise(task.model, task.rows, task.kmeans_iters, self.generator)
        recon, quant, usage = self._pass()
        progress.epoch += 1
        coded = bool(task.model.initialised)
        if coded and config.restart_usage and progress.epoch <= config.restart_until * config.epochs:
            revive(task.model, task.rows, usage, self.learner, config.restart_usage, self.generator)
        last = progress.epoch == config.epochs
        if coded and (last or progress.epoch % config.eval_step == 0):
            return self._evaluate(recon, quant)
        return None

    def _pass(self) -> tuple[float, float, list[Tensor]]:
        """Train on every row once. The mean losses, and each level's rows per code."""
        if self.steps is not None:
            return self._pass_on_device(self.steps)
        task, config = self.task, self.task.config
        batches = split_evenly(torch.randperm(len(task.rows), generator=self.generator), config.batch_size)
        coded = bool(task.model.initialised)
        usage = [torch.zeros(len(book), device=task.rows.device) for book in task.model.codebooks]
        log = torch.zeros(len(batches), 3, device=task.rows.device)  # recon, quant, largest gradient
        for step, rows in enumerate(task.rows.batches(batches)):
            rates = self._rates(step, len(batches))
            for group, rate in zip(self.learner.param_groups, rates, strict=True):
                group["lr"] = rate
            log[step], codes = self._step(rows, coded)
            if codes is not None:
                for level, count in enumerate(usage):  # bincount would wait for a GPU
                    count.index_add_(0, codes[:, level], torch.ones(len(codes), device=count.device))
            if (step + 1) % self.check_every == 0 or step + 1 == len(batches):
                self._refuse_nan(log[: step + 1], len(batches))
        recon, quant, _ = log.mean(dim=0).tolist()
        return recon, quant, usage

    def _pass_on_device(self, steps: Steps) -> tuple[float, float, list[Tensor]]:
        """`_pass` by steps that don't wait for the host."""
        task, count = self.task, len(self.task.rows)
        order = torch.randperm(count, generator=self.generator)
        sizes = [len(batch) for batch in split_evenly(order, task.config.batch_size)]
        rates = [self._rates(step, len(sizes)) for step in range(len(sizes))]
        coded = bool(task.model.initialised)
        log, codes = steps.epoch(order, sizes, rates, coded, lambda log: self._refuse_nan(log, len(sizes)))
        usage = [torch.zeros(len(book), device=task.rows.device) for book in task.model.codebooks]
        if coded:
            for level, used in enumerate(usage):
                numbers = torch.zeros(len(used), dtype=torch.int64, device=used.device)
                used += numbers.index_add_(0, codes[:, level], torch.ones_like(codes[:, level]))
        recon, quant, _ = log.mean(dim=0).tolist()
        return recon, quant, usage

    def _rates(self, step: int, steps: int) -> list[float]:
        """The learning rates of the networks and of the codebooks at a step of this epoch."""
        self.rate = learning_rate(self.task.config, self.progress.epoch + (step + 1) / steps)
        return [self.rate, self.rate * self.task.model.unit]

    def _step(self, rows: Tensor, coded: bool) -> tuple[Tensor, Tensor | None]:
        """One step down the gradient of a batch (n, D): losses and largest gradient (3,), and codes (n, L), if any."""
        task = self.task
        self.learner.zero_grad(set_to_none=True)
        with self.autocast:
            losses = task.model.losses(rows, coded)
        losses.total.backward()  # type: ignore[no-untyped-call]
        grads = [p.grad for p in task.model.parameters() if p.grad is not None]
        if memory.accelerated(rows.device):
            largest = torch.stack(torch._foreach_norm(grads, torch.inf)).max()  # few launches
        else:
            # not vector_norm, which takes ten times as long for the largest value as for the length
            largest = torch.stack([grad.abs().max() for grad in grads]).max()
        log = torch.stack([losses.recon.detach(), losses.quant.detach(), largest])
        if task.config.clip_grad_norm:
            torch.nn.utils.clip_grad_norm_(task.model.parameters(), task.config.clip_grad_norm)
        self.learner.step()
        return log, losses.codes

    def _refuse_nan(self, log: Tensor, steps: int) -> None:
        """Raise InputError where one of the (n, 3) logged steps has a loss or gradient that is not finite."""
        bad = (~torch.isfinite(log)).any(dim=1).nonzero()
        if not len(bad):
            return
        step = int(bad[0])
        recon, quant, largest = log[step].tolist()
        before = f", {float(log[step - 1, 2]):.3g} the step before" if step else ""
        config, epoch = self.task.config, self.progress.epoch
        raise InputError(
            f"quant.{self.task.method}: training failed at epoch {epoch + 1}, step {step + 1} of {steps}: "
            f"loss_recon {recon:.4g}, loss_quant {quant:.4g}, "
            f"learning rate {learning_rate(config, epoch + (step + 1) / steps):.3g}, largest gradient {largest:.3g}"
            f"{before}; lower lr or set clip_grad_norm (the last good checkpoint, if there is one, is kept)"
        )

    def _evaluate(self, recon: float, quant: float) -> dict[str, float | int]:
        """Add a row to the curve; note the best and whether anything moved."""
        task, progress = self.task, self.progress
        codes, error = evaluate(task.model, task.rows)
        mse = error * task.mse_unit
        row: dict[str, float | int] = {
            "step": progress.epoch,
            "mse": mse,
            "loss_recon": recon,
            "loss_quant": quant,
            "r2": 1 - mse / task.variance,
            "collision_rate": metrics.collision_rate(metrics.prefix_ids(codes)[-1]),
            "lr": self.rate,
        }
        for level, book in enumerate(task.model.codebooks):
            found = metrics.usage(codes[:, level], len(book))
            row[f"perplexity_{level + 1}"] = found["perplexity"]
            row[f"used_{level + 1}"] = found["used"]
        progress.curve.append(row)
        self._compare(row, recon + task.config.quant_loss_weight * quant)
        return row

    def _compare(self, row: Mapping[str, float | int], loss: float) -> None:
        progress = self.progress
        values = {"loss": loss, "collision": row["collision_rate"], "r2": row["r2"]}
        for name, value in values.items():
            sign = -1 if name == "r2" else 1
            if name not in progress.best or sign * value < sign * progress.best[name][1]:
                progress.best[name] = [progress.epoch, value]
                if name == self.task.config.select:
                    progress.chosen = {key: part.detach().clone() for key, part in self.task.model.state_dict().items()}
        r2, collision = progress.moved
        if row["r2"] > r2 + _TOLERANCE or row["collision_rate"] < collision - _TOLERANCE:
            progress.moved = [max(r2, row["r2"]), min(collision, row["collision_rate"])]
            progress.still = 0
        else:
            progress.still += 1
