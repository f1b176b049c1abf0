"""The keys of params.yaml that every gradient-trained method shares. Importing this loads no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sid.params import MethodConfig, Quant

Width = Annotated[int, Field(ge=1, le=65536)]
Epsilon = Annotated[float, Field(ge=0, le=1e6)]

Learner = Literal["adam", "adamw", "sgd", "adagrad", "rmsprop"]
Schedule = Literal["constant", "linear", "cosine"]
Criterion = Literal["loss", "collision", "r2"]
Precision = Literal["auto", "float32", "bfloat16"]

RECORDED: tuple[Learner, ...] = ("adam", "adamw")
"""The learners whose steps can be recorded as CUDA graphs."""


class TrainingConfig(MethodConfig):
    """What the training loop and its model take from a method's section.

    Attributes:
        layers: hidden widths of the encoder; the decoder mirrors them. Empty makes both linear.
        sk_epsilons: a level's Sinkhorn temperature as a share of the batch's half range of distances, 0 for
            plain nearest codes; one per level, or none at all for 0 everywhere. 0.003 to 0.1 is sane.
        restart_usage: a code that an epoch used less than this share of even use is moved onto a row; 0 moves none.
        restart_until: share of the epochs after which no code is moved any more, so that the last can settle.
        clip_grad_norm: bound on the norm of all gradients together; 0 means none.
        precision: of the products of encoder and decoder in training; bfloat16 keeps 8 binary digits of their factors.
            auto is bfloat16 on a GPU where a layer is 1,024 wide or more, else float32. Codes are chosen in float32.
        cuda_graphs: replay steps from CUDA graphs on a GPU that holds the rows; changes nothing elsewhere.
        patience: evaluations in a row without a better R2 or collision rate after which training stops; 0: never.
    """

    layers: Annotated[tuple[Width, ...], Field(strict=False, max_length=16)]
    dropout_prob: Annotated[float, Field(ge=0, lt=1)]
    bn: bool
    loss_type: Literal["mse", "l1"]
    quant_loss_weight: Annotated[float, Field(ge=0, le=1e6)]
    beta: Annotated[float, Field(ge=0, le=1e6)]
    sk_epsilons: Annotated[tuple[Epsilon, ...], Field(strict=False)]
    sk_iters: Annotated[int, Field(ge=1, le=10_000)]
    restart_usage: Annotated[float, Field(ge=0, lt=1)]
    restart_until: Annotated[float, Field(ge=0, le=1)]
    lr: Annotated[float, Field(gt=0, le=1e3)]
    epochs: Annotated[int, Field(ge=1, le=1_000_000)]
    batch_size: Annotated[int, Field(ge=1, le=1 << 24)]
    learner: Learner
    lr_scheduler_type: Schedule
    warmup_epochs: Annotated[int, Field(ge=0, le=1_000_000)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    clip_grad_norm: Annotated[float, Field(ge=0, le=1e6)]
    eval_step: Annotated[int, Field(ge=1, le=1_000_000)]
    patience: Annotated[int, Field(ge=0, le=1_000_000)]
    select: Criterion
    save_limit: Annotated[int, Field(ge=1, le=1000)]
    precision: Precision
    cuda_graphs: bool

    @property
    def plain_epochs(self) -> int:
        """Epochs that train encoder and decoder alone, before there are codebooks."""
        return 0

    def conflicts(self, quant: Quant) -> list[str]:
        """Lists whose lengths contradict each other, and values that together can't work."""
        section = f"quant.{quant.method}"
        problems = []
        levels = len(quant.num_emb_list)
        if self.sk_epsilons and len(self.sk_epsilons) != levels:
            problems.append(
                f"quant.num_emb_list has {levels} levels but {section}.sk_epsilons has {len(self.sk_epsilons)}"
            )
        if self.bn and self.batch_size < 2:
            problems.append(f"{section}.batch_size is {self.batch_size}: must be at least 2 with {section}.bn")
        if self.cuda_graphs and self.learner not in RECORDED:
            problems.append(
                f"{section}.learner is {self.learner!r}: must be {' or '.join(RECORDED)} with {section}.cuda_graphs"
            )
        if self.cuda_graphs and any(self.sk_epsilons):
            problems.append(
                f"{section}.sk_epsilons is {list(self.sk_epsilons)}: must be [] with {section}.cuda_graphs, since the "
                "sweeps of Sinkhorn depend on the batch"
            )
        if self.warmup_epochs > self.epochs:
            problems.append(
                f"{section}.warmup_epochs is {self.warmup_epochs}: must be at most {section}.epochs, {self.epochs}"
            )
        return problems

    def epsilons(self, levels: int) -> tuple[float, ...]:
        """One Sinkhorn temperature per level."""
        return self.sk_epsilons or (0.0,) * levels
