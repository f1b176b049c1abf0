"""What is a method's own, beyond the contract."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sid.arrays import sampled
from sid.clustering import points
from sid.clustering.balanced import size_bounds
from sid.clustering.kmeans import Clustering, kmeans
from sid.errors import InputError
from sid.params import Index, conflicts
from sid.quantizers import assignment, levels, methods
from sid.quantizers.assignment import assign, balanced_codes, nearest_codes, slack_of
from sid.quantizers.npz import load_npz, save_npz
from sid.quantizers.residual import ResidualQuantizer
from tests.conftest import CATALOGUE, Project, catalogue, needs_catalogue
from tests.test_contract import METHODS, settings


def residual(method: str = "rqkmeans", vectors: np.ndarray | None = None, **shared: object) -> ResidualQuantizer:
    found = methods.fit(catalogue(300) if vectors is None else vectors, settings(method, **shared)).quantizer
    assert isinstance(found, ResidualQuantizer)
    return found


def test_levels_of_any_number_and_size() -> None:
    sizes = tuple(2 + level % 5 for level in range(26))
    quantizer = methods.fit(catalogue(100), settings("rqkmeans", num_emb_list=sizes)).quantizer
    assert quantizer.code_sizes == sizes
    assert quantizer.encode(catalogue(100)).shape == (100, 26)


def test_the_exact_solver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = settings("rqkmeans_constrained")
    section = wanted.methods["rqkmeans_constrained"].model_copy(update={"solver": "exact"})
    wanted = dataclasses.replace(wanted, methods={**wanted.methods, "rqkmeans_constrained": section})
    assert section.conflicts(wanted.quant) == []
    monkeypatch.setattr("sid.quantizers.levels.find_spec", lambda _name: None)
    assert "pip install 'ortools" in section.conflicts(wanted.quant)[0]
    monkeypatch.setitem(sys.modules, "ortools.graph.python.min_cost_flow", None)
    with pytest.raises(InputError, match="pip install 'ortools"):
        methods.fit(catalogue(100), wanted)


def test_the_warm_starts_section_is_asked_too_and_keys_are_named_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sid.quantizers.levels.find_spec", lambda _name: None)
    wanted = settings("rqkmeans_plus")
    section = wanted.methods["rqkmeans_plus"]
    exact = wanted.methods["rqkmeans_constrained"].model_copy(update={"solver": "exact"})

    def configs(**changes: str) -> dict[str, Any]:
        changed = section.model_copy(update={"warm_start": "rqkmeans_constrained", **changes})
        return {**wanted.methods, "rqkmeans_plus": changed, "rqkmeans_constrained": exact}

    (problem,) = conflicts(wanted.quant, configs())
    assert problem.startswith("quant.rqkmeans_constrained.solver is 'exact'")
    assert conflicts(wanted.quant, configs(warm_start_file="old.npz")) == []
    assert conflicts(wanted.quant, configs(warm_start="rqkmeans")) == []
    with pytest.raises(InputError, match=r"quant\.rqkmeans_constrained\.solver"):
        methods.fit(catalogue(100), dataclasses.replace(wanted, methods=configs()))


def seeds_of_levels(seed: int) -> list[int]:
    seeds = []

    def engine(vectors: points.Points, k: int, /, *, seed: int, on_iteration: object, start: object) -> Clustering:
        seeds.append(seed)
        return kmeans(vectors, k, max_iters=1)

    shared = settings("rqkmeans", seed=seed)
    levels.fit_levels(catalogue(60), shared.quant, shared.methods["rqkmeans"], engine)
    return seeds


def test_no_two_levels_of_any_two_seeds_draw_alike() -> None:
    assert len({*seeds_of_levels(0), *seeds_of_levels(1), *seeds_of_levels(2)}) == 9


@pytest.mark.parametrize("method", ["rqkmeans", "rqkmeans_constrained"])
def test_rows_that_are_not_held_fit_the_same_codebooks(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The residual of a chunk, computed from its codes, is what subtracting from held rows leaves, to the bit."""
    vectors = catalogue(300) + np.float32(3)
    held = methods.fit(vectors, settings(method))
    monkeypatch.setattr(points, "_HELD_BYTES", 0)
    streamed = methods.fit(vectors, settings(method))
    for one, other in zip(held.quantizer.codebooks, streamed.quantizer.codebooks, strict=True):  # type: ignore[attr-defined]
        np.testing.assert_array_equal(one, other)
    assert list(held.curve) == list(streamed.curve)


