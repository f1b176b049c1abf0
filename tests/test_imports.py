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

# From bottom to top: a package imports itself and what is below it. A root module counts as a package of its own.
RANKS: list[list[str]] = [
    ["sid.errors"],
    ["sid.files"],
    ["sid.arrays"],
    ["sid.ids", "sid.params"],
    ["sid.catalogue"],
    ["sid.interactions"],
    ["sid.measure"],
    ["sid.clustering"],
    ["sid.quantizers"],
    ["sid.dedupe"],
    ["sid.decoding"],
    ["sid.export"],
    ["sid.report"],
    ["stages"],
]
RANK = {package: rank for rank, packages in enumerate(RANKS) for package in packages}

KNOW_CODES_NOT_METHODS = ("sid.ids", "sid.export", "sid.decoding", "sid.interactions", "sid.measure")

# An edit to these changes no artifact, or shows in the params that the stage declares.
PLUMBING = {"sid.errors", "sid.files", "sid.params", "stages.run", "stages.snapshot"}


def package_of(module: str) -> str:
    """`sid.export` for `sid.export.grid`; `stages` for all of them."""
    parts = module.split(".")
    return parts[0] if parts[0] == "stages" else ".".join(parts[:2])


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
    return {name for name in found if name in MODULES and name not in ("sid", "stages")}


def closure(module: str) -> set[str]:
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += imports(name)
    return seen


def test_every_package_has_its_rank() -> None:
    assert {package_of(name) for name in MODULES} - {"sid"} == set(RANK)


def test_the_root_is_small() -> None:
    assert len(list((ROOT / "sid").glob("*.py"))) <= 6


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"sid", "stages"}))
def test_imports_go_downward(module: str) -> None:
    own = package_of(module)
    upward = {name for name in imports(module) if package_of(name) != own and RANK[package_of(name)] >= RANK[own]}
    assert not upward, f"{module} imports {upward}"


def test_there_are_no_import_cycles() -> None:
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in done:
            for found in sorted(imports(name)):
                visit(found, (*above, name))
            done.add(name)

    for name in sorted(MODULES):
        visit(name, ())


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
    assert not {"sid/ids.py", "sid/export", "sid/dedupe"} & {*declared("train"), *declared("index")}


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
