"""What `import sid` offers, what importing loads, and what is said where an extra isn't installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sid
from sid import params
from sid.errors import InputError
from sid.quantizers import methods
from tests.conftest import ROOT, catalogue
from tests.test_contract import settings

HEAVY = ("torch", "dvc", "plotly", "jinja2", "transformers", "scipy", "ortools", "pydantic")
EXTRAS = ("dvc", "plotly", "jinja2", "markupsafe", "ortools", "k_means_constrained")


def python(code: str, *blocked: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which some packages aren't installed."""
    block = f"import sys; sys.modules.update(dict.fromkeys({blocked!r}));"
    return subprocess.run([sys.executable, "-c", block + code], cwd=ROOT, capture_output=True, text=True)


def loaded(code: str) -> set[str]:
    """The packages that code loads."""
    done = python(f"{code}; print(*{{name.partition('.')[0] for name in sys.modules}})")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_sid_loads_nothing() -> None:
    assert not loaded("import sid; dir(sid)") & {*HEAVY, "numpy", "polars", "pyarrow", "yaml", "tqdm"}


@pytest.mark.parametrize("code", ["import sid.decoding", "from sid import SemanticIds, Trie"])
def test_decoding_loads_no_heavy_package(code: str) -> None:
    found = loaded(code)
    assert not found & set(HEAVY)
    assert "polars" in found


def test_decoding_works_where_torch_is_missing() -> None:
    done = python("import sid.decoding; from sid import Trie; print(sid.decoding.Trie is Trie)", "torch", *EXTRAS)
    assert done.stdout.strip() == "True", done.stderr


def test_a_quantizer_is_loaded_and_encodes_without_any_extra(tmp_path: Path) -> None:
    quantizer = methods.fit(catalogue(), settings("rqkmeans")).quantizer
    quantizer.save(tmp_path / "model.pth")
    np.save(tmp_path / "vectors.npy", catalogue())
    code = f"""
import numpy as np, sid
codes = sid.load({str(tmp_path / "model.pth")!r}).encode(np.load({str(tmp_path / "vectors.npy")!r}))
np.save({str(tmp_path / "codes.npy")!r}, codes)
"""
    done = python(code, *EXTRAS, "scipy")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), quantizer.encode(catalogue()))


def test_what_sid_offers() -> None:
    assert {"fit", "load", "SemanticIds", "Trie"} < set(dir(sid))
    assert sid.SemanticIds.__module__ == "sid.ids"
    assert sid.Trie.__module__ == "sid.decoding.trie"
    with pytest.raises(AttributeError, match="module 'sid' has no attribute 'Tries'"):
        sid.Tries  # noqa: B018


def test_fit_takes_a_file_or_params_and_any_floats(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    text = text.replace("method: rqvae #", "method: rqkmeans #").replace("[64, 64, 64]", "[8, 6]")
    (tmp_path / "params.yaml").write_text(text)
    vectors = catalogue()
    fitted = sid.fit(vectors, tmp_path / "params.yaml")
    assert (fitted.method, fitted.code_sizes) == ("rqkmeans", (8, 6))
    checked = params.load(tmp_path / "params.yaml", methods.CONFIGS)
    for given in (vectors, vectors.astype(np.float64), vectors.tolist()):
        np.testing.assert_array_equal(sid.fit(given, checked).encode(vectors), fitted.encode(vectors))
    fitted.save(tmp_path / "model.pth")
    np.testing.assert_array_equal(sid.load(tmp_path / "model.pth", "cpu").encode(vectors), fitted.encode(vectors))


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.zeros(8, np.float32), r"shape \(8,\)"),
        (np.zeros((3, 4), np.int64), "dtype int64"),
        (np.zeros((0, 4), np.float32), r"shape \(0, 4\)"),
        ([["a", "b"]], "dtype <U1"),
    ],
)
def test_fit_refuses_what_are_no_vectors(vectors: Any, said: str) -> None:
    with pytest.raises(InputError, match=rf"vectors have .*{said}.*must be \(N, D\) floats"):
        sid.fit(vectors, settings("rqkmeans"))


@pytest.mark.parametrize("missing", ["jinja2", "markupsafe", "plotly"])
def test_a_missing_extra_is_told_in_one_line(missing: str) -> None:
    done = python("import stages, sid.report", missing)
    assert done.returncode == 1
    assert done.stderr == f"-c: error: {missing} is not installed: pip install 'sid[report]'\n"
    done = python(
        "import sid.errors\ntry: import sid.report\nexcept ImportError as error: print(repr(error), end='')", missing
    )
    assert done.stdout.startswith("MissingExtra")


def test_any_other_failure_of_a_stage_keeps_its_traceback() -> None:
    done = python("import stages; 1 / 0")
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_an_old_python_can_read_what_tells_it_that_it_is_too_old() -> None:
    source = (ROOT / "stages" / "ready.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 6))
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert "__future__" not in imported  # annotations, which Python 3.6 doesn't have there
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    annotations = [node.returns for node in functions] + [
        arg.annotation for node in functions for arg in node.args.args
    ]
    assert all(isinstance(one, ast.Name | ast.Constant) for one in annotations if one is not None)