def test_all_levels_are_fitted_on_the_sample_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def engine(vectors: points.Points, k: int, /, **options: Any) -> Clustering:
        seen.append(vectors.part(slice(0, len(vectors))).clone())
        return kmeans(vectors, k, **options)

    monkeypatch.setattr("sid.clustering.kmeans.kmeans", engine)
    vectors = catalogue(2000)
    fit = methods.fit(vectors, settings("rqkmeans", train_sample=500))
    assert [len(rows) for rows in seen] == [500] * 3
    quantizer = fit.quantizer
    scaled = {row.tobytes() for row in quantizer.scaling.apply(vectors)}  # type: ignore[attr-defined]
    assert {row.tobytes() for row in seen[0].numpy()} <= scaled
    error = ((vectors - quantizer.decode(quantizer.encode(vectors))) ** 2).mean()
    whole = methods.fit(vectors, settings("rqkmeans")).quantizer
    assert error <= 1.3 * ((vectors - whole.decode(whole.encode(vectors))) ** 2).mean()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_on_the_sample_that_params_ask_for(method: str) -> None:
    vectors = catalogue(300)
    fit = methods.fit(vectors, settings(method, train_sample=60))
    assert fit.figures["train_rows"] == 60
    rows = sampled(vectors, 60, 0)
    wanted = settings(method, train_sample=None)
    alone = methods.fit(rows.part(0, 60), wanted)
    np.testing.assert_array_equal(fit.quantizer.encode(vectors), alone.quantizer.encode(vectors))


def test_auto_trains_small_catalogues_whole_and_bounds_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    quant = settings("rqkmeans").quant
    assert methods.train_rows(methods.LEAST_ROWS, quant) == methods.LEAST_ROWS
    assert methods.train_rows(10**9, quant) == methods.LEAST_ROWS
    wide = quant.model_copy(update={"num_emb_list": (8192, 256)})
    assert methods.train_rows(10**9, wide) == methods.ROWS_A_CODE * 8192
    assert methods.train_rows(10**9, quant.model_copy(update={"train_sample": None})) == 10**9
    monkeypatch.setattr(methods, "LEAST_ROWS", 100)
    monkeypatch.setattr(methods, "ROWS_A_CODE", 2)
    assert methods.fit(catalogue(200), settings("rqkmeans")).figures["train_rows"] == 100


def test_a_method_needs_no_other_methods_module() -> None:
    from tests.test_imports import closure

    modules = {method: f"sid.quantizers.{method}" for method in METHODS}
    for method, module in modules.items():
        assert not closure(module) & (set(modules.values()) | {"sid.quantizers.methods"}) - {module}, method
    assert not closure("sid.quantizers.loading") & {*modules.values(), "sid.quantizers.methods"}


def test_one_giant_cluster_of_equal_rows_gets_balanced_codes_down_to_residuals_of_zero() -> None:
    others = np.random.default_rng(0).normal(size=(60, 16)).astype(np.float32)
    vectors = np.concatenate([np.zeros((450, 16), np.float32), others])  # fewer distinct rows than codes
    quantizer = residual(vectors=vectors, num_emb_list=(64, 64, 64))
    low, high = size_bounds(510, 64, 1)
    for column in balanced_codes(quantizer, vectors, 1).T:
        counts = np.bincount(column, minlength=64)
        assert low <= counts.min()
        assert counts.max() <= high


@pytest.mark.parametrize("method", METHODS)
def test_a_row_that_is_not_finite_is_named(method: str) -> None:
    vectors = catalogue(100).copy()
    vectors[57, 3] = np.inf
    with pytest.raises(InputError, match="row 57 holds NaN or infinity"):
        methods.fit(vectors, settings(method))


