"""What comes out of reading interactions, with an account of what was left out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sid.errors import InputError, listed
from sid.interactions.split_files import SPLITS, Counts, Interactions
from sid.params import Interactions as Wanted
from sid.tables import differences


@dataclass(frozen=True)
class Reading:
    """Interactions, how many there are with each item, and what was left out.

    Attributes:
        skipped: counts by reason. Of a table, rows: `unknown_item` and `duplicate` (the same user, item and time
            again), and `low_value` and `other_kind` where there are such. Of .inter files, lines: `unknown_item` (the
            next item is unknown) and `no_history` (none, or none that is known).
        warnings, notes: one line each.
    """

    interactions: Interactions
    counts: Counts
    skipped: dict[str, int]
    warnings: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> dict[str, int]:
        """Split -> how many targets it has."""
        splits = zip(SPLITS, self.interactions.splits, strict=True)
        return {name: int(split.target_counts.sum()) for name, split in splits}

    def figures(self) -> dict[str, Any]:
        """The figures of reports/interactions.json."""
        found = self.interactions
        with_rows = np.unique(np.concatenate([split.users[split.target_counts > 0] for split in found.splits]))
        return {
            "source": found.source,
            "rows": self.rows,
            "users": len(with_rows),
            "users_left_out": len(found.user_ids) - len(with_rows),
            "skipped": self.skipped,
            "items": len(self.counts.total),
            "items_without_interactions": int((self.counts.total == 0).sum()),
            "warnings": self.warnings,
            "notes": self.notes,
        }


def unknown_items(
    path: Path, ids: Collection[str], where: str, left_out: str, wanted: Wanted, known: pl.Series, keys: str = ""
) -> list[str]:
    """What `interactions.unknown_items` says of ids that the catalogue doesn't have: a warning, none if there are none.

    Args:
        where: where the first of them is.
        left_out: what goes with them.
        known: the prepared items' ids.
        keys: where no id is one of the catalogue's, those of params.yaml that may name the wrong column.

    Raises:
        InputError: there are some and they aren't to be skipped.
    """
    if not ids:
        return []
    if keys:
        theirs, ours = (", ".join(map(repr, list(some)[:2])) for some in (ids, known.head(2)))
        said = f"{path}: none of its {len(ids):,} items is in the catalogue: it has {theirs}, the catalogue {ours}"
        said += f"{differences(ids, known)}; is {keys} right?"
        if wanted.unknown_items == "error":
            raise InputError(said)
        return [said]
    absent = "1 item that isn't" if len(ids) == 1 else f"{len(ids):,} items that aren't"
    said = f"{path}: names {absent} in the catalogue, first in {where}: {listed(ids)}"
    said += differences(ids, known)
    if wanted.unknown_items == "error":
        raise InputError(
            f"{said} (unknown, or dropped by prepare.invalid_rows; interactions.unknown_items: skip leaves them out)"
        )
    return [f"{said}; {left_out}"]
