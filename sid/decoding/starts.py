"""Start values for the embeddings of new tokens: the mean of the words of the items that have them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN
from sid.decoding.vocabulary import Tokenizer
from sid.errors import InputError
from sid.ids import SemanticIds

_BATCH = 4096


def initial_embeddings(
    sids: SemanticIds, titles: Sequence[str], tokenizer: Tokenizer, embeddings: NDArray[np.floating]
) -> NDArray[np.float32]:
    """An embedding for each token of `sid.ids.vocabulary`: the mean over the items that have it of the mean over the
    words of their titles. Tokens that no item has, or only items without a title, get the mean of all embeddings.

    Args:
        titles: (N,) text of each item, in the order of `sids`.
        tokenizer: of the model, before or after the tokens were added; it reads titles.
        embeddings: (V, H) the model's input embeddings of its own V tokens.

    Returns:
        (T, H) float32, in the order of new_tokens.json: assign it to the rows that resizing the model added.

    Raises:
        InputError: not one title for each item, or the tokenizer gives ids beyond V.
    """
    count, width = len(sids.codes), embeddings.shape[1]
    if len(titles) != count:
        raise InputError(f"{len(titles)} titles, must be one for each of the {count} items")
    offsets = np.concatenate([[0], np.cumsum(sids.code_sizes)])
    sums, seen = np.zeros((int(offsets[-1]), width)), np.zeros(int(offsets[-1]))
    for start in range(0, count, _BATCH):
        texts = [title or "" for title in titles[start : start + _BATCH]]
        codes = sids.codes[start : start + _BATCH]
        for row, ids in enumerate(tokenizer(texts, add_special_tokens=False)["input_ids"]):
            if not ids:
                continue
            if max(ids) >= len(embeddings):
                raise InputError(f"tokenizer: has id {max(ids)}, but there are {len(embeddings)} embeddings")
            places = [offsets[level] + code for level, code in enumerate(codes[row].tolist()) if code != NO_TOKEN]
            sums[places] += np.asarray(embeddings[ids], np.float64).mean(axis=0)
            seen[places] += 1
    found = sums / np.maximum(seen, 1)[:, None]
    found[seen == 0] = np.asarray(embeddings, np.float64).mean(axis=0)
    return found.astype(np.float32)
