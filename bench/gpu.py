"""What runs on a GPU beside what plain torch takes for it: correctness first, then time. One run takes some minutes.

python -m bench.gpu [--only nearest,kmeans,...] [--out FILE]
python -m bench.gpu --device cpu --small     the same code on a CPU, in seconds: it says that it runs, not how fast

Prints a Markdown table: each figure, what it is measured against, and the bar that it should reach.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from bench.child import ROOT
from sid import params
from sid.arrays import chunks
from sid.clustering import memory
from sid.clustering.balanced import balanced_kmeans, size_bounds
from sid.clustering.kmeans import kmeans, nearest
from sid.quantizers import levels, rqvae
from sid.quantizers.assignment import nearest_codes
from sid.quantizers.methods import CONFIGS
from sid.quantizers.residual import ResidualQuantizer
from sid.quantizers.training.loop import Loop

CATALOGUE = ROOT.parent / "shared" / "data" / "industrial" / "embeddings.npy"
_PLAIN_ROWS = 1 << 18  # of a chunk of the plain loops
_CHECKED = 100_000  # rows whose labels are compared with the CPU's
_SMALL = 1000  # times fewer rows


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        work: what was done.
        ours, beside: what it took or reached, and the reference; as text with units.
        bar: what it should reach.
        passed: whether it does; None where there is nothing to hold it to.
        right: what was checked of the results.
    """

    work: str
    ours: str
    beside: str
    bar: str
    passed: bool | None
    right: str


@dataclass(frozen=True)
class Bench:
    """Where it runs, and how large the data are."""

    device: torch.device
    small: bool

    def rows(self, count: int) -> int:
        """So many rows, or a thousandth of them."""
        return count // _SMALL if self.small else count

    def codes(self, count: int) -> int:
        """So many codes, or few enough for the small data."""
        return min(count, 32) if self.small else count

    def mixture(self, count: int, dim: int, seed: int = 0) -> Tensor:
        """(n, dim) float32 on the device: 2,000 uneven clusters."""
        generator = torch.Generator(self.device).manual_seed(seed)
        centres = torch.randn(2000, dim, generator=generator, device=self.device)
        share = (1 / torch.arange(1, 2001, device=self.device) ** 0.7).cumsum(0)
        found = torch.empty(self.rows(count), dim, device=self.device)
        for part in chunks(len(found), 4 * dim):
            drawn = torch.rand(part.stop - part.start, generator=generator, device=self.device) * share[-1]
            noise = torch.randn(len(drawn), dim, generator=generator, device=self.device)
            found[part] = centres[torch.searchsorted(share, drawn).clamp_(max=1999)] + 0.5 * noise
        return found

    def wait(self) -> None:
        """Until the device has done all that it was asked for."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], Any], runs: int = 3, warm: bool = True) -> tuple[float, Any]:
        """The median time of some runs after one that doesn't count, and what the last one returned."""
        found = work() if warm else None
        took = []
        for _ in range(1 if self.small else runs):
            self.wait()
            began = time.perf_counter()
            found = work()
            self.wait()
            took.append(time.perf_counter() - began)
        return statistics.median(took), found


def _plain_products(rows: Tensor, table: Tensor) -> None:
    """The float32 matrix products that finding the nearest codes takes, and nothing else."""
    out = torch.empty(min(len(rows), _PLAIN_ROWS), len(table), device=rows.device)
    for part in _plain_parts(rows):
        torch.mm(rows[part], table.t(), out=out[: part.stop - part.start])


def _plain_parts(rows: Tensor) -> Iterator[slice]:
    for start in range(0, len(rows), _PLAIN_ROWS):
        yield slice(start, min(start + _PLAIN_ROWS, len(rows)))


def _plain_kmeans(rows: Tensor, k: int, iterations: int) -> tuple[Tensor, float]:
    """The loop that one writes: random rows at first, argmin by a product, sums by index_add_; the last inertia."""
    generator = torch.Generator().manual_seed(0)
    table = rows[torch.randint(len(rows), (k,), generator=generator).to(rows.device)]
    labels = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    for _ in range(iterations):
        sums, counts = torch.zeros_like(table), torch.zeros(k, device=rows.device)
        for part in _plain_parts(rows):
            some = rows[part]
            labels[part] = torch.addmm(table.square().sum(1), some, table.t(), alpha=-2).argmin(1)
            sums.index_add_(0, labels[part], some)
            counts.index_add_(0, labels[part], torch.ones(len(some), device=rows.device))
        table = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], table)
    return table, _inertia(rows, table, labels)


def _inertia(rows: Tensor, table: Tensor, labels: Tensor) -> float:
    total = torch.zeros((), dtype=torch.float64, device=rows.device)
    for part in _plain_parts(rows):
        total += (rows[part] - table[labels[part]]).square().sum(dtype=torch.float64)
    return float(total)


