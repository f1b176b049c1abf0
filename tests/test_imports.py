"""Imports go downward only, and dvc.yaml names what its stages use."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from sid.align.methods import METHODS as ALIGNERS
from sid.dedupe.strategies import STRATEGIES
from sid.files import read_yaml
from sid.quantizers.methods import CONFIGS
from stages import pipeline
from stages.pipeline import Declared, at
from tests.conftest import ROOT, STAGES

# From bottom to top: a package imports itself and what is below it. A root module counts as a package of its own.
RANKS: list[list[str]] = [
    ["sid.errors"],
    ["sid.files"],
    ["sid.arrays"],
    ["sid.ids", "sid.params"],
    ["sid.engine"],
    ["sid.tables"],
    ["sid.catalogue"],
    ["sid.embed"],
    ["sid.interactions"],
    ["sid.measure"],
    ["sid.clustering"],
    ["sid.quantizers"],
    ["sid.align"],
    ["sid.dedupe"],
    ["sid.decoding"],
    ["sid.evaluate"],
    ["sid.export"],
    ["sid.releases"],
    ["sid.report"],
    ["stages"],
]
RANK = {package: rank for rank, packages in enumerate(RANKS) for package in packages}

KNOW_CODES_NOT_METHODS = ("sid.ids", "sid.export", "sid.decoding", "sid.interactions", "sid.measure")

# An edit to these changes no artifact: they word errors, check params, run passes to the same bits, and start and stop
# stages; other_index writes nothing of the pipeline's.
PLUMBING = {
    "sid.engine.base",
    "sid.engine.engines",
    "sid.engine.local",
    "sid.engine.ray",
    "sid.engine.threads",
    "sid.errors",
    "sid.params",
    "stages.other_index",
    "stages.pipeline",
    "stages.run",
    "stages.snapshot",
    "stages.watch",
}

# Tables of modules of which params.yaml names one: a new line makes nothing stale, and the others don't matter.
TABLES: dict[str, tuple[str, list[str]]] = {
    "sid.quantizers.methods": ("quant.method", list(CONFIGS)),
    "sid.dedupe.strategies": ("dedupe.strategy", list(STRATEGIES)),
    "sid.align.methods": ("align.method", list(ALIGNERS)),
}
TABLE_USERS = {"align": "sid.align.methods", "train": "sid.quantizers.methods", "dedupe": "sid.dedupe.strategies"}


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


def chosen(folder: Path, choices: Mapping[str, str]) -> dict[str, Declared]:
    """What dvc.yaml declares when params.yaml has other values at some dotted keys."""
    values = read_yaml(ROOT / "params.yaml")
    for dotted, value in choices.items():
        *sections, key = dotted.split(".")
        at(values, ".".join(sections))[key] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    return pipeline.declared(folder)


def reached(stage: str, choices: Mapping[str, str]) -> set[str]:
    """The modules whose code shapes what a stage writes; of a table's modules, the chosen one and what it uses."""
    seen: set[str] = set()
    todo = {f"stages.{stage}"}
    while todo:
        name = todo.pop()
        if name in seen or name in PLUMBING:
            continue
        seen.add(name)
        found = imports(name)
        if name in TABLES:
            key, names = TABLES[name]
            found -= {f"{package_of(name)}.{other}" for other in names}
            if TABLE_USERS.get(stage) == name:
                found.add(f"{package_of(name)}.{choices[key]}")
        todo |= found
    return seen - set(TABLES)


CASES = [(stage, {}) for stage in STAGES if stage not in TABLE_USERS] + [
    (stage, {TABLES[table][0]: choice}) for stage, table in TABLE_USERS.items() for choice in TABLES[table][1]
]


@pytest.mark.parametrize(("stage", "choices"), CASES)
def test_dvc_yaml_declares_the_code_of_each_stage(stage: str, choices: dict[str, str], tmp_path: Path) -> None:
    deps = [ROOT / dep for dep in chosen(tmp_path, choices)[stage].deps]
    assert all(dep.exists() for dep in deps if dep.relative_to(ROOT).parts[0] in ("sid", "stages"))
    files = {file.resolve() for dep in deps for file in ([dep] if dep.is_file() else dep.rglob("*.py"))}
    missing = sorted(name for name in reached(stage, choices) if MODULES[name].resolve() not in files)
    assert not missing, f"dvc.yaml: {stage} uses {missing}"


@pytest.mark.parametrize(("stage", "choices"), [case for case in CASES if case[0] in TABLE_USERS])
def test_dvc_yaml_declares_no_code_of_what_is_not_chosen(stage: str, choices: dict[str, str], tmp_path: Path) -> None:
    key, names = TABLES[TABLE_USERS[stage]]
    package = package_of(TABLE_USERS[stage])
    others = {f"{package}.{name}" for name in names} - reached(stage, choices)
    deps = [ROOT / dep for dep in chosen(tmp_path, choices)[stage].deps]
    files = {file.resolve() for dep in deps for file in ([dep] if dep.is_file() else dep.rglob("*.py"))}
    assert not {name for name in {*others, TABLE_USERS[stage]} if MODULES[name].resolve() in files}, key


def test_an_edit_to_tokens_retrains_nothing() -> None:
    deps = pipeline.declared(ROOT)
    assert not {"sid/ids.py", "sid/export", "sid/dedupe"} & {*deps["train"].deps, *deps["index"].deps}


def test_stages_stay_thin() -> None:
    for stage in STAGES:
        assert len((ROOT / "stages" / f"{stage}.py").read_text().splitlines()) <= 60


@pytest.mark.parametrize("module", ["stages.export", "stages.prepare", "stages.dedupe", "stages.embed"])
def test_stages_that_need_no_model_load_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_no_path_stands_in_the_library() -> None:
    quoted = re.compile(r'["\'](?:data|reports)/(?!none)')
    assert not [name for name, path in MODULES.items() if name.startswith("sid.") and quoted.search(path.read_text())]
