"""A small generative recommender: a decoder-only transformer that reads and writes Semantic IDs, token by token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BEGIN = 0
"""The token before a user's first item; code c of level l is token 1 + (sizes of the levels before) + c."""

_ROPE_BASE = 10000.0
_FEED = 2  # times the width, inside of a block
_SHORT = 64  # tokens up to which plain matrix products beat torch's fused attention on a CPU


@dataclass(frozen=True)
class Past:
    """Keys and values that later tokens attend to, of one layer: each (B, heads, S, width / heads)."""

    keys: Tensor
    values: Tensor


class Recommender(nn.Module):
    """Writes each next token of a user's items, as TIGER does (Rajput et al., Recommender Systems with Generative
    Retrieval, 2023), but as one causal sequence, so that every item of a user is a target in one pass.

    Pre-norm blocks with rotary positions (Su et al., RoFormer, 2021); a token's embedding is also its output weight.

    Args:
        code_sizes: codes at each of the L levels.
        width: of the hidden states, a multiple of 2 * heads.
        layers: blocks.
        heads: of each attention.
        dropout: share of values that training drops, 0 to below 1.
    """

    def __init__(self, code_sizes: Sequence[int], width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.code_sizes = tuple(code_sizes)
        self.levels = len(self.code_sizes)
        self.starts = [1 + sum(self.code_sizes[:level]) for level in range(self.levels)]
        self.embedding = nn.Embedding(1 + sum(self.code_sizes), width)
        nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(width))
        self.bias = nn.Parameter(torch.zeros(1 + sum(self.code_sizes)))
        self.blocks: Sequence[_Block] = [_Block(width, heads, layers, dropout) for _ in range(layers)]
        self.registered = nn.ModuleList(self.blocks)
        self.norm = nn.LayerNorm(width)
        self.dropout = _Dropout(dropout)
        self.scale = math.sqrt(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Hidden states (B, S, width) behind each of the tokens (B, S), by the tokens up to it."""
        states = self._embed(tokens)
        turn = _rotation(torch.arange(tokens.shape[1], device=tokens.device), self.blocks[0].head_width)
        for block in self.blocks:
            states = block(states, turn)
        return self._normed(states)

    def read(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, list[Past]]:
        """Read histories that beams go on from.

        Args:
            tokens: (B, S), filled up on the right with any token.
            lengths: (B,) how many of them count, 1 or more.

        Returns:
            The hidden state behind each last token (B, width), and each layer's keys and values.
        """
        states = self._embed(tokens)
        turn = _rotation(torch.arange(tokens.shape[1], device=tokens.device), self.blocks[0].head_width)
        pasts = []
        for block in self.blocks:
            states, past = block.read(states, turn)
            pasts.append(past)
        last = states[torch.arange(len(states), device=states.device), lengths - 1]
        return self._normed(last), pasts

    def write(
        self, tokens: Tensor, lengths: Tensor, step: int, pasts: list[Past], paths: list[Past]
    ) -> tuple[Tensor, list[Past]]:
        """Hidden states behind one more token of each beam.

        Args:
            tokens: (B, W), a token per beam.
            lengths: (B,) tokens of the history.
            step: tokens that each beam has written before.
            pasts: of the history, from `read`.
            paths: of the tokens that each beam has written, from the last `write`: (B, W, heads, step, width / heads).

        Returns:
            Hidden states (B, W, width), and the paths with this token.
        """
        states = self._embed(tokens)
        turn = _rotation(lengths + step, self.blocks[0].head_width)
        hidden = torch.arange(pasts[0].keys.shape[2], device=tokens.device) >= lengths[:, None]
        longer = []
        for number, (block, past) in enumerate(zip(self.blocks, pasts, strict=True)):
            states, path = block.write(states, turn, hidden, past, paths[number] if paths else None)
            longer.append(path)
        return self._normed(states), longer

    def logits(self, states: Tensor, level: int) -> Tensor:
        """(..., K) scores of a level's codes, from hidden states (..., width)."""
        start = self.starts[level]
        rows = slice(start, start + self.code_sizes[level])
        return F.linear(states, self.embedding.weight[rows], self.bias[rows])

    def _embed(self, tokens: Tensor) -> Tensor:
        states: Tensor = self.dropout(self.embedding(tokens) * self.scale)
        return states

    def _normed(self, states: Tensor) -> Tensor:
        normed: Tensor = self.norm(states)
        return normed


class _Dropout(nn.Module):
    """Drops the same features at all tokens of a sequence (Gal and Ghahramani, A Theoretically Grounded Application of
    Dropout in RNNs, 2016): on a CPU, drawing a mask for each token takes a fifth of the whole training."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, states: Tensor) -> Tensor:
        if not self.training or not self.share:
            return states
        kept = F.dropout(torch.ones(len(states), 1, states.shape[-1], device=states.device), self.share)
        return states * kept


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend_in, self.attend_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_in, self.feed_out = nn.Linear(width, _FEED * width), nn.Linear(_FEED * width, width)
        self.dropout = _Dropout(dropout)
        for linear in (self.attend_in, self.feed_in):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
        for linear in (self.attend_out, self.feed_out):  # GPT-2's rule: the sum of all layers starts small
            nn.init.normal_(linear.weight, std=0.02 / math.sqrt(2 * layers))
            nn.init.zeros_(linear.bias)

    def forward(self, states: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        return self.read(states, turn)[0]

    def read(self, states: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Past]:
        queries, keys, values = self._project(states, turn)  # (B, heads, S, head_width)
        found = _attend(queries, keys, values)
        return self._finish(states, found.transpose(1, 2).flatten(2)), Past(keys, values)

    def write(
        self, states: Tensor, turn: tuple[Tensor, Tensor], hidden: Tensor, past: Past, path: Past | None
    ) -> tuple[Tensor, Past]:
        turn = (turn[0][:, None, None], turn[1][:, None, None])
        queries, keys, values = self._project(states, turn)  # (B, heads, W, head_width)
        own_keys, own_values = keys[:, :, :, None], values[:, :, :, None]  # (B, heads, W, 1, head_width)
        if path is not None:
            own_keys = torch.cat((path.keys, own_keys), dim=3)
            own_values = torch.cat((path.values, own_values), dim=3)
        scores = queries @ past.keys.mT  # (B, heads, W, S)
        scores = scores.masked_fill(hidden[:, None, None], -math.inf)
        own = (own_keys * queries[:, :, :, None]).sum(dim=-1)  # (B, heads, W, step + 1); tiny products are slow
        weights = (torch.cat((scores, own), dim=-1) / math.sqrt(self.head_width)).softmax(dim=-1)
        split = past.keys.shape[2]
        found = weights[..., :split] @ past.values + (weights[..., split:, None] * own_values).sum(dim=-2)
        return self._finish(states, found.transpose(1, 2).flatten(2)), Past(own_keys, own_values)

    def _project(self, states: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        made = self.attend_in(self.attention_norm(states)).unflatten(-1, (3, self.heads, self.head_width))
        made = made.permute(2, 0, 3, 1, 4)
        queries, keys = _rotate(made[:2], turn)
        return queries, keys, made[2]

    def _finish(self, states: Tensor, found: Tensor) -> Tensor:
        states = states + self.dropout(self.attend_out(found))
        fed: Tensor = self.dropout(self.feed_out(F.relu(self.feed_in(self.feed_norm(states)))))
        return states + fed


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention, each (B, heads, S, head_width)."""
    tokens = queries.shape[2]
    if queries.is_cuda or tokens > _SHORT:
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    later = torch.full((tokens, tokens), -math.inf, device=queries.device).triu(1)
    weights = (queries @ keys.mT / math.sqrt(queries.shape[-1]) + later).softmax(dim=-1)
    found: Tensor = weights @ values
    return found


def _rotation(places: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (P, width / 2) of rotary positions."""
    rates = _ROPE_BASE ** (-torch.arange(0, width, 2, device=places.device, dtype=torch.float32) / width)
    angles = places[:, None].float() * rates
    return angles.cos(), angles.sin()


def _rotate(vectors: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    first, second = vectors.chunk(2, dim=-1)
    cosine, sine = turn
    return torch.cat((first * cosine - second * sine, first * sine + second * cosine), dim=-1)
