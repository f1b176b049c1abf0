"""The folder that MiniOneRec's sft.py, rl.py and evaluate.py open, as its convert_dataset.py makes it.

Source of each fact: data.py, sft.py, rl.py, evaluate.py and convert_dataset.py of AkaliKong/MiniOneRec.
"""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl

from sid.arrays import chunks
from sid.export.columns import texts_of
from sid.export.histories import Histories
from sid.export.index import write_index, write_items
from sid.export.numbering import numbers
from sid.export.readers import minionerec_warnings
from sid.export.source import Format, Source
from sid.ids import sid_texts
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

_UNEVEN = r"[^\S ]|[\x1c-\x1f]|^ | $|  "  # whitespace other than single spaces within
_LINE_BYTES = 1 << 10  # about what a line takes while it is made


def _write(folder: Path, source: Source) -> int:
    keys, names, titles = _names(folder, source)
    write_index(folder / f"{source.dataset}.index.json", names, source.sids)
    write_items(folder / f"{source.dataset}.item.json", names, titles, source.items)
    name = _NAME.format(dataset=source.dataset)
    _write_info(_folder(folder, "info") / f"{name}.txt", names, titles, source)
    rows = 0
    for split in source.behaviour.splits if source.behaviour else ():
        if len(split):
            _write_split(_folder(folder, split.name) / f"{name}.csv", keys, titles, source, split)
            rows += len(split)
    return rows


def _write_rows(folder: Path, source: Source, split: Histories) -> None:
    keys, _, titles = _names(folder, source)
    _write_split(folder / "rows.csv", keys, titles, source, split)


def _names(folder: Path, source: Source) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Each item's number, the number as text, and the title."""
    keys = numbers(folder, source)
    names, given = keys.cast(pl.String), source.titles
    titles = pl.select(
        pl.when(given == "").then(pl.concat_str(pl.lit("Item_"), names)).otherwise(given).alias("title")
    )["title"]
    return keys, names, titles


def _folder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _write_info(path: Path, names: pl.Series, titles: pl.Series, source: Source) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for part in chunks(len(names), _LINE_BYTES):
            some = titles[part]
            uneven = some.str.contains(_UNEVEN).arg_true()
            some = (
                some.scatter(uneven, [" ".join(title.split()) for title in some.gather(uneven)])
                if len(uneven)
                else some
            )
            columns = (sid_texts(source.sids.codes[part]), some, names[part])
            lines = pl.select(pl.concat_str(columns, separator="\t").alias("line"))["line"]
            file.writelines(line + "\n" for line in lines)


def _write_split(path: Path, keys: pl.Series, titles: pl.Series, source: Source, split: Histories) -> None:
    assert source.behaviour is not None
    user_ids, texts = texts_of(source.behaviour.user_ids), source.catalogue.texts
    numbers, names = keys.to_numpy(), texts_of(titles)
    with path.open("w", encoding="utf-8", newline="") as file:
        # with every text quoted, a carriage return in a title ends no line
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(COLUMNS)
        for user, history, item in split.rows():
            writer.writerow(
                (
                    f"A{user_ids[user]}",
                    repr([names[earlier] for earlier in history]),
                    names[item],
                    repr(numbers[history].tolist()),
                    int(numbers[item]),
                    repr([texts[earlier] for earlier in history]),
                    texts[item],
                )
            )


def _warnings(source: Source) -> list[str]:
    found = minionerec_warnings(len(source.sids.code_sizes), source.uneven, source.sharing)
    missing = int(source.titles.filter(source.titles != "").is_in(list(_MISSING_TO_PANDAS)).sum())
    if missing:
        found.append(f"{missing:,} titles such as NA or null: MiniOneRec, through pandas, reads them as missing")
    there = {split.name for split in source.behaviour.splits if len(split)} if source.behaviour else set()
    absent = [name for name in SPLITS if name not in there]
    if absent:
        found.append(f"no interactions for {', '.join(absent)}: MiniOneRec needs a CSV file for each split")
    return found


FORMAT = Format(write=_write, warnings=_warnings, rows=_write_rows)
