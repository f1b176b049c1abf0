"""What both gradient-trained methods do around the training loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sid.arrays import Rows
from sid.errors import InputError
from sid.params import Quant
from sid.quantizers.autoencoder import AutoencoderQuantizer
from sid.quantizers.base import Fit, Quantizer, Scaling
from sid.quantizers.training import states
from sid.quantizers.training.config import TrainingConfig
from sid.quantizers.training.loop import Progress, Task
from sid.quantizers.training.network import Autoencoder


def check(quant: Quant, config: TrainingConfig) -> None:
    """Raise InputError where the section contradicts the shared keys."""
    problems = config.conflicts(quant)
    if problems:
        raise InputError(problems)


def settings(quant: Quant, config: TrainingConfig) -> dict[str, Any]:
    """The shared keys and the method's own, as plain values."""
    return {**quant.model_dump(mode="json"), **config.model_dump(mode="json")}


def checkpoints(
    folder: Path | None, vectors: Rows, quant: Quant, config: TrainingConfig, extra: bytes = b""
) -> states.Checkpoints | None:
    """Where this very training keeps its states below the folder of all; None for None."""
    if folder is None:
        return None
    name = states.key([vectors], quant.method, settings(quant, config), states.QUANTIZER_CODE, extra)
    return states.Checkpoints(folder / name, config.save_limit)


def freeze(model: Autoencoder, scaling: Scaling, quant: Quant, info: dict[str, Any]) -> AutoencoderQuantizer:
    """The model as a quantizer that never changes."""
    codebooks = tuple(book.detach().cpu().numpy().copy() for book in model.codebooks)
    return AutoencoderQuantizer(
        model.encoder.freeze(), codebooks, model.decoder.freeze(), scaling, quant.method, quant.device, info
    )


def load_into(model: Autoencoder, start: Quantizer, config: TrainingConfig) -> bytes:
    """Give a model the weights and codebooks of a fitted quantizer; returns what distinguishes that one from others.

    Raises:
        InputError: it is of other layers, or batch normalisation is asked for, which a fitted one has no more.
    """
    refused = "set release.warm_start: false to start from scratch"
    if not isinstance(start, AutoencoderQuantizer) or config.bn:
        raise InputError(f"a training with bn {config.bn} can't start from a fitted {start.method}: {refused}")
    seen = b""
    with torch.no_grad():
        for net, mlp in ((model.encoder, start.encoder), (model.decoder, start.decoder)):
            for linear, weight, bias in zip(net.linears, mlp.weights, mlp.biases, strict=False):
                assert isinstance(linear, nn.Linear)
                if linear.weight.shape != weight.shape or len(net.linears) != len(mlp.weights):
                    raise InputError(f"the warm start's layers differ from those in params.yaml: {refused}")
                linear.weight.copy_(torch.from_numpy(weight))
                linear.bias.copy_(torch.from_numpy(bias))
                seen += weight.tobytes()
        for own, book in zip(model.codebooks, start.codebooks, strict=True):
            own.copy_(torch.from_numpy(book))
            seen += book.tobytes()
        model.initialised.fill_(True)
    return seen


def finish(task: Task, progress: Progress, quant: Quant, figures: dict[str, Any] | None = None) -> Fit:
    """The trained model as a quantizer, its curve, and what the report says about it."""
    epoch = int(progress.best[task.config.select][0])
    row = next(row for row in progress.curve if row["step"] == epoch)
    found = {
        **(figures or {}),
        "epochs": progress.epoch,
        "best_epoch": epoch,
        **{name: row[name] for name in ("mse", "r2", "collision_rate")},
        "best": {name: {"epoch": int(at), "value": value} for name, (at, value) in progress.best.items()},
    }
    # as fresh plain values: pickle writes an object that it has met before in another way, and a resumed training's
    # are others
    info = json.loads(json.dumps({"config": settings(quant, task.config), "figures": found}))
    return Fit(freeze(task.model, task.rows.scaling, quant, info), progress.curve, found)
