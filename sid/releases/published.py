"""What `published` in params.yaml names, of either kind: the folder of a release, or a table of Semantic IDs alone."""

from __future__ import annotations

from sid.params import Params, given
from sid.releases.folder import Release, open_release
from sid.releases.tables import open_table
from sid.releases.use import taken


def published(wanted: Params) -> Release | None:
    """What an index continues, if anything.

    Raises:
        InputError: it is damaged, or params.yaml contradicts it.
    """
    if (path := given(wanted.published)) is None:
        return None
    if path.is_file():
        return open_table(path, wanted.quant.num_emb_list if wanted.release.mode == "append" else None)
    return taken(wanted) or open_release(path)
