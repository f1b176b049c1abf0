"""RQ-KMeans+: at step 0 it is its warm start, to the code; trained, it is better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sid.errors import InputError
from sid.params import NOT_GIVEN, Quant
from sid.quantizers import npz, rqkmeans, rqkmeans_constrained, rqkmeans_plus
from sid.quantizers.base import Scaling
from sid.quantizers.residual import ResidualQuantizer
from sid.quantizers.rqkmeans_plus import RQKMeansPlusConfig
from tests.conftest import CATALOGUE, needs_catalogue
from tests.test_training import SMALL, clouds

SIZES = (16, 12, 8)
KMEANS = rqkmeans.RQKMeansConfig(max_iters=10, tol=1e-4, restarts=1)

CONSTRAINED = rqkmeans_constrained.RQKMeansConstrainedConfig(
    slack=1, solver="scalable", max_iters=5, n_init=1, n_jobs=1
)


def config(**changes: Any) -> RQKMeansPlusConfig:
    shared = {key: value for key, value in SMALL.items() if key not in ("kmeans_init", "kmeans_iters", "init_epoch")}
    own = {
        "warm_start": "rqkmeans",
        "warm_start_file": NOT_GIVEN,
        "residual_decoder": True,
    }
    return RQKMeansPlusConfig(**{**shared, **own, **changes})


def quant(**changes: Any) -> Quant:
    shared = {
        "method": "rqkmeans_plus",
        "num_emb_list": SIZES,
        "e_dim": 32,
        "train_sample": None,
        "seed": 0,
        "device": "cpu",
        "device_memory_gib": None,
    }
    return Quant(**{**shared, **changes})


def warm(vectors: np.ndarray, sizes: tuple[int, ...] = SIZES) -> ResidualQuantizer:
    quantizer = rqkmeans.fit(vectors, quant(method="rqkmeans", num_emb_list=sizes), KMEANS).quantizer
    assert isinstance(quantizer, ResidualQuantizer)
    return quantizer


def error(quantizer: Any, vectors: np.ndarray) -> float:
    decoded = quantizer.decode(quantizer.encode(vectors))
    return float(((vectors.astype(np.float64) - decoded) ** 2).mean())


@pytest.mark.parametrize("bn", [False, True])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_at_step_0_codes_and_decoded_vectors_are_those_of_the_warm_start(scale: float, bn: bool) -> None:
    vectors = clouds(3000) * np.float32(scale)
    before = warm(vectors)
    start = rqkmeans_plus.start(vectors, quant(), config(bn=bn), before)
    codes = before.encode(vectors)
    np.testing.assert_array_equal(start.latents(vectors), before.latents(vectors))
    np.testing.assert_array_equal(start.encode(vectors), codes)
    np.testing.assert_array_equal(start.decode(codes), before.decode(codes))


def test_at_step_0_of_an_npz_in_the_input_space(tmp_path: Path) -> None:
    vectors = clouds(3000) * np.float32(0.05) + np.float32(1)
    npz.save_npz(warm(vectors), tmp_path / "codebooks.npz")
    before = npz.load_npz(tmp_path / "codebooks.npz")
    assert before.scaling.scale == 1
    start = rqkmeans_plus.start(vectors, quant(), config(), before)
    np.testing.assert_array_equal(start.encode(vectors), before.encode(vectors))
    np.testing.assert_array_equal(start.decode(start.encode(vectors)), before.decode(before.encode(vectors)))


@needs_catalogue
def test_at_step_0_on_the_real_catalogue() -> None:
    vectors = np.load(CATALOGUE / "embeddings.npy")
    before = warm(vectors, (256, 256, 256))
    start = rqkmeans_plus.start(vectors, quant(num_emb_list=(256, 256, 256), e_dim=384), config(), before)
    np.testing.assert_array_equal(start.encode(vectors), before.encode(vectors))


def curved(rows: int = 1000) -> np.ndarray:
    """A bent surface of 3 dimensions in 32: (rows, 32), with something to gain for a network."""
    generator = np.random.default_rng(0)
    inner = np.sin(generator.normal(size=(rows, 3)) @ generator.normal(size=(3, 24)) + generator.normal(size=24))
    return (0.05 * inner @ generator.normal(size=(24, 32))).astype(np.float32)


@pytest.mark.parametrize("residual_decoder", [True, False])
@pytest.mark.parametrize("space", ["scaled", "input"])
def test_trained_it_is_better_than_its_warm_start(residual_decoder: bool, space: str, tmp_path: Path) -> None:
    vectors = curved()
    before = warm(vectors)
    if space == "input":
        npz.save_npz(before, tmp_path / "codebooks.npz")
        before = npz.load_npz(tmp_path / "codebooks.npz")
    chosen = config(residual_decoder=residual_decoder, epochs=40, batch_size=64, lr=3e-3, layers=(128, 64))
    fitted = rqkmeans_plus.fit(vectors, quant(), chosen, warm_start=before)
    if residual_decoder:
        assert fitted.figures["warm_start_mse"] == pytest.approx(error(before, vectors), rel=1e-4)
    assert error(fitted.quantizer, vectors) < 0.97 * error(before, vectors)
    assert fitted.quantizer.code_sizes == SIZES
    assert fitted.quantizer.method == "rqkmeans_plus"


def test_both_spaces_of_a_warm_start_train_alike(tmp_path: Path) -> None:
    """Codebooks in the input space, at a scale of 0.05, learn at the same pace as those in the scaled space."""
    vectors = clouds(1000) * np.float32(0.05) + np.float32(0.3)
    before = warm(vectors)
    npz.save_npz(before, tmp_path / "codebooks.npz")
    scaled = rqkmeans_plus.fit(vectors, quant(), config(epochs=30), warm_start=before)
    unscaled = rqkmeans_plus.fit(
        vectors, quant(), config(epochs=30), warm_start=npz.load_npz(tmp_path / "codebooks.npz")
    )
    assert unscaled.curve[-1]["r2"] == pytest.approx(scaled.curve[-1]["r2"], abs=0.02)
    assert unscaled.curve[0]["loss_recon"] == pytest.approx(scaled.curve[0]["loss_recon"], rel=0.05)


def test_it_resumes_and_starts_anew_from_another_warm_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sid.quantizers.training.states import Checkpoints

    vectors = clouds()
    before = warm(vectors)
    whole = rqkmeans_plus.fit(vectors, quant(), config(), warm_start=before)
    write = Checkpoints.write

    def write_and_die(self: Checkpoints, epoch: int, state: Any) -> None:
        write(self, epoch, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "write", write_and_die)
        with pytest.raises(KeyboardInterrupt):
            rqkmeans_plus.fit(vectors, quant(), config(), tmp_path, warm_start=before)
    (left,) = tmp_path.iterdir()
    moved = ResidualQuantizer((before.codebooks[0] + 1, *before.codebooks[1:]), before.scaling)
    rqkmeans_plus.fit(vectors, quant(), config(), tmp_path, warm_start=moved)
    assert left in tmp_path.iterdir()
    assert len(list(tmp_path.iterdir())) == 2
    resumed = rqkmeans_plus.fit(vectors, quant(), config(), tmp_path, warm_start=before)
    np.testing.assert_array_equal(resumed.quantizer.encode(vectors), whole.quantizer.encode(vectors))
    assert len(list(tmp_path.iterdir())) == 2


def test_what_does_not_fit_the_warm_start_is_refused_all_at_once() -> None:
    before = ResidualQuantizer((np.zeros((4, 20), np.float32),), Scaling.identity(20))
    with pytest.raises(InputError) as caught:
        rqkmeans_plus.fit(clouds(), quant(e_dim=30), config(), warm_start=before)
    assert caught.value.problems == (
        "quant.e_dim is 30: must be 32, the dimension of the embeddings, which is also that of the "
        "codebooks with quant.method rqkmeans_plus",
        "quant.rqkmeans_plus.warm_start takes vectors of 20 dimensions, the embeddings have 32",
        "quant.num_emb_list is [16, 12, 8] but the codebooks of quant.rqkmeans_plus.warm_start have [4]",
    )
    with pytest.raises(InputError, match=r"codebooks of quant\.rqkmeans_plus\.warm_start_file, old\.npz, have \[4\]"):
        rqkmeans_plus.fit(clouds(), quant(), config(warm_start_file="old.npz"), warm_start=before)
    with pytest.raises(InputError, match=r"has 3 levels but quant\.rqkmeans_plus\.sk_epsilons has 2"):
        rqkmeans_plus.fit(clouds(), quant(), config(sk_epsilons=(0.1, 0.1)), warm_start=warm(clouds()))
