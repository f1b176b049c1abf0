"""Each item's vector moves towards those of the items that it is used with: `sid.align.smoothing` has the formulas."""

from __future__ import annotations

from sid.align.base import Aligned, Inputs, Make
from sid.align.smoothing import smoothed
from sid.params import Smooth


def align(inputs: Inputs, make: Make) -> Aligned:
    """Write the smoothed vectors; nothing where the graph has no edge, or predicts nothing.

    Args:
        inputs: `config` is the section `align.smooth`.
        make: called once with D.
    """
    assert isinstance(inputs.config, Smooth)
    return smoothed(inputs, inputs.config, make)
