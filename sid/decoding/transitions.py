"""The Semantic IDs that exist as an automaton in flat arrays, for decoders that run on a GPU or outside Python."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sid.arrays import NO_TOKEN
from sid.decoding.trie import Trie
from sid.decoding.vocabulary import Tokenizer
from sid.errors import InputError
from sid.ids import SemanticIds, vocabulary

_ARRAYS = ("row_pointers", "tokens", "states", "ends", "code_sizes")


@dataclass(frozen=True)
class Transitions:
    """A trie of tokens in CSR form, the arrays that STATIC uses to decode on accelerators.

    From state s, `tokens[row_pointers[s]:row_pointers[s + 1]]` may come next, and lead to the `states` at the same
    positions. State 0 is the start.

    Attributes:
        row_pointers: (S + 1,) int64.
        tokens: (E,) int32, ascending within a state: positions in `sid.ids.vocabulary` (new_tokens.json has it), or
            token ids after `for_tokenizer`.
        states: (E,) int32, the state that each token leads to.
        ends: (S,) bool, whether a Semantic ID may end in the state.
        code_sizes: codes of each level.
    """

    row_pointers: NDArray[np.int64]
    tokens: NDArray[np.int32]
    states: NDArray[np.int32]
    ends: NDArray[np.bool_]
    code_sizes: tuple[int, ...]

    @classmethod
    def of(cls, sids: SemanticIds | Trie) -> Transitions:
        """The automaton of a catalogue. States are numbered level by level, so edge e leads to state e + 1."""
        trie = Trie.of(sids)
        offsets = np.concatenate([[0], np.cumsum(trie.code_sizes)])
        levels = trie.level_codes
        counts = [np.array([len(levels[0])])] + [np.diff(first) for first in trie.first_child]
        ends = [np.zeros(1, bool)] + [np.zeros(len(level), bool) for level in levels[:-1]]
        # in the last level alone a missing token stands first among the children, and means that its parent is an end
        last = levels[-1] != NO_TOKEN
        if not last.all():
            without = trie.first_child[-1][:-1]
            ends[-1] = ~last[without]
            counts[-1] = counts[-1] - ends[-1]
        edges = [level + offsets[place] for place, level in enumerate(levels)]
        edges[-1] = edges[-1][last]
        every = np.concatenate([*counts, np.zeros(int(last.sum()), np.int64)])
        total = sum(map(len, edges))
        return cls(
            np.concatenate([[0], np.cumsum(every)]).astype(np.int64),
            np.concatenate(edges).astype(np.int32),
            np.arange(1, total + 1, dtype=np.int32),
            np.concatenate([*ends, np.ones(int(last.sum()), bool)]),
            trie.code_sizes,
        )

    def for_tokenizer(self, tokenizer: Tokenizer) -> Transitions:
        """The same with the tokenizer's token ids.

        Raises:
            InputError: the tokenizer lacks tokens of `new_tokens.json`, or splits them.
        """
        texts = vocabulary(self.code_sizes)
        used = np.unique(self.tokens)
        found = tokenizer([texts[place] for place in used.tolist()], add_special_tokens=False)["input_ids"]
        bad = [ids for ids in found if len(ids) != 1 or ids[0] == tokenizer.unk_token_id]
        if bad:
            raise InputError(
                f"tokenizer: {len(bad)} of {len(used)} tokens are not one token each; add those of new_tokens.json "
                "(export format tokens) to it by add_tokens"
            )
        ids = np.full(len(texts), -1, np.int32)
        ids[used] = [single for (single,) in found]
        tokens = ids[self.tokens]
        rows = np.repeat(np.arange(len(self.ends)), np.diff(self.row_pointers))
        order = np.lexsort((tokens, rows))
        return replace(self, tokens=tokens[order], states=self.states[order])

    def allowed(self, state: int) -> NDArray[np.int32]:
        """The tokens that may come next, ascending; none after a whole Semantic ID."""
        return self.tokens[self.row_pointers[state] : self.row_pointers[state + 1]]

    def step(
        self, states: Sequence[int] | NDArray[np.integer], tokens: Sequence[int] | NDArray[np.integer]
    ) -> NDArray[np.int64]:
        """(B,) states, (B,) the tokens that were taken -> (B,) int64 the next states; -1 where one isn't allowed."""
        found = np.full(len(states), -1, np.int64)
        for row, (state, token) in enumerate(zip(states, tokens, strict=True)):
            if state < 0:
                continue
            allowed = self.allowed(int(state))
            place = int(np.searchsorted(allowed, token))
            if place < len(allowed) and allowed[place] == token:
                found[row] = self.states[self.row_pointers[state] + place]
        return found

    def mask(self, states: Sequence[int] | NDArray[np.integer], width: int, end: int) -> NDArray[np.bool_]:
        """(B,) states -> (B, width) bool, the tokens that may come next.

        Args:
            width: of the logits.
            end: the token that ends an answer, allowed where a Semantic ID may end, and in a state of -1.
        """
        allowed = np.zeros((len(states), width), bool)
        for row, state in enumerate(states):
            if state >= 0:
                allowed[row, self.allowed(int(state))] = True
            allowed[row, end] |= state < 0 or bool(self.ends[state])
        return allowed

    def save(self, path: str | Path) -> None:
        """Write one .npz of the five arrays, without pickle."""
        arrays = {name: np.asarray(getattr(self, name)) for name in _ARRAYS}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:  # no time in it: the same bytes each run
            for name, array in arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)

    @classmethod
    def load(cls, path: str | Path) -> Transitions:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing or isn't such an archive.
        """
        try:
            with np.load(path, allow_pickle=False) as found:
                arrays = {name: found[name] for name in _ARRAYS}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: isn't what the export format transitions writes ({error})") from None
        sizes = tuple(map(int, arrays.pop("code_sizes")))
        return cls(**arrays, code_sizes=sizes)