def _agreement(rows: Tensor, table: Tensor, labels: Tensor) -> str:
    """How many labels are the CPU's; of the others, whether float32 can tell the two centroids."""
    some, codes = rows[:_CHECKED].cpu(), table.cpu()
    with mock.patch.object(memory, "accelerated", lambda device: device.type != "cpu"):
        expected = nearest(some, codes)
    other = (expected != labels[: len(some)].cpu()).nonzero().flatten()
    gaps = (some[other].double() - codes[expected[other]].double()).square().sum(1)
    gaps = (some[other].double() - codes[labels[other.to(labels.device)].cpu()].double()).square().sum(1) - gaps
    rounding = 2.0**-22 * (some[other].double().norm(dim=1) + codes.double().norm(dim=1).max()).square()
    wrong = int((gaps > rounding).sum())
    return f"{1 - len(other) / len(some):.4%} of {len(some):,} labels are the CPU's, {wrong} wrong beyond rounding"


def nearest_rows(bench: Bench) -> Iterator[Row]:
    """`nearest`: its share of the float32 product."""
    rows = bench.mixture(2_000_000, 128)
    for size in (1024, 4096):
        table = rows[torch.randperm(len(rows), device=rows.device)[: bench.codes(size)]] * 0.98
        plain, _ = bench.seconds(lambda table=table: _plain_products(rows, table))
        ours, labels = bench.seconds(lambda table=table: nearest(rows, table))
        share = plain / ours
        rate = 2 * rows.numel() * len(table) / plain / 1e12
        yield Row(
            f"nearest, {len(rows):,} x 128, K = {len(table):,}",
            f"{ours * 1e3:.1f} ms, {share:.0%} of the product",
            f"float32 products {plain * 1e3:.1f} ms, {rate:.1f} TFLOP/s",
            "60 %",
            share >= 0.6,
            _agreement(rows, table, labels),
        )


def kmeans_rows(bench: Bench) -> Iterator[Row]:
    """k-means on rows that are on the device, beside a plain loop."""
    rows, k = bench.mixture(1_000_000, 128), bench.codes(1024)
    plain, (_, inertia) = bench.seconds(lambda: _plain_kmeans(rows, k, 10))
    ours, found = bench.seconds(lambda: kmeans(rows, k, max_iters=10, tol=0.0))
    again = kmeans(rows, k, max_iters=10, tol=0.0)
    same = torch.equal(found.centroids, again.centroids) and torch.equal(found.labels, again.labels)
    lower = found.inertia[-1] / inertia - 1
    yield Row(
        f"k-means, {len(rows):,} x 128, K = {k:,}, 10 iterations",
        f"{ours:.3f} s, {ours / plain:.2f} x, inertia {lower:+.2%}",
        f"plain loop {plain:.3f} s",
        "1.5 x at lower inertia",
        ours <= 1.5 * plain and lower < 0,
        f"the same bytes twice: {same}; {_agreement(rows, found.centroids, found.labels)}",
    )
    del rows, found, again
    rows = bench.mixture(10_000_000, 128)
    plain, _ = bench.seconds(lambda: _plain_kmeans(rows, k, 5), runs=1)
    ours, found = bench.seconds(lambda: kmeans(rows, k, max_iters=5, tol=0.0), runs=1)
    yield Row(
        f"k-means, {len(rows):,} x 128, K = {k:,}, 5 iterations",
        f"{ours:.2f} s",
        f"plain loop {plain:.2f} s",
        "0.8 s",
        ours <= 0.8,
        _agreement(rows, found.centroids, found.labels),
    )


def balanced_rows(bench: Bench) -> Iterator[Row]:
    """Balanced k-means."""
    for count, dim, size, bar in ((1_000_000, 64, 256, 0.5), (200_000, 128, 1024, 1.5)):
        rows, k = bench.mixture(count, dim), bench.codes(size)
        ours, found = bench.seconds(lambda rows=rows, k=k: balanced_kmeans(rows, k))
        free = kmeans(rows, k).inertia[-1]
        sizes = torch.bincount(found.labels, minlength=k)
        lo, hi = size_bounds(len(rows), k)
        kept = lo <= int(sizes.min()) and int(sizes.max()) <= hi
        again = balanced_kmeans(rows, k)
        yield Row(
            f"balanced k-means, {len(rows):,} x {dim}, K = {k:,}",
            f"{ours:.2f} s",
            f"inertia {found.inertia[-1] / free - 1:+.1%} beside k-means without bounds",
            f"{bar} s",
            ours <= bar and kept,
            f"sizes {lo} to {hi}: {kept}; the same bytes twice: {torch.equal(found.labels, again.labels)}",
        )


