"""Check params.yaml and the inputs it names before DVC runs: DVC removes a stage's old outputs before it starts it."""

import sys
from pathlib import Path

from sid import params
from sid.catalogue.embeddings import open_embeddings
from sid.catalogue.metadata import as_named, check_columns
from sid.errors import InputError
from sid.export.formats import CHOICES
from sid.export.prompts import Prompts
from sid.files import digest, read_json
from sid.interactions.read import check_interactions
from sid.quantizers.methods import CONFIGS, check_sizes
from sid.releases.beside import check_release, sharing
from sid.releases.folder import taken_over
from sid.releases.published import published
from stages import pipeline, ready

MAKEFILE = Path("Makefile")  # of a whole project, whose stages DVC will run


def load() -> params.Params:
    """params.yaml; mistakes in it and the missing files that it names are reported together."""
    problems: list[str] = []
    try:
        wanted = params.load(pipeline.PARAMS, CONFIGS, CHOICES)
    except InputError as error:
        problems += error.problems
    problems += params.missing_files(pipeline.PARAMS) if pipeline.PARAMS.exists() else []
    if problems:
        raise InputError(problems)
    return wanted


def check(wanted: params.Params) -> None:
    """Raise InputError or OSError for what would make a stage fail and can be seen without reading every row."""
    if MAKEFILE.exists() and (no_git := ready.git(Path())) is not None:
        raise InputError(no_git)
    problems: list[str] = []
    for part in (_published, _embeddings, _items, _interactions):
        try:
            part(wanted)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    Prompts.load(wanted.export.prompts)


def _published(wanted: params.Params) -> None:
    """DVC would tell of a cycle."""
    path = params.given(wanted.published)
    outputs = {out for stage in pipeline.declared().values() for out in stage.outs}
    if path is not None and {str(path), *map(str, path.parents)} & outputs:
        raise InputError(
            f"params.yaml: published is {str(path)!r}, which the pipeline writes: must be a copy of it, or a release "
            "that python -m stages.publish makes"
        )


def _embeddings(wanted: params.Params) -> None:
    source = wanted.prepare
    opened = open_embeddings(
        source.embeddings, source.item_id_column, source.embedding_column, params.given(source.ids)
    )
    check_release(wanted, opened.dim)
    if opened.rows is not None:
        if taken_over(wanted) is None:  # else nothing is trained
            check_sizes(opened.rows, wanted.quant)
        dropping = "drop" in (source.invalid_rows, source.missing_vectors, source.outliers)
        if not dropping and source.missing_metadata != "skip":
            params.refuse_too_many(opened.rows, wanted)  # else there may be a place for each that is left


def _items(wanted: params.Params) -> None:
    if (path := params.given(wanted.prepare.items)) is not None:
        check_columns(path, wanted.prepare.item_id_column, *as_named(wanted.prepare))


def _interactions(wanted: params.Params) -> None:
    if (interactions := params.given(wanted.interactions.source)) is not None:
        check_interactions(interactions, wanted.interactions)


def warm_start_note(wanted: params.Params) -> str | None:
    """A line where the file of the warm start isn't the one trained with, which DVC doesn't see."""
    file, report = params.warm_start_file(wanted), pipeline.declared()["train"].option("report")
    if file is None or not report.exists():
        return None
    trained = read_json(report).get("warm_start_sha256")
    if trained is None or trained == digest(file):
        return None
    return f"note: {file} has changed since a training started from it; dvc repro --force train trains again"


def sharing_note(wanted: params.Params) -> str | None:
    """A line where items of a table alone share Semantic IDs, as some do in MiniOneRec's indexes."""
    path = params.given(wanted.published)
    release = published(wanted) if path is not None and path.is_file() and wanted.release.mode == "append" else None
    if release is None or not (count := sharing(release)):
        return None
    return (
        f"note: {path}: {count} items share their Semantic IDs with others; published items keep "
        "what they have, shared or not"
    )


def main() -> int:
    """0 if params.yaml is right and its inputs are there; else 1, with one line per problem on stderr."""
    try:
        wanted = load()
        check(wanted)
        notes = [note for note in (warm_start_note(wanted), sharing_note(wanted)) if note is not None]
    except InputError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror or error}", file=sys.stderr)
        return 1
    for note in notes:
        print(note, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
