"""Imports go downward only, and dvc.yaml names what its stages use."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, STAGES

EXPORT_FORMATS = (
    "minionerec",
    "lcrec",
    "grid",
    "alpaca",
    "messages",
    "prompt_completion",
    "parquet",
    "vocabulary",
    "prefixes",
)

# From bottom to top; a module may import its own layer's earlier groups and everything below.
LAYERS: list[list[str]] = [
    ["sid.errors"],
    ["sid.files", "sid.lines", "sid.yaml12", "sid.readers"],
    ["sid.codes"],
    ["sid.equality"],
    ["sid.params", "sid.tokens", "sid.metadata", "sid.embeddings", "sid.prepared", "sid.metrics"],
    ["sid.items", "sid.semantic_ids", "sid.neighbours", "sid.clustering.distances", "sid.quantizers.base"],
    ["sid.splitting", "sid.interaction_table", "sid.prompts", "sid.trie"],
    ["sid.interactions", "sid.decoding"],
    ["sid.clustering.transport", "sid.clustering.sinkhorn", "sid.clustering.lloyd", "sid.quantizers.checkpoint"],
    ["sid.clustering.balanced", "sid.sft", "sid.collisions", "sid.quality"],
    ["sid.assignment", "sid.quantizers.residual", "sid.matching"],
    ["sid.quantizers.npz"],
    ["sid.quantizers.settings", "sid.quantizers.resume", "sid.quantizers.rows", "sid.quantizers.autoencoder"],
    ["sid.quantizers.network"],
    ["sid.quantizers.training"],
    ["sid.quantizers.assemble"],
    ["sid.quantizers.rqkmeans", "sid.quantizers.rqkmeans_constrained", "sid.quantizers.rqvae"],
    ["sid.quantizers.rqkmeans_plus"],
    ["sid.quantizers.methods"],
    ["sid.charts", "sid.words"],
    ["sid.dedupe", "sid.report", "sid.export.source"],
    ["sid.export.jsonfiles"],
    ["sid.export.numbering", "sid.export.index"],
    [f"sid.export.{name}" for name in EXPORT_FORMATS],
    ["sid.export.formats"],
    ["sid.export.write"],
    ["sid.export"],
    ["stages.snapshot"],
    ["stages.run"],
    [f"stages.{name}" for name in (*STAGES, "preflight", "summary")],
]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}

KNOW_CODES_NOT_METHODS = (
    "sid.collisions",
    "sid.matching",
    "sid.metrics",
    "sid.tokens",
    "sid.sft",
    "sid.report",
    "sid.export",
    "sid.decoding",
    "sid.trie",
)
PACKAGES = ("sid", "sid.clustering", "sid.quantizers", "stages")

# An edit to these changes no artifact, or shows in the params that the stage declares.
PLUMBING = {"sid.errors", "sid.files", "sid.params", "sid.yaml12", "stages.run", "stages.snapshot"}


def modules() -> dict[str, Path]:
    found = {}
    for top in ("sid", "stages"):
        for path in (ROOT / top).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(module: str) -> set[str]:
    """The project's modules that a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            source = node.module or ""
            found |= {f"{source}.{name.name}" if f"{source}.{name.name}" in MODULES else source for name in node.names}
    return {name for name in found if name in MODULES and name not in PACKAGES}


def closure(module: str) -> set[str]:
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += imports(name)
    return seen


def test_every_module_has_its_layer() -> None:
    assert set(MODULES) - set(PACKAGES) <= set(RANK)


@pytest.mark.parametrize("module", sorted(set(MODULES) - set(PACKAGES)))
def test_imports_go_downward(module: str) -> None:
    upward = {name for name in imports(module) if RANK[name] >= RANK[module]}
    assert not upward, f"{module} imports {upward}"


@pytest.mark.parametrize("module", [name for name in sorted(MODULES) if name.startswith(KNOW_CODES_NOT_METHODS)])
def test_what_knows_codes_knows_no_methods(module: str) -> None:
    above = {name for name in closure(module) if name.startswith("sid.quantizers.") or name.startswith("sid.cluster")}
    assert not above


def declared(stage: str) -> list[str]:
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    return [str(path) for path in pipeline["stages"][stage]["deps"]]


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_declares_the_code_of_each_stage(stage: str) -> None:
    deps = declared(stage)
    # the table of methods is read to check params.yaml; what it fits with belongs to train alone
    reached: set[str] = set()
    todo = [f"stages.{stage}"]
    while todo:
        name = todo.pop()
        if name not in reached and name not in PLUMBING:
            reached.add(name)
            todo += imports(name)
    missing = []
    for name in reached:
        path = str(MODULES[name].relative_to(ROOT))
        if not any(path == dep or path.startswith(f"{dep}/") for dep in deps):
            missing.append(path)
    assert not missing, f"dvc.yaml: {stage} uses {sorted(missing)}"


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_declares_no_code_that_is_not_there(stage: str) -> None:
    assert all((ROOT / dep).exists() for dep in declared(stage) if dep.startswith(("sid", "stages")))


def test_an_edit_to_tokens_retrains_nothing() -> None:
    assert not {"sid/tokens.py", "sid/sft.py", "sid/collisions.py"} & {*declared("train"), *declared("index")}


def test_stages_stay_thin() -> None:
    for stage in STAGES:
        assert len((ROOT / "stages" / f"{stage}.py").read_text().splitlines()) <= 60


@pytest.mark.parametrize("module", ["stages.export", "stages.prepare", "stages.dedupe"])
def test_stages_that_need_no_model_load_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_no_path_stands_in_the_library() -> None:
    quoted = re.compile(r'["\'](?:data|reports)/(?!none)')
    assert not [name for name, path in MODULES.items() if name.startswith("sid") and quoted.search(path.read_text())]
