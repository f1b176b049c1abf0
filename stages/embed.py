"""Encode the items' texts by a sentence-transformers model, if embed.model names one."""

import os
from pathlib import Path

from sid import params
from sid.catalogue.items import FIELDS
from sid.catalogue.metadata import read_metadata
from sid.embed import encode
from sid.embed.store import Store, write_nothing, write_vectors
from sid.embed.texts import texts
from sid.errors import InputError
from sid.files import write_json
from sid.tables.text import Form
from stages.run import Stage, run, tell


def main(stage: Stage) -> str:
    """The items of params.yaml -> a Parquet file of ids and vectors, report."""
    wanted, source = stage.params.embed, stage.params.prepare
    columns = (source.item_id_column, source.embedding_column)
    if wanted.model == "none":
        write_nothing(stage.output("vectors"), columns)  # DVC warns of files without content
        write_json(stage.output("report"), {"model": "none"})
        return "off, embed.model is none"
    path = params.given(source.items)
    if path is None:
        raise InputError("prepare.items is data/none: embed.model needs the items' texts")
    fields = {name: str(getattr(source, f"{name}_column")) for name in FIELDS}
    form = Form(source.items_header, source.items_encoding)
    skip = [source.embedding_column]
    metadata = read_metadata(path, source.item_id_column, fields, skip, source.html == "clean", form)
    found = texts(metadata.frame, wanted.template)
    there = found.drop_nulls().to_list()
    if not there:
        raise InputError(f"{path}: no item has a field of embed.template {wanted.template!r}")
    # beside the states of trainings: outputs are removed before a stage runs, and this must outlive that
    store = Store(Path(os.environ.get("DVC_ROOT", "")) / stage.input("checkpoints") / "embed" / encode.key(wanted))
    stage.resumes = lambda: f"after {len(store):,} texts"
    count = encode.encode(there, store, lambda: encode.model(wanted))
    matrix = store.of(there)
    write_vectors(stage.output("vectors"), metadata.frame["item_id"], found.is_not_null(), matrix, columns)
    figures = {
        "model": wanted.model,
        "items": len(found),
        "dim": matrix.shape[1],
        "encoded": count,
        "items_without_text": found.null_count(),
        "warnings": metadata.warnings,
        "notes": metadata.notes,
    }
    write_json(stage.output("report"), figures)
    tell("embed", figures)
    return f"{len(there):,} texts, {count:,} of them newly encoded, {matrix.shape[1]} dimensions"


if __name__ == "__main__":
    run("embed", main, inputs=("checkpoints",), outputs=("vectors", "report"))
