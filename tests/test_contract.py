"""What every method's quantizer must do. A new method is covered by its line in the table of methods."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sid import params
from sid.arrays import check_codes
from sid.errors import InputError
from sid.params import Params
from sid.quantizers import methods
from sid.quantizers.base import Fit
from tests.conftest import ROOT, catalogue

METHODS = sorted(methods.METHODS)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SIZES = (6, 5, 9)


def settings(method: str, device: str = "cpu", **shared: object) -> Params:
    """The project's params, small enough for a test."""
    loaded = params.load(ROOT / "params.yaml", methods.CONFIGS)
    values = {"method": method, "num_emb_list": SIZES, "e_dim": 8, "device": device, **shared}
    small = {"layers": (32,), "epochs": 40, "init_epoch": 5, "batch_size": 50}
    chosen = {
        name: config.model_copy(update={key: value for key, value in small.items() if hasattr(config, key)})
        for name, config in loaded.methods.items()
    }
    return dataclasses.replace(loaded, quant=loaded.quant.model_copy(update=values), methods=chosen)


@pytest.fixture(scope="module", params=[(m, d) for m in METHODS for d in DEVICES], ids="-".join)
def fitted(request: pytest.FixtureRequest) -> tuple[Fit, Params]:
    chosen = settings(*request.param)
    return methods.fit(catalogue(200), chosen), chosen


def test_codes_are_in_range_and_sizes_are_those_asked_for(fitted: tuple[Fit, Params]) -> None:
    quantizer = fitted[0].quantizer
    assert quantizer.code_sizes == SIZES
    assert quantizer.dim == 8
    codes = quantizer.encode(catalogue(200))
    assert codes.dtype == np.int32
    check_codes(codes, SIZES, "codes")
    assert len(np.unique(codes, axis=0)) > 20


def test_a_rows_codes_never_depend_on_the_other_rows(fitted: tuple[Fit, Params]) -> None:
    quantizer, vectors = fitted[0].quantizer, catalogue(200)
    vectors[100:110] = vectors[0]
    codes = quantizer.encode(vectors)
    np.testing.assert_array_equal(np.concatenate([quantizer.encode(vectors[i : i + 1]) for i in range(200)]), codes)
    np.testing.assert_array_equal(quantizer.encode(vectors[::-1].copy()), codes[::-1])
    np.testing.assert_array_equal(quantizer.encode(vectors[37:44]), codes[37:44])
    assert (codes[100:110] == codes[0]).all()


def test_no_rows(fitted: tuple[Fit, Params]) -> None:
    quantizer = fitted[0].quantizer
    assert quantizer.encode(np.zeros((0, 8), np.float32)).shape == (0, 3)
    assert quantizer.decode(np.zeros((0, 3), np.int32)).shape == (0, 8)


def test_decode_is_near_the_input_and_better_than_the_mean(fitted: tuple[Fit, Params]) -> None:
    quantizer, vectors = fitted[0].quantizer, catalogue(200)
    decoded = quantizer.decode(quantizer.encode(vectors))
    assert decoded.shape == vectors.shape
    assert decoded.dtype == np.float32
    assert ((vectors - decoded) ** 2).mean() < 0.5 * vectors.var(axis=0).mean()


def test_costs_are_squared_distances_of_what_any_prefix_leaves(fitted: tuple[Fit, Params]) -> None:
    quantizer: Any = fitted[0].quantizer
    vectors = catalogue(200)
    generator = np.random.default_rng(0)
    prefix = np.stack([generator.integers(size, size=200) for size in SIZES[:2]], axis=1).astype(np.int32)
    left = quantizer.latents(vectors).astype(np.float64)
    for level, book in enumerate(quantizer.codebooks):
        found = quantizer.costs(vectors, prefix[:, :level])
        assert (found.dtype, found.shape) == (np.float64, (200, SIZES[level]))
        np.testing.assert_allclose(found, ((left[:, None] - book[None]) ** 2).sum(axis=2), rtol=1e-3, atol=1e-4)
        if level < 2:
            left -= book[prefix[:, level]]


@pytest.mark.parametrize("change", ["plain", "equal rows", "shifted"])
def test_encode_is_the_argmin_of_costs_level_by_level(fitted: tuple[Fit, Params], change: str) -> None:
    quantizer, vectors = fitted[0].quantizer, catalogue(200)
    if change == "equal rows":
        vectors[50:150] = vectors[0]
    elif change == "shifted":
        vectors += np.float32(1000)
    codes = quantizer.encode(vectors)
    for level in range(len(SIZES)):
        np.testing.assert_array_equal(quantizer.costs(vectors, codes[:, :level]).argmin(axis=1), codes[:, level])


