"""What runs in the loops of an accelerator, on tensors without values (torch's device `meta`).

Such a tensor refuses to tell a value, or a size that depends on values: what runs here waits for nothing. It refuses
operations with a tensor of another device, too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from sid.clustering import device as on_device
from sid.clustering import memory
from sid.clustering.device_balanced import _Rounds
from sid.clustering.distances import Book, first_two
from sid.clustering.points import Centred, Points
from sid.clustering.scores import Problem, TableScores
from sid.clustering.sums import Sums
from sid.clustering.units import UnitProduct, unit_rounding
from sid.quantizers.base import Scaling
from sid.quantizers.residual import Coder
from sid.quantizers.residual import on_device as scaled_on_device
from sid.quantizers.training.network import Autoencoder, Net
from sid.quantizers.training.steps import Steps
from tests.test_training import config

DEVICE = torch.device("meta")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "piece_bytes", lambda _device: 1 << 16)


def rows(count: int = 1000, dim: int = 16) -> Centred:
    values = torch.empty(count, dim, device=DEVICE)
    return Centred(Points(values), False, torch.empty(dim, device=DEVICE), torch.empty(count, device=DEVICE))


def test_what_waits_and_what_mixes_devices_is_refused() -> None:
    values = torch.empty(4, device=DEVICE)
    waits: list[Callable[[], object]] = [
        lambda: float(values.sum()),
        lambda: bool(values.any()),
        values.nonzero,
        values.cpu,
    ]
    for wait in waits:
        with pytest.raises((RuntimeError, NotImplementedError)):
            wait()
    with pytest.raises(RuntimeError, match="device"):
        values + torch.empty(4)


def test_a_piece_of_nearest() -> None:
    book = Book.of(torch.empty(40, 16, device=DEVICE))
    moved = torch.empty(100, 16, device=DEVICE) - book.origin
    found = first_two(UnitProduct(book.product.table, book.half)(moved), unit_rounding(moved, book.half))
    assert all(one.device.type == "meta" for one in found)


@pytest.mark.parametrize("coarse", [False, True])
def test_an_iteration_of_lloyd(coarse: bool) -> None:
    some, table = rows(), torch.empty(40, 16, device=DEVICE)
    sums = Sums(40, 16, 1000, some.squares.max().sqrt())
    pieces = list(memory.pieces(1000, 64, DEVICE))
    assert len(pieces) > 3
    found = on_device._iterate(some, table, pieces, sums, some.squares.sum(dtype=torch.float64), coarse)
    assert found.table.shape == (40, 16)
    assert found.inertia.shape == ()


@pytest.mark.parametrize("count", [1000, 70])
def test_seeds(count: int) -> None:
    found = on_device.seeds(rows(count), 40, torch.Generator().manual_seed(0))
    assert found.shape == (40, 16)
    assert found.device.type == "meta"


def test_a_round_of_prices() -> None:
    problem = Problem(TableScores(rows(), torch.empty(40, 16, device=DEVICE)), 24, 26, 256)
    prices = torch.empty(40, dtype=torch.float64, device=DEVICE)
    rounds = _Rounds(problem, prices, 0.1)
    rounds.assign(prices)
    for one in (rounds.raises(), rounds.falls()):
        assert one.shape == (40,)
        assert one.device.type == "meta"
    assert rounds.off().shape == ()


def test_a_piece_that_is_encoded() -> None:
    books = [torch.empty(40, 16, device=DEVICE) for _ in range(3)]
    mean, scale = torch.empty(16, device=DEVICE), torch.empty((), device=DEVICE)
    coder = Coder(lambda _: books[0], lambda some: some.sub_(mean).div_(scale), books, 64, 1 << 20)
    codes, unsure = coder._first(coder.made(torch.empty(100, 16, device=DEVICE)))
    assert codes.shape == (100, 3)
    assert codes.dtype == torch.int32
    assert unsure.device.type == "meta"


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize("coded", [False, True])
def test_a_step_of_training(record: bool, coded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_args, **_options: nullcontext())  # there is none for this device
    model = Autoencoder(
        Net([16, 24, 8], 0.1, True), [torch.empty(20, 8) for _ in range(2)], Net([8, 24, 16], 0.1, True), config()
    ).to(DEVICE)
    nets = (model.encoder, model.decoder)
    groups = [{"params": [net.centre], "lr": torch.empty((), device=DEVICE)} for net in nets]
    learner = torch.optim.SGD(groups)  # for its rates: fused learners have no form for this device

    def step(batch: torch.Tensor, coded: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        losses = model.losses(batch, coded)
        losses.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        largest = torch.stack(
            torch._foreach_norm([p.grad for p in model.parameters() if p.grad is not None], torch.inf)
        )
        return torch.stack([losses.recon.detach(), losses.quant.detach(), largest.max()]), losses.codes

    steps = Steps(torch.empty(300, 16, device=DEVICE), step, learner, 2, record)
    steps._log, steps._starts = torch.empty(5, 3, device=DEVICE), torch.zeros(5, dtype=torch.int64, device=DEVICE)
    steps._rates = torch.empty(5, 2, device=DEVICE)
    (steps._recorded if record else steps._body)(60, coded)


def test_scaling_a_tensor_is_scaling_an_array() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32) * 7
    scaling = Scaling.of(vectors)
    found = scaled_on_device(scaling, torch.device("cpu"))(torch.from_numpy(vectors.copy()))
    np.testing.assert_array_equal(found.numpy(), scaling.apply(vectors))
