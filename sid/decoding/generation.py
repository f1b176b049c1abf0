"""Generation with a language model: only Semantic IDs that exist, and from what was generated back to items.

Works with anything that Hugging Face `generate` drives; neither transformers nor torch is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN
from sid.decoding.trie import Trie
from sid.errors import InputError, listed
from sid.ids import SemanticIds, parse_last, token, tokens

_CACHED_PREFIXES = 1 << 14


class Tokenizer(Protocol):
    """What is needed of a transformers tokenizer."""

    @property
    def eos_token_id(self) -> int | None:
        """The token that ends a text."""

    @property
    def unk_token_id(self) -> int | None:
        """The token for what the vocabulary lacks."""

    def __call__(self, text: list[str], *, add_special_tokens: bool) -> Mapping[str, Any]:
        """Texts -> {"input_ids": a list of token ids for each}."""


class TokenIds(Protocol):
    """A tensor or array of token ids."""

    def tolist(self) -> Any:
        """As plain numbers."""


@dataclass(frozen=True)
class _Vocabulary:
    """The token ids of the codes in use: `ids[level][code]`, -1 for codes not in use; and back."""

    ids: tuple[NDArray[np.int64], ...]
    codes: Mapping[int, tuple[int, int]]

    @classmethod
    def of(cls, tokenizer: Tokenizer, trie: Trie) -> _Vocabulary:
        """Look the tokens up; InputError if one is no single token, or SIDs don't come apart into their tokens."""
        used = [np.unique(column[column != NO_TOKEN]) for column in trie.codes.T]
        pairs = [(level, code) for level, codes in enumerate(used) for code in codes.tolist()]
        texts = [token(level, code) for level, code in pairs]
        found: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
        bad = [
            text for text, ids in zip(texts, found, strict=True) if len(ids) != 1 or ids[0] == tokenizer.unk_token_id
        ]
        if bad:
            raise InputError(
                f"tokenizer: {len(bad)} of {len(texts)} tokens are not one token each ({listed(bad)}); add those of "
                "new_tokens.json (export format tokens) to it by add_tokens, and resize the model's embeddings"
            )
        singles = [ids[0] for ids in found]
        codes = dict(zip(singles, pairs, strict=True))
        if len(codes) < len(pairs):
            raise InputError("tokenizer: gives several Semantic ID tokens the same id, must give each its own")
        example = tokens(trie.codes[0].tolist())
        joined = tokenizer(["".join(example)], add_special_tokens=False)["input_ids"][0]
        if joined != [singles[texts.index(part)] for part in example]:
            raise InputError(
                f"tokenizer: does not read {''.join(example)} as its {len(example)} tokens; add those of "
                "new_tokens.json as they are, without stripping or spaces around them"
            )
        ids = tuple(np.full(size, -1, np.int64) for size in trie.code_sizes)
        for (level, code), single in zip(pairs, singles, strict=True):
            ids[level][code] = single
        return cls(ids, codes)

    def read(self, generated: Sequence[int]) -> list[int] | None:
        """The codes of tokens of levels 0, 1, 2, ... in that order; None where they are something else."""
        codes = []
        for place, single in enumerate(generated):
            level, code = self.codes.get(single, (-1, -1))
            if level != place:
                return None
            codes.append(code)
        return codes


