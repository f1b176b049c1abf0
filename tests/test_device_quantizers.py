"""Quantizers as accelerators fit and use them, on CPU tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sid.arrays import ArrayRows
from sid.quantizers import methods, residual
from sid.quantizers.base import Scaling
from tests.conftest import catalogue
from tests.devices import Watched, as_accelerator
from tests.test_contract import METHODS, settings


@pytest.mark.parametrize("method", METHODS)
def test_codes_are_the_cpus(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = catalogue(500)
    vectors[100:120] = vectors[100]
    fitted = methods.fit(vectors, settings(method)).quantizer
    expected = fitted.encode(vectors)
    for piece_bytes in (1 << 10, 1 << 24):
        with as_accelerator(monkeypatch, piece_bytes):
            np.testing.assert_array_equal(fitted.encode(vectors), expected)
            np.testing.assert_array_equal(fitted.encode(vectors[:0]), expected[:0])


def test_codes_on_bisectors_are_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    books = tuple(catalogue(20, seed=seed) for seed in range(3))
    quantizer = residual.ResidualQuantizer(books, Scaling.identity(8))
    vectors = np.concatenate([(books[0][:10] + books[0][10:]) / 2, books[0], catalogue(200)])
    expected = quantizer.encode(vectors)
    with as_accelerator(monkeypatch, 1 << 10):
        np.testing.assert_array_equal(quantizer.encode(vectors), expected)
        assert quantizer.coder._first(torch.from_numpy(vectors))[1][:10].any()


def test_encoding_waits_for_no_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    quantizer = methods.fit(catalogue(300), settings("rqkmeans")).quantizer
    coder, rows = quantizer.coder, catalogue(64, seed=3)  # type: ignore[attr-defined]
    with as_accelerator(monkeypatch):
        coder._first(coder.made(torch.from_numpy(rows.copy())))  # what is made once
        with Watched() as watched:
            coder._first(coder.made(torch.from_numpy(rows.copy())))
    assert not watched.waits
    assert watched.launches <= 45 * len(quantizer.code_sizes)


def test_rows_are_scaled_on_the_device_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = catalogue(300) * 3 + 100
    scaling = Scaling.of(vectors)
    with as_accelerator(monkeypatch, 1 << 10):
        found = residual.held(ArrayRows(vectors), scaling, "cpu").tensor
        streamed = residual.held(ArrayRows(vectors), scaling, "cpu", held_bytes=0)
        points, own = residual.measured(ArrayRows(vectors), "cpu")
    assert found is not None
    np.testing.assert_array_equal(found.numpy(), scaling.apply(vectors))
    assert streamed.tensor is None
    np.testing.assert_array_equal(streamed.part(slice(0, 300)).numpy(), scaling.apply(vectors))
    np.testing.assert_allclose(own.mean, scaling.mean, rtol=1e-6)
    assert own.scale == pytest.approx(scaling.scale, rel=1e-6)
    np.testing.assert_array_equal(points.part(slice(0, 300)).numpy(), own.apply(vectors))


@pytest.mark.parametrize("method", ["rqkmeans", "rqkmeans_constrained"])
def test_fits_are_as_good_and_the_same_twice_and_streamed(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = catalogue(900)
    expected = methods.fit(vectors, settings(method)).figures["mse"]
    fitted = []
    for held_bytes in (1 << 30, 1 << 30, 0):
        with as_accelerator(monkeypatch, 1 << 14):
            monkeypatch.setattr("sid.clustering.memory.held_bytes", lambda _device, most=held_bytes: most)
            fitted.append(methods.fit(vectors, settings(method)))
    assert fitted[0].figures["mse"] <= 1.1 * expected
    books = [fit.quantizer.coder.codebooks for fit in fitted]  # type: ignore[attr-defined]
    for other in books[1:]:
        assert all(torch.equal(one, again) for one, again in zip(books[0], other, strict=True))
