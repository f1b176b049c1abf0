"""A small catalogue whose titles hurt, params to export it by, and interactions to go with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sid.catalogue.items import FIELDS
from sid.catalogue.texts import cleaned
from sid.export import write_all
from sid.export.formats import FORMATS
from sid.export.prompts import TASKS
from sid.ids import SemanticIds
from sid.interactions.read import read_interactions
from sid.interactions.reading import Reading
from sid.params import NOT_GIVEN, Export, Interactions, given
from tests.conftest import ROOT

NASTY = [
    'a\ttab\nand "quotes"',
    "comma, and ü, it's \\ 'both' \"kinds\"",
    "🌹 \u202eעברית",
    "x" * 10_000,
    None,
    "   ",
    "{braces} {sid} %s",
    "line\rreturn\u2028separator\x85next\x1cfile",
    "comma, and ü, it's \\ 'both' \"kinds\"",
    "  outer space  ",
]
HEADER = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
SECTION = {
    "header": [],
    "encoding": "utf-8",
    "user_column": "user_id",
    "item_column": "item_id",
    "time_column": "timestamp",
    "value_column": None,
    "least_value": None,
    "kinds": [],
    "unknown_items": "error",
    "split": "leave_one_out",
    "ratios": [0.8, 0.1, 0.1],
}
INTER = {
    "train": "u\t0 1\t2\nu\t0 1 2\t7\nv\t3\t0\n",
    "valid": "u\t0 1 2 7\t8\nv\t3 0\t6\n",
    "test": "u\t0 1 2 7 8\t9\nv\t3 0 6\t1\n",
}


def wanted(**changes: Any) -> Export:
    """The export section: everything there is, unless changed."""
    values = {
        "dataset": "shop",
        "max_history": None,
        "min_history": 1,
        "keep_longest_only": False,
        "tasks": list(TASKS),
        "formats": list(FORMATS),
        "prompts": str(ROOT / "prompts/en.yaml"),
        "seed": 0,
        **changes,
    }
    return Export(**values)


def read(source: Path | str, item_ids: pl.Series, **changes: Any) -> Reading:
    """What the interactions stage makes of a source, by its section of params.yaml with these changes."""
    values = {**SECTION, **changes}
    section = Interactions(source=str(source), **values)
    return read_interactions(given(section.source), item_ids, section)


def export(
    folder: Path, sids: SemanticIds, items: pl.DataFrame, source: Path | str = NOT_GIVEN, **changes: Any
) -> dict[str, Any]:
    """Read interactions and export; the figures. Changes are to keys of both sections."""
    folder.mkdir(exist_ok=True)
    of_reading = {key: changes.pop(key) for key in Interactions.model_fields if key in changes}
    found = read(source, sids.item_ids, **of_reading).interactions
    return write_all(folder, sids, items, None if found.source == "none" else found, wanted(**changes))


def shop(ids: list[str] | None = None, levels: int = 3) -> tuple[SemanticIds, pl.DataFrame]:
    """Semantic IDs and items, NASTY's titles in turn; ids 0, 1, ... unless given."""
    ids = ids or [str(row) for row in range(len(NASTY))]
    rows = np.arange(len(ids))
    codes = np.stack([rows % 4, *([rows % 3] * (levels - 2)), rows], axis=1).astype(np.int32)
    titles = (NASTY * (len(ids) // len(NASTY) + 1))[: len(ids)]
    nothing = pl.Series([None] * len(ids), dtype=pl.String)
    described = pl.Series([None, "['First.', ' ', \"It's \\\\d second.\"]", "plain [text]", "[]", " "] * len(ids))
    described = cleaned(described[: len(ids)], False, " ")  # as the prepare stage writes them
    frame = pl.DataFrame(
        {"item_id": ids, "title": titles, **dict.fromkeys(FIELDS[1:], nothing)},
        schema_overrides={"title": pl.String},
    ).with_columns(described.alias("description"))
    return SemanticIds(frame["item_id"], codes, (4, *([3] * (levels - 2)), len(ids))), frame


def inter(folder: Path, **splits: str) -> str:
    """A folder of .inter files with these rows, INTER's unless given."""
    folder.mkdir(exist_ok=True)
    for name, rows in (splits or INTER).items():
        (folder / f"{name}.inter").write_text(HEADER + rows)
    return str(folder)


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def lines(path: Path) -> list[Any]:
    """The records of a .jsonl file, as a reader of lines finds them."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
