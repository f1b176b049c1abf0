"""Which files a path names, and of which kind they are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from sid.errors import InputError, listed
from sid.files import elsewhere

KINDS = {
    ".csv": "csv",
    ".txt": "csv",
    ".dat": "csv",
    ".data": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".inter": "inter",
    ".item": "item",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonlines": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".parq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".npy": "npy",
    ".npz": "npz",
    ".pt": "torch",
    ".pth": "torch",
    ".bin": "torch",
    ".safetensors": "safetensors",
}
"""Suffix in lower case -> kind of file."""

TABLES = ("csv", "tsv", "inter", "item", "jsonl", "json", "parquet", "arrow")
"""The kinds that `open_table` reads."""

DELIMITED = ("csv", "tsv", "inter", "item")
"""Those of them that are lines of fields; the latter two are RecBole's atomic files."""

COMPRESSED = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz")

_POINTER, _LARGEST_POINTER = b"version https://git-lfs", 1024
_ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar")
_PICKLES = (".pkl", ".pickle", ".p", ".joblib")
_SPREADSHEETS = (".xlsx", ".xls", ".ods")
_LOGS = {"_delta_log": "a Delta Lake table", ".hoodie": "a Hudi table"}
# what writers leave beside their data
_BESIDE = re.compile(
    r"dataset_info\.json|state\.json|dataset_dict\.json|readme.*|licen[sc]e.*|.*\.(?:crc|md5|sha256|md|index\.json)|"
    r"(?:desktop\.ini|thumbs\.db)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Found:
    """What a path names.

    Attributes:
        kind: one of the values of KINDS.
        files: in the order in which their rows count: by name, numbers within names by their value.
        left_out: files of the folder that aren't data, going by their names.
    """

    kind: str
    files: tuple[Path, ...]
    left_out: tuple[Path, ...] = ()


def kind_of(path: Path) -> str | None:
    """The kind of a file by its suffix in any case, behind .gz and the like; None where it is unknown."""
    return KINDS.get(_suffix(path))


def find(path: Path, key: str, kinds: Collection[str], beside: Collection[Path] = ()) -> Found:
    """The data files that a path names, which is taken as it is: never as a pattern.

    A folder is searched at any depth. Names that begin with '.' or '_' (`_SUCCESS`, `._part-0.parquet`, `_temporary`)
    aren't data, by custom; in a folder that `datasets` saved, the files that its state.json lists count.

    Args:
        key: the key of params.yaml that names the path, for messages.
        kinds: those that are wanted.
        beside: files of the folder that are something else, as params.yaml says.

    Raises:
        InputError: nothing there, another kind of file, a folder with data files of several kinds or of none, the
            folder of a table format whose files alone don't say which rows count (Delta Lake, Iceberg, Hudi), a link to
            nothing, a pointer of Git LFS.
    """
    suffixes = ", ".join(suffix for suffix, kind in KINDS.items() if kind in kinds)
    if not path.exists():
        raise InputError(
            f"{path}: no such file or folder{elsewhere(path)} ({key} must name one; kinds of files: {suffixes})"
        )
    if not path.is_dir():
        kind = kind_of(path)
        if kind is not None and kind in kinds and kind not in TABLES and path.suffix.lower() in COMPRESSED:
            raise InputError(f"{path}: arrays are read in place and can't be compressed; unpack it")
        if kind is None or kind not in kinds:
            raise InputError(f"{path}: unknown kind of file {_shown(path)!r}; {_advice(path, suffixes)}")
        _refuse_pointer(path)
        return Found(kind, (path,))
    _refuse_table_formats(path)
    by_kind: dict[str, list[Path]] = {}
    others = []
    named = {os.path.realpath(one) for one in beside}
    for file in _walk(path, kinds):
        if os.path.realpath(file) in named:
            continue
        kind = kind_of(file)
        if kind is None or kind not in kinds or _BESIDE.fullmatch(file.name):
            others.append(file)
        else:
            by_kind.setdefault(kind, []).append(file)
    if not by_kind:
        there = f"there are {listed(file.relative_to(path) for file in others)}" if others else "it is empty"
        raise InputError(f"{path}: a folder without data files ({there}); {key} wants one of {suffixes}")
    if "inter" in by_kind:  # whatever is beside RecBole's atomic files, they are the interactions
        others += [file for kind, files in by_kind.items() if kind != "inter" for file in files]
        by_kind = {"inter": by_kind["inter"]}
    if len(by_kind) > 1:
        counts = ", ".join(f"{len(files)} {kind} ({files[0].relative_to(path)})" for kind, files in by_kind.items())
        raise InputError(f"{path}: has files of several kinds: {counts}; {key} must name a folder with one kind")
    ((kind, files),) = by_kind.items()
    for file in files:
        _refuse_pointer(file)
    return Found(kind, tuple(_of_datasets(path, files) if kind == "arrow" else files), tuple(others))


def _refuse_pointer(file: Path) -> None:
    """Refuse what stands for a file that isn't there."""
    if not file.exists():
        raise InputError(f"{file}: is a link to {os.readlink(file)}, which doesn't exist")
    if file.is_file() and file.stat().st_size < _LARGEST_POINTER and file.read_bytes().startswith(_POINTER):
        raise InputError(f"{file}: is a Git LFS pointer to a file that wasn't downloaded; run git lfs pull")


def refuse_links_of_splits(path: Path) -> None:
    """Refuse a folder with the splits of a `datasets.DatasetDict`: which of them counts isn't ours to say."""
    splits = path / "dataset_dict.json"
    if splits.is_file():
        names = sorted(inside.name for inside in path.iterdir() if inside.is_dir())
        if len(names) > 1:
            raise InputError(
                f"{path}: holds the splits {', '.join(names)} of a dataset, must name one of these folders"
            )


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in COMPRESSED else suffix


def _shown(path: Path) -> str:
    return path.suffix if path.suffix.lower() not in COMPRESSED else Path(path.stem).suffix + path.suffix


def _advice(path: Path, suffixes: str) -> str:
    suffix = path.suffix.lower()
    if suffix in _ARCHIVES:
        return f"unpack it and name what is in it: {suffixes}"
    if suffix in _SPREADSHEETS:
        return "save the sheet as CSV UTF-8"
    if suffix in _PICKLES:
        return "pickles can run code, so none is opened: save the array with numpy.save, a table as Parquet"
    return f"must be {suffixes}, or one of the text kinds with {' or '.join(COMPRESSED[::2])}; rename it if it is one"


def _walk(folder: Path, kinds: Collection[str]) -> Iterator[Path]:
    """All files below a folder that aren't hidden, in natural order of their paths; links are followed, once each."""
    seen: set[str] = set()
    found, shards = [], []
    for top, folders, names in os.walk(folder, followlinks=True, onerror=_refuse_unreadable):
        real = os.path.realpath(top)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not _hidden(name)]
        found += [Path(top, name) for name in names if not _hidden(name)]
        shards += [Path(top, name) for name in folders if kind_of(Path(name)) in kinds]  # as Spark writes them
    holders = {os.path.realpath(parent) for parent in {parent for file in found for parent in file.parents}}
    if empty := [shard for shard in shards if os.path.realpath(shard) not in holders]:
        raise InputError(
            f"{empty[0]}: a folder with the name of a data file but no data; put its files back or remove it"
        )
    yield from sorted(found, key=lambda path: natural(str(path.relative_to(folder))))