def test_costs_of_no_rows_and_of_what_does_not_fit(fitted: tuple[Fit, Params]) -> None:
    quantizer, vectors = fitted[0].quantizer, catalogue(4)
    assert quantizer.costs(vectors[:0], np.zeros((0, 1), np.int32)).shape == (0, SIZES[1])
    for wrong in (np.zeros((4, 3), np.int32), np.zeros((3, 1), np.int32), np.zeros(4, np.int32)):
        with pytest.raises(InputError, match=r"must be \(4, l\) with l from 0 to 2"):
            quantizer.costs(vectors, wrong)
    with pytest.raises(InputError, match="prefix: row 0 has code 6 at level 0"):
        quantizer.costs(vectors, np.full((4, 1), 6, np.int32))
    with pytest.raises(InputError, match=r"must be \(N, 8\) float32"):
        quantizer.costs(vectors[:, :7], np.zeros((4, 0), np.int32))


def test_saved_and_loaded_it_is_the_same(fitted: tuple[Fit, Params], tmp_path: Path) -> None:
    quantizer, vectors = fitted[0].quantizer, catalogue(200)
    quantizer.save(tmp_path / "one.pth")
    loaded = methods.load(tmp_path / "one.pth", fitted[1].quant.device)
    assert (loaded.method, loaded.code_sizes, loaded.dim) == (quantizer.method, SIZES, 8)
    codes = quantizer.encode(vectors)
    np.testing.assert_array_equal(loaded.encode(vectors), codes)
    np.testing.assert_array_equal(loaded.decode(codes), quantizer.decode(codes))
    torch.load(tmp_path / "one.pth", weights_only=True)


def test_same_seed_same_codes_and_same_bytes(fitted: tuple[Fit, Params], tmp_path: Path) -> None:
    first, chosen = fitted
    again = methods.fit(catalogue(200), chosen)
    first.quantizer.save(tmp_path / "one.pth")
    again.quantizer.save(tmp_path / "two.pth")
    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "two.pth").read_bytes()
    assert list(first.curve) == list(again.curve)


def test_another_seed_is_another_model(fitted: tuple[Fit, Params]) -> None:
    first, chosen = fitted
    other = dataclasses.replace(chosen, quant=chosen.quant.model_copy(update={"seed": 5}))
    assert (
        methods.fit(catalogue(200), other).quantizer.encode(catalogue(200)) != first.quantizer.encode(catalogue(200))
    ).any()


def test_the_curve_counts_steps_and_ends_at_the_models_error(fitted: tuple[Fit, Params]) -> None:
    curve = fitted[0].curve
    assert [row["step"] for row in curve] == sorted({row["step"] for row in curve})
    assert all(np.isfinite(row["mse"]) for row in curve)


