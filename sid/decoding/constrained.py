"""Constrained generation: a function for Hugging Face `generate` that allows only existing Semantic IDs."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

from sid.arrays import NO_TOKEN
from sid.decoding.trie import Trie
from sid.decoding.vocabulary import Tokenizer, Vocabulary
from sid.errors import InputError
from sid.ids import SemanticIds

_CACHED_PREFIXES = 4096


class TokenIds(Protocol):
    """A one-dimensional tensor or array of token ids."""

    def __len__(self) -> int:
        """Their number."""

    def __getitem__(self, index: slice, /) -> Any:
        """Some of them, with a `tolist`."""


@dataclass(frozen=True)
class AllowedTokens:
    """A function for `generate(prefix_allowed_tokens_fn=...)`; made by `prefix_allowed_tokens`.

    It keeps no state between calls: one object may serve any number of `generate` calls on prompts of its length,
    also from several threads at once.

    Attributes:
        prompt_length: tokens of each sequence that `generate` starts from.
        max_new_tokens: tokens of the longest Semantic ID and its end: a bound for `generate`.
    """

    prompt_length: int
    max_new_tokens: int
    _following: Callable[[tuple[int, ...]], list[int]]

    def __call__(self, batch_id: int, input_ids: TokenIds) -> list[int]:
        """The token ids that may come next, at least one.

        Args:
            batch_id: ignored; all prompts have the same Semantic IDs.
            input_ids: (length,) the sequence so far, with its prompt and padding.

        Raises:
            InputError: the sequence is shorter than `prompt_length`, or what follows there can't have been written
                under this function.
        """
        if len(input_ids) < self.prompt_length:
            raise InputError(
                f"prefix_allowed_tokens: prompt_length is {self.prompt_length}, but generate starts from "
                f"{len(input_ids)} tokens: must be input_ids.shape[1], or 1 for an encoder-decoder"
            )
        return self._following(tuple(input_ids[self.prompt_length :].tolist()))

    def after(self, prompt_length: int) -> AllowedTokens:
        """The same for prompts of another length; it shares the tables and costs nothing.

        Raises:
            InputError: the length isn't a whole number from 0 on.
        """
        return replace(self, prompt_length=_checked(prompt_length))


@dataclass(frozen=True)
class _Continuations:
    """What may follow the tokens that were generated so far."""

    trie: Trie
    vocabulary: Vocabulary
    eos: int

    def __call__(self, generated: tuple[int, ...]) -> list[int]:
        codes = self.vocabulary.read(generated)
        following = self.trie.children(codes)
        if len(codes) == len(generated) and len(following):
            ids: list[int] = self.vocabulary.ids[len(codes)][following[following != NO_TOKEN]].tolist()
            return [self.eos, *ids] if following[0] == NO_TOKEN else ids
        # A whole Semantic ID, or something after its end: `generate` asks about finished sequences too. Beam search may
        # also keep beams with tokens that weren't allowed, but never at the first token, where no beam has ended yet.
        longest = len(self.vocabulary.ids)
        astray = codes == [] or (len(generated) > longest and self.eos not in generated[: longest + 1])
        if astray:
            raise InputError(
                f"prefix_allowed_tokens: the tokens after the prompt, {list(generated[: longest + 1])}, don't begin "
                "with a Semantic ID and its end: prompt_length must be input_ids.shape[1] of this call of generate, or "
                "1 for an encoder-decoder, and nothing else may force tokens"
            )
        return [self.eos]


def prefix_allowed_tokens(
    tokenizer: Tokenizer, sids: SemanticIds | Trie, prompt_length: int, eos_token_id: int | None = None
) -> AllowedTokens:
    """A `prefix_allowed_tokens_fn` that lets `generate` write one existing Semantic ID, then the end, and nothing else.

    Beam search then returns different Semantic IDs in all beams, if there are enough. For a million items the
    first call takes a sort, and each token of a beam microseconds. For prompts of another length, call `after` on
    the result, which doesn't check the tokenizer again.

    Args:
        tokenizer: a transformers tokenizer that has the tokens of all Semantic IDs.
        sids: of the catalogue, or its trie, also as `Trie.load` reads it.
        prompt_length: tokens of each sequence that `generate` starts from, with padding: `input_ids.shape[1]`, or 1
            for an encoder-decoder, whose decoder starts from one token.
        eos_token_id: what ends an answer, if it isn't the tokenizer's eos_token_id.

    Raises:
        InputError: the tokenizer has no end token, lacks tokens of Semantic IDs or splits them, or the length isn't
            a whole number from 0 on.
    """
    end = tokenizer.eos_token_id if eos_token_id is None else eos_token_id
    if end is None:
        raise InputError("tokenizer: has no eos_token_id, must have a token that ends an answer")
    trie = Trie.of(sids)
    following = _Continuations(trie, Vocabulary.of(tokenizer, trie), int(end))
    cached = lru_cache(maxsize=_CACHED_PREFIXES)(following)
    return AllowedTokens(_checked(prompt_length), len(trie.code_sizes) + 1, cached)


def _checked(prompt_length: int) -> int:
    try:
        length = operator.index(prompt_length)
    except TypeError:
        length = -1
    if length < 0:
        raise InputError(
            f"prefix_allowed_tokens: prompt_length is {prompt_length!r}: must be a whole number, input_ids.shape[1]"
        )
    return length
