"""Give a whole catalogue its codes: by nearest codeword row by row, or with bounded sizes at every level.

`assign` is where the choice between the two, and the slack of the bounds, are decided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from sid.arrays import CHUNK_BYTES, ArrayRows, Chosen, Codes, Rows, Vectors, check_codes, chunks, parts, rows_of
from sid.clustering import memory
from sid.clustering.balanced import share_out, size_bounds
from sid.clustering.scores import HeldScores, Scores
from sid.engine.base import Engine
from sid.engine.local import LOCAL
from sid.params import Index
from sid.quantizers.base import Quantizer
from sid.quantizers.residual import KeepsCoder

SLACK = 1
"""Of bounded sizes where neither `index.slack` nor the fit says another: MiniOneRec's."""

_FED_PARTS = 16  # parts that an accelerator is fed with in one go
_HELD_BYTES = 512 << 20  # scores of a level that are held; of more, they are made again for each pass over the rows


def assign(
    quantizer: Quantizer, vectors: Vectors | Rows, wanted: Index, engine: Engine = LOCAL
) -> tuple[Codes, Literal["nearest", "balanced"]]:
    """The codes of a catalogue as `index` wants them, and how they were assigned.

    `auto` is `balanced` for a quantizer whose fit bounded the sizes of its clusters (its section has a slack), and
    `nearest` for any other.

    Args:
        vectors: (N, D) float32; may be a memory map.
        engine: runs the passes over the rows.

    Returns:
        (N, L) int32, and 'nearest' or 'balanced'; the slack of the latter is `slack_of`.

    Raises:
        InputError: balanced, and fewer rows than codes at a level.
    """
    balanced = wanted.assignment == "balanced"
    if wanted.assignment == "auto":
        balanced = fitted_slack(quantizer) is not None
    with memory.one_line():
        if balanced:
            return balanced_codes(quantizer, vectors, slack_of(quantizer, wanted), engine), "balanced"
        return nearest_codes(quantizer, vectors, engine=engine), "nearest"


def slack_of(quantizer: Quantizer, wanted: Index) -> int:
    """How far sizes may be from N // K: `index.slack`, else the fit's own, else `SLACK`."""
    if wanted.slack is not None:
        return wanted.slack
    fitted = fitted_slack(quantizer)
    return SLACK if fitted is None else fitted


def fitted_slack(quantizer: Quantizer) -> int | None:
    """The slack that the fit kept its clusters' sizes within; None where it didn't bound them."""
    config = quantizer.info.get("config")
    slack = config.get("slack") if isinstance(config, dict) else None
    return slack if isinstance(slack, int) else None


def nearest_codes(
    quantizer: Quantizer,
    vectors: Vectors | Rows,
    index: NDArray[np.int64] | None = None,
    engine: Engine = LOCAL,
) -> Codes:
    """(N, D) -> (N, L) int32 by `Quantizer.encode`; or (n, L) of the n rows asked for, ascending."""
    rows = rows_of(vectors) if index is None else Chosen(rows_of(vectors), index)
    codes = np.empty((len(rows), len(quantizer.code_sizes)), np.int32)
    slices = parts(len(rows))
    if quantizer.device != "cpu" and engine is LOCAL and isinstance(rows, ArrayRows):
        # of a longer part more copies to and from the device go on while it works
        slices = list(chunks(len(rows), 1, _FED_PARTS * (slices[0].stop if slices else 1)))
    found = engine.map(_Encode(quantizer, rows), slices, 4 * CHUNK_BYTES)
    for part, some in zip(tqdm(slices, "index", unit="part", disable=None), found, strict=True):
        codes[part] = check_codes(some, quantizer.code_sizes, f"codes of the {quantizer.method} model")
    return codes


@dataclass(frozen=True)
class _Encode:
    """Slices of rows -> their codes."""

    quantizer: Quantizer
    rows: Rows

    def __call__(self, part: slice) -> Codes:
        """(n, L)."""
        codes = np.empty((part.stop - part.start, len(self.quantizer.code_sizes)), np.int32)
        if self.quantizer.device != "cpu" and isinstance(self.rows, ArrayRows):
            return self.quantizer.encode(self.rows.part(part.start, part.stop))
        for some in chunks(len(codes), 4 * self.rows.dim):
            codes[some] = self.quantizer.encode(self.rows.part(part.start + some.start, part.start + some.stop))
        return codes


