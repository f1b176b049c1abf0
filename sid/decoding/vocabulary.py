"""Maps codes to the ids that a tokenizer gives their tokens, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN
from sid.decoding.trie import Trie
from sid.errors import InputError, listed
from sid.ids import token, tokens


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


@dataclass(frozen=True)
class Vocabulary:
    """The token ids of the codes in use, and back.

    Attributes:
        ids: a level's (K,) int64, the token id of each code; -1 for codes not in use.
        codes: token id -> (level, code).
    """

    ids: tuple[NDArray[np.int64], ...]
    codes: Mapping[int, tuple[int, int]]

    @classmethod
    def of(cls, tokenizer: Tokenizer, trie: Trie) -> Vocabulary:
        """Look up the tokens of all codes in use.

        Raises:
            InputError: a token is unknown or split, or a Semantic ID isn't read as its tokens.
        """
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
            raise InputError("tokenizer: gives several Semantic ID tokens the same id, must give each its own id")
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

    def read(self, generated: Sequence[int]) -> list[int]:
        """The codes of tokens of levels 0, 1, 2, ... in that order, up to the first token that is something else."""
        codes: list[int] = []
        for single in generated:
            level, code = self.codes.get(single, (-1, -1))
            if level != len(codes):
                break
            codes.append(code)
        return codes
