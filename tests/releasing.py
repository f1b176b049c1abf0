"""Projects that go on from a release, without DVC and Git: what `stages.publish` does after its checks."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sid import params
from sid.arrays import load_codes, load_vectors
from sid.ids import SemanticIds
from sid.quantizers.methods import CONFIGS
from sid.releases import folder
from sid.releases.publish import Index, publish
from sid.releases.published import published
from tests.conftest import Project

INDEX = ("prepare", "interactions", "align", "train", "index", "dedupe")


def catalogue_of(project: Project, ids: list[str], vectors: np.ndarray) -> None:
    """Give a project these items, in this order."""
    table = pl.DataFrame({"item_id": ids, "embedding": vectors.tolist()}, schema_overrides={"item_id": pl.String})
    table = table.with_columns(pl.col("embedding").cast(pl.Array(pl.Float32, vectors.shape[1])))
    table.write_parquet(project.path("embeddings.parquet"))
    titles = {"item_id": ids, "title": [f"Item {one}" for one in ids]}
    pl.DataFrame(titles).write_parquet(project.path("items.parquet"))
    project.params(prepare__embeddings="embeddings.parquet", prepare__items="items.parquet")


def publish_from(project: Project, name: str, **facts: Any) -> Path:
    """The index of a project as a release of its own; the path to name in `published`."""
    wanted = params.load(project.path("params.yaml"), CONFIGS)
    with chdir(project.folder):
        earlier = published(wanted)
    files = {
        folder.QUANTIZER: project.path("data/quantizer.pth"),
        folder.TRAINING: project.path("reports/train.json"),
        folder.CURVE: project.path("reports/train.csv"),
        folder.PARAMS: project.path("params.yaml"),
    }
    index = Index(
        SemanticIds.load(project.path("data/sids.parquet")),
        load_codes(project.path("data/codes.npy")),
        files,
        None,
        load_vectors(project.path("data/prepared/embeddings.npy")).shape[1],
        wanted.dedupe.strategy,
    )
    reserve = wanted.release.mode == "append" and wanted.release.retired == "keep"
    publish(index, project.path(f"releases/{name}"), earlier, reserve=reserve, facts=facts)
    return Path("releases") / name


def sids_of(project: Project) -> dict[str, str]:
    """Item id -> Semantic ID as text."""
    table = pl.read_parquet(project.path("data/sids.parquet"))
    return dict(zip(table["item_id"], table["sid"], strict=True))
