"""Whatever `interactions.source` names -> the splits as integers."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sid.errors import InputError
from sid.files import elsewhere
from sid.interactions import inter_files, splits
from sid.interactions.log import check_table, open_source
from sid.interactions.reading import Reading
from sid.interactions.split_files import Counts, Interactions, Split
from sid.params import Interactions as Wanted
from sid.tables.json_text import sequences


def read_interactions(path: Path | None, item_ids: pl.Series, wanted: Wanted) -> Reading:
    """Read and split a table, or read a folder of .inter files, which are split already.

    A table (see `sid.interactions.log`) is sorted by user and time, rows of the same time as they are in the file,
    and split by `wanted.split`; exact duplicates count once. .inter files (see `sid.interactions.inter_files`) keep
    their splits and the order of their lines; `wanted.split` and `wanted.ratios` don't apply to them.

    Args:
        path: None where no interactions are given.
        item_ids: (N,) the prepared items' ids as text, all different.
        wanted: `unknown_items: error` refuses ids that aren't among them; `skip` takes such items out of histories and
            leaves out what has one as its next item.

    Raises:
        InputError: nothing there, broken files, no or several files for a split, unknown items, no interaction with a
            history in any split, or a table that `temporal` cuts at its earliest moment. That train alone has no
            target is a warning, not an error: the splits may be for testing only.
    """
    if path is None:
        nothing = Split.empty("none")
        users = pl.Series("user_id", [], pl.String)
        return Reading(Interactions(users, (nothing, nothing, nothing)), Counts.zero(len(item_ids)), {}, [])
    folder = _is_folder(path)
    found = (inter_files.read_folder if folder else splits.split_table)(path, item_ids, wanted)
    rows = found.rows
    counted = ", ".join(f"{name} {count:,}" for name, count in found.skipped.items())
    if not any(rows.values()):
        nothing_left = f"{path}: no interaction with a history is left ({counted}); at least one is needed"
        raise InputError([nothing_left, *found.warnings])
    if not rows["train"]:
        reason = inter_files.NO_TRAIN if folder else splits.why_no_train(wanted)
        found.warnings.append(f"{path}: there is nothing to train on: {reason} (left out: {counted})")
    return found


def check_interactions(path: Path, wanted: Wanted) -> None:
    """Refuse by headers alone what `read_interactions` would refuse after long work.

    Raises:
        InputError: nothing there, no or several files for a split, a first line that isn't a header, unknown kind of
            table, a missing column.
    """
    if _is_folder(path):
        inter_files.check_headers(path, wanted)
        return
    table = open_source(path, wanted)
    if table.kind == "json" and path.is_file() and sequences(path, table.say, wanted.encoding) is not None:
        return
    check_table(table, wanted)


def _is_folder(path: Path) -> bool:
    """Whether these are .inter files for each split."""
    if not path.exists():
        raise InputError(
            f"{path}: no such folder or file{elsewhere(path)} (interactions.source must name a folder with .inter "
            "files, or a table)"
        )
    return path.is_dir() and inter_files.holds_splits(path)
