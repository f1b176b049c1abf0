"""What both gradient-trained methods do around the training loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sid.arrays import Vectors
from sid.errors import InputError
from sid.params import Quant
from sid.quantizers.autoencoder import AutoencoderQuantizer
from sid.quantizers.base import Fit, Scaling
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
    folder: Path | None, vectors: Vectors, quant: Quant, config: TrainingConfig, extra: bytes = b""
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
