"""The frozen autoencoder: rows that never depend on each other, a file that gives the same model back."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from sid.errors import InputError
from sid.quantizers import model_file
from sid.quantizers.autoencoder import KIND, AutoencoderQuantizer, ExactMlp, Mlp
from sid.quantizers.base import Scaling
from sid.quantizers.training.network import Frame, Net


def mlp(*widths: int, seed: int = 0, residual: bool = False) -> Mlp:
    generator = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(widths))
    return Mlp(
        tuple((generator.normal(size=(b, a)) / np.sqrt(a)).astype(np.float32) for a, b in pairs),
        tuple((0.1 * generator.normal(size=b)).astype(np.float32) for _, b in pairs),
        residual,
    )


def quantizer(dim: int = 48, e_dim: int = 12, sizes: tuple[int, ...] = (40, 30, 50)) -> AutoencoderQuantizer:
    generator = np.random.default_rng(1)
    books = tuple((0.5**level * generator.normal(size=(k, e_dim))).astype(np.float32) for level, k in enumerate(sizes))
    scaling = Scaling(generator.normal(size=dim).astype(np.float32), 0.37)
    return AutoencoderQuantizer(mlp(dim, 64, 33, e_dim), books, mlp(e_dim, 33, 64, dim, seed=2), scaling, info={"a": 1})


def vectors(rows: int, dim: int = 48) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(rows, dim)).astype(np.float32)


@pytest.mark.parametrize("dim", [1, 3, 48, 384, 1000])
def test_rows_are_equal_to_the_bit_whatever_is_beside_them(dim: int) -> None:
    model = quantizer(dim)
    rows = vectors(5000, dim)
    latents, codes = model.latents(rows), model.encode(rows)
    decoded = model.decode(codes)
    order = np.random.default_rng(4).permutation(len(rows))
    np.testing.assert_array_equal(model.latents(rows[order]), latents[order])
    np.testing.assert_array_equal(model.encode(rows[order]), codes[order])
    np.testing.assert_array_equal(model.decode(codes[order]), decoded[order])
    for size in (1, 2, 7, 64, 333):
        for start in (0, 17, 4090):
            part = slice(start, start + size)
            np.testing.assert_array_equal(model.latents(rows[part]), latents[part])
            np.testing.assert_array_equal(model.encode(rows[part]), codes[part])
            np.testing.assert_array_equal(model.decode(codes[part]), decoded[part])


def test_threads_change_no_bit() -> None:
    model, rows = quantizer(384), vectors(999, 384)
    before, codes, threads = model.latents(rows), model.encode(rows), torch.get_num_threads()
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            np.testing.assert_array_equal(model.latents(rows), before)
            np.testing.assert_array_equal(model.encode(rows), codes)
            np.testing.assert_array_equal(model.decode(codes), model.decode(codes[::-1])[::-1])
    finally:
        torch.set_num_threads(threads)


def test_no_order_of_adding_up_changes_a_bit() -> None:
    """Another device adds the terms of a product in another order: here the order of the inputs is another.

    Most of each sum cancels out, so that sums that round would differ in what is left.
    """
    generator = np.random.default_rng(5)
    half, part = vectors(200, 300), mlp(300, 40)
    noise = (1 + 1e-5 * generator.normal(size=half.shape)).astype(np.float32)
    rows = np.concatenate([half, -half * noise], axis=1)
    weight = np.concatenate([part.weights[0]] * 2, axis=1)
    wanted = ExactMlp(Mlp((weight,), (np.zeros(40, np.float32),)), "cpu")(torch.from_numpy(rows))
    assert 1e-9 < float(wanted.abs().median()) < 1e-3
    for _ in range(5):
        order = generator.permutation(600)
        net = Mlp((np.ascontiguousarray(weight[:, order]),), (np.zeros(40, np.float32),))
        found = ExactMlp(net, "cpu")(torch.from_numpy(np.ascontiguousarray(rows[:, order])))
        assert torch.equal(found, wanted)


def test_neither_the_layout_in_memory_nor_the_size_of_a_block_changes_a_bit() -> None:
    net, rows = mlp(100, 64, 33, 20), torch.from_numpy(vectors(300, 100))
    exact = ExactMlp(net, "cpu")
    wanted = exact(rows)
    assert torch.equal(exact(rows.t().contiguous().t()), wanted)
    for size in (1, 3, 64, 299):
        assert torch.equal(torch.cat([exact(block) for block in rows.split(size)]), wanted)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e6, 1e30])
@pytest.mark.parametrize("residual", [False, True])
def test_it_is_as_near_to_the_real_numbers_as_float32(scale: float, residual: bool) -> None:
    net = mlp(300, 200, 300, residual=residual)
    net = Mlp(net.weights, tuple(np.zeros_like(bias) for bias in net.biases), residual)
    rows = vectors(100, 300) * np.float32(scale)
    hidden = np.maximum(rows.astype(np.float64) @ net.weights[0].T.astype(np.float64), 0)
    wanted = hidden @ net.weights[1].T.astype(np.float64) + (rows if residual else 0)
    found = ExactMlp(net, "cpu")(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-6 * np.abs(wanted).max())


def test_zero_weights_add_nothing_to_the_bit() -> None:
    plain = mlp(20, 10, 20, residual=True)
    zero = Mlp((plain.weights[0], np.zeros_like(plain.weights[1])), (plain.biases[0], np.zeros(20, np.float32)), True)
    rows = vectors(50, 20)
    np.testing.assert_array_equal(ExactMlp(zero, "cpu")(torch.from_numpy(rows)).numpy(), rows)


def test_the_accumulated_integers_fit_float64() -> None:
    """The worst case of the proof: every factor at its bound and of one sign."""
    rows, weight = np.ones((2, 4096), np.float32), np.ones((3, 4096), np.float32)
    net = Mlp((weight * np.float32(0.999999),), (np.zeros(3, np.float32),))
    found = ExactMlp(net, "cpu")(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(found, 4096 * 0.999999, rtol=1e-6)


@pytest.mark.parametrize("bn", [False, True])
@pytest.mark.parametrize("kind", ["plain", "framed", "residual"])
def test_frozen_and_trained_networks_agree(bn: bool, kind: str) -> None:
    torch.manual_seed(0)
    frame = None if kind == "plain" else Frame(torch.randn(16), 0.05)
    net = Net([16, 24, 20, 16], 0.0, bn, frame, kind == "residual")
    rows = torch.randn(300, 16) * 0.05 + (0 if frame is None else frame.centre)
    for parameter in net.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for _ in range(20):
        net(rows)  # running statistics
    net.eval()
    frozen = ExactMlp(net.freeze(), "cpu")(rows)
    torch.testing.assert_close(frozen, net(rows), rtol=1e-4, atol=1e-5)


def test_decode_of_encode_reads_the_nearest_words() -> None:
    model, rows = quantizer(), vectors(200)
    residual = model.latents(rows).astype(np.float64)
    for level, codes in enumerate(model.encode(rows).T):
        book = model.codebooks[level].astype(np.float64)
        distances = ((residual[:, None] - book[None]) ** 2).sum(2)
        assert (distances[np.arange(200), codes] <= distances.min(1) + 1e-5).all()
        residual -= book[codes]


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    model, rows = quantizer(), vectors(100)
    model.save(tmp_path / "one.pth")
    state = model_file.read(tmp_path / "one.pth")
    assert state["kind"] == KIND
    loaded = AutoencoderQuantizer.from_state(state, "cpu")
    assert (loaded.method, loaded.dim, loaded.code_sizes, loaded.info) == ("rqvae", 48, (40, 30, 50), {"a": 1})
    np.testing.assert_array_equal(loaded.encode(rows), model.encode(rows))
    np.testing.assert_array_equal(loaded.decode(model.encode(rows)), model.decode(model.encode(rows)))
    loaded.save(tmp_path / "two.pth")
    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "two.pth").read_bytes()


def test_no_rows() -> None:
    model = quantizer()
    assert model.encode(vectors(0)).shape == (0, 3)
    assert model.latents(vectors(0)).shape == (0, 12)
    assert model.decode(np.zeros((0, 3), np.int32)).shape == (0, 48)


def test_parts_that_do_not_fit_are_refused() -> None:
    good = quantizer()
    with pytest.raises(InputError, match=r"layer 1 has weight \(3, 4\) and bias \(3,\), must be \(out, 5\)"):
        Mlp((np.zeros((5, 2), np.float32), np.zeros((3, 4), np.float32)), (np.zeros(5), np.zeros(3)))
    with pytest.raises(InputError, match="layer 0 holds NaN"):
        Mlp((np.full((5, 2), np.nan, np.float32),), (np.zeros(5, np.float32),))
    with pytest.raises(InputError, match="maps 3 to 4 dimensions"):
        mlp(3, 4, residual=True)
    with pytest.raises(InputError, match="1 weights, 0 biases"):
        Mlp((np.zeros((5, 2), np.float32),), ())
    with pytest.raises(InputError, match=r"codebook 1 has shape \(4, 3\)"):
        AutoencoderQuantizer(
            good.encoder, (good.codebooks[0], np.zeros((4, 3), np.float32)), good.decoder, good.scaling
        )
    with pytest.raises(InputError, match="at least one codebook"):
        AutoencoderQuantizer(good.encoder, (), good.decoder, good.scaling)
    with pytest.raises(InputError, match="decoder 48 -> 12, must be 48 -> e_dim and e_dim -> 48"):
        AutoencoderQuantizer(good.encoder, good.codebooks, good.encoder, good.scaling)
    with pytest.raises(InputError, match=r"must be \(N, 48\) float32"):
        good.latents(np.zeros((2, 48)))
    with pytest.raises(InputError, match="code 40 at level 0"):
        good.decode(np.array([[40, 0, 0]]))
