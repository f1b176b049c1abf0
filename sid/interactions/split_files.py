"""What the interactions stage writes and others read: the splits as integer sequences, their users, counts by item.

All of it is Parquet, and the same interactions give the same bytes. What the files are of is in their metadata.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sid.errors import InputError

SPLITS = ("train", "valid", "test")
"""The splits, in the order of time; each has a file of its name."""

Source = Literal["none", "table", "inter"]
"""What the interactions were read from: nothing was given, a table, or .inter files."""

Rows = NDArray[np.int32]
"""Row numbers of items (in items.parquet) or of users (in users.parquet)."""

Places = NDArray[np.int64]
"""Places in an array of items."""

_SOURCES: tuple[Source, ...] = get_args(Source)
_SOURCE, _ITEMS = b"sid.source", b"sid.items"
_GROUP_ITEMS = 1 << 22
_HASHED_IDS = 1 << 16
_SPLIT = pa.schema(
    [
        pa.field("user", pa.int32(), nullable=False),
        pa.field("items", pa.list_(pa.field("item", pa.int32(), nullable=False)), nullable=False),
        pa.field("first_target", pa.int32(), nullable=False),
    ]
)
_USERS = pa.schema([pa.field("user_id", pa.large_string(), nullable=False)])
_COUNTS = pa.schema(
    [
        pa.field("item_id", pa.large_string(), nullable=False),
        pa.field("train", pa.int64(), nullable=False),
        pa.field("total", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Split:
    """The interactions of one split, as stretches of what single users did.

    A stretch is items of one user in the order of time. Those from `first_targets` on are targets: next items, each of
    which has all items before it in the stretch as its history.

    Attributes:
        source: what the split was read from. Of a table there is at most one stretch for each user, in the order of
            users: everything that the user did up to the last target of this split. Of .inter files there is one for
            each line, in the order of lines: its history, and its next item as the only target.
        users: (S,) int32, each stretch's user.
        items: (T,) int32, the items of all stretches, one stretch after another.
        offsets: (S + 1,) int64; stretch s is items[offsets[s]:offsets[s + 1]].
        first_targets: (S,) int32, at least 1, counted within the stretch; its length where a stretch has no target,
            which occurs in the train split of a table alone.
    """

    source: Source
    users: Rows
    items: Rows
    offsets: Places
    first_targets: Rows

    @classmethod
    def empty(cls, source: Source) -> Split:
        """A split without a stretch."""
        nothing = np.zeros(0, np.int32)
        return cls(source, nothing, nothing, np.zeros(1, np.int64), nothing)

    @property
    def target_counts(self) -> Places:
        """(S,) int64: how many targets each stretch has."""
        lengths: Places = np.diff(self.offsets)
        return lengths - self.first_targets

    def targets(self) -> tuple[Places, Places]:
        """Every target's stretch and its place in `items`: two (R,) int64 arrays, in the order of stretches."""
        counts = self.target_counts
        return np.repeat(np.arange(len(counts)), counts), ranges(self.offsets[:-1] + self.first_targets, counts)

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        """User and items of every stretch."""
        for user, start, stop in zip(self.users, self.offsets[:-1], self.offsets[1:], strict=True):
            yield int(user), self.items[start:stop].tolist()


@dataclass(frozen=True)
class Interactions:
    """All splits of one reading.

    Attributes:
        user_ids: (U,) as text, by first appearance in the source; also of users without a stretch.
        splits: one for each of SPLITS, in that order; each may be without stretches.
    """

    user_ids: pl.Series
    splits: tuple[Split, Split, Split]

    @property
    def source(self) -> Source:
        """What they were read from."""
        return self.splits[0].source


@dataclass(frozen=True)
class Counts:
    """How many interactions there are with each item.

    Of a table each row counts, except for exact duplicates; of .inter files each line counts for its next item.

    Attributes:
        train: (N,) int64, those of the train split.
        total: (N,) int64, those of all splits.
    """

    train: NDArray[np.int64]
    total: NDArray[np.int64]

    @classmethod
    def zero(cls, items: int) -> Counts:
        """Of interactions that there aren't."""
        return cls(np.zeros(items, np.int64), np.zeros(items, np.int64))


def ranges(starts: Places, lengths: Places) -> Places:
    """The numbers of all ranges one after another: starts[i], starts[i] + 1, ..., `lengths[i]` of them."""
    before = np.cumsum(lengths) - lengths
    numbers: Places = np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths)
    return numbers


