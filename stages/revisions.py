"""Indexes by name: files, releases, the workspace, Git revisions and DVC's experiments."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from sid.errors import InputError
from sid.files import read_yaml
from sid.ids import SemanticIds
from sid.releases.folder import SIDS
from sid.releases.tables import read_table
from sid.report.comparison import Index
from stages import pipeline

WORKSPACE = "workspace"


def index(name: str) -> Index:
    """The index that a name means, with the figures and params that are known of it.

    Args:
        name: a sids.parquet or an index.json, the folder of a release, `workspace`, or a Git revision or the name of
            a DVC experiment, whose files come from DVC's cache.

    Raises:
        InputError: there is no such thing, or DVC's cache lacks its Semantic IDs.
    """
    if name == WORKSPACE:
        stages = pipeline.declared()
        metrics = {path.stem: json.loads(path.read_text()) for path in _metrics(stages) if path.exists()}
        return Index(
            name, SemanticIds.load(stages["dedupe"].option("sids")), metrics, _flat(read_yaml(pipeline.PARAMS))
        )
    path = Path(name)
    if path.is_dir():
        params = path / "params.yaml"
        known = _flat(read_yaml(params)) if params.exists() else {}
        return Index(path.name, read_sids(path / SIDS), {}, known)
    if path.exists() or path.suffix in (".parquet", ".json"):
        return Index(path.name, read_sids(path), {}, {})
    return _of_revision(name)


def read_sids(path: Path) -> SemanticIds:
    """An index of any kind that `sid.releases.tables` reads."""
    found = read_table(path)
    return SemanticIds(found.item_ids, found.codes, found.code_sizes)


def _metrics(stages: Mapping[str, pipeline.Declared]) -> list[Path]:
    return [stage.option("metrics") for stage in stages.values() if "--metrics" in stage.cmd.split()]


def _of_revision(name: str) -> Index:
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    stages = pipeline.declared()

    def read(path: Path) -> bytes | None:
        try:
            found: bytes = files.read_bytes(str(path))
        except OSError:
            return None
        return found

    try:
        files = DVCFileSystem(str(Path()), rev=name)
        sids = read(stages["dedupe"].option("sids"))
    except (DvcException, SCMError):
        raise InputError(
            f"{name}: is neither a file, the folder of a release, {WORKSPACE!r}, nor a revision of Git or an "
            "experiment of DVC (dvc exp show lists them)"
        ) from None
    if sids is None:
        raise InputError(f"{name}: its Semantic IDs aren't in DVC's cache: run dvc fetch, or run the pipeline there")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sids.parquet"
        path.write_bytes(sids)
        found = SemanticIds.load(path)
    metrics = {path.stem: json.loads(text) for path in _metrics(stages) if (text := read(path)) is not None}
    params = read(pipeline.PARAMS)
    values = yaml.safe_load(io.BytesIO(params)) if params is not None else {}
    return Index(name, found, metrics, _flat(values))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else str(value)
    return found
