"""Apply a collision strategy to raw codes and account for it: the codes after, and reports/collisions.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sid import collisions, matching, metrics, quality, readers
from sid.codes import NO_TOKEN, Codes, Vectors, check_codes
from sid.collisions import Rows
from sid.files import round6
from sid.params import Dedupe
from sid.quantizers.base import Quantizer


@dataclass(frozen=True)
class Deduped:
    """Codes after a strategy, the size of each of their levels, and the figures of before and after."""

    codes: Codes
    code_sizes: tuple[int, ...]
    figures: dict[str, Any]


def dedupe(
    codes: Codes,
    code_sizes: Sequence[int],
    vectors: Vectors,
    wanted: Dedupe,
    quantizer: Callable[[], Quantizer],
) -> Deduped:
    """Tell colliding items apart.

    Args:
        codes: (N, L) raw codes.
        code_sizes: L sizes.
        vectors: (N, D) the vectors that were coded.
        wanted: the strategy and its bounds.
        quantizer: gives the model; called only by a strategy that needs it, since that loads torch.

    Returns:
        The new codes and `strategy`, `items`, `moved` (items whose codes changed; a suffix is no move),
        `moved_share`, `mse_added` and `mse_added_share` of the mse before (null where nothing moved for lack of
        a model), and `before` and `after`: `collisions.figures` with `levels` as in reports/index.json.

    Raises:
        InputError: the strategy can't tell the items apart within the codes there are.
    """
    codes = check_codes(codes, code_sizes, "raw codes")
    sizes = tuple(code_sizes)
    moved, added, share = 0, None, None
    if wanted.strategy in ("reassign", "sinkhorn"):
        if wanted.strategy == "reassign":
            collisions.check_capacity(len(codes), sizes, wanted.max_items_per_sid)
        model = quantizer()
        after = _moved(codes, vectors, wanted, model)
        moved = int((codes != after).any(axis=1).sum())
        added, before = quality.error_added(model, vectors, codes, after)
        share = round6(added / before) if before > 0 else 0.0
        added = round6(added)
    else:
        after, size = _suffixed(codes, wanted)
        sizes = (*sizes, size) if size else sizes
    figures = {
        "strategy": wanted.strategy,
        "items": len(codes),
        "moved": moved,
        "moved_share": round6(moved / len(codes)),
        "mse_added": added,
        "mse_added_share": share,
        "warnings": readers.warnings(len(sizes), bool((after[:, -1] == NO_TOKEN).any())),
        "before": {**collisions.figures(codes, vectors), "levels": metrics.levels(codes, code_sizes)},
        "after": {**collisions.figures(after, vectors), "levels": metrics.levels(after, sizes)},
    }
    return Deduped(after, sizes, figures)


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
        return matching.reassign(
            codes, latents, model.codebooks, max_items_per_sid=wanted.max_items_per_sid, move=wanted.move
        )
    import torch

    from sid.clustering.sinkhorn import sinkhorn

    def log_plan(square: matching.Doubles) -> matching.Doubles:
        return sinkhorn(torch.from_numpy(square), wanted.sk_epsilon, wanted.sk_iters).numpy()

    return matching.sinkhorn(codes, latents, model.codebooks, log_plan)


def _suffixed(codes: Codes, wanted: Dedupe) -> tuple[Codes, int]:
    """The codes with another level, and its size; 0 where none was added."""
    if wanted.strategy == "append":
        return collisions.append(codes, wanted.max_suffix)
    if wanted.strategy == "append_colliding":
        return collisions.append_colliding(codes, wanted.max_suffix)
    return codes, 0


def usage_rows(codes: Codes, code_sizes: Sequence[int]) -> list[dict[str, int]]:
    """How often each code is used: for each level (from 1), its codes by rank (from 1): level, rank, code, items."""
    rows = []
    for level, size in enumerate(code_sizes):
        counts = metrics.code_counts(codes[:, level], size)
        for rank, code in enumerate((-counts).argsort(kind="stable").tolist(), 1):
            rows.append({"level": level + 1, "rank": rank, "code": code, "items": int(counts[code])})
    return rows
