"""The gradient loop and its network: gradients, initialisation, restarts, stopping, resuming, and loud failure."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sid.errors import InputError
from sid.params import Quant
from sid.quantizers import rqvae
from sid.quantizers.base import Scaling
from sid.quantizers.rqvae import RQVAEConfig
from sid.quantizers.training import loop as training
from sid.quantizers.training import states
from sid.quantizers.training.network import Autoencoder, Net
from sid.quantizers.training.rows import TrainingRows
from sid.quantizers.training.states import Checkpoints
from tests.conftest import ROOT

SIZES = (8, 6, 5)

SMALL: dict[str, Any] = {
    "layers": (32, 16),
    "dropout_prob": 0.0,
    "bn": False,
    "loss_type": "mse",
    "quant_loss_weight": 0.1,
    "beta": 0.25,
    "kmeans_init": True,
    "kmeans_iters": 10,
    "init_epoch": 2,
    "sk_epsilons": (),
    "sk_iters": 20,
    "restart_usage": 0.1,
    "restart_until": 0.9,
    "lr": 3e-3,
    "epochs": 8,
    "batch_size": 64,
    "learner": "adamw",
    "lr_scheduler_type": "cosine",
    "warmup_epochs": 1,
    "weight_decay": 0.0,
    "clip_grad_norm": 1.0,
    "eval_step": 2,
    "patience": 0,
    "select": "r2",
    "save_limit": 2,
    "precision": "auto",
    "cuda_graphs": False,
}


def config(**changes: Any) -> RQVAEConfig:
    return RQVAEConfig(**{**SMALL, **changes})


def quant(**changes: Any) -> Quant:
    shared = {
        "method": "rqvae",
        "num_emb_list": SIZES,
        "e_dim": 6,
        "train_sample": None,
        "seed": 0,
        "device": "cpu",
        "device_memory_gib": None,
    }
    return Quant(**{**shared, **changes})


def clouds(rows: int = 600, dim: int = 32, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(20, dim))
    values = centres[generator.integers(20, size=rows)] + 0.5 * generator.normal(size=(rows, dim))
    return values.astype(np.float32)


def network(e_dim: int = 4, dim: int = 7, dtype: torch.dtype = torch.float32, **changes: Any) -> Autoencoder:
    torch.manual_seed(0)
    encoder, decoder = Net([dim, 9, e_dim], 0.0, False), Net([e_dim, 9, dim], 0.0, False)
    books = [torch.randn(k, e_dim) * 0.5**level for level, k in enumerate(SIZES)]
    return Autoencoder(encoder, books, decoder, config(**changes), initialised=True).to(dtype)


# ---- the network


def test_quantization_gives_each_part_the_gradient_of_its_own_loss() -> None:
    """Against the formulas of the two losses, worked out by hand: (2 / (n e L)) (q - r), and beta (r - q)."""
    model, latents = network(beta=0.3), torch.randn(20, 4, requires_grad=True)
    _, loss, codes = model.quantize(latents, balance=False)
    loss.backward()
    share = 2 / (20 * 4 * len(SIZES))
    residual, wanted = latents.detach(), torch.zeros(20, 4)
    for level, book in enumerate(model.codebooks):
        words = book.detach()[codes[:, level]]
        summed = torch.zeros_like(book).index_add_(0, codes[:, level], share * (words - residual))
        torch.testing.assert_close(book.grad, summed)
        residual = residual - words
        wanted += 0.3 * share * residual
    torch.testing.assert_close(latents.grad, wanted)


@pytest.mark.parametrize("level", [1, 2])
def test_commitment_of_lower_levels_moves_the_encoder(level: int) -> None:
    """The loss of one level alone: everything but that level's commitment is cut off."""
    model, rows = network(), torch.randn(20, 7)
    latents = model.encoder(rows)
    residual = latents
    for number, book in enumerate(model.codebooks):
        words = book[model.choose(residual, number, balance=False)]
        if number == level:
            alone = torch.autograd.grad((residual - words.detach()).square().mean(), model.encoder.parameters())
        residual = residual - words.detach()
    assert all(float(gradient.abs().max()) > 1e-4 for gradient in alone)

    def gradients(beta: float, cut: int) -> list[torch.Tensor]:
        """Of the encoder, for the levels up to `cut`."""
        model.beta, books = beta, list(model.codebooks)
        model.codebooks = torch.nn.ParameterList(books[: cut + 1])
        _, loss, _ = model.quantize(model.encoder(rows), balance=False)
        model.codebooks = torch.nn.ParameterList(books)
        return [gradient * (cut + 1) for gradient in torch.autograd.grad(loss, model.encoder.parameters())]

    with_level, without = gradients(1.0, level), gradients(1.0, level - 1)
    for one, other, expected in zip(with_level, without, alone, strict=True):
        torch.testing.assert_close(one - other, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("residual", [False, True])
def test_networks_pass_gradcheck(residual: bool) -> None:
    torch.manual_seed(0)
    widths = [5, 6, 5] if residual else [5, 6, 3]
    net = Net(widths, 0.0, True, None, residual).double().eval()
    for parameter in net.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    names = [name for name, _ in net.named_parameters()]
    values = [parameter.detach().clone().requires_grad_() for parameter in net.parameters()]
    rows = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)

    def output(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(net, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(output, (rows, *values))


@pytest.mark.parametrize("loss_type", ["mse", "l1"])
def test_the_loss_without_codebooks_passes_finite_differences(loss_type: str) -> None:
    model, rows = network(loss_type=loss_type).double(), torch.randn(6, 7, dtype=torch.float64)
    model.encoder.float = None  # type: ignore[assignment]
    weight = model.decoder.linears[0].weight

    def loss(value: torch.Tensor) -> torch.Tensor:
        output = torch.func.functional_call(model.decoder, {"linears.0.weight": value}, (model.encoder(rows),))
        error = output - rows
        return error.square().mean() if loss_type == "mse" else error.abs().mean()

    assert torch.autograd.gradcheck(loss, (weight.detach().clone().requires_grad_(),))
    analytic = torch.autograd.grad(loss(weight), weight)[0]
    model = model.float()
    weight = model.decoder.linears[0].weight
    found = torch.autograd.grad(model.losses(rows.float(), coded=False).total, weight)[0]
    torch.testing.assert_close(found, analytic.float(), rtol=1e-4, atol=1e-6)


def test_the_decoders_gradient_passes_straight_through_to_the_latents() -> None:
    model, latents = network(), torch.randn(5, 4, requires_grad=True)
    words, _, codes = model.quantize(latents, balance=False)
    summed = sum(book.detach()[codes[:, level]] for level, book in enumerate(model.codebooks))
    torch.testing.assert_close(words, summed, rtol=1e-5, atol=1e-5)
    words.sum().backward()
    torch.testing.assert_close(latents.grad, torch.ones(5, 4))


@pytest.mark.parametrize("dim", [8, 512])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_losses_mean_the_same_at_any_dimension_and_scale(dim: int, scale: float) -> None:
    """A decoder that gives the mean has a reconstruction loss of 1: all of the variance."""
    vectors = np.random.default_rng(0).normal(3, scale, (500, dim)).astype(np.float32)
    rows = TrainingRows(vectors, Scaling.of(vectors), "cpu")
    decoder = Net([4, dim], 0.0, False)
    torch.nn.init.zeros_(decoder.linears[0].weight)
    model = Autoencoder(Net([dim, 4], 0.0, False), [torch.randn(3, 4)], decoder, config())
    losses = model.losses(next(rows.blocks()), coded=True)
    assert float(losses.recon.detach()) == pytest.approx(1, rel=1e-3)


def test_sinkhorn_evens_out_a_batch_and_only_where_it_is_asked_for() -> None:
    model, latents = network(sk_epsilons=(0.01, 0.0, 0.01), sk_iters=50), torch.randn(80, 4) + 2
    plain = [model.choose(latents, level, balance=False) for level in range(3)]
    balanced = [model.choose(latents, level, balance=True) for level in range(3)]
    assert torch.equal(plain[1], balanced[1])
    for level in (0, 2):
        counts = torch.bincount(balanced[level], minlength=SIZES[level])
        assert int(counts.max()) <= 1.5 * 80 / SIZES[level] < int(torch.bincount(plain[level]).max())


# ---- the parts of the loop


@pytest.mark.parametrize(
    ("schedule", "at_five", "at_ten"), [("constant", 1.0, 1.0), ("linear", 0.625, 0.0), ("cosine", 0.6913, 0.0)]
)
def test_the_learning_rate_rises_and_then_follows_its_schedule(schedule: str, at_five: float, at_ten: float) -> None:
    chosen = config(lr=1.0, epochs=10, warmup_epochs=2, lr_scheduler_type=schedule)
    assert training.learning_rate(chosen, 0.5) == pytest.approx(0.25)
    assert training.learning_rate(chosen, 2.0) == pytest.approx(1)
    assert training.learning_rate(chosen, 5.0) == pytest.approx(at_five, abs=1e-4)
    assert training.learning_rate(chosen, 10.0) == pytest.approx(at_ten, abs=1e-12)


@pytest.mark.parametrize(("rows", "batch"), [(600, 64), (600, 1000), (3, 2), (2, 2), (1, 1), (127, 64), (129, 64)])
def test_batches_hold_every_row_once_and_none_is_a_small_rest(rows: int, batch: int) -> None:
    batches = training.split_evenly(torch.arange(rows), batch)
    assert torch.cat(batches).tolist() == list(range(rows))
    assert min(map(len, batches)) >= min(batch, rows)
    assert max(map(len, batches)) < 2 * batch or len(batches) == 1


def test_all_levels_start_from_kmeans_over_all_latents() -> None:
    vectors = clouds()
    rows = TrainingRows(vectors, Scaling.of(vectors), "cpu")
    torch.manual_seed(0)
    model = Autoencoder(
        Net([32, 6], 0.0, False), [torch.zeros(k, 6) for k in SIZES], Net([6, 32], 0.0, False), config()
    )
    assert not bool(model.initialised)
    training.initialise(model, rows, 20, torch.Generator().manual_seed(0))
    assert bool(model.initialised)
    codes, _ = training.evaluate(model, rows)
    residual = model.encoder(torch.cat(list(rows.blocks()))).detach().numpy()
    for level, size in enumerate(SIZES):
        assert len(np.unique(codes[:, level])) == size
        book = model.codebooks[level].detach().numpy()
        for code in range(size):
            np.testing.assert_allclose(book[code], residual[codes[:, level] == code].mean(0), atol=0.15)
        residual = residual - book[codes[:, level]]


def test_unused_codes_are_moved_onto_rows_and_forget_their_momentum() -> None:
    vectors = clouds()
    rows = TrainingRows(vectors, Scaling.of(vectors), "cpu")
    torch.manual_seed(0)
    model = Autoencoder(
        Net([32, 6], 0.0, False), [torch.randn(k, 6) for k in SIZES], Net([6, 32], 0.0, False), config()
    )
    training.initialise(model, rows, 20, torch.Generator().manual_seed(0))
    learner = training.make_learner(model, config())
    for block in rows.blocks():
        model.losses(block, coded=True).total.backward()
        learner.step()
    model.codebooks[1].data[:3] = 1e3
    before = [book.detach().clone() for book in model.codebooks]
    codes, _ = training.evaluate(model, rows)
    usage = [torch.bincount(torch.from_numpy(codes[:, level]), minlength=k).float() for level, k in enumerate(SIZES)]
    assert (usage[1][:3] == 0).all()
    moved = training.revive(model, rows, usage, learner, 0.01, torch.Generator().manual_seed(0))
    assert moved == 3
    assert torch.equal(model.codebooks[0], before[0])
    assert torch.equal(model.codebooks[1][3:], before[1][3:])
    again, _ = training.evaluate(model, rows)
    assert (np.bincount(again[:, 1], minlength=SIZES[1])[:3] > 0).all()
    state = learner.state[model.codebooks[1]]
    assert not state["exp_avg"][:3].any()
    assert state["exp_avg"][3:].any()


def test_streamed_rows_train_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = rqvae.fit(clouds(), quant(), config())
    monkeypatch.setattr("sid.clustering.points._HELD_BYTES", 0)
    np.save(tmp_path / "vectors.npy", clouds())
    streamed = rqvae.fit(np.load(tmp_path / "vectors.npy", mmap_mode="r"), quant(), config())
    np.testing.assert_array_equal(held.quantizer.encode(clouds()), streamed.quantizer.encode(clouds()))
    assert list(held.curve) == list(streamed.curve)


def test_nothing_outside_is_touched() -> None:
    vectors = clouds()
    vectors.setflags(write=False)
    state = torch.get_rng_state()
    rqvae.fit(vectors, quant(), config(dropout_prob=0.1))
    assert torch.equal(torch.get_rng_state(), state)


# ---- stopping, choosing, failing


def test_patience_stops_a_training_that_no_longer_moves() -> None:
    still = config(epochs=200, lr=1e-9, patience=3, kmeans_iters=1, restart_usage=0.0)
    assert rqvae.fit(clouds(200), quant(), still).figures["epochs"] < 20
    never = still.model_copy(update={"epochs": 20, "patience": 0})
    assert rqvae.fit(clouds(200), quant(), never).figures["epochs"] == 20


@pytest.mark.parametrize("select", ["loss", "collision", "r2"])
def test_the_best_evaluation_is_kept_and_all_three_are_reported(select: str) -> None:
    """With a learning rate that wrecks the model later on, the best is not the last."""
    fitted = rqvae.fit(clouds(), quant(), config(epochs=14, eval_step=1, select=select, lr=0.08, warmup_epochs=10))
    best, curve = fitted.figures["best"], {row["step"]: row for row in fitted.curve}
    assert set(best) == {"loss", "collision", "r2"}
    assert best["r2"]["value"] == max(row["r2"] for row in curve.values())
    assert best["collision"]["value"] == min(row["collision_rate"] for row in curve.values())
    losses = {step: row["loss_recon"] + 0.1 * row["loss_quant"] for step, row in curve.items()}
    assert best["loss"]["value"] == pytest.approx(min(losses.values()))
    assert fitted.figures["best_epoch"] == best[select]["epoch"]
    vectors = clouds()
    decoded = fitted.quantizer.decode(fitted.quantizer.encode(vectors))
    mse = float(((vectors - decoded).astype(np.float64) ** 2).mean())
    assert mse == pytest.approx(curve[best[select]["epoch"]]["mse"], rel=1e-3)


def test_the_curve_says_what_it_promises() -> None:
    fitted = rqvae.fit(clouds(), quant(), config(epochs=9, eval_step=2))
    assert [row["step"] for row in fitted.curve] == [4, 6, 8, 9]
    names = ["step", "mse", "loss_recon", "loss_quant", "r2", "collision_rate", "lr"]
    names += [f"{name}_{level}" for level in (1, 2, 3) for name in ("perplexity", "used")]
    for row in fitted.curve:
        assert list(row) == names
        assert all(math.isfinite(value) for value in row.values())
        assert row["r2"] == pytest.approx(1 - row["mse"] / clouds().var(axis=0).mean(), abs=1e-4)
        assert all(1 <= row[f"perplexity_{level + 1}"] <= size for level, size in enumerate(SIZES))


def test_an_exploding_loss_stops_with_one_clear_line(tmp_path: Path) -> None:
    chosen = config(lr=1000.0, learner="sgd", lr_scheduler_type="constant", clip_grad_norm=0.0, epochs=50)
    with pytest.raises(InputError) as caught:
        rqvae.fit(clouds(), quant(), chosen, tmp_path)
    (line,) = caught.value.problems
    for part in ("quant.rqvae: training failed at epoch", ", step ", "learning rate ", "largest gradient "):
        assert part in line


def test_a_failed_training_keeps_its_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "_SHARE", math.inf)
    losses = Autoencoder.losses
    steps = 0

    def spoilt(self: Autoencoder, rows: torch.Tensor, coded: bool, balance: bool = True) -> Any:
        nonlocal steps
        steps += 1
        found = losses(self, rows * (torch.inf if steps == 9 * 5 + 4 else 1), coded, balance)
        return found

    monkeypatch.setattr(Autoencoder, "losses", spoilt)
    with pytest.raises(InputError, match=r"epoch 6, step 4 of 9: loss_recon (nan|inf).*the step before"):
        rqvae.fit(clouds(), quant(), config(), tmp_path)
    (folder,) = tmp_path.iterdir()
    kept = Checkpoints(folder, 2).newest()
    assert kept is not None
    assert kept["progress"]["epoch"] == 5
    assert all(bool(torch.isfinite(value.float()).all()) for value in kept["model"].values())


# ---- resuming

KILLED = """
import math, os, random, signal, sys
from pathlib import Path
import torch._dynamo  # which the first optimiser of a process takes seconds to load
from sid.quantizers import rqvae
from sid.quantizers.training.states import Checkpoints
from sid.quantizers.training import states
from tests.test_training import clouds, config, quant

folder, reached, write = Path(sys.argv[1]), 0, Checkpoints.write
states._SHARE = math.inf  # a state after each epoch
chosen = config(epochs=24, dropout_prob=0.1, bn=True, restart_usage=0.5)

def train(name):
    rqvae.fit(clouds(200), quant(), chosen, folder / name).quantizer.save(folder / f"{name}.pth")

def write_and_die_soon(self, epoch, state):
    write(self, epoch, state)
    if epoch == reached + ahead:  # no handler: the alarm ends the process at once, wherever it is
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 0.04))

for ahead in (1, 3, 6):  # nothing has used torch's threads yet, so that forks have theirs
    child = os.fork()
    if child == 0:
        Checkpoints.write = write_and_die_soon
        train("broken")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGALRM
    newest = max(int(path.stem.split("-")[1]) for path in folder.glob("broken/*/epoch-*.pt"))
    assert newest > reached, newest
    reached = newest
train("broken")
train("unbroken")
"""


def test_killed_three_times_it_ends_as_if_unbroken(tmp_path: Path) -> None:
    """Killed at random moments; every rerun goes on where the last was, and the files are equal to the byte."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-u", "-c", KILLED, tmp_path], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("resuming after epoch") == 3
    assert (tmp_path / "broken.pth").read_bytes() == (tmp_path / "unbroken.pth").read_bytes()
    assert len(list((tmp_path / "broken").iterdir())) == 1  # kept until told that the result is safe


@pytest.mark.parametrize("learner", ["adam", "adamw", "sgd", "adagrad", "rmsprop"])
def test_every_learner_resumes_to_the_same_bits(learner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "_SHARE", math.inf)
    chosen = config(learner=learner, dropout_prob=0.2)
    whole = rqvae.fit(clouds(), quant(), chosen)
    write = Checkpoints.write

    def write_and_die(self: Checkpoints, epoch: int, state: Any) -> None:
        write(self, epoch, state)
        if epoch in (1, 4, 7):  # before there are codebooks, after, and after an evaluation
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "write", write_and_die)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            rqvae.fit(clouds(), quant(), chosen, tmp_path)
    resumed = rqvae.fit(clouds(), quant(), chosen, tmp_path)
    assert list(resumed.curve) == list(whole.curve)
    assert resumed.figures == whole.figures
    for one, other in zip(resumed.quantizer.codebooks, whole.quantizer.codebooks, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_key_changes_with_data_params_and_what_else_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clouds(50)
    other = vectors.copy()
    other[49, 31] += 1
    keys = [
        states.key([vectors], "rqvae", {"lr": 1}, states.QUANTIZER_CODE),
        states.key([other], "rqvae", {"lr": 1}, states.QUANTIZER_CODE),
        states.key([vectors.reshape(25, 64)], "rqvae", {"lr": 1}, states.QUANTIZER_CODE),
        states.key([vectors], "rqvae", {"lr": 2}, states.QUANTIZER_CODE),
        states.key([vectors], "rqvae", {"lr": 1}, states.QUANTIZER_CODE, b"x"),
    ]
    assert len(set(keys)) == len(keys)
    assert states.key([vectors.copy()], "rqvae", {"lr": 1}, states.QUANTIZER_CODE) == keys[0]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)  # sums are split among them
    assert states.key([vectors], "rqvae", {"lr": 1}, states.QUANTIZER_CODE) != keys[0]


def test_the_key_changes_with_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are split among them, so that another number gives other bits."""
    keys = []
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        keys.append(states.key([clouds(5)], "rqvae", {}, states.QUANTIZER_CODE))
    assert keys[0] != keys[1]


@pytest.mark.parametrize("file", ["clustering/a.py", "quantizers/a.py", "measure/metrics.py", "arrays.py"])
def test_the_key_changes_with_the_code(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("clustering/a.py", "quantizers/a.py", "measure/metrics.py", "arrays.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(states, "__file__", str(tmp_path / "quantizers" / "training" / "states.py"))
    before = states.key([clouds(5)], "rqvae", {}, states.QUANTIZER_CODE)
    (tmp_path / file).write_text("2")
    assert states.key([clouds(5)], "rqvae", {}, states.QUANTIZER_CODE) != before


def test_save_limit_is_kept_and_a_broken_state_falls_back_to_the_one_before(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "one", 2)
    assert kept.newest() is None
    for epoch in (1, 2, 3):
        kept.write(epoch, {"epoch": epoch})
    assert sorted(path.name for path in kept.folder.iterdir()) == ["epoch-0000002.pt", "epoch-0000003.pt"]
    (kept.folder / "epoch-0000003.pt").write_bytes(b"cut off")
    state = kept.newest()
    assert state is not None
    assert state["epoch"] == 2
    kept.clear()
    assert not kept.folder.exists()


def test_the_states_of_abandoned_trainings_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "embed").mkdir()  # not a training's
    (tmp_path / "embed" / "shard.npy").write_bytes(b"1")
    for place in range(9):
        kept = Checkpoints(tmp_path / f"rqvae-{place}", 2)
        kept.write(1, {})
        os.utime(kept.folder, (place, place))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["embed", "rqvae-5", "rqvae-6", "rqvae-7", "rqvae-8"]
    older = Checkpoints(tmp_path / "rqvae-5", 2)
    older.write(2, {})
    os.utime(older.folder)
    Checkpoints(tmp_path / "rqvae-9", 2).write(1, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["embed", "rqvae-5", "rqvae-7", "rqvae-8", "rqvae-9"]


def test_a_disk_too_full_for_states_stops_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(states, "_SHARE", math.inf)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    whole = rqvae.fit(clouds(), quant(), config())
    monkeypatch.setattr(torch, "save", full)
    fitted = rqvae.fit(clouds(), quant(), config(), tmp_path)
    assert fitted.curve == whole.curve
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if "can't be written" in line and "No space left" in line]) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_states_are_kept_until_their_training_is_told_to_be_safe(tmp_path: Path) -> None:
    assert states.left_at(tmp_path) is None
    fitted = rqvae.fit(clouds(), quant(), config(), tmp_path)
    assert states.left_at(tmp_path) == f"after epoch {fitted.figures['epochs']}"
    again = rqvae.fit(clouds(), quant(), config(), tmp_path)
    assert again.curve == fitted.curve
    (tmp_path / "another").mkdir()
    states.clear(tmp_path)
    assert states.left_at(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["another"]


def test_states_are_written_seldom_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    kept = Checkpoints(tmp_path / "one", 2)
    assert kept.due()
    replace = os.replace

    def slow(*paths: Any) -> None:
        nonlocal now
        now += 0.5
        replace(*paths)

    monkeypatch.setattr(os, "replace", slow)
    kept.write(1, {})
    now += 49
    assert not kept.due()
    now += 2
    assert kept.due()
