"""What readers of an index do to Semantic IDs that are longer than theirs, or of uneven length."""

from __future__ import annotations

LEVELS_READ = 3


def warnings(levels: int, uneven: bool) -> list[str]:
    """What is lost on the way to which reader, one line each; none for three levels on every item.

    Args:
        levels: of the longest Semantic ID.
        uneven: some Semantic IDs lack the last level.

    MiniOneRec joins the first three tokens in three of its five fine-tuning tasks (its data.py); GRID reads a
    rectangular tensor; a decoder without a trie can't tell where an uneven Semantic ID ends.
    """
    found = []
    if levels > LEVELS_READ:
        found.append(too_many_levels(levels))
    if uneven:
        found.append(
            "Semantic IDs are of uneven length: GRID reads a rectangular tensor and can't hold them, and a decoder "
            "without a trie can't tell where one ends"
        )
    return found


def too_many_levels(levels: int) -> str:
    """What MiniOneRec loses of more levels than it reads."""
    return (
        f"Semantic IDs have up to {levels} tokens: MiniOneRec reads the first {LEVELS_READ} in three of its five "
        "fine-tuning tasks and cuts off the rest, where items are told apart"
    )