def save_split(path: Path, split: Split, item_ids: pl.Series) -> None:
    """Write a split.

    Args:
        item_ids: (N,) the prepared items' ids, which `split.items` are row numbers of.
    """
    with pq.ParquetWriter(path, _SPLIT.with_metadata(_metadata(split.source, item_ids))) as writer:
        start = 0
        while start < len(split.users):
            most = np.searchsorted(split.offsets, split.offsets[start] + _GROUP_ITEMS, "right") - 1
            stop = max(int(most), start + 1)
            offsets = split.offsets[start : stop + 1]
            items = pa.array(split.items[offsets[0] : offsets[-1]])
            lists = pa.ListArray.from_arrays(pa.array((offsets - offsets[0]).astype(np.int32)), items, _SPLIT[1].type)
            columns = [pa.array(split.users[start:stop]), lists, pa.array(split.first_targets[start:stop])]
            writer.write_table(pa.Table.from_arrays(columns, schema=writer.schema))
            start = stop


def load_split(path: str | Path, item_ids: pl.Series | None = None) -> Split:
    """Read a split that the interactions stage wrote.

    Args:
        item_ids: (N,) the prepared items' ids, where the split must be of just these.

    Raises:
        InputError: missing or broken file, or the interactions of other items.
    """
    table = _read(path, _SPLIT)
    if item_ids is not None and (table.schema.metadata or {}).get(_ITEMS) != _digest(item_ids):
        raise InputError(f"{path}: belongs to items other than the prepared ones; run the interactions stage")
    lists = table["items"].chunks
    items = np.concatenate([np.zeros(0, np.int32), *(part.flatten().to_numpy() for part in lists)])
    lengths = np.concatenate([np.zeros(0, np.int32), *(np.diff(part.offsets.to_numpy()) for part in lists)])
    return Split(
        _source(path, table),
        table["user"].to_numpy(),
        items,
        np.r_[0, np.cumsum(lengths, dtype=np.int64)],
        table["first_target"].to_numpy(),
    )


def load_interactions(paths: Sequence[str | Path], users: str | Path, item_ids: pl.Series) -> Interactions | None:
    """All splits and their users; None where no interactions were given.

    Args:
        paths: the file of each of SPLITS, in that order.
        users: the users' file.
        item_ids: (N,) the prepared items' ids.

    Raises:
        InputError: as `load_split` and `load_users`.
    """
    train, valid, test = (load_split(path, item_ids) for path in paths)
    return None if train.source == "none" else Interactions(load_users(users), (train, valid, test))


def save_users(path: Path, user_ids: pl.Series) -> None:
    """Write the users' ids: (U,) text."""
    pq.write_table(pa.Table.from_arrays([user_ids.to_arrow().cast(pa.large_string())], schema=_USERS), path)


def load_users(path: str | Path) -> pl.Series:
    """The users' ids as text: (U,), user u of the splits is number u.

    Raises:
        InputError: missing or broken file.
    """
    return pl.Series("user_id", _read(path, _USERS)["user_id"])


def save_counts(path: Path, counts: Counts, item_ids: pl.Series, source: Source) -> None:
    """Write how many interactions each of the prepared items, (N,) ids as text, has."""
    columns = [item_ids.to_arrow().cast(pa.large_string()), pa.array(counts.train), pa.array(counts.total)]
    schema = _COUNTS.with_metadata(_metadata(source, item_ids))
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), path)


def load_counts(path: str | Path, item_ids: pl.Series) -> Counts | None:
    """How many interactions each of the prepared items has; None where no interactions were given.

    Args:
        item_ids: (N,) the prepared items' ids.

    Raises:
        InputError: missing or broken file, or the counts of other items.
    """
    table = _read(path, _COUNTS)
    if not pl.Series("item_id", table["item_id"]).equals(item_ids.rename("item_id")):
        raise InputError(f"{path}: belongs to items other than the prepared ones; run the interactions stage")
    if _source(path, table) == "none":
        return None
    return Counts(table["train"].to_numpy(), table["total"].to_numpy())


def _metadata(source: Source, item_ids: pl.Series) -> dict[bytes, bytes]:
    return {_SOURCE: source.encode(), _ITEMS: _digest(item_ids)}


def _digest(item_ids: pl.Series) -> bytes:
    """What distinguishes catalogues: a digest of all ids in their order."""
    digest = hashlib.sha256(item_ids.str.len_bytes().to_numpy().astype("<i8").tobytes())
    for start in range(0, len(item_ids), _HASHED_IDS):
        digest.update("".join(item_ids[start : start + _HASHED_IDS].to_list()).encode())
    return digest.hexdigest().encode()


def _read(path: str | Path, schema: pa.Schema) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise InputError(f"{path}: can't be read, run the interactions stage ({reason})") from None
    if not table.schema.equals(schema):
        raise InputError(
            f"{path}: has columns {', '.join(table.column_names)}, must have {', '.join(schema.names)} as the "
            "interactions stage writes them"
        )
    return table


def _source(path: str | Path, table: pa.Table) -> Source:
    found = (table.schema.metadata or {}).get(_SOURCE, b"").decode()
    for source in _SOURCES:
        if source == found:
            return source
    raise InputError(f"{path}: doesn't say what it was made from; run the interactions stage")