def test_codebooks_that_are_not_finite_are_named_by_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.npz"
    np.savez(path, codebook_0=np.full((4, 3), np.nan, np.float32))
    with pytest.raises(InputError, match=r"broken\.npz: codebook 0 holds NaN or Inf"):
        methods.load(path)


def test_each_level_lowers_the_error() -> None:
    curve = methods.fit(catalogue(300), settings("rqkmeans")).curve
    last = {int(row["level"]): row["mse"] for row in curve}
    assert last[1] > last[2] > last[3]


@pytest.mark.parametrize("method", ["rqkmeans", "rqkmeans_constrained"])
def test_the_curve_ends_at_the_error_of_the_training_codes(method: str) -> None:
    vectors = catalogue(300)
    fit = methods.fit(vectors, settings(method))
    quantizer = fit.quantizer
    codes = nearest_codes(quantizer, vectors)
    if method == "rqkmeans_constrained":
        codes = balanced_codes(quantizer, vectors, 1)
    error = float(((vectors - quantizer.decode(codes)) ** 2).mean())
    assert fit.curve[-1]["mse"] == pytest.approx(error, rel=0.05 if method == "rqkmeans_constrained" else 1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("slack", [0, 1, 3])
def test_balanced_assignment_keeps_the_bounds_for_any_methods_codebooks(method: str, slack: int) -> None:
    vectors = catalogue(300)
    vectors[:150] = vectors[0]  # half the rows equal: nearest codes would put them all into one
    quantizer = methods.fit(vectors, settings(method)).quantizer
    codes = balanced_codes(quantizer, vectors, slack)
    for level, size in enumerate(quantizer.code_sizes):
        counts = np.bincount(codes[:, level], minlength=size)
        low, high = size_bounds(300, size, slack)
        assert low <= counts.min() <= counts.max() <= high


def test_balanced_codes_ask_for_costs_alone_and_need_not_hold_them(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = catalogue(3000)
    quantizer = residual(vectors=vectors)

    class Costs:
        method, device, info, dim, code_sizes = "other", "cpu", {}, quantizer.dim, quantizer.code_sizes
        most = 0

        def costs(self, some: np.ndarray, prefix: np.ndarray) -> np.ndarray:
            Costs.most = max(Costs.most, len(some))
            return quantizer.costs(some, prefix)

    held = balanced_codes(Costs(), vectors, 1)  # type: ignore[arg-type]
    monkeypatch.setattr(assignment, "_HELD_BYTES", 0)
    monkeypatch.setattr(points, "_CACHE_BYTES", 1 << 15)
    Costs.most = 0
    made_anew = balanced_codes(Costs(), vectors, 1)  # type: ignore[arg-type]
    errors = [((vectors - quantizer.decode(codes)) ** 2).mean() for codes in (held, made_anew)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-3)
    assert Costs.most < 500
    for codes in (held, made_anew):
        for level, size in enumerate(quantizer.code_sizes):
            counts = np.bincount(codes[:, level], minlength=size)
            low, high = size_bounds(3000, size, 1)
            assert low <= counts.min() <= counts.max() <= high


def skewed() -> np.ndarray:
    """600 x 8, of which half lie in two of forty clusters."""
    generator = np.random.default_rng(0)
    centres = 3 * generator.normal(size=(40, 8))
    pick = np.where(np.arange(600) < 300, np.arange(600) % 2, generator.integers(2, 40, size=600))
    return (centres[pick] + 0.2 * generator.normal(size=(600, 8))).astype(np.float32)


def test_the_catalogues_slack_is_the_fits_unless_someone_says_otherwise() -> None:
    vectors = skewed()

    def errors(slack: int | None, seed: int) -> float:
        """The error, relative to the fit's own."""
        wanted = settings("rqkmeans_constrained", num_emb_list=(16, 16), seed=seed)
        section = wanted.methods["rqkmeans_constrained"].model_copy(update={"slack": 20})
        fit = methods.fit(
            vectors, dataclasses.replace(wanted, methods={**wanted.methods, "rqkmeans_constrained": section})
        )
        index = Index(assignment="auto", slack=slack)
        codes, used = assign(fit.quantizer, vectors, index)
        assert used == "balanced"
        low, high = size_bounds(600, 16, slack_of(fit.quantizer, index))
        for column in codes.T:
            counts = np.bincount(column, minlength=16)
            assert low <= counts.min() <= counts.max() <= high
        return float(((vectors - fit.quantizer.decode(codes)) ** 2).mean()) / float(fit.curve[-1]["mse"])

    assert settings("rqkmeans_constrained").index.slack is None
    assert np.median([errors(None, seed) for seed in range(7)]) == pytest.approx(1, abs=0.02)
    assert min(errors(1, seed) for seed in range(3)) > 1.5


def test_the_slack_of_codebooks_whose_fit_bounded_nothing_is_minionerecs() -> None:
    index = Index(assignment="balanced", slack=None)
    assert slack_of(residual(), index) == 1
    assert slack_of(residual(), index.model_copy(update={"slack": 0})) == 0
    assert slack_of(residual("rqkmeans_constrained"), index) == 1


@pytest.mark.parametrize(
    ("wanted", "method", "used"),
    [
        ("auto", "rqkmeans", "nearest"),
        ("auto", "rqkmeans_constrained", "balanced"),
        ("balanced", "rqkmeans", "balanced"),
        ("nearest", "rqkmeans_constrained", "nearest"),
    ],
)
def test_the_index_stage_assigns_as_asked(project: Project, wanted: str, method: str, used: str) -> None:
    project.params(index__assignment=wanted, quant__method=method)
    project.succeed("prepare", "interactions", "align", "train", "index")
    report = project.report("index")
    assert report["assignment"] == used
    if used == "balanced":
        assert report["slack"] == 1
        codes = np.load(project.path("data/codes.npy"))
        assert [np.bincount(column).max() for column in codes.T] == [16, 16, 8]


def test_npz_round_trips_through_the_input_space(tmp_path: Path) -> None:
    vectors = catalogue(300) + np.float32(2)
    quantizer = residual(vectors=vectors)
    save_npz(quantizer, tmp_path / "books.npz")
    loaded = methods.load(tmp_path / "books.npz", "cpu")
    assert loaded.code_sizes == quantizer.code_sizes
    codes = quantizer.encode(vectors)
    assert (loaded.encode(vectors) == codes).all(axis=1).mean() > 0.98  # near ties may fall the other way
    np.testing.assert_allclose(loaded.decode(codes), quantizer.decode(codes), atol=1e-5)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"codebook_0": np.zeros((4, 2)), "codebook_2": np.zeros((4, 2))}, "without a gap"),
        ({"centroids": np.zeros((4, 2))}, "holds none"),
        ({"codebook_0": np.zeros(4)}, r"codebook_0 has shape \(4,\)"),
        ({"codebook_0": np.zeros((4, 2)), "codebook_1": np.zeros((4, 3))}, r"codebook 1 has shape \(4, 3\)"),
        ({"codebook_0": np.full((4, 2), np.nan)}, "codebook 0 holds NaN"),
    ],
)
def test_broken_npz_files_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    np.savez(tmp_path / "books.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=said):
        load_npz(tmp_path / "books.npz")


def test_what_is_no_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "books.npz").write_bytes(b"PK\x03\x04 no archive")
    np.save(tmp_path / "array.npz.npy", np.zeros(3))
    (tmp_path / "array.npz.npy").rename(tmp_path / "array.npz")
    for name in ("books.npz", "array.npz", "absent.npz"):
        with pytest.raises(InputError, match=name):
            load_npz(tmp_path / name)


@needs_catalogue
def test_constrained_codes_of_the_real_catalogue_stay_within_the_seeds_bounds() -> None:
    vectors = np.load(CATALOGUE / "embeddings.npy")
    quantizer = methods.fit(vectors, settings("rqkmeans_constrained", num_emb_list=(256, 256, 256))).quantizer
    codes = balanced_codes(quantizer, vectors, 1)
    for level in range(3):
        counts = np.bincount(codes[:, level], minlength=256)
        assert counts.min() >= 13
        assert counts.max() <= 15
    assert ((vectors - quantizer.decode(codes)) ** 2).mean() < 7.9e-4
