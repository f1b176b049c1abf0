"""What users did with the items, as the interactions stage leaves it to others; `read` is how it gets there."""

from sid.interactions.sequences import Sequences, holds_out_last, user_sequences
from sid.interactions.split_files import (
    SPLITS,
    Counts,
    Interactions,
    Split,
    load_counts,
    load_interactions,
    load_split,
    load_users,
)

__all__ = [
    "SPLITS",
    "Counts",
    "Interactions",
    "Sequences",
    "Split",
    "holds_out_last",
    "load_counts",
    "load_interactions",
    "load_split",
    "load_users",
    "user_sequences",
]