class AllowedTokens:
    """A function for `generate(prefix_allowed_tokens_fn=...)`; made by `prefix_allowed_tokens`.

    What was generated begins where the sequences ended that `generate` showed first: so prompts may have any length,
    padding and Semantic IDs of their own, at their end too, and the start token of a decoder behind an encoder counts
    as a prompt. One object serves one `generate` at a time, as many as you like one after another, also on prompts that
    go on from what the last one wrote, with one exception: the whole output of the last `generate`, its end token
    and nothing more behind it, can't be told from that one's next step. Call `reset` before that.

    Attributes:
        max_new_tokens: tokens of the longest Semantic ID and its end: a bound for `generate`.
    """

    def __init__(self, trie: Trie, vocabulary: _Vocabulary, eos_token_id: int) -> None:
        self.max_new_tokens = len(trie.code_sizes) + 1
        self._trie, self._vocabulary, self._eos = trie, vocabulary, eos_token_id
        self._allowed = lru_cache(maxsize=_CACHED_PREFIXES)(self._look_up)
        self.reset()

    def reset(self) -> None:
        """Forget the last `generate`: whatever comes next begins another."""
        self._begin(-1)

    def _begin(self, length: int) -> None:
        self._length = self._prompt = length  # of the sequences of this step, and of those of the first one
        self._rows = self._calls = 0  # sequences of a step, and those of this step so far
        self._before: set[int] = set()  # hashes of the last step's sequences
        self._now: set[int] = set()  # and of this step's

    def __call__(self, batch_id: int, input_ids: TokenIds) -> list[int]:
        """The token ids that may come next: never none.

        Args:
            batch_id: not looked at; all prompts have the same Semantic IDs.
            input_ids: (length,) the sequence so far, with its prompt and padding.
        """
        ids = tuple(input_ids.tolist())
        return self._allowed(ids[self._start(ids) :])

    def _start(self, ids: tuple[int, ...]) -> int:
        """Where the generated tokens begin; finds out whether this is another step, or another `generate`."""
        length, parent = len(ids), hash(ids[:-1])
        if length == self._length + 1 and parent in self._now and self._goes_on(ids):
            if self._length == self._prompt:
                self._rows = self._calls
            self._length, self._calls = length, 0
            self._before, self._now = self._now, set()
        elif length != self._length or (
            length != self._prompt and (parent not in self._before or self._calls == self._rows)
        ):
            self._begin(length)
        self._calls += 1
        self._now.add(hash(ids))
        return self._prompt

    def _goes_on(self, ids: tuple[int, ...]) -> bool:
        """Whether a sequence of the last step with a token more is its next step.

        After a whole Semantic ID only the end is: anything else makes a new prompt of it.
        """
        generated = ids[self._prompt : -1]
        return self._allowed(generated) != [self._eos] or ids[-1] == self._eos or self._eos in generated

    def _look_up(self, generated: tuple[int, ...]) -> list[int]:
        codes = self._vocabulary.read(generated)
        following = self._trie.children(codes) if codes is not None else np.empty(0, np.int32)
        if not len(following):  # a whole Semantic ID, or past its end: `generate` asks for finished sequences too
            return [self._eos]
        level = len(generated)
        ids: list[int] = self._vocabulary.ids[level][following[following != NO_TOKEN]].tolist()
        return [self._eos, *ids] if following[0] == NO_TOKEN else ids


class ItemLookup:
    """From what a model generated to the items it means; made by `item_lookup`."""

    def __init__(self, trie: Trie, vocabulary: _Vocabulary | None) -> None:
        self._trie, self._vocabulary = trie, vocabulary

    def of_text(self, text: str) -> list[str]:
        """The ids of all items with the last Semantic ID in a text, in catalogue order; none if no item has it.

        Whitespace between its tokens doesn't count: some tokenizers decode them so.
        """
        codes = parse_last(text)
        return self._trie.items(codes) if codes else []

    def of_ids(self, generated: Sequence[int] | TokenIds) -> list[str]:
        """The same for token ids, with or without the prompt before and the end and padding behind.

        Raises:
            InputError: there is no tokenizer to read ids by, or there are several sequences, as of a batch.
        """
        if self._vocabulary is None:
            raise InputError("item_lookup: needs the tokenizer to read token ids")
        known = self._vocabulary.codes
        ids = list(generated) if isinstance(generated, Sequence) else generated.tolist()
        if not isinstance(ids, list) or any(
            isinstance(single, Sequence) or hasattr(single, "tolist") for single in ids
        ):
            raise InputError("item_lookup: of_ids takes one sequence of token ids at a time: give it row by row")
        stop = len(ids)
        while stop and ids[stop - 1] not in known:
            stop -= 1
        start = stop - 1
        while start > 0 and known[ids[start]][0] != 0 and ids[start - 1] in known:
            start -= 1
        codes = self._vocabulary.read(ids[max(start, 0) : stop])
        return self._trie.items(codes) if codes else []


def prefix_allowed_tokens(
    tokenizer: Tokenizer, sids: SemanticIds | Trie, eos_token_id: int | None = None
) -> AllowedTokens:
    """A `prefix_allowed_tokens_fn` that lets `generate` write Semantic IDs that exist, then the end, and nothing else.

    Beam search then gives as many different Semantic IDs as there are beams, if there are as many. At a million
    items it needs a sort at first, and microseconds a token and beam.

    Args:
        sids: of the catalogue, or its trie, also as `Trie.load` reads it.
        eos_token_id: what ends an answer, if it isn't the tokenizer's eos_token_id.

    Raises:
        InputError: the tokenizer has no end token, lacks tokens of Semantic IDs or splits them.
    """
    end = tokenizer.eos_token_id if eos_token_id is None else eos_token_id
    if end is None:
        raise InputError("tokenizer: has no eos_token_id, must have a token that ends an answer")
    trie = _trie(sids)
    return AllowedTokens(trie, _Vocabulary.of(tokenizer, trie), int(end))


def item_lookup(sids: SemanticIds | Trie, tokenizer: Tokenizer | None = None) -> ItemLookup:
    """What finds the items of generated text, or with the tokenizer of generated token ids.

    Raises:
        InputError: the tokenizer lacks tokens of Semantic IDs or splits them.
    """
    trie = _trie(sids)
    return ItemLookup(trie, _Vocabulary.of(tokenizer, trie) if tokenizer is not None else None)


def _trie(sids: SemanticIds | Trie) -> Trie:
    return sids if isinstance(sids, Trie) else Trie.of(sids)
