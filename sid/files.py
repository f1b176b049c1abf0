"""Files that appear whole or not at all, JSON and CSV as this project writes them, YAML as DVC reads it."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sid.errors import InputError


class Outputs:
    """A set of outputs that are written under temporary names and then moved into place together.

    Use as a context manager. `partial` names the place to write to; `commit` moves everything. Leaving without
    `commit`, by an error or not, removes what was written and leaves the earlier outputs as they were.
    """

    def __init__(self) -> None:
        self._targets: dict[Path, Path] = {}

    def __enter__(self) -> Outputs:
        """Nothing is made before `partial` asks for it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove whatever was not committed."""
        self.discard()

    def discard(self) -> None:
        """Remove whatever was not committed; harmless at any time, so that an interrupted exit can be made up for."""
        for partial in self._targets.values():
            _remove(partial)

    def partial(self, target: str | Path) -> Path:
        """Where to write what is to become `target` (a file, or a folder that the caller makes).

        Raises:
            InputError: its folder can't be made or written.
        """
        target = Path(target)
        partial = target.with_name(f".{target.name}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove(partial)
        except OSError as error:
            raise InputError(f"{target}: can't be written ({error.strerror or error})") from None
        if not os.access(target.parent, os.W_OK):
            raise InputError(f"{target}: can't be written (no permission in {target.parent})")
        self._targets[target] = partial
        return partial

    def commit(self) -> None:
        """Move every output into place, contents on disk first.

        Killed halfway, some are missing, but none is old beside a new one. Earlier outputs are replaced and never
        written into: they may be links into DVC's cache.
        """
        for partial in self._targets.values():
            _sync(partial)
        for target in self._targets:
            _remove(target)
        for target, partial in self._targets.items():
            os.replace(partial, target)
        for folder in {target.parent for target in self._targets}:
            _sync_one(folder)
        self._targets.clear()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have a file, or a folder and all in it, on the disk and not in its cache alone."""
    if path.is_dir():
        for inside in path.rglob("*"):
            _sync_one(inside)
    _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link_or_copy(source: Path, target: Path) -> None:
    """Have a file's content under a second name: by a hard link where the file system allows one, else by a copy.

    Only for files that are replaced and never written into, as this project's outputs are.
    """
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def elsewhere(path: str | Path) -> str:
    """A hint at what may be meant by the path of a file that isn't there; '' where nothing is known.

    Paths are taken as they are, by DVC too: `~` and variables are the shell's, and URLs are no files.
    """
    text = str(path)
    if re.match(r"[a-z][a-z0-9+]{1,9}:/", text) and not text.startswith("file:"):
        return "; URLs aren't read: download it"
    meant = os.path.expandvars(os.path.expanduser(text.strip().strip("\"'")))
    for one in (meant, re.sub(r"^file:/{1,3}", "/", meant), meant.replace("\\", "/")):
        if one != text and one and Path(one).exists():
            return f"; paths are used exactly as written (~, variables, quotes and blanks too): write {one}"
    return ""


NPY_ERRORS = (OSError, ValueError, EOFError, OverflowError, SyntaxError, tokenize.TokenError)
"""What `numpy.load` raises for files that are missing, cut off or no .npy."""


def round6(value: float) -> float:
    """A figure as reports hold it: six significant digits."""
    return float(f"{value:.6g}")


def read_json(path: Path) -> Any:
    """What `write_json` wrote.

    Raises:
        InputError: no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: isn't JSON, run the stage that writes it ({error})") from None


def digest(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """A report: indented JSON with keys in their own order; NaN and Inf are refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A table with a header; cells a row lacks stay empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


class _Yaml12(yaml.SafeLoader):
    """PyYAML's parser with the plain scalars of YAML 1.2, as ruamel.yaml resolves them for DVC."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


_YAML = "tag:yaml.org,2002:"
_MERGE = f"{_YAML}merge"
_SCALARS = {  # the first that matches decides
    f"{_YAML}bool": r"true|True|TRUE|false|False|FALSE",
    f"{_YAML}float": r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    f"{_YAML}int": r"[-+]?0b[01_]+|[-+]?0o[0-7_]+|[-+]?0x[0-9a-fA-F_]+|(?=[-+0-9])[-+]?[0-9_]+",
    _MERGE: r"<<",
    f"{_YAML}null": r"~|null|Null|NULL|",
    f"{_YAML}timestamp": r"\d{4}-\d\d-\d\d|\d{4}-\d\d?-\d\d?(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?"
    r"(?:[ \t]*(?:Z|[-+]\d\d?(?::\d\d)?))?",
}
for _tag, _pattern in _SCALARS.items():
    _Yaml12.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), None)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file whose top is a mapping, by the rules of YAML 1.2 as DVC reads params.yaml.

    `1e-4` is a number, `on` a text, `010` is 10, and `<<` merges. What DVC would read as a date, as a key that isn't
    text, or by a tag of its own is refused: params.yaml has no use for it.

    Raises:
        InputError: the file is missing or isn't YAML, its top isn't a mapping, a key is given twice, or it has
            something that is refused. All such places are named at once.
    """
    path = Path(path)
    try:
        loader = _Yaml12(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error})") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(_yaml_fault(path, error)) from None
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{path}: must be a mapping of sections, e.g. 'prepare:' at the start of a line")
    reader = _YamlReader()
    if loader.yaml_version not in (None, (1, 2)):
        reader.problems.append(f"is YAML {'.'.join(map(str, loader.yaml_version))} by its first line, must be 1.2")
    try:
        value: dict[str, Any] = reader.value(root, "")
    except RecursionError:
        raise InputError(f"{path}: contains itself through an alias, or is nested too deep") from None
    if reader.problems:
        raise InputError(f"{path}: {problem}" for problem in reader.problems)
    return value


