"""(level, code) <-> token text, here and nowhere else.

Level 0 is written with the letter a, level 1 with b, and so on; codes are written as they are, from 0:
codes (12, 200, 7) are the tokens `<a_12>`, `<b_200>`, `<c_7>` and the Semantic ID `<a_12><b_200><c_7>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from string import ascii_lowercase

from sid.codes import NO_TOKEN
from sid.errors import InputError

_TOKEN = re.compile(r"<([a-z])_(0|[1-9][0-9]*)>")
_RUN = re.compile(rf"{_TOKEN.pattern}(?:\s*{_TOKEN.pattern})*")


def token(level: int, code: int) -> str:
    """The token of a code >= 0 at a level in 0..25."""
    return f"<{ascii_lowercase[level]}_{code}>"


def tokens(codes: Iterable[int]) -> list[str]:
    """The tokens of one item's codes, first level first; codes of -1 have no token."""
    return [token(level, code) for level, code in enumerate(codes) if code != NO_TOKEN]


def sid_text(codes: Iterable[int]) -> str:
    """One item's Semantic ID as text: its tokens joined."""
    return "".join(tokens(codes))


def vocabulary(code_sizes: Sequence[int]) -> list[str]:
    """All tokens of all levels, level by level, codes ascending; independent of which are in use."""
    return [token(level, code) for level, size in enumerate(code_sizes) for code in range(size)]


def parse(text: str) -> tuple[int, ...]:
    """The codes of a Semantic ID written by `sid_text`.

    Raises:
        InputError: the text is not a run of tokens of levels a, b, c, ... in that order.
    """
    found = _TOKEN.findall(text)
    letters = "".join(letter for letter, _ in found)
    if not found or letters != ascii_lowercase[: len(found)] or len(_TOKEN.sub("", text)) > 0:
        raise InputError(f"{text!r} is no Semantic ID: must be tokens of levels a, b, ... like <a_12><b_200><c_7>")
    return tuple(int(code) for _, code in found)


def parse_last(text: str) -> tuple[int, ...] | None:
    """The codes of the last Semantic ID in a text that may hold anything else, such as what a model wrote.

    None if there is none, or if the last tokens are not of levels a, b, c, ... in that order. There may be whitespace
    between tokens.
    """
    runs = ["".join(match[0].split()) for match in _RUN.finditer(text)]
    start = runs[-1].rfind(f"<{ascii_lowercase[0]}_") if runs else -1
    if start < 0:
        return None
    try:
        return parse(runs[-1][start:])
    except InputError:
        return None
