"""Values and titles as the page can hold them."""

from __future__ import annotations

import json
from typing import Any

_TITLE = 100  # characters of a title that are shown


def embedded(value: Any) -> str:
    """JSON that can be put into a script element: no markup can begin or end in it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def short(title: str) -> str:
    """A title on one line, cut where it is long."""
    title = " ".join(title[: 4 * _TITLE].split())
    return title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"
