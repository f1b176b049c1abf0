"""The folder that MiniOneRec's sft.py, rl.py and evaluate.py open, as its convert_dataset.py makes it.

Source of each fact: data.py, sft.py, rl.py, evaluate.py and convert_dataset.py of AkaliKong/MiniOneRec.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from sid.export.histories import Histories
from sid.export.index import write_index, write_items
from sid.export.numbering import numbers
from sid.export.readers import minionerec_warnings
from sid.export.source import Format, Source
from sid.interactions import SPLITS

COLUMNS = (
    "user_id",
    "history_item_title",
    "item_title",
    "history_item_id",
    "item_id",
    "history_item_sid",
    "item_sid",
)
# its shell scripts look for this ending
_NAME = "{dataset}_5_2016-10-2018-11"
# what pandas.read_csv takes for a missing value
_MISSING_TO_PANDAS = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
        *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)


def _write(folder: Path, source: Source) -> int:
    keys, titles = _names(folder, source)
    write_index(folder / f"{source.dataset}.index.json", map(str, keys), source.sids)
    write_items(folder / f"{source.dataset}.item.json", map(str, keys), titles, source.items)
    name = _NAME.format(dataset=source.dataset)
    _write_info(_folder(folder, "info") / f"{name}.txt", keys, titles, source)
    rows = 0
    for split in source.behaviour.splits if source.behaviour else ():
        if len(split):
            _write_split(_folder(folder, split.name) / f"{name}.csv", keys, titles, source, split)
            rows += len(split)
    return rows


def _write_rows(folder: Path, source: Source, split: Histories) -> None:
    _write_split(folder / "rows.csv", *_names(folder, source), source, split)


def _names(folder: Path, source: Source) -> tuple[Sequence[int], list[str]]:
    """Each item's number and title."""
    keys = numbers(folder, source)
    return keys, [title or f"Item_{key}" for key, title in zip(keys, source.catalogue.titles, strict=True)]


def _folder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _write_info(path: Path, keys: Sequence[int], titles: Sequence[str], source: Source) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for key, title, sid in zip(keys, titles, source.catalogue.texts, strict=True):
            file.write(f"{sid}\t{' '.join(title.split())}\t{key}\n")


def _write_split(path: Path, keys: Sequence[int], titles: Sequence[str], source: Source, split: Histories) -> None:
    assert source.behaviour is not None
    user_ids, texts = source.behaviour.user_ids.to_list(), source.catalogue.texts
    with path.open("w", encoding="utf-8", newline="") as file:
        # with every text quoted, a carriage return in a title ends no line
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(COLUMNS)
        for user, history, item in split.rows():
            writer.writerow(
                (
                    f"A{user_ids[user]}",
                    repr([titles[earlier] for earlier in history]),
                    titles[item],
                    repr([keys[earlier] for earlier in history]),
                    keys[item],
                    repr([texts[earlier] for earlier in history]),
                    texts[item],
                )
            )


def _warnings(source: Source) -> list[str]:
    found = minionerec_warnings(len(source.sids.code_sizes), source.uneven, source.sharing)
    missing = sum(title in _MISSING_TO_PANDAS for title in source.catalogue.titles if title)
    if missing:
        found.append(f"{missing:,} titles such as NA or null: MiniOneRec reads them by pandas, as missing")
    there = {split.name for split in source.behaviour.splits if len(split)} if source.behaviour else set()
    absent = [name for name in SPLITS if name not in there]
    if absent:
        found.append(f"no interactions for {', '.join(absent)}: MiniOneRec opens a CSV file of each split")
    return found


FORMAT = Format(write=_write, warnings=_warnings, rows=_write_rows)
