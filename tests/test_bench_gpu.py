"""The benchmark of GPUs runs from end to end on a CPU, on small data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench import gpu


def test_the_whole_benchmark_runs_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--device", "cpu", "--small", "--out", str(tmp_path / "gpu.md")]) == 0
    written = (tmp_path / "gpu.md").read_text()
    assert "failed" not in written, written
    assert capsys.readouterr().out == written
    for work in ("nearest", "k-means", "balanced", "rqkmeans", "encode", "RQ-VAE"):
        assert f"| {work}" in written
    assert written.count("100.0000% of") >= 5  # labels and codes are the CPU's
    assert "the same bytes twice: True" in written
    assert "the same bytes twice: False" not in written


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_gpu_a_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_parts_that_there_are_not_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main(["--only", "neares"])
    assert "there are nearest, kmeans" in capsys.readouterr().err
