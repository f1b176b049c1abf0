"""Every option of training does what it says: one step, or one call, against what a hand computes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sid.quantizers import methods, rqkmeans_plus, rqvae
from sid.quantizers.base import Scaling
from sid.quantizers.training import loop as training
from sid.quantizers.training import network as networks
from sid.quantizers.training import states
from sid.quantizers.training.network import Autoencoder, Net
from tests import test_rqkmeans_plus as plus
from tests.test_contract import settings
from tests.test_training import SIZES, clouds, config, network, quant


def rqvae_model(**changes: Any) -> Autoencoder:
    return rqvae.task(clouds(60), quant(), config(**changes)).model


def rqkmeans_plus_model(**changes: Any) -> Autoencoder:
    vectors = clouds(60)
    wanted, start = plus.quant(num_emb_list=SIZES), plus.warm(vectors, SIZES)
    return rqkmeans_plus._model(wanted, plus.config(**changes), start, Scaling.of(vectors))


BUILDERS = [rqvae_model, rqkmeans_plus_model]
Build = Callable[..., Autoencoder]


def coded_loop(**changes: Any) -> training.Loop:
    """A training of RQ-VAE that has its codebooks, before its first step; all rows are one batch."""
    wanted = {"init_epoch": 0, "batch_size": 10_000, "restart_usage": 0.0, **changes}
    task = rqvae.task(clouds(), quant(), config(**wanted))
    training.initialise(task.model, task.rows, 5, torch.Generator().manual_seed(0))
    return training.Loop(task)


def all_rows(task: training.Task) -> Tensor:
    return torch.cat(list(task.rows.blocks()))


# ---- the model


@pytest.mark.parametrize("build", BUILDERS)
def test_layers_are_the_hidden_widths_of_the_encoder_and_the_decoder_mirrors_them(build: Build) -> None:
    model = build(layers=(20, 10))
    wide = model.codebooks[0].shape[1]
    found = [[tuple(linear.weight.shape) for linear in net._linears] for net in (model.encoder, model.decoder)]
    assert found == [[(20, 32), (10, 20), (wide, 10)], [(10, wide), (20, 10), (32, 20)]]
    assert len(build(layers=()).encoder._linears) == 1


def test_dropout_zeroes_its_share_of_every_layers_inputs_in_training_alone() -> None:
    torch.manual_seed(0)
    one, two = Net([2000, 1], 0.3, False), Net([1, 2000, 1], 0.3, False)
    for net, count in ((one, 1), (two, 2)):
        for linear in net._linears:
            torch.nn.init.constant_(linear.weight, float(linear is net._linears[-1]))
            torch.nn.init.constant_(linear.bias, float(linear is not net._linears[-1]))
        x = torch.ones(1, net._linears[0].in_features)
        assert len(net._linears) == count
        kept = float(net.train()(x).detach()) * 0.7  # those that are left are raised by 1 / 0.7
        assert kept == pytest.approx(round(kept), abs=1e-2)
        assert 1300 < kept < 1500
        assert abs(kept - 1400) > 0.5  # which no dropout at all would give
        assert float(net.eval()(x).detach()) == 2000


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_dropout_prob_reaches_encoder_and_decoder(build: Build, share: float) -> None:
    model = build(dropout_prob=share)
    for net in (model.encoder, model.decoder):
        for linear in net._linears:  # those that start as the identity would hide it
            torch.nn.init.normal_(linear.weight)
        x = torch.ones(50, net._linears[0].in_features)
        assert torch.equal(net.train()(x), net(x)) == (share == 0)
        assert torch.equal(net.eval()(x), net(x))


def test_bn_normalises_each_hidden_layer_over_the_batch() -> None:
    torch.manual_seed(0)
    net, x = Net([3, 5, 4, 2], 0.0, True).train(), torch.randn(20, 3)
    hidden = x
    for linear in net._linears[:-1]:
        out = linear(hidden)
        hidden = functional.relu((out - out.mean(0)) / (out.var(0, unbiased=False) + 1e-5).sqrt())
    torch.testing.assert_close(net(x), net._linears[-1](hidden))


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("bn", [False, True])
def test_bn_reaches_encoder_and_decoder(build: Build, bn: bool) -> None:
    model = build(bn=bn, layers=(20, 10))
    assert [len(net._norms) for net in (model.encoder, model.decoder)] == [2 * bn, 2 * bn]


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("loss_type", ["mse", "l1"])
@pytest.mark.parametrize("weight", [0.0, 0.1, 3.0])
def test_the_total_loss_is_reconstruction_and_weighted_quantization(
    build: Build, loss_type: str, weight: float
) -> None:
    model, rows = build(loss_type=loss_type, quant_loss_weight=weight, beta=0.7), torch.from_numpy(clouds(40))
    losses = model.eval().losses(rows, coded=True)
    words, _, codes = model.quantize(model.encoder(rows), balance=False)
    error = (model.decoder(words) - rows) / model.encoder.unit
    recon = error.square().mean() if loss_type == "mse" else error.abs().mean()
    residual, quantization = model.encoder(rows), torch.zeros(())
    for level, book in enumerate(model.codebooks):
        residual = residual - book[codes[:, level]]
        quantization += (1 + 0.7) * (residual / model.encoder.unit).square().mean() / len(SIZES)
    torch.testing.assert_close(losses.recon, recon)
    torch.testing.assert_close(losses.quant, quantization)
    torch.testing.assert_close(losses.total, recon + weight * quantization)


def test_sinkhorn_takes_a_temperature_a_level_and_its_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    balanced = networks.balanced_labels

    def noting(distances: Tensor, epsilon: float, iters: int) -> Tensor:
        calls.append((distances.shape[1], epsilon, iters))
        return balanced(distances, epsilon, iters)

    monkeypatch.setattr(networks, "balanced_labels", noting)
    model, rows = network(sk_epsilons=(0.02, 0.0, 0.01), sk_iters=37), torch.randn(80, 7)
    model.losses(rows, coded=True)
    assert calls == [(SIZES[0], 0.02, 37), (SIZES[2], 0.01, 37)]
    model.losses(rows, coded=True, balance=False)
    assert len(calls) == 2


def test_sinkhorn_balances_training_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = coded_loop(sk_epsilons=(0.01, 0.01, 0.01))
    model, choose, asked = loop.task.model, Autoencoder.choose, []

    def noting(self: Autoencoder, residual: Tensor, level: int, balance: bool) -> Tensor:
        asked.append(balance)
        return choose(self, residual, level, balance)

    monkeypatch.setattr(Autoencoder, "choose", noting)
    _, _, usage = loop._pass()
    assert set(asked) == {True}
    assert all(float(count.max() / count.mean()) < 1.2 for count in usage)
    asked.clear()
    training.evaluate(model, loop.task.rows)
    training.revive(model, loop.task.rows, usage, loop.learner, 0.99, torch.Generator())
    assert set(asked) == {False}


# ---- a step


@pytest.mark.parametrize(
    ("changes", "rate"),
    [
        ({"lr": 0.1}, 0.1),
        ({"lr": 0.02}, 0.02),
        ({"lr": 0.1, "warmup_epochs": 4}, 0.025),
        ({"lr": 0.1, "lr_scheduler_type": "linear", "epochs": 4}, 0.075),
        ({"lr": 0.1, "lr_scheduler_type": "cosine", "epochs": 3}, 0.075),
        ({"lr": 0.1, "weight_decay": 0.5}, 0.1),
        ({"lr": 0.1, "clip_grad_norm": 0.01}, 0.1),
        ({"lr": 0.1, "clip_grad_norm": 100.0}, 0.1),
        ({"lr": 0.1, "clip_grad_norm": 0.01, "weight_decay": 0.5}, 0.1),
    ],
)
@pytest.mark.parametrize("unit", [1.0, 0.25])
def test_a_step_of_gradient_descent_is_the_one_worked_out_by_hand(
    changes: dict[str, Any], rate: float, unit: float
) -> None:
    """p - rate (g min(1, clip / |g|) + decay p); codebooks at a rate in their unit, without decay."""
    shared = {"learner": "sgd", "lr_scheduler_type": "constant", "warmup_epochs": 0, "clip_grad_norm": 0.0}
    loop = coded_loop(**{**shared, **changes})
    model, chosen = loop.task.model, loop.task.config
    model.unit = unit
    twin = copy.deepcopy(model)
    twin.losses(all_rows(loop.task), coded=True).total.backward()
    length = math.sqrt(sum(float(p.grad.square().sum()) for p in twin.parameters() if p.grad is not None))
    assert 0.1 < length < 100  # so that the bounds above cut, and don't
    shrink = min(1.0, chosen.clip_grad_norm / length) if chosen.clip_grad_norm else 1.0
    loop._pass()
    for (name, after), before in zip(model.named_parameters(), twin.parameters(), strict=True):
        book = name.startswith("codebooks")
        grad = torch.zeros_like(before) if before.grad is None else before.grad
        descent = grad * shrink + (0 if book else chosen.weight_decay) * before
        expected = before - rate * (unit if book else 1) * descent
        torch.testing.assert_close(after.detach(), expected.detach(), rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("learner", "kind", "expected"),
    [
        ("sgd", torch.optim.SGD, lambda p: p - 0.1 * 0.5 * p),
        ("adam", torch.optim.Adam, lambda p: p - 0.1 * p.sign()),
        ("adamw", torch.optim.AdamW, lambda p: p - 0.1 * 0.5 * p),
        ("adagrad", torch.optim.Adagrad, lambda p: p - 0.1 * p.sign()),
        ("rmsprop", torch.optim.RMSprop, lambda p: p - 0.1 * p.sign() / math.sqrt(0.01)),
    ],
)
def test_each_learner_decays_weights_in_its_way_and_codebooks_never(
    learner: str, kind: type, expected: Callable[[Tensor], Tensor]
) -> None:
    """One step at a gradient of zero: nothing but decay is left."""
    model = network()
    made = training.make_learner(model, config(learner=learner, lr=0.1, weight_decay=0.5))
    assert type(made) is kind
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    made.step()
    for name, after in model.named_parameters():
        old = before[name]
        wanted = old if name.startswith("codebooks") else expected(old)
        torch.testing.assert_close(after.detach(), wanted, rtol=0, atol=2e-3, msg=name)  # their epsilon is in it


@pytest.mark.parametrize(("batch_size", "steps"), [(64, 9), (100, 6), (10_000, 1)])
def test_an_epoch_takes_a_step_a_batch(batch_size: int, steps: int) -> None:
    loop = coded_loop(batch_size=batch_size)
    loop._pass()
    assert {int(state["step"]) for state in loop.learner.state.values()} == {steps}


# ---- restarts


@pytest.mark.parametrize(
    ("usage", "until", "epochs"),
    [(0.3, 1.0, [3, 4, 5, 6, 7, 8]), (0.2, 0.5, [3, 4]), (0.2, 0.8, [3, 4, 5, 6]), (0.2, 0.0, []), (0.0, 1.0, [])],
)
def test_codes_are_moved_after_epochs_with_codebooks_until_a_share_of_all_epochs(
    usage: float, until: float, epochs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = []
    changes = {"epochs": 8, "init_epoch": 2, "restart_usage": usage, "restart_until": until, "batch_size": 10_000}
    loop = training.Loop(rqvae.task(clouds(60), quant(), config(**changes)))

    def noting(model: Any, rows: Any, counts: list[Tensor], learner: Any, threshold: float, generator: Any) -> int:
        assert [int(count.sum()) for count in counts] == [60, 60, 60]
        moved.append((loop.progress.epoch, threshold))
        return 0

    monkeypatch.setattr(training, "revive", noting)
    for _ in range(8):
        loop.epoch()
    assert moved == [(epoch, usage) for epoch in epochs]


def test_a_code_is_moved_where_it_has_less_than_the_share_of_even_use() -> None:
    loop = coded_loop()
    model = loop.task.model
    before = [book.detach().clone() for book in model.codebooks]
    usage = [torch.full((size,), 10.0) for size in SIZES]
    usage[0][:] = torch.tensor([49, 51, 100, 100, 100, 100, 100, 200])  # even use is 100
    assert training.revive(model, loop.task.rows, usage, loop.learner, 0.5, torch.Generator()) == 1
    pairs = zip(model.codebooks, before, strict=True)
    changed = [[bool((a != b).any()) for a, b in zip(*books, strict=True)] for books in pairs]
    assert changed == [[True] + [False] * 7, [False] * 6, [False] * 5]


def test_restarts_prefer_rows_of_crowded_codes() -> None:
    """Half of the rows have a code that is used fifty times as often as that of the others: uniform draws take both."""
    vectors = np.repeat(np.eye(2, 32, dtype=np.float32), 50, axis=0)
    vectors += 0.01 * np.random.default_rng(0).normal(size=vectors.shape).astype(np.float32)
    task = rqvae.task(vectors, quant(num_emb_list=(22,), e_dim=32), config(layers=()))
    model = task.model
    torch.nn.init.eye_(model.encoder._linears[0].weight)
    latents = all_rows(task)
    with torch.no_grad():
        model.codebooks[0].fill_(1e3)
        model.codebooks[0][0], model.codebooks[0][1] = latents[:50].mean(0), latents[50:].mean(0)
    usage = torch.zeros(22)
    usage[0], usage[1] = 1000, 20
    moved = training.revive(model, task.rows, [usage], training.make_learner(model, config()), 0.1, torch.Generator())
    assert moved == 20
    book = model.codebooks[0].detach()
    crowded = (book[2:, None] - latents[None, :50]).square().sum(2).amin(1) < 1e-9
    assert int(crowded.sum()) >= 17


# ---- the course of a training


@pytest.mark.parametrize("init_epoch", [0, 2])
@pytest.mark.parametrize("kmeans_init", [True, False])
def test_codebooks_come_after_init_epoch_from_kmeans_or_at_random(
    init_epoch: int, kmeans_init: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kmeans, iters = training.kmeans, []

    def noting(rows: Tensor, k: int, *, max_iters: int, seed: int) -> Any:
        iters.append(max_iters)
        return kmeans(rows, k, max_iters=max_iters, seed=seed)

    monkeypatch.setattr(training, "kmeans", noting)
    changes = {"init_epoch": init_epoch, "kmeans_init": kmeans_init, "kmeans_iters": 7, "restart_usage": 0.0}
    task = rqvae.task(clouds(60), quant(), config(**changes, lr=1e-9))
    for book, size in zip(task.model.codebooks, SIZES, strict=True):
        assert 0.5 / size < float(book.detach().abs().max()) <= 1 / size
    before = [book.detach().clone() for book in task.model.codebooks]
    loop = training.Loop(task)
    for epoch in range(init_epoch + 1):
        assert bool(task.model.initialised) is False, epoch
        loop.epoch()
    assert bool(task.model.initialised)
    assert iters == ([7, 7, 7] if kmeans_init else [])
    pairs = zip(task.model.codebooks, before, strict=True)
    same = [torch.allclose(book.detach(), old, atol=1e-5) for book, old in pairs]
    assert same == [not kmeans_init] * 3


@pytest.mark.parametrize(
    ("values", "still"),
    [
        ([(0.5, 0.5), (0.6, 0.5), (0.7, 0.5)], [0, 0, 0]),  # R2 alone moves
        ([(0.5, 0.5), (0.5, 0.4), (0.5, 0.3)], [0, 0, 0]),  # the collision rate alone
        ([(0.5, 0.5), (0.4, 0.6), (0.5, 0.5)], [0, 1, 2]),  # nothing is better than the best before
        ([(0.5, 0.5), (0.5005, 0.4995), (0.5009, 0.4991)], [0, 1, 2]),  # too little
        ([(0.5, 0.5), (0.5006, 0.5), (0.5012, 0.5)], [0, 1, 0]),  # little by little, it adds up
        ([(0.5, 0.5), (0.3, 0.4), (0.45, 0.45), (0.4, 0.2)], [0, 0, 1, 0]),
    ],
)
def test_patience_counts_evaluations_without_a_better_r2_or_collision_rate(
    values: list[tuple[float, float]], still: list[int]
) -> None:
    loop = training.Loop(rqvae.task(clouds(60), quant(), config(patience=2)))
    counted = []
    for r2, collision in values:
        loop._compare({"r2": r2, "collision_rate": collision}, 1.0)
        counted.append(loop.progress.still)
        assert loop.settled() == (loop.progress.still >= 2)
    assert counted == still


def test_no_patience_never_settles() -> None:
    loop = training.Loop(rqvae.task(clouds(60), quant(), config(patience=0)))
    loop.progress.still = 100
    assert not loop.settled()


@pytest.mark.parametrize("limit", [1, 3])
def test_save_limit_bounds_the_states_of_a_training(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "_SHARE", math.inf)
    monkeypatch.setattr(states.Checkpoints, "clear", lambda self: None)
    rqvae.fit(clouds(60), quant(), config(save_limit=limit, epochs=5), tmp_path)
    assert len(list(tmp_path.glob("*/epoch-*.pt"))) == limit


# ---- RQ-KMeans+


@pytest.mark.parametrize("residual", [True, False])
def test_residual_decoder_makes_the_decoder_start_as_the_identity(residual: bool) -> None:
    model, rows = rqkmeans_plus_model(residual_decoder=residual), torch.from_numpy(clouds(20))
    assert torch.allclose(model.encoder(rows), rows, atol=1e-5)
    assert torch.allclose(model.decoder(rows), rows, atol=1e-5) == residual


def test_the_warm_start_is_the_method_named_fitted_by_its_own_section_or_the_file(tmp_path: Path) -> None:
    vectors = clouds(100, 8)
    wanted = settings("rqkmeans_plus", num_emb_list=(6, 5), e_dim=8)
    base = wanted.methods["rqkmeans_plus"].model_copy(update={"epochs": 1, "lr": 1e-9, "warmup_epochs": 0})
    found = {}
    for name in ("rqkmeans", "rqkmeans_constrained"):
        section = wanted.methods[name]
        short = section.model_copy(update={"max_iters": 1})
        alone = methods.fit(vectors, settings(name, num_emb_list=(6, 5)), None)
        alone.quantizer.save(tmp_path / f"{name}.pth")
        for kind, changes, own in (
            ("named", {"warm_start": name}, section),
            ("short", {"warm_start": name}, short),
            ("file", {"warm_start_file": str(tmp_path / f"{name}.pth")}, short),
        ):
            configs = {"rqkmeans_plus": base.model_copy(update=changes), name: own}
            params = wanted.__class__(**{**vars(wanted), "methods": configs})
            found[name, kind] = methods.fit(vectors, params).figures["warm_start_mse"]
        assert found[name, "named"] == found[name, "file"] != found[name, "short"]
    assert found["rqkmeans", "named"] != found["rqkmeans_constrained", "named"]
