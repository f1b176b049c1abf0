"""Check params.yaml and the inputs it names before DVC runs: DVC removes a stage's old outputs before it starts it."""

import sys

from sid import params
from sid.catalogue.embeddings import open_embeddings
from sid.errors import InputError
from sid.export.formats import CHOICES
from sid.export.prompts import Prompts
from sid.interactions.read import check_interactions
from sid.quantizers.methods import CONFIGS, check_sizes
from stages.snapshot import PARAMS


def main() -> int:
    """0 if params.yaml is right and its inputs are there; else 1, with one line per problem on stderr."""
    try:
        wanted = params.load(PARAMS, CONFIGS, CHOICES)
        source = wanted.prepare
        opened = open_embeddings(source.embeddings, source.item_id_column, source.embedding_column)
        check_sizes(opened.rows, wanted.quant)
        params.refuse_too_many(opened.rows, wanted)
        Prompts.load(wanted.export.prompts)
        optional = {"prepare.items": source.items, "interactions.source": wanted.interactions.source}
        missing = [
            f"{PARAMS}: {key} is {path!r}: no such file or folder ({params.NOT_GIVEN} means none)"
            for key, path in optional.items()
            if (named := params.given(path)) is not None and not named.exists()
        ]
        if missing:
            raise InputError(missing)
        if (interactions := params.given(wanted.interactions.source)) is not None:
            check_interactions(interactions)
    except InputError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
