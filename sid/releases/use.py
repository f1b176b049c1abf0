"""The release that params.yaml names, checked against what params.yaml says of the index that continues it."""

from __future__ import annotations

from sid.errors import InputError
from sid.params import Params
from sid.quantizers import loading
from sid.quantizers.base import Quantizer
from sid.releases.folder import QUANTIZER, Release, open_release, taken_over


def taken(wanted: Params) -> Release | None:
    """The release whose quantizer the index takes (see `taken_over`), if any.

    Raises:
        InputError: a release that is damaged, or that params.yaml contradicts.
    """
    if (folder := taken_over(wanted)) is None:
        return None
    release = open_release(folder)
    problems = []
    if wanted.quant.num_emb_list != release.raw_sizes:
        problems.append(
            f"params.yaml: quant.num_emb_list is {list(wanted.quant.num_emb_list)}: must be {list(release.raw_sizes)}, "
            f"as in {folder}, with release.mode append"
        )
    if wanted.quant.method != release.manifest["method"]:
        problems.append(
            f"params.yaml: quant.method is {wanted.quant.method}: must be {release.manifest['method']}, as in {folder},"
            " with release.mode append"
        )
    if problems:
        raise InputError(problems)
    return release


def check_dim(own: int, where: object, dim: int) -> None:
    """Raise InputError where a release's quantizer takes vectors of `own` dimensions, and the embeddings have `dim`."""
    if own != dim:
        raise InputError(
            f"{where}: takes vectors of {own} dimensions, the embeddings have {dim}; a published index can "
            "only continue with vectors from the same model"
        )


def load_quantizer(release: Release, dim: int, device: str) -> Quantizer:
    """The published quantizer.

    Args:
        dim: of the vectors that it is for.

    Raises:
        InputError: it takes vectors of another dimension, or the release's Semantic IDs aren't of its codebooks.
    """
    path = release.file(QUANTIZER)
    quantizer = loading.load(path, device)
    check_dim(quantizer.dim, path, dim)
    if quantizer.code_sizes != release.raw_sizes:
        raise InputError(
            f"{path}: has codebooks of {list(quantizer.code_sizes)} codes, the Semantic IDs of {release.folder} have "
            f"{list(release.raw_sizes)}"
        )
    return quantizer
