"""Phrases that make a native speaker stumble and that crept in before, as far as they can be found mechanically."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

_RATES = "once|twice|one|codes|bytes|values|codebook|line|file|column|record|entry"
_UNITS = "row|level|item|code|file|record|line|user|token|split|format|dimension|reader|folder|method|stage"
STUMBLES = {
    "told apart": "distinguished",
    "by heart": "memorized",
    "by luck": "by chance",
    "goes? on (from|after|with)": "continues",
    "anew": "again, from scratch",
    "without a word": "silently",
    "newcomers?": "a new item",
    "that there were": "",
    "is no (list|JSON|Parquet|text|UTF-8)": "isn't a",
    "as their text says": "",
    "this page knows": "",
    rf"({_RATES}) an? ({_UNITS})": "one per row",
}

FILES = sorted(
    path.relative_to(ROOT)
    for pattern in (
        "*.md",
        "params.yaml",
        "Makefile",
        "docs/*.md",
        "docs/*.yaml",
        "prompts/*.yaml",
        ".github/*/*.yml",
        "sid/report/templates/*",
        "sid/**/*.py",
        "stages/*.py",
    )
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("phrase", STUMBLES)
def test_no_text_has_a_phrase_that_makes_readers_stumble(phrase: str) -> None:
    words = re.compile(rf"(?<![\w'])({phrase})(?![\w'])".replace(" ", r"\s+"), re.IGNORECASE)
    found = [f"{path}: {match[0]!r}" for path in FILES for match in words.finditer(_text(path))]
    assert not found, f"better: {STUMBLES[phrase]}"


def _text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
