"""dvc.yaml as this project reads it is dvc.yaml as DVC reads it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sid.errors import InputError
from sid.files import read_yaml
from stages import pipeline
from tests.conftest import ENVIRONMENT, ROOT

ASK = """
import json, sys
from dvc.repo import Repo
found = {}
for stage in Repo(".").index.stages:
    params = {str(dep): sorted(dep.params) for dep in stage.params}
    deps = sorted(dep.def_path for dep in stage.deps if dep not in stage.params)
    found[stage.name] = [stage.cmd, params, deps, sorted(out.def_path for out in stage.outs)]
print(json.dumps(found))
"""


@pytest.mark.parametrize("method", ["rqvae", "rqkmeans_plus"])
def test_stages_are_those_that_dvc_sees(tmp_path: Path, method: str) -> None:
    values = read_yaml(ROOT / "params.yaml")
    values["quant"]["method"] = method
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    environment = {**ENVIRONMENT, "PYTHONWARNINGS": "ignore", "DVC_SITE_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", ASK], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours = {
        name: [
            stage.cmd,
            {file: sorted(keys) for file, keys in stage.params.items()},
            *map(sorted, (stage.deps, stage.outs)),
        ]
        for name, stage in pipeline.declared(tmp_path).items()
    }
    assert ours == json.loads(done.stdout)
    assert list(ours) == [
        "embed",
        "prepare",
        "interactions",
        "align",
        "train",
        "index",
        "dedupe",
        "delta",
        "evaluate",
        "report",
        "export",
    ]


def test_each_path_is_written_once() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    paths = [
        path for more in read_yaml(ROOT / "dvc.yaml")["vars"] for group in more.values() for path in group.values()
    ]
    assert len(paths) > 20
    assert {path for path in paths if text.count(f" {path}\n") != 1} == set()
    assert not [line for line in text.split("stages:\n", 1)[1].splitlines() if "data/" in line or "reports/" in line]


def test_templates_are_filled_in_values_and_names() -> None:
    context = {"a": {"b": "word", "n": 3, "yes": True, "list": [1]}}
    assert pipeline.filled({"x-${a.b}": ["${a.n}/${a.b}", 5, None]}, context) == {"x-word": ["3/word", 5, None]}
    assert pipeline.filled("${a.yes}", context) == "true"
    for wrong in ("${a.none}", "${a.list}", "${a}", "${none.b}"):
        with pytest.raises(InputError, match=r"isn.t text or a number"):
            pipeline.filled(wrong, context)


def test_an_option_of_the_command_line_is_found() -> None:
    assert pipeline.declared(ROOT)["train"].option("report") == Path("reports/train.json")
