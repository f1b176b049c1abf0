"""Beam search over the Semantic IDs that exist, for many histories at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sid.arrays import chunks
from sid.decoding.trie import Trie
from sid.evaluate.recommender import Past, Recommender

_BEAM_BYTES = 32 << 20  # larger ones leave the caches


@dataclass(frozen=True)
class Paths:
    """The trie as tensors on one device.

    Attributes:
        codes: for each level, the last code of each prefix, int64.
        first_child: for each level but the last, where each prefix's children begin in the next, int64.
    """

    codes: list[Tensor]
    first_child: list[Tensor]

    @classmethod
    def of(cls, trie: Trie, device: torch.device) -> Paths:
        """Copy it."""
        return cls(
            [torch.from_numpy(codes.astype(np.int64)).to(device) for codes in trie.level_codes],
            [torch.from_numpy(starts).to(device) for starts in trie.first_child],
        )


@torch.no_grad()
def search(
    model: Recommender, paths: Paths, tokens: NDArray[np.int64], lengths: NDArray[np.int64], beams: int
) -> NDArray[np.int64]:
    """The Semantic IDs that the model finds likeliest.

    Args:
        model: in evaluation mode.
        paths: the Semantic IDs that exist, on the model's device.
        tokens: (R, S) histories as tokens, filled up on the right.
        lengths: (R,) how many tokens of each count.
        beams: kept at each level, 1 or more.

    Returns:
        (R, beams) rows of the trie, the likeliest first; -1 where there are fewer.
    """
    device = paths.codes[0].device
    most = max(model.code_sizes)
    width = model.embedding.embedding_dim
    row_bytes = 4 * (beams * (3 * most + 16 * width) + tokens.shape[1] * 16 * width)
    found = np.full((len(tokens), beams), -1, np.int64)
    for part in chunks(len(tokens), row_bytes, _BEAM_BYTES):
        length = torch.from_numpy(lengths[part]).to(device)
        read = torch.from_numpy(tokens[part, : int(lengths[part].max())]).to(device)
        leaves = _search(model, paths, read, length, beams)
        found[part, : leaves.shape[1]] = leaves.cpu().numpy()
    return found


def _search(model: Recommender, paths: Paths, tokens: Tensor, lengths: Tensor, beams: int) -> Tensor:
    """(B, beams or fewer) leaves for one chunk of histories (B, S)."""
    last, pasts = model.read(tokens, lengths)
    scores = model.logits(last, 0).log_softmax(dim=-1)[:, paths.codes[0]]  # (B, prefixes)
    scores, nodes = _best(scores, beams)
    grown: list[Past] = []
    origin = nodes
    for level in range(1, model.levels):
        written = model.starts[level - 1] + paths.codes[level - 1][nodes.clamp(min=0)]
        if level > 1:
            grown = [Past(_follow(past.keys, origin), _follow(past.values, origin)) for past in grown]
        states, grown = model.write(written, lengths, level - 1, pasts, grown)
        likely = model.logits(states, level).log_softmax(dim=-1)  # (B, W, K)
        begin = paths.first_child[level - 1][nodes.clamp(min=0)]
        count = paths.first_child[level - 1][nodes.clamp(min=0) + 1] - begin
        count = count.masked_fill(nodes < 0, 0)
        child = torch.arange(int(count.max()), device=nodes.device)  # (C,)
        exists = child < count[..., None]  # (B, W, C)
        places = (begin[..., None] + child).where(exists, 0)
        total = scores[..., None] + likely.gather(-1, paths.codes[level][places])
        total = total.masked_fill(~exists, -torch.inf)
        scores, chosen = _best(total.flatten(1), beams)
        nodes = places.flatten(1).gather(1, chosen.clamp(min=0)).where(chosen >= 0, -1)
        origin = chosen.clamp(min=0) // len(child)
    return nodes


def _best(scores: Tensor, beams: int) -> tuple[Tensor, Tensor]:
    """The `beams` highest of (B, n) and their places, highest first; -1 for places of no candidate."""
    kept, places = scores.topk(min(beams, scores.shape[1]), dim=1)
    return kept, places.masked_fill(kept == -torch.inf, -1)


def _follow(grown: Tensor, origin: Tensor) -> Tensor:
    """(B, heads, W, step, head_width) of the beams that each beam (B, W') comes from."""
    index = origin[:, None, :, None, None].expand(-1, grown.shape[1], -1, *grown.shape[3:])
    return grown.gather(2, index)