def _yaml_fault(path: Path, error: Exception) -> str:
    """One line for what PyYAML's parser stumbled over: where the mistake is, and what is wrong there."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        said = "nested too deep" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        return f"{path}: not valid YAML: {said}"
    mark, problem, context = error.problem_mark, error.problem or "", error.context or ""
    opened = error.context_mark
    if opened is not None and "flow" in context:
        one, other = ("[", "]") if "sequence" in context else ("{", "}")
        mark, problem = opened, f"this {one} isn't closed by {other}, or a comma is missing after an entry"
    elif opened is not None and "quoted scalar" in context:
        mark, problem = opened, "this quote isn't closed"
    elif opened is not None and "could not find expected ':'" in problem:
        mark, problem = opened, "must be 'key: value', with a colon and a blank"
    elif "mapping values are not allowed" in problem:
        problem = "a colon isn't expected here: quote a value that contains one, and check the indentation"
    elif "'\\t'" in problem:
        problem = "a tab can't be used here: indent by spaces"
    elif "<block end>" in problem:
        problem = "doesn't belong after what comes before it: check quotes and indentation"
    elif "alias" in context + problem or "anchor" in context or "cannot start any token" in problem:
        problem = "a value that starts like this must be quoted"
        mark = opened if "alias" in context and opened else mark
    return f"{path}:{mark.line + 1}:{mark.column + 1}: not valid YAML: {problem}"


class _YamlReader:
    """Nodes -> plain dicts, lists and scalars; problems are collected. What is aliased is one object, as in YAML."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._made: dict[yaml.Node, Any] = {}

    def value(self, node: yaml.Node, key: str) -> Any:
        """The value of a node at a dotted key."""
        if node not in self._made:
            if isinstance(node, yaml.MappingNode):
                made: Any = self._mapping(node, key)
            elif isinstance(node, yaml.SequenceNode):
                made = [self.value(child, f"{key}[{place}]") for place, child in enumerate(node.value)]
            else:
                made = self._scalar(node, key)
            self._made[node] = made
        return self._made[node]

    def _mapping(self, node: yaml.MappingNode, key: str) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] | None = None
        for name, child in node.value:
            line = name.start_mark.line + 1
            if name.tag == _MERGE:
                if merged is not None:
                    self.problems.append(f"{key or 'top'} has << twice, again in line {line}")
                merged = self._merged(child, key)
                continue
            if name.tag != f"{_YAML}str" or not isinstance(name, yaml.ScalarNode):
                shown = name.value if isinstance(name, yaml.ScalarNode) else "a list or mapping"
                self.problems.append(f"line {line}: the key {shown} must be text: quote it")
                continue
            dotted = f"{key}.{name.value}" if key else name.value
            if name.value in own:
                self.problems.append(f"{dotted} is given twice, again in line {line}")
            own[name.value] = self.value(child, dotted)
        return {**(merged or {}), **own}

    def _merged(self, node: yaml.Node, key: str) -> dict[str, Any]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in reversed(sources):
            if isinstance(source, yaml.MappingNode):
                merged.update(self.value(source, key))
            else:
                self.problems.append(f"{key or 'top'}: << must name a mapping or a list of mappings")
        return merged

    def _scalar(self, node: yaml.Node, key: str) -> Any:
        text, kind = str(node.value), node.tag.removeprefix(_YAML)
        plain = text.replace("_", "").lower()
        try:
            if kind in ("str", "merge"):
                return text
            if kind == "null":
                return None
            if kind == "bool":
                return {"true": True, "false": False}[plain]
            if kind == "float":
                return float(plain.replace(".inf", "inf").replace(".nan", "nan"))
            if kind == "int":
                return int(plain, 0 if re.match(r"[-+]?0[box]", plain) else 10)
        except (KeyError, ValueError):
            self.problems.append(f"{key} is {text}: can't be read as {kind}")
            return None
        if kind == "timestamp":
            self.problems.append(f"{key} is {text}, which YAML reads as a date: quote it")
        else:
            self.problems.append(f"{key} has the tag {node.tag}: must be text, a number, true, false or null")
        return None
