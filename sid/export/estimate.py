"""How many records an export will write, and how large they will be, before it writes them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from sid.export.formats import FORMATS
from sid.export.histories import Behaviour, Histories
from sid.export.prompts import TASKS, Prompts
from sid.export.records import count_records, records
from sid.export.source import Source
from sid.params import Export

LARGE_BYTES = 512 << 20
"""From here on an export is warned of."""

_SAMPLE = 200


@dataclass(frozen=True)
class Estimate:
    """What is to be expected.

    Attributes:
        records: of all tasks and splits; 0 where no format is made of them.
        bytes: about how many, of what grows with interactions or tasks, in all formats together; the rest grows
            with the items alone.
    """

    records: int
    bytes: int

    def line(self) -> str:
        """For the terminal."""
        size = f"about {shown(self.bytes)}"
        return f"{self.records:,} records, {size}" if self.records else size

    def warning(self, wanted: Export) -> str | None:
        """A line that names the keys that decide, where the export is large; None elsewhere."""
        if self.bytes < LARGE_BYTES:
            return None
        longest = "null, all items" if wanted.max_history is None else f"{wanted.max_history}"
        return (
            f"the export is large, {self.line()}: a lower export.max_history (now {longest}) makes records shorter; "
            "export.keep_longest_only, fewer export.tasks and fewer export.formats make fewer of them"
        )


def shown(size: int) -> str:
    """Bytes for people: '879 MB'."""
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size >= one:
            return f"{size / one:,.1f} {unit}" if size < 10 * one else f"{size / one:,.0f} {unit}"
    return f"{size} bytes"


def estimate(source: Source, prompts: Prompts, wanted: Export) -> Estimate:
    """Count the records, write a few of each task and split as the formats would, and multiply.

    A sample is of rows at even distances, so that long and short histories count by their shares.
    """
    of_records = [name for name in wanted.formats if FORMATS[name].open is not None]
    count = size = 0
    for task in wanted.tasks if of_records else ():
        splits: Sequence[Histories | None] = [None]
        if TASKS[task].history_of:
            splits = [] if source.behaviour is None else source.behaviour.splits
        for split in splits:
            total = count_records(task, source.catalogue, split)
            if not total:
                continue
            count += total
            size += round(_mean_bytes(source, task, split, prompts, of_records, wanted.seed) * total)
    for split in () if source.behaviour is None else source.behaviour.splits:
        size += sum(_bytes_of_rows(source, name, split) for name in wanted.formats) if len(split) else 0
    return Estimate(count, size)


def _bytes_of_rows(source: Source, name: str, split: Histories) -> int:
    """Bytes of the rows of a split in a format that isn't one of records."""
    write = FORMATS[name].rows
    if write is None or source.behaviour is None:
        return 0
    some = _some(source.behaviour, split)
    (few,) = some.splits
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), replace(source, behaviour=some), few)
        size = sum(path.stat().st_size for path in Path(folder).glob("*.csv"))
    return round(size / len(few) * len(split))


def _mean_bytes(
    source: Source, task: str, split: Histories | None, prompts: Prompts, formats: Sequence[str], seed: int
) -> float:
    """Bytes of all formats for one record, on average."""
    behaviour = None if split is None or source.behaviour is None else _some(source.behaviour, split)
    found = list(islice(records([task], source.catalogue, behaviour, prompts, seed, Counter()), _SAMPLE))
    if not found:
        return 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name in formats:
            opened = FORMATS[name].open
            assert opened is not None
            (Path(folder) / name).mkdir()
            with closing(opened(Path(folder) / name, source)) as writer:
                for record in found:
                    writer.add(record)
        written = [path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".yaml"]
        return sum(path.stat().st_size for path in written) / len(found)


def _some(behaviour: Behaviour, split: Histories) -> Behaviour:
    """The same with a few rows of one split."""
    rows = np.unique(np.linspace(0, len(split) - 1, min(len(split), _SAMPLE)).astype(np.int64))
    few = replace(split, users=split.users[rows], starts=split.starts[rows], targets=split.targets[rows])
    return Behaviour(behaviour.read, (few,), behaviour.left_out)
