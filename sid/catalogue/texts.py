"""Texts as they come: lists written as text, words that mean nothing, HTML."""

from __future__ import annotations

import ast
import html
import json
import math
import warnings
from html.parser import HTMLParser
from typing import Any

import polars as pl

from sid.tables.ids import WORDS_FOR_NOTHING

_APART = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "br",
        "dd",
        "div",
        "dl",
        "dt",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "td",
        "th",
        "tr",
        "ul",
    ]
)
_SILENT = frozenset(("script", "style"))


def text_of(value: Any, between: str = ", ") -> str | None:
    """A value of JSON or Arrow as text: lists joined by `between`, objects as JSON, nothing for null and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, list) and _is_flat(value):
        value = between.join(text for part in value if (text := text_of(part, between)) is not None)
    elif isinstance(value, dict | list | tuple):
        value = json.dumps(value, ensure_ascii=False, default=str)
    # JSON may escape half a surrogate pair, which no UTF-8 file can hold
    return str(value).encode("utf-8", "replace").decode("utf-8")


def cleaned(column: pl.Series, take_out_html: bool, between: str = ", ") -> pl.Series:
    """Texts with lists written as text joined, words for nothing as null and, if wanted, without HTML.

    Args:
        column: (n,) text.
        between: what joins the entries of such lists.
    """
    column = column.set(column.is_in(WORDS_FOR_NOTHING), None)
    lists = column.str.contains(r"^\s*\[.*\]\s*$") | column.str.contains(r"(?s)^\s*\[\s*['\"].*\]\s*$")
    if lists.any():
        column = column.scatter(lists.arg_true(), [_joined(text, between) for text in column.filter(lists)])
    if take_out_html:
        marked = column.str.contains(r"[<&]")
        if marked.any():
            column = column.scatter(marked.arg_true(), [without_html(text) for text in column.filter(marked)])
    return column


def without_html(text: str) -> str:
    """A text without tags, its entities as the characters that they name; words of different blocks stay apart."""
    parser = _Text()
    parser.feed(text)
    parser.close()
    return html.unescape(" ".join("".join(parser.parts).split()))


class _Text(HTMLParser):
    """Gathers what isn't markup."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        if tag in _APART:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in _SILENT))
        if tag in _APART:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def _is_flat(value: list[Any]) -> bool:
    """Whether a list, and lists in it, hold nothing but plain values."""
    return all(_is_flat(part) if isinstance(part, list) else not isinstance(part, dict) for part in value)


def _joined(text: str, between: str) -> str | None:
    """A list written as text by Python or JSON, joined; any other text as it is."""
    for read in (json.loads, ast.literal_eval):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of '\\d' and the like, which are only text here
                value = read(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        # [2024] may be a title; a list of texts is one
        if isinstance(value, list) and _is_flat(value) and (not value or _has_text(value)):
            return between.join(_entries(value)) or None
    return text


def _entries(value: list[Any]) -> list[str]:
    parts = [text for part in value for text in (_entries(part) if isinstance(part, list) else [text_of(part) or ""])]
    return [part.strip() for part in parts if part.strip()]


def _has_text(value: list[Any]) -> bool:
    return any(_has_text(part) if isinstance(part, list) else isinstance(part, str) for part in value)
