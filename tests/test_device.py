"""What accelerators run, on CPU tensors: the CPU's results but for near ties, the same bytes twice, and no waiting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sid.clustering import device as on_device
from sid.clustering import memory, units
from sid.clustering.distances import half_norms
from sid.clustering.kmeans import kmeans, nearest
from sid.clustering.points import Points, centred
from sid.clustering.sums import Sums
from sid.errors import InputError
from sid.quantizers import methods
from tests.conftest import catalogue
from tests.devices import Watched, as_accelerator
from tests.test_clustering import NASTY, exact_distances, inertia, mixture
from tests.test_contract import settings


def test_factors_keep_eleven_digits_and_the_bound_holds() -> None:
    values = torch.randn(5000) * torch.logspace(-30, 30, 5000)
    kept = units.rounded(values)
    assert ((kept - values).abs() <= units.UNIT * values.abs()).all()
    assert not (kept.view(torch.int32) & 0x1FFF).any()
    assert not torch.equal(kept, values)
    special = torch.tensor([0.0, -0.0, torch.inf, -torch.inf])
    assert torch.equal(units.rounded(special), special)
    for scale in (1e-12, 1.0, 1e12):
        rows, table = scale * mixture(400, 24), scale * mixture(30, 24, seed=1)
        half = half_norms(table)
        true = rows.double() @ table.double().t() - table.double().square().sum(1) / 2
        off = (units.UnitProduct(table, half)(rows) - true).abs().amax(1)
        bound = units.unit_rounding(rows, half).double()
        assert (off <= bound).all()
        assert float(off.max()) > 1e-3 * float(bound.max())  # it isn't so wide that it says nothing


@pytest.mark.parametrize("change", NASTY.values(), ids=NASTY)
def test_nearest_is_the_cpus(change: Callable[[torch.Tensor], torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = change(mixture(900)).contiguous()
    for centroids in (vectors[::9].clone(), mixture(40, seed=5), vectors[:1].repeat(3, 1)):
        expected = nearest(vectors, centroids)
        for piece_bytes in (1 << 12, 1 << 24):
            with as_accelerator(monkeypatch, piece_bytes):
                assert torch.equal(nearest(vectors, centroids), expected)


def test_nearest_settles_what_the_matrix_units_leave_open(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(3)
    vectors = torch.randn(1500, 32, generator=generator)
    table = vectors[:200] + 1e-4 * torch.randn(200, 32, generator=generator)  # pairs that TF32 can't distinguish
    table = torch.cat([table, table + 1e-6 * torch.randn(200, 32, generator=generator)])
    coarse = units.UnitProduct(table, half_norms(table))(vectors).argmax(1)
    exact = exact_distances(vectors, table).argmin(1)
    assert int((coarse != exact).sum()) > 100
    with as_accelerator(monkeypatch, 1 << 16):
        assert torch.equal(nearest(vectors, table), exact)


def test_nearest_refuses_what_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = mixture(300)
    vectors[123, 4] = float("nan")
    with as_accelerator(monkeypatch), pytest.raises(InputError, match="row 123"):
        nearest(vectors, mixture(10))


def test_nearest_waits_a_few_times_and_not_for_each_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, table = mixture(4096, 16), mixture(64, 16, seed=1)
    seen = []
    for rows in (1024, 4096):
        with as_accelerator(monkeypatch, 1 << 16), Watched() as watched:  # 256 rows a piece
            nearest(vectors[:rows], table)
        seen.append(watched)
    assert seen[0].waits.total() == seen[1].waits.total() <= 8
    # of a piece: move, round, product, two passes for the two largest, the bound, and the results
    assert (seen[1].launches - seen[0].launches) / 12 <= 40


@pytest.mark.parametrize("change", NASTY.values(), ids=NASTY)
def test_kmeans_is_as_good_as_the_cpus(
    change: Callable[[torch.Tensor], torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = change(mixture()).contiguous()
    expected = kmeans(vectors, 16, seed=1)
    with as_accelerator(monkeypatch, 1 << 13):
        found, again = (kmeans(vectors, 16, seed=1) for _ in range(2))
    assert torch.isfinite(found.centroids).all()
    assert torch.equal(found.labels, nearest(vectors, found.centroids))
    assert torch.equal(found.centroids, again.centroids)
    assert len(torch.unique(found.labels)) == len(torch.unique(expected.labels))
    loss, reference = (inertia(vectors, one.centroids, one.labels) for one in (found, expected))
    assert loss <= 1.15 * reference + 1e-9 * float(vectors.double().square().sum())


def test_kmeans_on_a_larger_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = mixture(8000, 16, centres=300)
    expected = kmeans(vectors, 128, max_iters=8)
    told: list[tuple[int, float]] = []
    with as_accelerator(monkeypatch, 1 << 18):
        found = kmeans(vectors, 128, max_iters=8, on_iteration=lambda *one: told.append(one))
    assert found.inertia[-1] <= 1.02 * expected.inertia[-1]
    assert found.inertia[-1] == pytest.approx(inertia(vectors, found.centroids, found.labels), rel=1e-5)
    assert tuple(value for _, value in told) == found.inertia[:-1]
    assert [number for number, _ in told] == list(range(len(told)))


def test_pieces_change_no_sum_and_looking_seldom_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = mixture(3000, 8, centres=40)
    found = []
    for look in (1, 4, 7):
        monkeypatch.setattr(on_device, "_LOOK", look)
        monkeypatch.setattr(on_device, "_LONG", 1000)
        with as_accelerator(monkeypatch, 1 << 14):
            found.append(kmeans(vectors, 24, max_iters=40, tol=1e-3))
    assert len(found[0].inertia) < 40
    for other in found[1:]:
        assert other.inertia == found[0].inertia
        assert torch.equal(other.centroids, found[0].centroids)


def test_lloyd_waits_only_where_it_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = mixture(4096, 16)
    rows = centred(Points.of(vectors), 256)
    table = rows.take(torch.arange(64))
    seen = []
    monkeypatch.setattr(on_device, "_LONG", 1000)
    for iterations, count in ((4, 4096), (16, 4096), (4, 2048)):
        some = rows.subset(torch.arange(count))
        with as_accelerator(monkeypatch, 1 << 16), Watched() as watched:  # 256 rows a piece
            on_device.lloyd(some, table, iterations, 0.0, None)
        seen.append(watched)
    assert [one.waits.total() for one in seen] == [2, 5, 2]
    assert (seen[0].launches - seen[2].launches) / (4 * 8) <= 32  # of an iteration and a piece


def test_seeds_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = centred(Points.of(mixture(4096, 16)), 256)
    with as_accelerator(monkeypatch), Watched() as watched:
        found = on_device.seeds(rows, 64, torch.Generator().manual_seed(0))
    assert not watched.waits
    assert len(torch.unique(found, dim=0)) == 64


def test_sums_are_exact_in_any_order_and_at_any_scale() -> None:
    for scale in (1e-15, 1e-6, 1.0, 1e12, 1e30):
        rows = scale * mixture(3000, 5)
        codes = torch.arange(3000) * 7919 % 11
        order = torch.randperm(3000, generator=torch.Generator().manual_seed(1))
        found = []
        for which in (torch.arange(3000), order):
            sums = Sums(11, 5, 3000, rows.abs().max())
            for part in which.split(700):
                sums.add(codes[part], rows[part])
            found.append(sums)
        assert torch.equal(found[0].sums, found[1].sums)
        expected = torch.zeros(11, 5, dtype=torch.float64).index_add_(0, codes, rows.double())
        torch.testing.assert_close(found[0].sums, expected, rtol=1e-9, atol=1e-9 * scale)
        assert torch.equal(found[0].counts, torch.bincount(codes, minlength=11))


class Gpu:
    """A GPU of 80 GiB, of which others have taken most."""

    total_memory = 80 << 30

    def __init__(self, patch: pytest.MonkeyPatch, free: int) -> None:
        self.fraction = 1.0
        for name, value in (
            ("current_device", 0),
            ("get_device_properties", self),
            ("mem_get_info", (free, self.total_memory)),
            ("memory_allocated", 1 << 30),
            ("memory_reserved", 3 << 30),
        ):
            patch.setattr(torch.cuda, name, lambda *_which, value=value: value)
        patch.setattr(
            torch.cuda, "set_per_process_memory_fraction", lambda share, _which: setattr(self, "fraction", share)
        )
        patch.setattr(memory, "_limits", {})


@pytest.mark.parametrize("free", [2 << 30, 70 << 30])
def test_pieces_depend_on_the_bound_and_not_on_what_is_free(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, device = Gpu(monkeypatch, free), torch.device("cuda")
    assert memory.piece_bytes(device) == 1 << 30
    assert memory.free_bytes(device) == free + (2 << 30)
    memory.limit("cuda", 4.0)
    assert gpu.fraction == 4 / 80
    assert memory.piece_bytes(device) == 1 << 29
    assert memory.free_bytes(device) == min(free + (2 << 30), 3 << 30)
    assert memory.held_bytes(device) == memory.free_bytes(device) // 2
    memory.limit("cuda", 0.3)
    assert memory.piece_bytes(device) == 1 << 25
    assert memory.free_bytes(device) == 0  # more is taken already
    memory.limit("cuda", None)
    assert gpu.fraction == 1
    memory.limit("cpu", 1.0)
    assert gpu.fraction == 1


def test_the_bound_of_the_params_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[tuple[str, float | None]] = []
    monkeypatch.setattr(memory, "limit", lambda device, gib: told.append((device, gib)))
    wanted = settings("rqkmeans", device_memory_gib=3.5)
    methods.fit(catalogue(), wanted).quantizer.save(tmp_path / "one.pth")
    methods.load(tmp_path / "one.pth", "cpu", 2.5)
    assert told == [("cpu", 3.5), ("cpu", 2.5)]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nmore"),
        RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA"),
    ],
)
def test_a_refusal_of_memory_is_one_line(error: Exception) -> None:
    with pytest.raises(InputError, match=r"set quant\.device_memory_gib to what is free") as refused, memory.one_line():
        raise error
    assert "\n" not in str(refused.value)
    with pytest.raises(RuntimeError, match="another"), memory.one_line():
        raise RuntimeError("another")


def test_the_setting_of_torch_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = torch.backends.cuda.matmul
    before = setting.fp32_precision
    with units.matrix_units(torch.device("cuda")):
        assert setting.fp32_precision == "tf32"
    assert setting.fp32_precision == before
    with units.matrix_units(torch.device("cpu")):
        assert setting.fp32_precision == before
    assert torch.get_float32_matmul_precision() == "highest"
