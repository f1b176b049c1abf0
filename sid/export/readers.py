"""What readers of an index lose of Semantic IDs that are longer or shorter than theirs, uneven, or shared."""

from __future__ import annotations

LEVELS_READ = 3


def warnings(levels: int, uneven: bool, sharing: int) -> list[str]:
    """What each reader loses, one line each; nothing is lost of three levels with one item for each Semantic ID.

    Args:
        levels: of the longest Semantic ID.
        uneven: some Semantic IDs lack the last level.
        sharing: items whose Semantic ID is another's too.

    MiniOneRec joins the first three tokens in three of its five fine-tuning tasks (its data.py); GRID reads a
    rectangular tensor; a decoder without a trie can't know where an uneven Semantic ID ends.
    """
    found = minionerec_warnings(levels, uneven, sharing)
    if uneven:
        found.append(
            "Semantic IDs differ in length: GRID reads a rectangular tensor and can't hold them, and a decoder without "
            "a trie can't know where one ends"
        )
    return found


def minionerec_warnings(levels: int, uneven: bool, sharing: int) -> list[str]:
    """What MiniOneRec loses, for the arguments of `warnings`."""
    found = []
    if levels > LEVELS_READ:
        found.append(
            f"Semantic IDs have up to {levels} tokens: in three of its five fine-tuning tasks MiniOneRec reads only "
            f"the first {LEVELS_READ} and so can't distinguish items that share these"
        )
    if levels < LEVELS_READ or (levels == LEVELS_READ and uneven):
        found.append(
            f"Semantic IDs have fewer than {LEVELS_READ} tokens: MiniOneRec leaves such items out of three of its five "
            "fine-tuning tasks"
        )
    if sharing:
        found.append(
            f"{sharing:,} items share a Semantic ID: MiniOneRec keeps one title for each Semantic ID, and "
            "counts a hit for any of its items"
        )
    return found
