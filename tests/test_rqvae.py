"""RQ-VAE: every option trains, no catalogue makes it collapse, and rows are coded alone as among all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sid import params
from sid.errors import InputError
from sid.quantizers import methods, model_file, rqvae
from sid.quantizers.autoencoder import AutoencoderQuantizer
from tests.conftest import ROOT
from tests.test_training import clouds, config, quant

SIZES = (16, 12, 8)


def trained(vectors: np.ndarray, **changes: Any) -> Any:
    return rqvae.fit(vectors, quant(num_emb_list=SIZES), config(**{"epochs": 30, "init_epoch": 5, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        *({"learner": name, "lr": lr} for name, lr in [("adam", 3e-3), ("adamw", 3e-3), ("sgd", 0.1)]),
        *({"learner": name, "lr": lr} for name, lr in [("adagrad", 3e-2), ("rmsprop", 1e-3)]),
        *({"lr_scheduler_type": name} for name in ("constant", "linear", "cosine")),
        {"bn": True},
        {"dropout_prob": 0.1},
        {"bn": True, "dropout_prob": 0.2, "batch_size": 16},
        {"loss_type": "l1"},
        {"sk_epsilons": (0.01, 0.01, 0.01), "epochs": 10},
        {"sk_epsilons": (0.0, 0.0, 0.003)},
        {"batch_size": 4, "epochs": 8},  # smaller than any K
        {"batch_size": 10_000, "lr": 1e-2, "epochs": 80},
        {"layers": ()},
        {"layers": (64, 48, 24, 12)},
        {"kmeans_init": False},
        {"init_epoch": 0},
        {"warmup_epochs": 10},
        {"weight_decay": 0.01},
        {"clip_grad_norm": 0.0},
        {"beta": 0.0},
        {"beta": 1.0, "quant_loss_weight": 1.0},
        {"restart_usage": 0.0},
        {"restart_until": 0.0},
    ],
    ids=lambda changes: "-".join(f"{key}={value}" for key, value in changes.items()).replace(" ", ""),
)
def test_every_option_trains(changes: dict[str, Any]) -> None:
    fitted = trained(clouds(), **changes)
    assert fitted.quantizer.code_sizes == SIZES
    assert fitted.curve[-1]["r2"] > 0.1
    assert fitted.figures["best_epoch"] <= fitted.figures["epochs"]
    used = [fitted.curve[-1][f"used_{level + 1}"] for level in range(3)]
    assert all(count > size / 3 for count, size in zip(used, SIZES, strict=True))


@pytest.mark.parametrize("sizes", [(5,), (40, 3), (4, 4, 4, 4, 4), (600, 2)])
def test_any_number_and_sizes_of_levels(sizes: tuple[int, ...]) -> None:
    fitted = rqvae.fit(clouds(), quant(num_emb_list=sizes), config(batch_size=32))
    codes = fitted.quantizer.encode(clouds())
    assert fitted.quantizer.code_sizes == sizes
    assert codes.shape == (600, len(sizes))
    assert (codes.max(axis=0) < sizes).all()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param(lambda x: x * np.float32(0.01), True, id="times 0.01"),
        pytest.param(lambda x: x * np.float32(100), True, id="times 100"),
        pytest.param(lambda x: x * np.float32(1e-9), True, id="tiny"),
        pytest.param(lambda x: x * np.float32(1e9), True, id="huge"),
        pytest.param(lambda x: x + np.float32(5), True, id="plus 5"),
        pytest.param(lambda x: x @ np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32), False, id="8"),
        pytest.param(lambda x: x @ np.random.default_rng(0).normal(size=(32, 300)).astype(np.float32), False, id="300"),
    ],
)
def test_neither_scale_nor_shift_nor_dimension_collapses_it(change: Any, same: bool) -> None:
    plain = trained(clouds()).curve[-1]
    changed = trained(change(clouds())).curve[-1]
    for level, size in enumerate(SIZES):
        assert changed[f"perplexity_{level + 1}"] > 0.7 * size
    if same:
        assert changed["r2"] == pytest.approx(plain["r2"], abs=0.02)


@pytest.mark.parametrize("spread", [0.0, 1e-3])
def test_rows_that_are_equal_or_nearly_so(spread: float) -> None:
    vectors = (3 + spread * np.random.default_rng(0).normal(size=(200, 16))).astype(np.float32)
    fitted = trained(vectors)
    codes = fitted.quantizer.encode(vectors)
    decoded = fitted.quantizer.decode(codes)
    np.testing.assert_allclose(decoded, vectors, atol=max(5 * spread, 0.05))
    if spread == 0:
        assert len(np.unique(codes, axis=0)) == 1


def test_a_trained_model_codes_a_row_alone_as_among_all() -> None:
    vectors = clouds(700, 50)
    quantizer = trained(vectors, bn=True).quantizer
    codes, latents = quantizer.encode(vectors), quantizer.latents(vectors)
    order = np.random.default_rng(0).permutation(700)
    np.testing.assert_array_equal(quantizer.encode(vectors[order]), codes[order])
    for start, stop in [(0, 1), (699, 700), (13, 20), (100, 612)]:
        np.testing.assert_array_equal(quantizer.encode(vectors[start:stop]), codes[start:stop])
        np.testing.assert_array_equal(quantizer.latents(vectors[start:stop]), latents[start:stop])


def test_same_seed_same_bytes_and_another_seed_another_model(tmp_path: Path) -> None:
    for name, seed in [("one", 0), ("two", 0), ("three", 1)]:
        fitted = rqvae.fit(clouds(), quant(seed=seed), config(dropout_prob=0.1))
        fitted.quantizer.save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    one, three = (AutoencoderQuantizer.from_state(model_file.read(tmp_path / name), "cpu") for name in ("one", "three"))
    assert (one.encode(clouds()) != three.encode(clouds())).any()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"sk_epsilons": (0.0, 0.0)}, "quant.num_emb_list has 3 levels but quant.rqvae.sk_epsilons has 2"),
        ({"bn": True, "batch_size": 1}, "quant.rqvae.batch_size is 1: must be at least 2 with quant.rqvae.bn"),
        ({"warmup_epochs": 31}, "quant.rqvae.warmup_epochs is 31: must be at most quant.rqvae.epochs, 30"),
        ({"init_epoch": 30}, "quant.rqvae.init_epoch is 30: must be less than quant.rqvae.epochs, 30"),
    ],
)
def test_contradictions_are_refused_in_a_line_each(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        trained(clouds(), **changes)
    assert caught.value.problems == (line,)


def test_four_sizes_with_three_epsilons_are_refused() -> None:
    chosen = config(sk_epsilons=(0.0, 0.0, 0.0))
    problems = chosen.conflicts(quant(num_emb_list=(8, 8, 8, 8)))
    assert problems == ["quant.num_emb_list has 4 levels but quant.rqvae.sk_epsilons has 3"]
    assert not chosen.conflicts(quant(num_emb_list=(8, 8, 8)))
    assert not config(sk_epsilons=()).conflicts(quant(num_emb_list=(8, 8, 8, 8)))


def test_minionerecs_own_settings_load_and_train() -> None:
    loaded = params.load(ROOT / "docs" / "minionerec-params.yaml", methods.CONFIGS)
    literal = loaded.methods["rqvae"]
    assert isinstance(literal, rqvae.RQVAEConfig)
    assert (literal.epochs, literal.batch_size, literal.warmup_epochs) == (10_000, 20_480, 50)
    shared = loaded.quant.model_copy(update={"device": "cpu"})
    short = literal.model_copy(update={"epochs": 3, "eval_step": 1, "warmup_epochs": 1})
    fitted = rqvae.fit(clouds(), shared, short)
    assert fitted.quantizer.code_sizes == (256, 256, 256)
    assert [row["step"] for row in fitted.curve] == [1, 2, 3]
