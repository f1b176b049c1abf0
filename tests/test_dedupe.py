"""Every strategy on a catalogue, and what the real one costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sid import params
from sid.dedupe.resolve import Deduped, dedupe
from sid.errors import InputError
from sid.params import Dedupe
from sid.quantizers import methods
from sid.quantizers.assignment import balanced_codes, nearest_codes
from sid.quantizers.base import Quantizer, Scaling
from sid.quantizers.residual import ResidualQuantizer
from tests.conftest import CATALOGUE, ROOT, Project, needs_catalogue

PARAMS = params.load(ROOT / "params.yaml", methods.CONFIGS)


def wanted(**changes: Any) -> Dedupe:
    return PARAMS.dedupe.model_copy(update=changes)


def model(sizes: tuple[int, ...] = (3, 4), dim: int = 5) -> ResidualQuantizer:
    generator = np.random.default_rng(0)
    books = tuple((generator.normal(size=(k, dim)) / 3**level).astype(np.float32) for level, k in enumerate(sizes))
    return ResidualQuantizer(books, Scaling.identity(dim))


def crowded(rows: int = 12, dim: int = 5) -> np.ndarray:
    """Half of the rows equal."""
    vectors = np.random.default_rng(1).normal(size=(rows, dim)).astype(np.float32)
    vectors[::2] = vectors[0]
    return vectors


def run(strategy: str, vectors: np.ndarray, quantizer: Quantizer, **changes: Any) -> tuple[np.ndarray, Deduped]:
    codes = quantizer.encode(vectors)
    done = dedupe(codes, quantizer.code_sizes, vectors, wanted(strategy=strategy, **changes), lambda: quantizer)
    return codes, done


@pytest.mark.parametrize(
    ("strategy", "levels", "collides"),
    [
        ("reassign", 2, False),
        ("sinkhorn", 2, True),
        ("append", 3, False),
        ("append_colliding", 3, False),
        ("none", 2, True),
    ],
)
def test_every_strategy_keeps_its_promise(strategy: str, levels: int, collides: bool) -> None:
    vectors = crowded()
    codes, done = run(strategy, vectors, model())
    figures = done.figures
    assert done.codes.shape == (12, levels)
    assert len(done.code_sizes) == levels
    assert (figures["after"]["collision_rate"] > 0) == collides
    assert figures["after"]["collision_rate"] <= figures["before"]["collision_rate"] != 0
    assert figures["moved"] == (done.codes[:, :2] != codes).any(axis=1).sum()
    assert (figures["moved"] > 0) == (figures["mse_added"] > 0) == (strategy in ("reassign", "sinkhorn"))
    _, again = run(strategy, vectors, model())
    np.testing.assert_array_equal(done.codes, again.codes)


def test_what_is_lost_on_the_way_to_which_reader() -> None:
    vectors, three, two = crowded(), model((3, 2, 2)), model()
    assert run("reassign", vectors, three)[1].figures["warnings"] == []
    (cut,) = run("append", vectors, three)[1].figures["warnings"]
    assert "up to 4 tokens: MiniOneRec reads the first 3" in cut
    cut, uneven = run("append_colliding", vectors, three)[1].figures["warnings"]
    assert "MiniOneRec" in cut
    assert "GRID" in uneven
    left = run("none", vectors, three)[1].figures
    assert left["warnings"][0].startswith(
        f"{left['after']['items_in_collision']} items share a Semantic ID: MiniOneRec"
    )
    assert run("append", vectors, two)[1].figures["warnings"] == []
    short, uneven = run("append_colliding", vectors, two)[1].figures["warnings"]
    assert "fewer than 3 tokens: MiniOneRec leaves such items out" in short


def test_more_items_than_places_are_refused_before_the_model_is_loaded() -> None:
    codes = np.zeros((13, 2), np.int32)

    def load() -> Quantizer:
        raise AssertionError("the model was asked for")

    with pytest.raises(InputError, match=r"\[3, 4\] makes 12 Semantic IDs for 13 items"):
        dedupe(codes, (3, 4), crowded(13), wanted(), load)
    with pytest.raises(InputError, match=r"makes 12 Semantic IDs of at most 2 items .* for 25 items"):
        dedupe(np.zeros((25, 2), np.int32), (3, 4), crowded(25), wanted(max_items_per_sid=2), load)
    with pytest.raises(InputError, match=r"needs a suffix level of 14 codes, dedupe\.max_suffix is 13"):
        dedupe(codes, (3, 4), crowded(13), wanted(strategy="append", max_suffix=13), load)


@pytest.mark.parametrize("strategy", ["sinkhorn", "append_colliding", "none"])
def test_the_pipeline_runs_with_it(finished: Project, strategy: str) -> None:
    finished.params(dedupe__strategy=strategy)
    done = finished.run("dedupe")
    assert done.returncode == 0, done.stderr
    assert ("uneven" in done.stderr) == (strategy == "append_colliding")
    finished.succeed("export")


def test_a_training_that_dedupe_would_refuse_is_not_begun(project: Project) -> None:
    project.params(quant__num_emb_list=[4, 4])
    project.succeed("prepare")
    done = project.run("train")
    assert done.returncode == 1
    assert "[4, 4] makes 16 Semantic IDs for 60 items" in done.stderr
    project.params(dedupe__strategy="append")
    project.succeed("train")


@needs_catalogue
@pytest.mark.parametrize(
    ("method", "changes", "moved", "added"),
    [
        ("rqkmeans", {}, 0.24, 0.05),
        ("rqkmeans_constrained", {}, 0.14, 0.03),
        ("rqvae", {"epochs": 30}, 0.16, np.inf),
        ("rqkmeans_plus", {"epochs": 20}, 0.16, np.inf),
    ],
)
def test_the_real_catalogue_loses_all_collisions_at_a_low_cost(
    method: str, changes: dict[str, Any], moved: float, added: float
) -> None:
    vectors = np.load(CATALOGUE / "embeddings.npy")
    quant = PARAMS.quant.model_copy(
        update={
            "method": method,
            "num_emb_list": (256, 256, 256),
            "device": "cpu",
            "e_dim": 384 if method == "rqkmeans_plus" else 32,
        }
    )
    configs = {**PARAMS.methods, method: PARAMS.methods[method].model_copy(update=changes)}
    quantizer = methods.fit(vectors, replace(PARAMS, quant=quant, methods=configs)).quantizer
    codes = balanced_codes(quantizer, vectors, 1, "cpu") if methods.METHODS[method].balanced else None
    codes = nearest_codes(quantizer, vectors) if codes is None else codes
    figures = dedupe(codes, quantizer.code_sizes, vectors, wanted(), lambda: quantizer).figures
    assert figures["after"]["collision_rate"] == 0
    assert 0 < figures["moved_share"] <= moved
    assert 0 < figures["mse_added_share"] <= added
