"""What every method of alignment takes and returns, and the aligner that is saved for new items.

An aligner is arrays and plain text in one .npz, read without pickle and without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sid.align.directions import Directions, centre_of, normalised
from sid.align.graph import Graph
from sid.arrays import Blank, Vectors, chunks, in_memory
from sid.errors import InputError
from sid.files import NPY_ERRORS
from sid.interactions.split_files import Split
from sid.params import Align, Section

FORMAT = 1

USUAL_EVIDENCE = 8.0
"""How many neighbours an item's text is worth where the data can't tell; found so on a real catalogue."""

Make = Callable[[int], Vectors]
"""dim -> a writable (N, dim) float32 array that becomes the aligned vectors, such as a memory map of a file."""


@dataclass(frozen=True)
class Aligner:
    """Maps vectors into the aligned space by text alone, for items that no one has used yet.

    A vector's direction from `centre`, multiplied by `whiten` and of length 1 again, is u. It is mapped by what the
    method learnt: u + u @ shift, or that and gelu(u @ hidden + bias) @ out; it keeps its distance from the centre.
    Where there is `beside`, `scales[0]` times the result and `scales[1]` times (the direction itself) @ beside are in
    one row.

    Attributes:
        method: the name of the method that made it, as in `align.method`.
        arrays: those of `centre` (D,), `whiten` (D, D), `shift` (D, D), `hidden` (D, H), `bias` (H,), `out` (H, D),
            `beside` (D, B) and `scales` (2,) float32 that it has; none at all for `none`, which changes nothing.
    """

    method: str
    arrays: Mapping[str, NDArray[np.float32]]

    def apply(self, vectors: Vectors) -> Vectors:
        """(n, D) float32 -> (n, D or D + B) float32; a row's result never depends on the others.

        Raises:
            InputError: vectors of another dimension.
        """
        if not self.arrays:
            return vectors
        centre = self.arrays["centre"]
        if vectors.ndim != 2 or vectors.shape[1] != len(centre):
            raise InputError(f"vectors have shape {vectors.shape}: must be (n, {len(centre)}), as the aligner's")
        parts = [self._part(vectors[rows], centre) for rows in chunks(len(vectors), 16 * max(1, vectors.shape[1]))]
        return np.concatenate(parts) if parts else self._part(vectors, centre)

    def _part(self, vectors: Vectors, centre: NDArray[np.float32]) -> Vectors:
        found = Directions.of(vectors, centre)
        return self.from_directions(found, vectors)

    def from_directions(self, found: Directions, vectors: Vectors) -> Vectors:
        """As `apply`, for vectors (n, D) whose directions are known."""
        units = found.units
        if "whiten" in self.arrays:
            units = normalised(units @ self.arrays["whiten"])
        moved = units
        if "shift" in self.arrays:
            moved = units + units @ self.arrays["shift"]
        if "hidden" in self.arrays:
            moved = moved + gelu(units @ self.arrays["hidden"] + self.arrays["bias"]) @ self.arrays["out"]
        text = vectors if moved is found.units else found.placed(moved)
        if "beside" not in self.arrays:
            return text
        scales = self.arrays["scales"]
        return np.concatenate(
            [(text - found.centre) * scales[0], found.units @ self.arrays["beside"] * scales[1]], axis=1
        )

    def save(self, path: str | Path) -> None:
        """Write it as .npz."""
        with Path(path).open("wb") as file:  # not by name, else NumPy adds .npz to a name without it
            np.savez(file, format=np.int64(FORMAT), method=np.str_(self.method), **self.arrays)  # type: ignore[arg-type]


def gelu(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The tanh form of GELU, as `torch.nn.functional.gelu(approximate='tanh')`."""
    return np.asarray(0.5 * values * (1 + np.tanh(0.7978845608 * (values + 0.044715 * values**3))), np.float32)


def load(path: str | Path) -> Aligner:
    """Read what `Aligner.save` wrote.

    Raises:
        InputError: the file is missing, broken, or isn't an aligner.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except (*NPY_ERRORS, BadZipFile, KeyError, AttributeError, TypeError) as error:
        reason = "it is no .npz file" if "pickle" in str(error) else error
        raise InputError(f"{path}: can't be read as an aligner, run the align stage ({reason})") from None
    if not np.array_equal(found.pop("format", np.int64(0)), np.int64(FORMAT)):
        raise InputError(f"{path}: holds no aligner of format {FORMAT}, run the align stage")
    method = str(found.pop("method", ""))
    if bad := [name for name, array in found.items() if array.dtype != np.float32 or not np.isfinite(array).all()]:
        raise InputError(f"{path}: {', '.join(bad)} must be finite float32")
    aligner = Aligner(method, found)
    try:
        aligner.apply(np.zeros((0, len(found.get("centre", ()))), np.float32))
    except (KeyError, ValueError, IndexError, TypeError):
        raise InputError(f"{path}: its arrays {', '.join(found)} don't fit together, run the align stage") from None
    return aligner


@dataclass(frozen=True)
class Behaviour:
    """Item vectors from a user's own model of behaviour.

    Attributes:
        vectors: (M, B) float32, finite.
        rows: (M,) the items' row numbers, ascending.
    """

    vectors: Vectors
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Inputs:
    """What a method may look at: vectors and the train split, nothing that is held out.

    Attributes:
        vectors: (N, D) float32, finite; may be a memory map, read in chunks.
        split: the train split of their interactions.
        wanted: the keys of the section `align` that methods share.
        config: the method's own section.
        checkpoints: a folder for the states of unfinished trainings, or None.
        behaviour: a user's own behaviour vectors, or None.
        blank: makes matrices as large as the vectors, for what is needed in between.
    """

    vectors: Vectors
    split: Split
    wanted: Align
    config: Section
    checkpoints: Path | None = None
    behaviour: Behaviour | None = None
    blank: Blank = in_memory

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""
        return self.wanted.seed

    @cached_property
    def directions(self) -> Directions:
        """The vectors as seen from their centre."""
        return Directions.of(self.vectors, centre_of(self.vectors), self.blank)

    @cached_property
    def graph(self) -> Graph:
        """The graph of the whole train split."""
        return self.graph_without(None)

    def graph_without(self, places: NDArray[np.int64] | None) -> Graph:
        """The graph of the train split without the pairs that end at some places in it (see `Graph.of`)."""
        return Graph.of(self.split, len(self.vectors), self.wanted.window, self.wanted.decay, places)


@dataclass(frozen=True)
class Aligned:
    """What a method returns, apart from the vectors that it wrote.

    Attributes:
        aligner: for new items.
        figures: what it found out and chose, for reports/align.json.
        warnings: what a user should know, one line each.
    """

    aligner: Aligner
    figures: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def applied(aligner: Aligner, vectors: Vectors, make: Make) -> Aligned:
    """Write vectors (N, D) as a release's aligner takes them, all of them by text alone, and say so."""
    if not aligner.arrays:
        return UNCHANGED
    out: Vectors | None = None
    for part in chunks(len(vectors), 64 * vectors.shape[1]):
        rows = aligner.apply(vectors[part])
        if out is None:
            out = make(rows.shape[1])
        out[part] = rows
    return Aligned(aligner, {}, (_BY_TEXT,))


_BY_TEXT = (
    "all items are where the release's aligner puts them by their text alone, published ones too, so errors, recall "
    "and purity are worse than when the release was made; published Semantic IDs stay as they are"
)


UNCHANGED = Aligned(Aligner("none", {}), {})
"""What a method returns that made nothing."""