def _section(method: str, **changes: Any) -> tuple[params.Quant, Any]:
    settings = params.load(ROOT / "params.yaml", CONFIGS)
    quant = settings.quant.model_copy(update={"method": method, "train_sample": None})
    return quant, settings.methods[method].model_copy(update=changes)


def host_rows(bench: Bench) -> Iterator[Row]:
    """rqkmeans and encoding from the host's memory."""
    vectors, k = bench.mixture(4_000_000, 128).cpu().numpy(), bench.codes(1024)
    quant, section = _section("rqkmeans")
    quant = quant.model_copy(update={"num_emb_list": (k, k, k), "device": str(bench.device)})
    took, fit = bench.seconds(lambda: levels.fit_kmeans(vectors, quant, section), runs=1)
    yield Row(
        f"rqkmeans, {len(vectors):,} x 128, {k:,} x 3, from host memory",
        f"{took:.2f} s",
        f"{fit.figures['iterations']} iterations, MSE {fit.figures['mse']:.4g}",
        "4 s",
        took <= 4,
        f"R2 {1 - fit.figures['mse'] / float(vectors[:_CHECKED].var()):.3f}",
    )
    quantizer = fit.quantizer
    assert isinstance(quantizer, ResidualQuantizer)
    took, codes = bench.seconds(lambda: nearest_codes(quantizer, vectors))
    plain, _ = bench.seconds(lambda: _plain_codes(quantizer, vectors, bench), runs=1)
    here = ResidualQuantizer(quantizer.codebooks, quantizer.scaling)
    with mock.patch.object(memory, "accelerated", lambda device: device.type != "cpu"):
        equal = float((here.encode(vectors[:_CHECKED]) == codes[:_CHECKED]).all(axis=1).mean())
    yield Row(
        f"encode, {len(vectors):,} x 128, {k:,} x 3, from host memory",
        f"{len(vectors) / took / 1e6:.2f} M rows/s",
        f"plain copies and products {len(vectors) / plain / 1e6:.2f} M rows/s{_residual_vq(quantizer, vectors, bench)}",
        "8 M rows/s",
        len(vectors) / took >= 8e6,
        f"{equal:.4%} of {min(_CHECKED, len(vectors)):,} rows have the CPU's codes",
    )


def _plain_codes(quantizer: ResidualQuantizer, vectors: np.ndarray, bench: Bench) -> None:
    """Rows to the device, argmax of products level by level, codes back: no ties, no overlap."""
    books = [torch.from_numpy(book).to(bench.device) for book in quantizer.codebooks]
    mean, scale = torch.from_numpy(quantizer.scaling.mean).to(bench.device), quantizer.scaling.scale
    for start in range(0, len(vectors), _PLAIN_ROWS):
        left = (torch.from_numpy(vectors[start : start + _PLAIN_ROWS]).to(bench.device) - mean) / scale
        for book in books:
            code = torch.addmm(-book.square().sum(1) / 2, left, book.t()).argmax(1)
            left = left - book[code]
            code.cpu()


def _residual_vq(quantizer: ResidualQuantizer, vectors: np.ndarray, bench: Bench) -> str:
    """The speed of vector-quantize-pytorch's ResidualVQ with as many codes, where it is installed."""
    if find_spec("vector_quantize_pytorch") is None:
        return "; vector-quantize-pytorch isn't installed"
    from vector_quantize_pytorch import ResidualVQ

    k, count = len(quantizer.codebooks[0]), len(quantizer.codebooks)
    model = ResidualVQ(dim=quantizer.dim, num_quantizers=count, codebook_size=k).to(bench.device).eval()

    def run() -> None:
        with torch.no_grad():
            for start in range(0, len(vectors), _PLAIN_ROWS):
                model(torch.from_numpy(vectors[start : start + _PLAIN_ROWS]).to(bench.device)[None])[1].cpu()

    took, _ = bench.seconds(run, runs=1)
    return f"; vector-quantize-pytorch's ResidualVQ {len(vectors) / took / 1e6:.2f} M rows/s"


VARIANTS: dict[str, dict[str, Any]] = {
    "step by step": {"precision": "float32", "cuda_graphs": False},
    "graphs": {"precision": "float32", "cuda_graphs": True},
    "graphs, bfloat16": {"precision": "bfloat16", "cuda_graphs": True},
}


