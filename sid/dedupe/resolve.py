"""Apply the strategy that `dedupe` names to raw codes, and the figures of it that need codes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sid.arrays import Codes, Vectors
from sid.dedupe import groups, reassign
from sid.dedupe.groups import Rows
from sid.files import round6
from sid.measure import metrics
from sid.params import Dedupe, check_capacity
from sid.quantizers.base import Quantizer


def figures(before: Codes, after: Codes, code_sizes: Sequence[int], wanted: Dedupe) -> dict[str, Any]:
    """What a strategy did to the codes, as reports/dedupe.json holds it.

    Args:
        before: (N, L) the raw codes, N >= 1.
        after: (N, L) or (N, L + 1) the codes that the strategy gave.
        code_sizes: codes there are at each level of `after`.
        wanted: the strategy and its bounds.

    Returns:
        `strategy`; `max_items_per_sid`: how many items it lets share a Semantic ID, 1 for all but reassign;
        `items`; `code_sizes`; `moved`: items whose codes changed at a level that they had (a suffix is no move);
        `moved_share` of all items; `moved_by_level`: at which level first; `collision_rate` after it.
    """
    changed = before != after[:, : before.shape[1]]  # (N, L)
    moved = changed.any(axis=1)
    first_level = np.bincount(changed[moved].argmax(axis=1), minlength=before.shape[1])
    return {
        "strategy": wanted.strategy,
        "max_items_per_sid": wanted.max_items_per_sid if wanted.strategy == "reassign" else 1,
        "items": len(before),
        "code_sizes": list(code_sizes),
        "moved": int(moved.sum()),
        "moved_share": round6(float(moved.mean())),
        "moved_by_level": {f"level_{level}": count for level, count in enumerate(first_level.tolist(), 1)},
        "collision_rate": round6(metrics.collision_rate(metrics.prefix_ids(after)[-1])),
    }


def resolve(codes: Codes, quantizer: Quantizer, vectors: Vectors, wanted: Dedupe) -> tuple[Codes, tuple[int, ...]]:
    """Give items that share codes other ones.

    Args:
        codes: (N, L) raw codes of the quantizer.
        vectors: (N, D) the vectors that were encoded.
        wanted: the strategy and its bounds.

    Returns:
        The new codes, (N, L) or (N, L + 1), and the size of each of their levels.

    Raises:
        InputError: the strategy can't separate the items within the codes there are.
    """
    sizes = quantizer.code_sizes
    if wanted.strategy in ("reassign", "sinkhorn"):
        if wanted.strategy == "reassign":
            check_capacity(len(codes), sizes, wanted.max_items_per_sid)
        return _moved(codes, vectors, wanted, quantizer), sizes
    after, size = _suffixed(codes, wanted)
    return after, (*sizes, size) if size else sizes


@dataclass(frozen=True)
class _LazyLatents:
    """The latents of some rows, made when they are asked for."""

    model: Quantizer
    vectors: Vectors

    def __getitem__(self, rows: Rows) -> Vectors:
        return self.model.latents(self.vectors[rows])


def _moved(codes: Codes, vectors: Vectors, wanted: Dedupe, model: Quantizer) -> Codes:
    latents = _LazyLatents(model, vectors)
    if wanted.strategy == "reassign":
        return reassign.reassign(
            codes, latents, model.codebooks, max_items_per_sid=wanted.max_items_per_sid, move=wanted.move
        )
    import torch

    from sid.clustering.sinkhorn import sinkhorn

    def log_plan(square: reassign.Doubles) -> reassign.Doubles:
        return sinkhorn(torch.from_numpy(square), wanted.sk_epsilon, wanted.sk_iters).numpy()

    return reassign.sinkhorn(codes, latents, model.codebooks, log_plan)


def _suffixed(codes: Codes, wanted: Dedupe) -> tuple[Codes, int]:
    """The codes with another level, and its size; 0 where none was added."""
    if wanted.strategy == "append":
        return groups.append(codes, wanted.max_suffix)
    if wanted.strategy == "append_colliding":
        return groups.append_colliding(codes, wanted.max_suffix)
    return codes, 0