def balanced_codes(quantizer: Quantizer, vectors: Vectors | Rows, slack: int, engine: Engine = LOCAL) -> Codes:
    """(N, D) -> (N, L) int32 with every code of a level held by about as many items, whatever fitted the codebooks.

    At each level rows are assigned at the least total cost (`Quantizer.costs`) such that every code has
    `size_bounds(N, K, slack)` items. The codes of a row depend on all others: new items are coded by `encode`.

    Args:
        vectors: (N, D), N at least the largest codebook. Beside the codes, memory has N x K scores of a level where
            they take 512 MiB at most, or some chunks of them.
        slack: how far sizes may be from N // K.
        engine: runs the passes over the rows where their scores aren't held.

    Raises:
        InputError: fewer rows than codes at a level.
    """
    rows = rows_of(vectors)
    codes = np.empty((len(rows), len(quantizer.code_sizes)), np.int32)
    for level, size in enumerate(tqdm(quantizer.code_sizes, "index, balanced", unit="level", disable=None)):
        size_min, size_max = size_bounds(len(rows), size, slack)
        prefix, held = codes[:, :level], 4 * len(rows) * size <= _HELD_BYTES
        # exact costs are made on the host, for which a GPU would wait
        exact = held and quantizer.device == "cpu"
        kind = CostScores if exact or not isinstance(quantizer, KeepsCoder) else CoderScores
        scores: Scores = kind(quantizer, rows, prefix)
        if held:
            scores = _held(scores)
        shared = share_out(scores, size_min=size_min, size_max=size_max, engine=engine)
        codes[:, level] = shared.cpu().numpy()
    return codes


@dataclass(frozen=True)
class CostScores:
    """The scores of a level by `Quantizer.costs`, made whenever they are asked for."""

    quantizer: Quantizer
    rows: Rows
    prefix: Codes

    @property
    def clusters(self) -> int:
        """K of the next level."""
        return int(self.quantizer.code_sizes[self.prefix.shape[1]])

    @property
    def width(self) -> int:
        """Float32 values per row in addition to its scores: the row, and the costs in float64."""
        return 2 * self.rows.dim + 4 * self.clusters

    @property
    def device(self) -> torch.device:
        """Where the scores are shared out."""
        return torch.device(self.quantizer.device)

    def __len__(self) -> int:
        """N."""
        return len(self.rows)

    def part(self, rows: slice, offset: Tensor | None = None) -> Tensor:
        """(n, K) of a slice of rows, less an offset."""
        found = self._scores(self.rows.part(rows.start, rows.stop), self.prefix[rows])
        return found if offset is None else found.sub_(offset)

    def take(self, index: Tensor) -> Tensor:
        """(n, K) of the rows of these numbers."""
        chosen = index.cpu().numpy()
        return self._scores(self.rows.take(chosen), self.prefix[chosen])

    def subset(self, index: Tensor) -> CostScores:
        """Those rows alone, held in memory."""
        chosen = index.cpu().numpy()
        return replace(self, rows=ArrayRows(self.rows.take(chosen)), prefix=self.prefix[chosen])

    def _scores(self, vectors: Vectors, prefix: Codes) -> Tensor:
        costs = self.quantizer.costs(vectors, prefix)
        # what the least costs is the row's own, and without it float32 keeps the digits of the differences
        costs -= costs.min(axis=1, keepdims=True)
        return torch.from_numpy((costs * -0.5).astype(np.float32)).to(self.device)


@dataclass(frozen=True)
class CoderScores(CostScores):
    """The same from float32 products, for more rows than can be held: they are made some tens of times."""

    @property
    def width(self) -> int:
        """Float32 values per row in addition to its scores."""
        return self.rows.dim

    def _scores(self, vectors: Vectors, prefix: Codes) -> Tensor:
        assert isinstance(self.quantizer, KeepsCoder)
        return self.quantizer.coder.scores(vectors, prefix)


def _held(scores: Scores) -> HeldScores:
    values = torch.empty(len(scores), scores.clusters, device=scores.device)
    for part in chunks(len(scores), 4 * (scores.clusters + scores.width)):
        values[part] = scores.part(part)
    return HeldScores(values)
