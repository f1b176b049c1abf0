"""`sinkhorn`, the strategy: promises that any catalogue must keep, and that one pass is enough."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sid.clustering import sinkhorn as entropic
from sid.dedupe import costs
from sid.dedupe.reassign import reassign
from sid.dedupe.sinkhorn import sinkhorn
from tests.books import Books, books, encode, error, group_sizes, normal, unique


def log_plan(square: np.ndarray) -> np.ndarray:
    return entropic.sinkhorn(torch.from_numpy(square), 0.003, 50).numpy()


def test_sinkhorn_separates_equal_rows_and_sees_codes_that_are_held() -> None:
    codebooks = books((2, 16))
    latents = np.concatenate([np.full((9, 3), 0.3, np.float32), normal(12)])
    codes = encode(latents, codebooks)
    after = sinkhorn(codes, Books(latents, codebooks), log_plan)
    np.testing.assert_array_equal(after[:, 0], codes[:, 0])
    assert unique(after) == 21
    alone = group_sizes(codes) == 1
    np.testing.assert_array_equal(after[alone], codes[alone])
    np.testing.assert_array_equal(after, sinkhorn(codes, Books(latents, codebooks), log_plan))


def test_sinkhorn_comes_near_the_least_distortion() -> None:
    codebooks, latents = books((3, 60), dim=8), normal(90, dim=8, scale=0.5)
    codes = encode(latents, codebooks)
    ours = error(latents, sinkhorn(codes, Books(latents, codebooks), log_plan), codebooks)
    least = error(latents, reassign(codes, Books(latents, codebooks)), codebooks)
    assert error(latents, codes, codebooks) < least <= ours * (1 + 1e-9)
    assert ours < 1.1 * least


def test_sinkhorn_leaves_what_finds_no_code() -> None:
    codebooks = books((2, 4))
    latents = np.full((7, 3), 0.2, np.float32)
    codes = encode(latents, codebooks)
    after = sinkhorn(codes, Books(latents, codebooks), log_plan)
    assert unique(after) == 4
    assert sorted(group_sizes(after).tolist()) == [1, 1, 1, 4, 4, 4, 4]


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 60), st.integers(1, 5), st.integers(2, 12), st.integers(0, 1 << 32))
def test_sinkhorn_never_raises_the_collision_rate(rows: int, first: int, last: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    latents = normal(max(1, rows // 2), 2, seed)[generator.integers(max(1, rows // 2), size=rows)]
    codebooks = books((first, last), 2, seed)
    codes = encode(latents, codebooks)
    after = sinkhorn(codes, Books(latents, codebooks), log_plan)
    assert unique(after) >= unique(codes)
    np.testing.assert_array_equal(after[:, 0], codes[:, 0])
    for prefix in range(first):  # nothing is left to part while a prefix has a free code
        inside = after[after[:, 0] == prefix]
        assert unique(inside) == min(len(inside), last)
    np.testing.assert_array_equal(sinkhorn(after, Books(latents, codebooks), log_plan), after)  # one pass is enough


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_groups_of_a_prefix_that_compete_are_done_in_one_pass(order: tuple[int, int]) -> None:
    """Seven items, six codes: whichever group is first, they take every code and a second pass changes none."""
    book = np.arange(6, dtype=np.float32)[:, None]
    latents = np.repeat(np.array([[0.1], [1.1]], np.float32)[list(order)], [4, 3], axis=0)
    codes = encode(latents, [book])
    costs_of = Books(latents, [book])
    after = sinkhorn(codes, costs_of, log_plan)
    assert sorted(group_sizes(after).tolist()) == [1, 1, 1, 1, 1, 2, 2]
    np.testing.assert_array_equal(sinkhorn(after, costs_of, log_plan), after)


def test_a_group_that_is_too_large_to_hold_is_separated_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    codebooks = books((2, 64))
    latents = np.concatenate([np.full((40, 3), 0.3, np.float32), normal(16)])
    codes = encode(latents, codebooks)
    monkeypatch.setattr(costs, "BATCH_BYTES", 1)  # 16 rows at a time
    after = sinkhorn(codes, Books(latents, codebooks), log_plan)
    assert unique(after) == 56
    np.testing.assert_array_equal(after[:, 0], codes[:, 0])
