"""The solver `k_means_constrained`, against direct calls of the package as MiniOneRec makes them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sid import params
from sid.clustering.k_means_constrained import k_means_constrained
from sid.errors import InputError
from sid.params import Params
from sid.quantizers import levels, methods
from tests.conftest import ROOT, catalogue

package = pytest.importorskip("k_means_constrained")
joblib = pytest.importorskip("joblib")

PARAMS = params.load(ROOT / "params.yaml", methods.CONFIGS)


def direct(rows: np.ndarray, k: int, seed: int, **options: Any) -> Any:
    """MiniOneRec's call; with several jobs, as there, the package draws one seed for each run."""
    level_seed = int(np.random.RandomState(seed).randint(0, 2**31 - 1))
    least = len(rows) // k
    model = package.KMeansConstrained(
        n_clusters=k,
        size_min=max(1, least - 1),
        size_max=least + 1,
        max_iter=options.get("max_iters", 100),
        tol=1e-4,
        random_state=level_seed,
        n_init=options.get("n_init", 3),
        n_jobs=2,
    )
    with joblib.parallel_config(backend="threading"):
        return model.fit(rows)


def constrained(method: str = "rqkmeans_constrained", **changes: Any) -> Params:
    quant = PARAMS.quant.model_copy(update={"method": method, "num_emb_list": (5, 4), "seed": 42, "e_dim": 8})
    config = PARAMS.methods["rqkmeans_constrained"].model_copy(update={"solver": "k_means_constrained", **changes})
    own: dict[str, Any] = {"rqkmeans_constrained": config}
    if method == "rqkmeans_plus":
        plus = PARAMS.methods["rqkmeans_plus"]
        update = {"warm_start": "rqkmeans_constrained", "epochs": 2, "warmup_epochs": 1}
        own["rqkmeans_plus"] = plus.model_copy(update=update)
    return Params(**{**PARAMS.__dict__, "quant": quant, "methods": {**PARAMS.methods, **own}})


@pytest.mark.parametrize("options", [{}, {"n_init": 1}, {"n_init": 7, "max_iters": 2}])
def test_labels_and_centroids_are_those_of_the_package(options: dict[str, int]) -> None:
    rows = catalogue(90, 6)
    ours = k_means_constrained(torch.from_numpy(rows), 7, seed=3, **options)
    theirs = direct(rows, 7, 3, **options)
    np.testing.assert_array_equal(ours.labels.numpy(), theirs.labels_)
    np.testing.assert_array_equal(ours.centroids.numpy(), theirs.cluster_centers_)
    assert sum(ours.inertia) == pytest.approx(((rows - theirs.cluster_centers_[theirs.labels_]) ** 2).sum(), rel=1e-5)


def test_two_jobs_give_the_result_of_one_where_the_package_itself_fails() -> None:
    """Above 1 MB joblib hands read-only memory maps to the package's workers."""
    rows = np.random.default_rng(0).normal(size=(600, 512)).astype(np.float32)
    assert rows.nbytes > 1 << 20
    tensor = torch.from_numpy(rows)
    one = k_means_constrained(tensor, 4, n_init=2, max_iters=3)
    two = k_means_constrained(tensor, 4, n_init=2, max_iters=3, n_jobs=2)
    assert torch.equal(one.labels, two.labels)
    assert torch.equal(one.centroids, two.centroids)


def test_a_fit_has_minionerecs_codebooks() -> None:
    """Its loop over the levels, on rows of unit length off the origin."""
    rows = catalogue(61, 8) + np.float32(0.5)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    fit = methods.fit(rows, constrained(max_iters=100))
    left = rows.copy()
    for level, book in enumerate(fit.quantizer.codebooks):  # type: ignore[attr-defined]
        found = direct(left, len(book), 42 + level)
        np.testing.assert_array_equal(book, found.cluster_centers_)
        left -= found.cluster_centers_[found.labels_]
    assert fit.figures["mse"] == pytest.approx(float((left.astype(np.float64) ** 2).mean()), rel=1e-4)
    np.testing.assert_array_equal(
        fit.quantizer.decode(np.zeros((1, 2), np.int32))[0], sum(book[0] for book in fit.quantizer.codebooks)
    )  # type: ignore[attr-defined]


def test_slack_widens_the_bounds_and_equal_rows_are_no_trouble() -> None:
    rows = catalogue(60, 4)
    rows[:40] = rows[0]
    for slack, least, most in ((0, 15, 15), (1, 14, 16), (100, 1, 60)):
        sizes = torch.bincount(k_means_constrained(torch.from_numpy(rows), 4, slack=slack, n_init=1).labels)
        assert least <= int(sizes.min()) <= int(sizes.max()) <= most
    assert int(sizes.max()) >= 40
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's seeding divides by a variance of 0
        same = k_means_constrained(torch.ones(8, 3), 4, n_init=1)
    assert torch.bincount(same.labels).tolist() == [2, 2, 2, 2]


def test_the_warm_start_of_rqkmeans_plus_takes_the_solver() -> None:
    assert methods.fit(catalogue(), constrained("rqkmeans_plus")).figures["warm_start_mse"] > 0


def test_rows_that_the_package_would_round_away_or_overflow_on_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"vectors: lie .* from their mean, must be 0\.01 or more .* prepare\.normalize"
    ):
        methods.fit(catalogue() * np.float32(1e-4), constrained())
    with pytest.raises(InputError, match=r"vectors: lie up to .* apart, must be below 2\.1e\+06"):
        methods.fit(catalogue() * np.float32(1e7), constrained())
    rows = torch.ones(8, 3)
    rows[5, 1] = torch.nan
    with pytest.raises(InputError, match="row 5 holds NaN"):
        k_means_constrained(rows, 2)


@pytest.mark.parametrize(
    ("solver", "module", "install"),
    [("k_means_constrained", "k_means_constrained", "k-means-constrained"), ("exact", "ortools", "ortools>=9.10")],
)
@pytest.mark.parametrize("method", ["rqkmeans_constrained", "rqkmeans_plus"])
def test_what_is_missing_is_told_before_any_work(
    solver: str, module: str, install: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(levels, "find_spec", lambda name: None if name == module else object())
    text = (ROOT / "params.yaml").read_text().replace("method: rqvae ", f"method: {method} ")
    text = text.replace("warm_start: rqkmeans ", "warm_start: rqkmeans_constrained ")
    (tmp_path / "params.yaml").write_text(text.replace("solver: scalable", f"solver: {solver}"))
    with pytest.raises(
        InputError, match=rf"quant\.rqkmeans_constrained\.solver is '{solver}', .*: pip install '{install}'"
    ) as error:
        params.load(tmp_path / "params.yaml", methods.CONFIGS)
    assert len(error.value.problems) == 1
