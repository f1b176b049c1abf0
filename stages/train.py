"""Fit the quantizer that quant.method names to the prepared vectors, or take the published one."""

import shutil
from functools import partial

from sid import params
from sid.arrays import Vectors, load_vectors
from sid.catalogue.duplicates import largest_group
from sid.catalogue.item_ids import load_ids
from sid.files import digest, read_json, write_csv, write_json
from sid.quantizers import methods
from sid.releases import folder
from sid.releases.published import published
from sid.releases.use import load_quantizer, taken
from stages.run import Stage, run


def main(stage: Stage) -> str:
    """Vectors, ids, and the release that params.yaml names -> quantizer, report, curve."""
    vectors = load_vectors(stage.input("vectors"), "align")
    release = taken(stage.params)
    if release is None:
        return fit(stage, vectors)
    quantizer = load_quantizer(release, vectors.shape[1], stage.params.quant.device)
    for name, output in ((folder.QUANTIZER, "quantizer"), (folder.CURVE, "curve")):
        shutil.copyfile(release.file(name), stage.output(output))
    write_json(stage.output("report"), {**read_json(release.file(folder.TRAINING)), "published": release.name})
    return f"{quantizer.method} as in {release.name}, for {len(vectors):,} items"


def fit(stage: Stage, vectors: Vectors) -> str:
    """A new quantizer; an interrupted training continues from the states in checkpoints."""
    from sid.releases.renaming import rename, to_start_from

    # dedupe would refuse these, after all the work
    params.refuse_too_many(len(vectors), stage.params)
    params.refuse_few_suffixes(partial(largest_group, vectors), stage.params)
    earlier, ids = published(stage.params), load_ids(stage.input("ids"))
    start = None if earlier is None else to_start_from(earlier, ids, vectors.shape[1], stage.params)
    checkpoints = stage.checkpoints()
    figures: dict[str, object] = {}
    if (file := params.warm_start_file(stage.params)) is not None:
        stage.also_reads(file)
        figures["warm_start_sha256"] = digest(file)
    fitted = methods.fit(vectors, stage.params, checkpoints, start, stage.engine)
    quantizer, method, sizes = fitted.quantizer, fitted.quantizer.method, fitted.quantizer.code_sizes
    if earlier is not None:
        quantizer, figures["renaming"] = rename(quantizer, vectors, ids, earlier)
    quantizer.save(stage.output("quantizer"))
    facts = {"method": method, "items": len(vectors), "dim": quantizer.dim, "num_emb_list": list(sizes)}
    write_json(stage.output("report"), {**facts, **figures, **fitted.figures})
    columns = list(dict.fromkeys(name for row in fitted.curve for name in row))
    write_csv(stage.output("curve"), columns, fitted.curve)
    return f"{method}, {' x '.join(map(str, sizes))} codes, fitted on {fitted.figures['train_rows']:,} items"


if __name__ == "__main__":
    run("train", main, inputs=("vectors", "ids", "checkpoints"), outputs=("quantizer", "report", "curve"))