def catalogue_rows(bench: Bench) -> Iterator[Row]:
    """RQ-VAE on the shared catalogue, from the first step to the last evaluation."""
    there = CATALOGUE.exists() and not bench.small
    vectors = np.load(CATALOGUE).astype(np.float32) if there else bench.mixture(400_000, 32).cpu().numpy()
    data = f"{'the shared catalogue' if there else 'a mixture'}, {len(vectors):,} x {vectors.shape[1]}"
    reached: dict[str, float] = {}
    for name, changes in VARIANTS.items():
        quant, section = _section("rqvae", **changes)
        if bench.small:
            section = section.model_copy(update={"epochs": 3, "init_epoch": 1, "warmup_epochs": 1, "layers": (32,)})
        k = bench.codes(128)
        quant = quant.model_copy(update={"num_emb_list": (k, k, k), "device": str(bench.device)})
        took, fit = bench.seconds(
            lambda quant=quant, section=section: rqvae.fit(vectors, quant, section), runs=1, warm=False
        )
        reached[name] = fit.figures["r2"]
        yield Row(
            f"RQ-VAE, {data}, {name}",
            f"{took:.1f} s, R2 {reached[name]:.3f}",
            f"R2 {reached['step by step']:.3f} step by step in float32",
            "5 s to the same R2",
            took <= 5 and reached[name] >= reached["step by step"] - 0.005,
            f"{fit.figures['epochs']} epochs, collisions {fit.figures['collision_rate']:.1%}",
        )


def training_rows(bench: Bench) -> Iterator[Row]:
    """RQ-VAE's epochs on many rows."""
    vectors = bench.mixture(400_000, 768).cpu().numpy()
    for batch_size, bar in ((8192, 2.5e6), (1024, 0.8e6)):
        for name, changes in VARIANTS.items():
            if bench.small:
                changes = {**changes, "layers": (32,)}
            size = min(batch_size, max(64, bench.rows(batch_size)))
            quant, section = _section("rqvae", batch_size=size, init_epoch=0, **changes)
            k = bench.codes(256)
            quant = quant.model_copy(update={"num_emb_list": (k, k, k), "device": str(bench.device)})
            task = rqvae.task(vectors, quant, section)
            task.model.initialised.fill_(True)
            loop = Loop(task)
            took, (recon, *_) = bench.seconds(loop._pass)
            rate = len(vectors) / took
            yield Row(
                f"RQ-VAE, {len(vectors):,} x 768, batches of {section.batch_size:,}, {name}",
                f"{rate / 1e6:.2f} M rows/s",
                f"loss {recon:.3f}",
                f"{bar / 1e6} M rows/s",
                rate >= bar,
                "steps in one epoch, without evaluation",
            )


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "nearest": nearest_rows,
    "kmeans": kmeans_rows,
    "balanced": balanced_rows,
    "host": host_rows,
    "catalogue": catalogue_rows,
    "training": training_rows,
}


def table(rows: list[Row], where: str) -> str:
    """The rows as Markdown."""
    words = {True: "pass", False: "**miss**", None: ""}
    lines = [where, "", "| work | ours | beside | bar | | what was checked |", "|---|---|---|---|---|---|"]
    lines += [f"| {r.work} | {r.ours} | {r.beside} | {r.bar} | {words[r.passed]} | {r.right} |" for r in rows]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that are asked for; 0, or 2 where there is no such device."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="a thousandth of the rows: to see that it runs")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, of " + ", ".join(PARTS))
    parser.add_argument("--out", type=Path, help="write the table there too")
    wanted = parser.parse_args(arguments)
    if unknown := set(wanted.only.split(",")) - set(PARTS):
        parser.error(f"--only: no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if wanted.device == "cuda" and not torch.cuda.is_available():
        print("bench.gpu: torch finds no CUDA device here; --device cpu --small runs the same code", file=sys.stderr)
        return 2
    bench = Bench(torch.device(wanted.device), wanted.small)
    name = torch.cuda.get_device_name() if wanted.device == "cuda" else "a CPU, whose times say nothing about a GPU"
    rows: list[Row] = []
    way = nullcontext() if wanted.device == "cuda" else mock.patch.object(memory, "accelerated", return_value=True)
    began = time.perf_counter()
    with way:
        for part in wanted.only.split(","):
            try:
                for row in PARTS[part](bench):
                    rows.append(row if wanted.device == "cuda" else replace(row, passed=None))
                    print(f"{row.work}: {row.ours} (bar {row.bar})", file=sys.stderr, flush=True)
            except Exception as error:  # the other parts' figures are worth having
                reason = next(iter(str(error).splitlines()), "")
                rows.append(Row(part, "failed", f"{type(error).__name__}: {reason}", "", None, ""))
            if wanted.device == "cuda":
                torch.cuda.empty_cache()
    found = table(rows, f"{name}, torch {torch.__version__}, {time.perf_counter() - began:.0f} s")
    print(found)
    if wanted.out:
        wanted.out.write_text(found + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
