"""Train a recommender on users' sequences and keep the epoch that ranks the valid split best."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sid.errors import InputError
from sid.evaluate.beam import Paths, search
from sid.evaluate.histories import Questions
from sid.evaluate.index import Index
from sid.evaluate.ranking import metrics_of, slots_of_beams
from sid.evaluate.recommender import BEGIN, Recommender
from sid.interactions.sequences import Sequences
from sid.params import Evaluate

_CLIP = 1.0
_BETAS = (0.9, 0.98)
_BUCKET = 4.0  # lengths that are shuffled into one another
_SELECT_BEAMS = 10  # what the choice by the valid split is made with
_SELECT_ROWS = 1000

State = dict[str, Any]
Ints = NDArray[np.int64]


@dataclass
class Progress:
    """Where a training is.

    Attributes:
        epoch: epochs done.
        curve: a row per evaluation: `epoch`, `loss` (mean cross-entropy per token over the epochs since the last row)
            and `ndcg_at_10` on the valid split.
        best: the highest `ndcg_at_10` so far.
        still: evaluations since then.
        chosen: the model at the best one.
    """

    epoch: int = 0
    curve: list[dict[str, float | int]] = field(default_factory=list)
    best: float = -1.0
    still: int = 0
    chosen: State = field(default_factory=dict)


class Training:
    """One recommender's training, an epoch at a time.

    Args:
        index: the Semantic IDs that it learns to write.
        train: what it learns from; nothing else changes a weight.
        valid: questions by which an epoch is chosen.
        config: the section `evaluate`.
        seed: of the first weights, shuffling and dropout.
        device: where it runs.
    """

    def __init__(
        self, index: Index, train: Sequences, valid: Questions, config: Evaluate, seed: int, device: torch.device
    ) -> None:
        self._index, self._config, self._device = index, config, device
        self._draw = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.model = Recommender(index.code_sizes, config.width, config.layers, config.heads, config.dropout_prob).to(
            device
        )
        self._paths = Paths.of(index.trie, device)
        self._codes = torch.from_numpy(index.codes.astype(np.int64)).to(device)
        self._tokens = self._codes + torch.tensor(self.model.starts, device=device)
        self._items = torch.from_numpy(train.padded(-1).astype(np.int64)).to(device)
        self._lengths = train.lengths
        self._valid = valid if len(valid) <= _SELECT_ROWS else _some(valid)
        self._batches = max(1, round(len(train) / config.batch_size))
        matrices = [part for part in self.model.parameters() if part.ndim > 1]
        vectors = [part for part in self.model.parameters() if part.ndim <= 1]
        self._learner = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=config.lr,
            betas=_BETAS,
            fused=True,
        )
        self.progress = Progress()

    def state(self) -> State:
        """Everything that the next epoch depends on, as tensors and plain values."""
        cuda = self._device.type == "cuda"
        return {
            "model": self.model.state_dict(),
            "learner": self._learner.state_dict(),
            "progress": vars(self.progress),
            "draw": self._draw.bit_generator.state,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self._device) if cuda else None,
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.model.load_state_dict(state["model"])
        self._learner.load_state_dict(state["learner"])
        self.progress = Progress(**state["progress"])
        self._draw.bit_generator.state = state["draw"]
        torch.set_rng_state(state["random"])
        if state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"], self._device)

    def run(self, tell: Callable[[int], None], keep: Callable[[State], None]) -> Recommender:
        """Train to the end, or until `patience` evaluations brought nothing better; the model of the best one.

        Args:
            tell: called with the number of epochs done, after each; with all of them where training stops early.
            keep: called with the state after each evaluation, to go on from after a kill.
        """
        config, progress = self._config, self.progress
        losses: list[float] = []
        while progress.epoch < config.epochs and not 0 < config.patience <= progress.still:
            losses.append(self._epoch())
            progress.epoch += 1
            tell(progress.epoch)
            if progress.epoch % config.eval_step == 0 or progress.epoch == config.epochs:
                self._evaluate(float(np.mean(losses)))
                losses = []
                keep(self.state())
        tell(config.epochs)
        self.model.load_state_dict(progress.chosen)
        return self.model.eval()

    def ask(self, asked: Questions, beams: int) -> Ints:
        """The Semantic IDs that the model finds likeliest after each history: (R, beams) rows of the trie, or -1."""
        items = asked.histories.padded(0)
        tokens = self._tokens.cpu().numpy()[items].reshape(len(items), -1)
        begin = np.full((len(items), 1), BEGIN)
        lengths = 1 + asked.histories.lengths * len(self._index.code_sizes)
        self.model.eval()
        return search(self.model, self._paths, np.hstack((begin, tokens)), lengths, beams)

    def _epoch(self) -> float:
        """Learn each sequence once; the mean loss."""
        self.model.train()
        keys = self._lengths + self._draw.random(len(self._lengths)) * _BUCKET  # of a batch, about one length
        batches = np.array_split(np.argsort(keys, kind="stable"), self._batches)
        self._draw.shuffle(batches)
        total = torch.zeros((), device=self._device)
        for step, rows in enumerate(batches):
            done = self.progress.epoch + (step + 1) / len(batches)
            for group in self._learner.param_groups:
                group["lr"] = _rate(self._config, done)
            longest = int(self._lengths[rows].max())
            loss = self._loss(self._items[torch.from_numpy(rows).to(self._device), :longest])
            self._learner.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
            self._learner.step()
            total += loss.detach()
        mean = float(total) / len(batches)
        if not math.isfinite(mean):
            raise InputError(
                f"params.yaml: evaluate: the loss of epoch {self.progress.epoch + 1} is {mean}: lower evaluate.lr"
            )
        return mean

    def _loss(self, items: Tensor) -> Tensor:
        """Cross-entropy per token of items (B, T), -1 where there is none."""
        levels = self.model.levels
        tokens = self._tokens[items.clamp(min=0)].flatten(1)  # (B, T * L)
        begin = torch.full((len(items), 1), BEGIN, device=self._device)
        states = self.model(torch.cat((begin, tokens[:, :-1]), dim=1)).unflatten(1, (-1, levels))  # (B, T, L, width)
        there = items >= 0
        wanted = self._codes[items[there]]  # (n, L)
        states = states[there]  # (n, L, width)
        smoothing = self._config.label_smoothing
        parts = [
            F.cross_entropy(self.model.logits(states[:, level], level), wanted[:, level], label_smoothing=smoothing)
            for level in range(levels)
        ]
        return torch.stack(parts).mean()

    def _evaluate(self, loss: float) -> None:
        """Add a row to the curve; keep the model if it is the best so far."""
        progress = self.progress
        leaves = self.ask(self._valid, min(_SELECT_BEAMS, self._config.beams))
        slots = slots_of_beams(leaves, self._index.leaves[self._valid.targets], self._index.items)
        found = float(metrics_of(slots)["ndcg_at_10"].mean())
        progress.curve.append({"epoch": progress.epoch, "loss": loss, "ndcg_at_10": found})
        progress.still += 1
        if found > progress.best:
            progress.best, progress.still = found, 0
            progress.chosen = {name: part.detach().clone() for name, part in self.model.state_dict().items()}


def _rate(config: Evaluate, epoch: float) -> float:
    """The learning rate after a number of epochs, fractions included: a linear rise, then half a cosine."""
    warm = min(1.0, config.epochs / 10)
    if epoch < warm:
        return config.lr * epoch / warm
    return config.lr * (1 + math.cos(math.pi * (epoch - warm) / max(config.epochs - warm, 1e-9))) / 2


def _some(asked: Questions) -> Questions:
    """_SELECT_ROWS of the questions, evenly spread."""
    rows = np.linspace(0, len(asked) - 1, _SELECT_ROWS).astype(np.int64)
    return Questions(asked.histories.take(rows), asked.targets[rows])
