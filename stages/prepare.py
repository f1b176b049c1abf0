"""Load embeddings and item metadata, clean and align them, and write both as the prepared artifacts."""

import polars as pl

from sid.catalogue import cleaning as items
from sid.catalogue.cleaning import Cleaning
from sid.catalogue.embeddings import open_embeddings
from sid.catalogue.metadata import as_named, read_metadata
from sid.files import write_json
from sid.params import given
from stages.run import Stage, run, tell


def main(stage: Stage) -> str:
    """params.yaml's catalogue -> vectors, items, ids, report, metrics."""
    wanted = stage.params.prepare
    source = open_embeddings(wanted.embeddings, wanted.item_id_column, wanted.embedding_column, given(wanted.ids))
    metadata = None
    if (path := given(wanted.items)) is not None:
        fields, form = as_named(wanted)
        skip = [wanted.embedding_column]
        metadata = read_metadata(path, wanted.item_id_column, fields, skip, wanted.html == "clean", form)
    cleaning = Cleaning(
        wanted.invalid_rows,
        wanted.missing_vectors,
        wanted.outliers,
        wanted.normalize,
        wanted.unknown_items,
        wanted.missing_metadata,
    )
    prepared = stage.output("items")
    figures = items.prepare(source, metadata, cleaning, stage.output("vectors"), prepared, stage.engine)
    ids = pl.read_parquet(prepared, columns=["item_id"], glob=False)
    ids.write_parquet(stage.output("ids"))  # for what needs no titles
    write_json(stage.output("report"), figures)
    write_json(stage.output("metrics"), {"items": figures["items"]})
    tell("prepare", figures)
    return (
        f"{figures['items']:,} items of {figures['dim']} dimensions, {figures['nan_rows']} rows with NaN, "
        f"{figures['inf_rows']} with Inf, {figures['zero_rows']} all zero, {figures['duplicate_rows']} duplicates, "
        f"{figures['outlier_rows']} outliers"
    )


if __name__ == "__main__":
    run("prepare", main, inputs=(), outputs=("vectors", "items", "ids", "report", "metrics"))
