"""Put user behaviour, from the train split, into the prepared vectors."""

from sid.align import methods
from sid.align.base import UNCHANGED, Aligned, Inputs, Make, applied, load
from sid.align.behaviour import read_behaviour
from sid.align.figures import figures, headline
from sid.arrays import Vectors, load_vectors, new_matrix, scratch
from sid.catalogue.item_ids import load_ids
from sid.files import link_or_copy, write_json
from sid.interactions.split_files import load_split
from sid.params import given
from sid.releases.folder import Release, open_release, taken_over
from stages.run import Stage, run, tell


def as_published(release: Release, vectors: Vectors, make: Make) -> Aligned:
    """What the release's aligner, if it has one, makes of all items: published codes are of such vectors."""
    return UNCHANGED if release.aligner is None else applied(load(release.aligner), vectors, make)


def main(stage: Stage) -> str:
    """Vectors, ids, the train split alone -> aligned vectors, aligner, report, metrics."""
    wanted, columns = stage.params.align, stage.params.prepare
    vectors, ids = load_vectors(stage.input("vectors")), load_ids(stage.input("ids"))
    split, made, target = load_split(stage.input("train"), ids), list[Vectors](), stage.output("aligned")
    behaviour, warnings = None, tuple[str, ...]()
    if wanted.method == "fuse" and (file := given(wanted.behaviour)) is not None:
        behaviour, warnings = read_behaviour(file, ids, columns.item_id_column, columns.embedding_column)

    def make(dim: int) -> Vectors:
        made.append(new_matrix(target, (len(vectors), dim)))
        return made[0]

    checkpoints = stage.checkpoints() if wanted.method == "contrastive" else stage.input("checkpoints")
    section, blank = getattr(wanted, wanted.method), scratch(target.parent)
    inputs = Inputs(vectors, split, wanted, section, checkpoints, behaviour, blank)
    published = taken_over(stage.params)
    done = methods.align(inputs, make) if published is None else as_published(open_release(published), vectors, make)
    done.aligner.save(stage.output("aligner"))
    if not made:
        link_or_copy(stage.input("vectors"), target)
    found = figures(inputs, done, made[0] if made else None, warnings)
    write_json(stage.output("report"), found)
    write_json(stage.output("metrics"), headline(found))
    tell("align", found)
    if found["applied"] == "none":
        return "vectors stay as they are"
    return f"{found['applied']}, {found['neighbours_kept']:.0%} of each item's 10 nearest items are still among them"


if __name__ == "__main__":
    made = ("aligned", "aligner", "report", "metrics")
    run("align", main, inputs=("vectors", "ids", "train", "checkpoints"), outputs=made)