def _refuse_unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename}: can't be read ({error.strerror})") from None


def _hidden(name: str) -> bool:
    # a partition of a lake may be called _dt=2024
    return (name.startswith((".", "_")) and "=" not in name) or name == "__MACOSX"


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """What sorts part-2 before part-10."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], name


def _refuse_table_formats(folder: Path) -> None:
    """Their log says which files count: those of deleted rows are still there."""
    inside = [Path(top, name) for top, names, _ in os.walk(folder) for name in names]
    for log, name in _LOGS.items():
        for place in (*(path / log for path in folder.resolve().parents[:3]), *inside):
            if place.name == log and place.is_dir():
                raise _table_format(folder, name, place)
    above = folder.resolve().parents[:3]
    for place in (*inside, *(path / "metadata" for path in above), *(path / "_versions" for path in above)):
        if (
            place.name == "metadata"
            and place.is_dir()
            and any(name.endswith(".metadata.json") or name == "version-hint.text" for name in os.listdir(place))
        ):
            raise _table_format(folder, "an Iceberg table", place)
        if place.name.endswith(".lance") or (
            place.name == "_versions" and place.is_dir() and (place.parent / "data").is_dir()
        ):
            raise _table_format(folder, "a Lance table", place)


def _table_format(folder: Path, name: str, log: Path) -> InputError:
    return InputError(
        f"{folder}: is {name} (it has {log.name}), in which files of deleted and replaced rows remain: write its "
        "current rows to plain Parquet, e.g. with DuckDB or Spark, and name that"
    )


def _of_datasets(folder: Path, files: list[Path]) -> list[Path]:
    """The .arrow files that count: of a folder that `datasets` saved, those that its state lists, and no caches."""
    kept: list[Path] = []
    for place in dict.fromkeys(file.parent for file in files):
        here = [file for file in files if file.parent == place]
        try:
            state = json.loads((place / "state.json").read_text(encoding="utf-8"))
            names = [entry["filename"] for entry in state["_data_files"]]
        except (OSError, ValueError, KeyError, TypeError):
            kept += here
            continue
        if state.get("_indices_files") or state.get("_indices_data_files"):
            raise InputError(f"{place}: a dataset with an indices file; save it again after flatten_indices()")
        absent = [name for name in names if place / name not in here]
        if absent:
            raise InputError(f"{place}: its state.json lists {listed(absent)}, which doesn't exist")
        kept += [place / name for name in names]
    return kept
