"""Indexes that are a table alone, without the quantizer that made them: Parquet, or MiniOneRec's index.json.

It reads tokens by a pattern of its own, so that an edit to how this project writes them retrains nothing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sid.arrays import MAX_LEVELS, NO_TOKEN, SIZES_KEY, Codes
from sid.catalogue.item_ids import refuse_duplicates
from sid.errors import InputError
from sid.releases.folder import Release

_TOKEN = re.compile(r"<([a-z])_(0|[1-9][0-9]{0,8})>")
_TOKENS = re.compile(rf"(?:{_TOKEN.pattern})+")
_LARGEST = 1 << 20  # codes that a level can have, as in params.yaml
_COLUMNS = "'item_id', and 'codes' (lists of integers) or 'sid' (text like <a_12><b_200><c_7>)"


@dataclass(frozen=True)
class Table:
    """Item ids, all different, and their Semantic IDs.

    Attributes:
        item_ids: (M,) text, M >= 1.
        codes: (M, L) int32; -1 in the last column alone stands for 'no token'.
        code_sizes: of each level; one more than its largest code where the file doesn't say.
        origins: (M,) the releases since which they have them; None where the file doesn't say.
    """

    item_ids: pl.Series
    codes: Codes
    code_sizes: tuple[int, ...]
    origins: pl.Series | None = None


def read_table(path: Path) -> Table:
    """Any index: a Parquet file with `item_id` and `codes` or `sid`, or an index.json {item id: [token, ...]}.

    Raises:
        InputError: the file is missing, damaged or neither, has no item or one twice, or its Semantic IDs are of
            different lengths (the last token alone may be missing).
    """
    found = _of_json(path) if path.suffix.lower() == ".json" else _of_parquet(path)
    refuse_duplicates(found.item_ids, str(path))
    return found


def open_table(path: Path, num_emb_list: Sequence[int] | None) -> Release:
    """A table that an index continues: a release without a quantizer, an aligner or a manifest.

    Args:
        num_emb_list: the code sizes of the quantizer that will give new items their codes, which must hold the
            published ones; None where they may be others.

    Raises:
        InputError: as `read_table`, or codes that such a quantizer doesn't have.
    """
    found = read_table(path)
    width, levels = found.codes.shape[1], len(num_emb_list or found.code_sizes)
    if num_emb_list is not None and (
        width - levels not in (0, 1)
        or found.codes[:, :levels].min() == NO_TOKEN
        or any(most > size for most, size in zip(found.code_sizes, num_emb_list, strict=False))
    ):
        raise InputError(
            f"params.yaml: quant.num_emb_list is {list(num_emb_list)}, but the Semantic IDs of {path} have {width} "
            f"levels of {list(found.code_sizes)} codes: must have as many levels (one fewer where dedupe.strategy "
            "appends one) of at least as many codes, so that published ones stay possible"
        )
    own = pl.Series("release", [path.name] * len(found.codes), pl.String)
    origins = own if found.origins is None else found.origins.fill_null(path.name)
    raw = found.codes[:, :levels]
    return Release(path, path.name, {}, found.item_ids, found.codes, raw, origins, found.code_sizes)


def _of_json(path: Path) -> Table:
    try:
        # pairs, since a dict would silently keep the last of equal keys
        entries = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=lambda pairs: pairs)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: isn't JSON ({error})") from None
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, tuple) for entry in entries):
        raise InputError(f"{path}: must be an object of item id -> list of tokens, with one item or more")
    rows = []
    for key, entry in entries:
        if not isinstance(entry, list) or not all(isinstance(part, str) for part in entry):
            raise InputError(f"{path}: item {key!r} has {entry!r}: must be a list of tokens like ['<a_12>', '<b_200>']")
        rows.append(_parsed(path, key, "".join(entry)))
    ids = [key for key, _ in entries]
    return _table(path, pl.Series("item_id", ids, pl.String), rows)


def _of_parquet(path: Path) -> Table:
    try:
        schema = pq.read_schema(path)
        wanted = [name for name in ("item_id", "codes", "sid", "release") if name in schema.names]
        if "codes" in wanted and "sid" in wanted:
            wanted.remove("sid")
        table = pq.read_table(path, columns=wanted)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: can't be read as Parquet ({next(iter(str(error).splitlines()), '')})") from None
    if "item_id" not in wanted or not {"codes", "sid"} & set(wanted):
        raise InputError(f"{path}: holds no Semantic IDs (columns {', '.join(schema.names)}): must have {_COLUMNS}")
    if not len(table):
        raise InputError(f"{path}: must have one item or more")
    ids = _texts(path, table, "item_id")
    if "codes" in wanted:
        rows = _lists(path, table["codes"])
    else:
        texts = _texts(path, table, "sid")
        rows = [_parsed(path, key, text) for key, text in zip(ids, texts, strict=True)]
    origins = _texts(path, table, "release", empty=True) if "release" in wanted else None
    found = _table(path, ids, rows, origins)
    sizes = _sizes(schema, found.code_sizes)
    return Table(found.item_ids, found.codes, sizes, found.origins)


def _texts(path: Path, table: pa.Table, name: str, empty: bool = False) -> pl.Series:
    kind = table.schema.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if not texts and not pa.types.is_integer(kind) and not (empty and pa.types.is_null(kind)):
        raise InputError(f"{path}: column {name!r} is {kind}, must be text" + (" or integers" * (name == "item_id")))
    found = pl.Series(name, table[name].cast(pa.large_string()), pl.String)
    if not empty and found.null_count():
        raise InputError(f"{path}: row {found.is_null().arg_max()} has no {name}")
    return found


def _lists(path: Path, column: pa.ChunkedArray) -> NDArray[Any] | list[Any]:
    """An array where all are of one length, the rule, or lists."""
    kind = column.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not lists or not pa.types.is_integer(kind.value_type):
        raise InputError(f"{path}: column 'codes' is {kind}, must be lists of integers")
    values = column.combine_chunks()
    values = values.chunk(0) if isinstance(values, pa.ChunkedArray) else values
    if not values.null_count and not values.flatten().null_count:
        flat = values.flatten().to_numpy(zero_copy_only=False)
        lengths = np.full(len(values), kind.list_size) if pa.types.is_fixed_size_list(kind) else values.value_lengths()
        if len(set(np.unique(lengths))) == 1:
            return np.asarray(flat).reshape(len(values), -1)
    return list(values.to_pylist())


def _parsed(path: Path, key: str, text: str) -> list[int]:
    found = _TOKEN.findall(text)
    if not _TOKENS.fullmatch(text) or "".join(level for level, _ in found) != ascii_lowercase[: len(found)]:
        raise InputError(
            f"{path}: item {key!r}: {text!r} isn't a Semantic ID: must be tokens of levels a, b, ... like "
            "<a_12><b_200><c_7>"
        )
    return [int(code) for _, code in found]


def _table(path: Path, ids: pl.Series, rows: NDArray[Any] | Sequence[Any], origins: pl.Series | None = None) -> Table:
    wide = rows if isinstance(rows, np.ndarray) else _padded(path, ids, rows)
    levels = wide.shape[1]
    least = np.zeros(levels, np.int64)
    least[levels - 1 :] = NO_TOKEN if levels > 1 else 0
    bad = ((wide < least) | (wide >= _LARGEST)).any(axis=1)
    if not 1 <= levels <= MAX_LEVELS or bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{path}: item {ids[row]!r} has codes {wide[row].tolist()}: must be 1 to {MAX_LEVELS} integers from 0 to "
            f"{_LARGEST - 1}"
        )
    codes: Codes = wide.astype(np.int32)
    return Table(ids, codes, tuple((codes.max(axis=0) + 1).tolist()), origins)


def _padded(path: Path, ids: pl.Series, rows: Sequence[Any]) -> NDArray[np.int64]:
    """(M, L) of lists, of which some may lack the last code."""
    lengths = Counter(len(row or ()) for row in rows)
    levels = max(lengths)
    codes = np.full((len(rows), max(levels, 1)), NO_TOKEN, np.int64)
    for place, row in enumerate(rows):
        if len(row or ()) < max(levels - 1, 1) or None in row:
            raise InputError(
                f"{path}: item {ids[place]!r} has {len(row or ())} tokens, but others have {levels}: all Semantic IDs "
                "must have the same length, except for a last token that some may lack"
            )
        codes[place, : len(row)] = row
    return codes


def _sizes(schema: pa.Schema, least: tuple[int, ...]) -> tuple[int, ...]:
    """What the file says of its sizes, where that can be; else the least that they can be."""
    try:
        said = json.loads((schema.metadata or {})[SIZES_KEY])
        sizes = tuple(int(size) for size in said)
    except (KeyError, ValueError, TypeError):
        return least
    fits = len(sizes) == len(least) and all(size >= most for size, most in zip(sizes, least, strict=True))
    return sizes if fits else least
