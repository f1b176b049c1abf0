"""The table of strategies, and `resolve` on each of them."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from sid import params
from sid.dedupe.resolve import resolve
from sid.dedupe.strategies import STRATEGIES
from sid.errors import InputError
from sid.params import Dedupe
from sid.quantizers import methods
from sid.quantizers.base import Scaling
from sid.quantizers.residual import ResidualQuantizer
from tests.conftest import ROOT

WANTED = params.load(ROOT / "params.yaml", methods.CONFIGS).dedupe


def wanted(**changes: Any) -> Dedupe:
    return WANTED.model_copy(update=changes)


def quantizer(sizes: tuple[int, ...] = (3, 4), dim: int = 5) -> ResidualQuantizer:
    generator = np.random.default_rng(0)
    books = tuple((generator.normal(size=(k, dim)) / 3**level).astype(np.float32) for level, k in enumerate(sizes))
    return ResidualQuantizer(books, Scaling.identity(dim))


def crowded(rows: int = 12, dim: int = 5) -> np.ndarray:
    """Half of the rows equal."""
    vectors = np.random.default_rng(1).normal(size=(rows, dim)).astype(np.float32)
    vectors[::2] = vectors[0]
    return vectors


def group_sizes(codes: np.ndarray) -> list[int]:
    return sorted(np.unique(codes, axis=0, return_counts=True)[1].tolist())


def test_the_table_has_the_names_that_params_takes_and_each_module_its_strategys_name() -> None:
    assert set(STRATEGIES) == set(get_args(Dedupe.model_fields["strategy"].annotation))
    assert {name: strategy.__module__ for name, strategy in STRATEGIES.items()} == {
        name: f"sid.dedupe.{name}" for name in STRATEGIES
    }


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_changes_no_argument_and_gives_sizes_that_fit(strategy: str) -> None:
    model, vectors = quantizer(), crowded()
    codes = model.encode(vectors)
    kept = codes.copy()
    after, sizes = resolve(codes, model, vectors, wanted(strategy=strategy))
    np.testing.assert_array_equal(codes, kept)
    assert after is not codes
    assert after.dtype == np.int32
    assert after.shape == (12, len(sizes))
    assert (after < sizes).all()
    assert after.min() >= (-1 if strategy == "append_colliding" else 0)
    again, _ = resolve(codes, model, vectors, wanted(strategy=strategy))
    np.testing.assert_array_equal(after, again)
    collides = {"reassign": False, "sinkhorn": True, "append": False, "append_colliding": False, "none": True}
    assert (group_sizes(after)[-1] > 1) == collides[strategy]


def test_each_key_of_dedupe_reaches_its_strategy() -> None:
    model = quantizer((2, 8))
    vectors = crowded(14)
    codes = model.encode(vectors)

    def codes_of(**changes: Any) -> np.ndarray:
        return resolve(codes, model, vectors, wanted(**changes))[0]

    assert group_sizes(codes_of(max_items_per_sid=3))[-1] == 3
    assert (codes_of(move="any") != codes_of(move="colliding")).any()
    for strategy in ("append", "append_colliding"):
        with pytest.raises(InputError, match=rf"{strategy}: .*dedupe\.max_suffix is 2"):
            codes_of(strategy=strategy, max_suffix=2)


@pytest.mark.parametrize("changes", [{"sk_epsilon": 10.0}, {"sk_iters": 1}])
def test_the_keys_of_sinkhorn_reach_it(changes: dict[str, Any]) -> None:
    model = quantizer((1, 64))
    vectors = np.random.default_rng(3).normal(size=(64, 5)).astype(np.float32)
    codes = model.encode(vectors)
    after, _ = resolve(codes, model, vectors, wanted(strategy="sinkhorn", sk_epsilon=0.1, sk_iters=1000))
    other, _ = resolve(codes, model, vectors, wanted(strategy="sinkhorn", **{"sk_epsilon": 0.1, **changes}))
    assert (after != other).any()


def test_what_does_not_fit_is_refused() -> None:
    model = quantizer()
    with pytest.raises(InputError, match=r"raw codes: row 0 has code 3 at level 0, must be in 0\.\.2"):
        resolve(np.full((12, 2), 3, np.int32), model, crowded(), wanted())
    with pytest.raises(InputError, match="raw codes: are those of 11 items, but there are 12 vectors"):
        resolve(np.zeros((11, 2), np.int32), model, crowded(), wanted(strategy="none"))
    with pytest.raises(InputError, match=r"\[3, 4\] makes 12 Semantic IDs for 13 items"):
        resolve(np.zeros((13, 2), np.int32), model, crowded(13), wanted())
    with pytest.raises(InputError, match=r"makes 12 Semantic IDs of at most 2 items .* for 25 items"):
        resolve(np.zeros((25, 2), np.int32), model, crowded(25), wanted(max_items_per_sid=2))
