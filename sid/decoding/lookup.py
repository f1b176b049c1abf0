"""From generated tokens or text to items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sid.decoding.trie import Trie
from sid.decoding.vocabulary import Tokenizer, Vocabulary
from sid.errors import InputError
from sid.ids import SemanticIds, parse_last


class TokenIds(Protocol):
    """A tensor or array of token ids."""

    def tolist(self) -> Any:
        """As plain numbers."""


class ItemLookup:
    """Finds the items of generated tokens or text; made by `item_lookup`."""

    def __init__(self, trie: Trie, vocabulary: Vocabulary | None) -> None:
        self._trie, self._vocabulary = trie, vocabulary

    def of_text(self, text: str) -> list[str]:
        """The ids of all items with the last Semantic ID in a text, in catalogue order; none if no item has it.

        Whitespace between its tokens is ignored, since some tokenizers decode them with spaces.
        """
        codes = parse_last(text)
        return self._trie.items(codes) if codes else []

    def of_ids(self, generated: Sequence[int] | TokenIds) -> list[str]:
        """The same for token ids, with or without the prompt before and the end and padding after.

        Raises:
            InputError: there is no tokenizer to read ids with, or there are several sequences, as in a batch.
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
        last = ids[max(start, 0) : stop]
        codes = self._vocabulary.read(last)
        return self._trie.items(codes) if codes and len(codes) == len(last) else []


def item_lookup(sids: SemanticIds | Trie, tokenizer: Tokenizer | None = None) -> ItemLookup:
    """An object that finds the items of generated text and, with a tokenizer, of generated token ids.

    Raises:
        InputError: the tokenizer lacks tokens of Semantic IDs or splits them.
    """
    trie = Trie.of(sids)
    return ItemLookup(trie, Vocabulary.of(tokenizer, trie) if tokenizer is not None else None)
