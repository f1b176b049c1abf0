"""The table of methods, and `align` for the one that is chosen.

A new method is a module with an `align`, a line in METHODS, and its section in `sid.params.Align` and params.yaml.
"""

from __future__ import annotations

from collections.abc import Callable

from sid.align import contrastive, fuse, none, smooth
from sid.align.base import Aligned, Inputs, Make

METHODS: dict[str, Callable[[Inputs, Make], Aligned]] = {
    "none": none.align,
    "smooth": smooth.align,
    "contrastive": contrastive.align,
    "fuse": fuse.align,
}


def align(inputs: Inputs, make: Make) -> Aligned:
    """Align vectors by the method that `align.method` names.

    Args:
        inputs: `config` is that method's section.
        make: called once, with the dimension of the aligned vectors, or not at all: then these are the vectors as
            they are, because the method is `none`, nobody used two items, or the interactions predict nothing.

    Raises:
        InputError: settings that the data can't meet, or a training that failed.
    """
    return METHODS[inputs.wanted.method](inputs, make)
