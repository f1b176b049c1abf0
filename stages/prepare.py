"""Load embeddings and item metadata, clean and align them, and write both as the prepared artifacts."""

import polars as pl

from sid import params
from sid.catalogue import cleaning as items
from sid.catalogue.cleaning import Cleaning
from sid.catalogue.embeddings import open_embeddings
from sid.catalogue.metadata import read_metadata
from sid.files import write_json
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """params.yaml's catalogue -> vectors, items, ids, report, metrics."""
    wanted = stage.params.prepare
    source = open_embeddings(wanted.embeddings, wanted.item_id_column, wanted.embedding_column)
    metadata_path = params.given(wanted.items)
    metadata = None if metadata_path is None else read_metadata(metadata_path, wanted.item_id_column)
    cleaning = Cleaning(wanted.invalid_rows, wanted.normalize)
    prepared = stage.output("items")
    figures = items.prepare(source, metadata, cleaning, stage.output("vectors"), prepared)
    pl.read_parquet(prepared, columns=["item_id"]).write_parquet(stage.output("ids"))  # for what needs no titles
    write_json(stage.output("report"), figures)
    write_json(stage.output("metrics"), {"items": figures["items"]})
    return (
        f"{figures['items']:,} items of {figures['dim']} dimensions, {figures['nan_rows']} rows with NaN, "
        f"{figures['inf_rows']} with Inf, {figures['zero_rows']} all zero, {figures['duplicate_rows']} duplicates"
    )


if __name__ == "__main__":
    run("prepare", main, inputs=(), outputs=("vectors", "items", "ids", "report", "metrics"))