def test_it_refuses_other_vectors(fitted: tuple[Fit, Params]) -> None:
    quantizer = fitted[0].quantizer
    for wrong in (np.zeros((2, 7), np.float32), np.zeros(8, np.float32), np.zeros((2, 8), np.float64)):
        with pytest.raises(InputError, match=r"must be \(N, 8\) float32"):
            quantizer.encode(wrong)
    with pytest.raises(InputError, match="code 9 at level 2"):
        quantizer.decode(np.array([[0, 0, 9]], np.int32))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: np.full_like(x, 3), id="all rows equal"),
        pytest.param(lambda x: np.repeat(x[:4], 50, axis=0), id="four distinct rows"),
        pytest.param(lambda x: np.r_[x[:-1], 1e4 * x[-1:]], id="one far outlier"),
        pytest.param(lambda x: x * np.float32(1e-6), id="tiny"),
        pytest.param(lambda x: x * np.float32(1e6), id="huge"),
        pytest.param(lambda x: x + np.float32(100), id="shifted"),
        pytest.param(lambda x: x[:9], id="as many rows as codes"),
    ],
)
def test_data_that_hurts(method: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    vectors = np.ascontiguousarray(change(catalogue(200)), np.float32)
    quantizer = methods.fit(vectors, settings(method)).quantizer
    codes = quantizer.encode(vectors)
    decoded = quantizer.decode(codes)
    assert np.isfinite(decoded).all()
    equal = np.unique(vectors, axis=0, return_inverse=True)[1].reshape(-1)
    for value in np.unique(equal):
        assert len(np.unique(codes[equal == value], axis=0)) == 1


@pytest.mark.parametrize("method", METHODS)
def test_codebooks_larger_than_the_catalogue_are_refused(method: str) -> None:
    chosen = settings(method, num_emb_list=(4, 300, 301))
    with pytest.raises(InputError) as caught:
        methods.fit(catalogue(200), chosen)
    assert caught.value.problems == (
        "params.yaml: quant.num_emb_list[1] is 300: must be at most 200, the number of items",
        "params.yaml: quant.num_emb_list[2] is 301: must be at most 200, the number of items",
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"quant\.device is 'cuda'"):
        methods.fit(catalogue(), settings(METHODS[0], "cuda"))


@pytest.mark.parametrize("content", [b"", b"no model", b"PK\x03\x04 broken"])
def test_load_refuses_what_is_not_a_quantizer(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.pth: can't be read as a quantizer"):
        methods.load(path)
    with pytest.raises(InputError, match=r"absent\.pth"):
        methods.load(tmp_path / "absent.pth")


def test_load_refuses_pickled_objects_and_foreign_checkpoints(tmp_path: Path) -> None:
    torch.save({"path": Path("x")}, tmp_path / "pickled.pth")
    with pytest.raises(InputError, match="can't be read"):
        methods.load(tmp_path / "pickled.pth")
    torch.save({"state_dict": {}}, tmp_path / "foreign.pth")
    with pytest.raises(InputError, match="holds no quantizer of format 1"):
        methods.load(tmp_path / "foreign.pth")


BAD_STATES: dict[str, list[tuple[str, Any, str]]] = {
    "rqkmeans": [
        ("codebooks", None, "holds no 'codebooks'"),
        ("codebooks", "text", "'codebooks' is of type str, must be list"),
        ("codebooks", [], "at least one codebook"),
        (
            "codebooks",
            [torch.zeros(4)],
            r"'codebooks\[0\]' is torch.float32 of shape \(4,\), must be a float32 tensor of 2",
        ),
        ("codebooks", [torch.zeros(4, 8, dtype=torch.float64)], r"'codebooks\[0\]' is torch.float64"),
        ("codebooks", [torch.zeros(4, 7)], r"codebook 0 has shape \(4, 7\)"),
        ("codebooks", [torch.zeros(0, 8)], r"codebook 0 has shape \(0, 8\)"),
        ("mean", None, "holds no 'mean'"),
        ("mean", torch.zeros(()), "'mean' is torch.float32 of shape"),
        ("mean", torch.full((8,), torch.nan), "must be finite"),
        ("scale", "1", "'scale' is of type str, must be float"),
        ("scale", 0.0, "the scale above 0"),
        ("method", 7, "'method' is of type int, must be str"),
        ("info", [], "'info' is of type list, must be dict"),
        ("kind", None, "is a quantizer of kind None, must be one of residual, autoencoder"),
        ("kind", {}, "is a quantizer of kind {}"),
        ("kind", "autoencoder", "holds no 'encoder'"),
    ],
    "rqvae": [
        ("encoder", None, "holds no 'encoder'"),
        ("encoder", {}, "encoder: holds no 'weights'"),
        ("decoder", [], "'decoder' is of type list"),
        ("decoder", {"weights": [1], "biases": [], "residual": False}, r"decoder: 'weights\[0\]' is int"),
        (
            "decoder",
            {"weights": [torch.zeros(8, 8)], "biases": [torch.zeros(8)], "residual": 1},
            "'residual' is of type",
        ),
        ("codebooks", [torch.zeros(4, 5)], r"codebook 0 has shape \(4, 5\)"),
    ],
}


@pytest.mark.parametrize("method", BAD_STATES)
def test_a_model_file_with_a_key_missing_or_wrong_is_named_in_a_line(method: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    methods.fit(catalogue(60), settings(method)).quantizer.save(path)
    state = torch.load(path, weights_only=True)
    for key, value, said in BAD_STATES[method]:
        changed = {name: held for name, held in state.items() if name != key or value is not None}
        torch.save({**changed, **({} if value is None else {key: value})}, path)
        with pytest.raises(InputError, match=f"model.pth: .*{said}") as caught:
            methods.load(path)
        assert len(caught.value.problems) == 1
