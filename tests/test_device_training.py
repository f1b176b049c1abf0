"""Training as accelerators do it, on CPU tensors: the same steps, none of which waits; and what bfloat16 costs."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from sid.clustering import memory
from sid.errors import InputError
from sid.quantizers import methods, rqvae
from sid.quantizers.training.loop import Loop
from tests.conftest import CATALOGUE, needs_catalogue
from tests.devices import Recording, Watched, as_accelerator
from tests.test_contract import settings
from tests.test_training import clouds, config, quant


def loop(vectors: np.ndarray, **changes: Any) -> Loop:
    torch.manual_seed(0)
    own = {"kmeans_init": False, "init_epoch": 0, "restart_usage": 0.0, **changes}
    task = rqvae.task(vectors, quant(), config(**own))
    task.model.initialised.fill_(True)
    return Loop(task)


def one_pass(running: Loop, seed: int = 1) -> tuple[float, float, list[torch.Tensor]]:
    torch.manual_seed(seed)  # of dropout
    return running._pass()


@pytest.mark.parametrize("changes", [{}, {"dropout_prob": 0.2}, {"learner": "sgd"}, {"learner": "rmsprop", "bn": True}])
def test_steps_on_the_device_are_those_of_the_loop(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clouds(333)  # batches of two sizes
    plain = loop(vectors, **changes)
    with as_accelerator(monkeypatch):
        there = loop(vectors, **changes)
        assert there.steps is not None
    for _ in range(3):
        *expected, usage = one_pass(plain)
        with as_accelerator(monkeypatch):
            *found, used = one_pass(there)
        assert found == pytest.approx(expected, rel=1e-5)
        assert all(torch.equal(one, other) for one, other in zip(used, usage, strict=True))
    for one, other in zip(there.task.model.parameters(), plain.task.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("learner", ["adam", "adamw"])
def test_steps_that_can_be_recorded_are_the_same_steps(learner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clouds(333)
    plain = loop(vectors, learner=learner)
    with as_accelerator(monkeypatch):
        there = loop(vectors, learner=learner, cuda_graphs=True)
    assert there.recorded
    assert not plain.recorded
    for _ in range(3):
        expected = plain._pass()[:2]
        with as_accelerator(monkeypatch):
            assert there._pass()[:2] == pytest.approx(expected, rel=1e-4)
    for one, other in zip(there.task.model.parameters(), plain.task.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert all(isinstance(group["lr"], torch.Tensor) for group in there.learner.param_groups)
    with as_accelerator(monkeypatch):
        restored = loop(vectors, learner=learner, cuda_graphs=True)
        restored.restore(copy.deepcopy(there.state()))
        assert there._pass()[:2] == restored._pass()[:2]


@pytest.mark.parametrize("changes", [{}, {"bn": True, "clip_grad_norm": 0.0, "learner": "adam"}])
def test_replaying_a_recorded_step_is_taking_the_next_one(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = clouds(333)  # batches of two sizes
    with as_accelerator(monkeypatch):
        plain, there = (loop(vectors, cuda_graphs=True, **changes) for _ in range(2))
        one_pass(plain), one_pass(there)
        recorded: dict[tuple[int, bool], Recording] = {}
        taken = there.steps._recorded  # type: ignore[union-attr]

        def replayed(size: int, coded: bool) -> None:
            if (size, coded) in recorded:
                recorded[size, coded].replay()
                return
            with Recording() as recorded[size, coded]:
                taken(size, coded)

        monkeypatch.setattr(there.steps, "_recorded", replayed)
        for _ in range(3):
            *expected, usage = one_pass(plain)
            *found, used = one_pass(there)
            assert found == pytest.approx(expected, rel=1e-5)
            assert all(torch.equal(one, other) for one, other in zip(used, usage, strict=True))
    assert len(recorded) == 2
    for one, other in zip(there.task.model.state_dict().values(), plain.task.model.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("record", [False, True])
def test_no_step_waits(record: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with as_accelerator(monkeypatch):
        seen = []
        for batch_size in (64, 160):
            running = loop(clouds(640), batch_size=batch_size, cuda_graphs=record)
            running._pass()  # what the learner makes at its first step
            with Watched() as watched:
                running._pass()
            seen.append(watched)
    # 10 steps and 4: the waits of an epoch are its begin, its end, and one look at the losses
    assert seen[0].waits == seen[1].waits
    assert seen[0].waits.total() <= 6
    assert (seen[0].launches - seen[1].launches) / 6 <= 220


def test_a_fit_on_the_device_is_as_good_and_the_same_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clouds(600)
    expected = rqvae.fit(vectors, quant(), config()).figures["r2"]
    with as_accelerator(monkeypatch):
        found, again = (rqvae.fit(vectors, quant(), config(cuda_graphs=True)) for _ in range(2))
    assert found.figures["r2"] > expected - 0.05
    assert found.curve == again.curve
    np.testing.assert_array_equal(found.quantizer.encode(vectors), again.quantizer.encode(vectors))


def test_rows_that_do_not_fit_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    with as_accelerator(monkeypatch):
        monkeypatch.setattr(memory, "held_bytes", lambda _device: 0)
        running = loop(clouds(200), cuda_graphs=True)
        assert running.steps is None
        assert not running.recorded
        running._pass()


def test_a_loss_that_is_not_finite_is_refused_by_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    with as_accelerator(monkeypatch):
        running = loop(
            clouds(640) * 10, lr=1e3, learner="sgd", clip_grad_norm=0.0, warmup_epochs=0, lr_scheduler_type="constant"
        )
        with pytest.raises(InputError, match=r"training failed at epoch 1, step \d+ of 10"):
            running._pass()


def test_precision_is_taken_from_the_params() -> None:
    vectors = clouds(300)
    plain, half = (loop(vectors, precision=precision) for precision in ("float32", "bfloat16"))
    assert loop(vectors, precision="auto").epoch() == plain.epoch()  # on a CPU
    plain._pass()
    for running in (plain, half):
        running.autocast.__enter__()
        kind = running.task.model.encoder(torch.from_numpy(vectors[:4])).dtype
        running.autocast.__exit__(None, None, None)
        assert kind == (torch.float32 if running is plain else torch.bfloat16)


def test_graphs_and_what_cannot_be_recorded_are_refused_together() -> None:
    told = config(cuda_graphs=True, learner="sgd", sk_epsilons=(0.0, 0.0, 0.1)).conflicts(quant())
    assert len(told) == 2
    assert all("cuda_graphs" in one for one in told)


@needs_catalogue
def test_what_bfloat16_costs_in_r2_on_the_real_catalogue() -> None:
    vectors = np.load(CATALOGUE / "embeddings.npy").astype(np.float32)[:1500]
    found = {}
    for precision in ("float32", "bfloat16"):
        wanted = settings("rqvae", num_emb_list=(32, 32, 32), e_dim=32)
        section = wanted.methods["rqvae"].model_copy(
            update={"epochs": 12, "init_epoch": 2, "warmup_epochs": 1, "eval_step": 12, "precision": precision}
        )
        object.__setattr__(wanted, "methods", {**wanted.methods, "rqvae": section})
        found[precision] = methods.fit(vectors, wanted).figures["r2"]
    assert found["bfloat16"] > found["float32"] - 0.02
