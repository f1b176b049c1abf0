from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sid import params
from sid.errors import InputError
from sid.export.formats import CHOICES
from sid.quantizers.methods import CONFIGS
from tests.conftest import ROOT


def problems(tmp_path: Path, change: dict[str, Any], remove: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What is said of the project's params.yaml after some keys are changed ('a.b': value) or removed."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for dotted, value in change.items():
        *sections, key = dotted.split(".")
        section = values
        for name in sections:
            section = section[name]
        section[key] = value
    for dotted in remove:
        *sections, key = dotted.split(".")
        section = values
        for name in sections:
            section = section[name]
        del section[key]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    try:
        params.load(path, CONFIGS, CHOICES)
    except InputError as error:
        return tuple(line.removeprefix(f"{path}: ") for line in error.problems)
    return ()


def test_the_projects_own_params_are_right() -> None:
    loaded = params.load(ROOT / "params.yaml", CONFIGS, CHOICES)
    assert set(loaded.methods) == set(CONFIGS)
    assert loaded.quant.method in CONFIGS


def test_sections_are_frozen() -> None:
    loaded = params.load(ROOT / "params.yaml", CONFIGS, CHOICES)
    with pytest.raises(ValueError, match="frozen"):
        loaded.quant.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("prepare.invalid_row", "zero", "prepare.invalid_row is an unknown key; did you mean prepare.invalid_rows?"),
        ("quant.rqkmean", {}, "quant.rqkmean is an unknown key; did you mean quant.rqkmeans?"),
        ("extra", 1, "extra is an unknown key; known keys here: "),
        ("prepare.invalid_rows", "keep", "prepare.invalid_rows is 'keep': must be 'zero', 'drop' or 'error'"),
        ("prepare.embeddings", 5, "prepare.embeddings is 5: must be a valid string"),
        ("prepare.embeddings", "", "prepare.embeddings is '': must not be empty text"),
        ("prepare.items", None, "prepare.items is empty: must be a valid string"),
        ("quant.seed", 1.5, "quant.seed is 1.5: must be a valid integer"),
        ("quant.seed", -1, "quant.seed is -1: must be greater than or equal to 0"),
        ("quant.seed", True, "quant.seed is true: must be a valid integer"),
        ("quant.seed", "7", "quant.seed is '7': must be a valid integer"),
        ("quant.num_emb_list", 256, "quant.num_emb_list is 256: must be a list"),
        ("quant.num_emb_list", [], "quant.num_emb_list is []: must have at least 1 entries"),
        ("prepare.embeddings", "data/none", "prepare.embeddings is 'data/none': must name a file"),
        ("quant.num_emb_list", [256] * 27, "quant.num_emb_list is [256, "),
        ("quant.num_emb_list", [256, "256"], "quant.num_emb_list[1] is '256': must be a valid integer"),
        ("quant.num_emb_list", [256, 1], "quant.num_emb_list[1] is 1: must be greater than or equal to 2"),
        ("quant.num_emb_list", [256, 2.0], "quant.num_emb_list[1] is 2.0: must be a valid integer"),
        ("quant.method", "rqkmeens", "quant.method is 'rqkmeens': must be one of rqvae, rqkmeans"),
        ("quant.method", ["rqkmeans"], "quant.method is ['rqkmeans']: must be a valid string"),
        ("quant.rqkmeans", None, "quant.rqkmeans is empty: must be a section of keys"),
        ("quant.rqkmeans", [1], "quant.rqkmeans is [1]: must be a section of keys"),
        ("quant.rqkmeans.max_iters", 0, "quant.rqkmeans.max_iters is 0: must be greater than or equal to 1"),
        ("quant.device_memory_gib", 0.1, "quant.device_memory_gib is 0.1: must be greater than or equal to 0.25"),
        ("quant.rqvae.precision", "half", "quant.rqvae.precision is 'half': must be 'auto', 'float32' or 'bfloat16'"),
        ("quant.device", "gpu", "quant.device is 'gpu': must be 'auto', 'cpu' or 'cuda'"),
        ("dedupe", "reassign", "dedupe is 'reassign': must be a section of keys"),
        ("dedupe.max_suffix", 1, "dedupe.max_suffix is 1: must be greater than or equal to 2"),
        ("export.dataset", "a.b", "export.dataset is 'a.b': must be letters (a to z), digits, - and _"),
        ("interactions.split", "random", "interactions.split is 'random': must be 'leave_one_out' or 'temporal'"),
        ("export.dataset", "a" * 101, f"export.dataset is '{'a' * 101}': must have at most 100 characters"),
        (
            "interactions.ratios",
            [0.8, 0.2],
            "interactions.ratios is [0.8, 0.2]: must be three shares, for train, valid and test",
        ),
        (
            "interactions.ratios",
            [0.7, 0.1, 0.1, 0.1],
            "interactions.ratios is [0.7, 0.1, 0.1, 0.1]: must be three shares, for train, valid and test",
        ),
        ("interactions.ratios", 0.8, "interactions.ratios is 0.8: must be a list"),
        (
            "interactions.ratios",
            [0.8, 0.1, 0.2],
            "interactions.ratios is [0.8, 0.1, 0.2]: must be shares of train (above 0)",
        ),
        (
            "interactions.ratios",
            [0, 0.5, 0.5],
            "interactions.ratios is [0, 0.5, 0.5]: must be shares of train (above 0)",
        ),
        ("interactions.ratios", [1.2, -0.1, -0.1], "interactions.ratios is [1.2, -0.1, -0.1]: must be shares"),
        ("export.max_history", 0, "export.max_history is 0: must be greater than or equal to 1"),
        ("export.min_history", 0, "export.min_history is 0: must be greater than or equal to 1"),
        ("export.keep_longest_only", "no", "export.keep_longest_only is 'no': must be a valid boolean"),
        ("export.tasks", ["sequence"], "export.tasks[0] is 'sequence': must be one of sid_history_to_sid, "),
        (
            "export.tasks",
            ["title_to_sid"] * 2,
            "export.tasks is ['title_to_sid', 'title_to_sid']: must not name anything twice",
        ),
        ("export.formats", ["csv"], "export.formats[0] is 'csv': must be one of index, minionerec, "),
        ("export.formats", [], "export.formats is []: must have at least 1 entries"),
        ("export.formats", "index", "export.formats is 'index': must be a list"),
    ],
)
def test_each_fault_is_one_line_that_names_the_key(tmp_path: Path, key: str, value: object, said: str) -> None:
    found = problems(tmp_path, {key: value})
    assert len(found) == 1, found
    assert found[0].startswith(said)
    assert "\n" not in found[0]


def test_a_history_can_be_as_short_as_it_must_be(tmp_path: Path) -> None:
    found = problems(tmp_path, {"export.max_history": 3, "export.min_history": 4})
    assert found == ("export.min_history is 4: must be at most max_history, which is 3",)
    assert problems(tmp_path, {"export.max_history": 3, "export.min_history": 3}) == ()


def test_missing_keys_and_sections(tmp_path: Path) -> None:
    found = problems(tmp_path, {}, remove=("quant.e_dim", "quant.rqkmeans.restarts", "dedupe"))
    assert [line.split(" ")[0] for line in found] == ["quant.rqkmeans.restarts", "quant.e_dim", "dedupe"]
    assert found[-1].startswith("dedupe is missing: must be a section of keys")


def test_all_faults_at_once(tmp_path: Path) -> None:
    change = {"quant.seed": "x", "quant.e_dim": 0, "prepare.normalise": "l2", "export.seed": None, "quant.method": "x"}
    found = problems(tmp_path, change)
    assert sorted(line.split(" ")[0] for line in found) == [
        "export.seed",
        "prepare.normalise",
        "quant.e_dim",
        "quant.method",
        "quant.seed",
    ]


def test_contradictions_count_for_the_chosen_method_alone(tmp_path: Path) -> None:
    class TwoLists(params.MethodConfig):
        sk_epsilons: tuple[float, ...] = (0.0, 0.0, 0.0)

        def conflicts(self, quant: params.Quant) -> list[str]:
            if len(self.sk_epsilons) == len(quant.num_emb_list):
                return []
            return [
                f"quant.num_emb_list has {len(quant.num_emb_list)} levels but quant.two.sk_epsilons has "
                f"{len(self.sk_epsilons)}"
            ]

    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["quant"].update(num_emb_list=[4, 4, 4, 4], two={})
    path = tmp_path / "params.yaml"
    configs = {**CONFIGS, "two": TwoLists}
    path.write_text(yaml.safe_dump(values))
    params.load(path, configs)
    values["quant"]["method"] = "two"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=r"quant\.num_emb_list has 4 levels but quant\.two\.sk_epsilons has 3"):
        params.load(path, configs)


def test_checking_params_loads_no_torch() -> None:
    code = (
        "import sys; from sid import params; from sid.export.formats import CHOICES;"
        "from sid.quantizers.methods import CONFIGS;"
        "params.load('params.yaml', CONFIGS, CHOICES); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_not_given_is_a_path_that_exists_and_means_none() -> None:
    assert (ROOT / params.NOT_GIVEN).is_file()
    assert params.given(params.NOT_GIVEN) is None
    assert params.given("./data/none") is None
    assert params.given("items.json") == Path("items.json")


@pytest.mark.parametrize(("items", "limit"), [(24, 1), (48, 2)])
def test_capacity(items: int, limit: int) -> None:
    params.check_capacity(items, (2, 3, 4), limit)
    with pytest.raises(InputError, match=rf"\[2, 3, 4\] makes 24 Semantic IDs.* for {items + 1} items"):
        params.check_capacity(items + 1, (2, 3, 4), limit)


@pytest.mark.parametrize("strategy", ["append", "append_colliding"])
def test_a_level_more_than_letters_is_refused(tmp_path: Path, strategy: str) -> None:
    most = {"quant.num_emb_list": [2] * 26, "dedupe.strategy": strategy}
    (problem,) = problems(tmp_path, most)
    assert f"dedupe.strategy is '{strategy}', which adds a level to the 26 of quant.num_emb_list" in problem


@pytest.mark.parametrize(
    ("key", "typo", "value"),
    [
        ("published", "publishd", "data/none"),
        ("prepare", "prepar", {}),
        ("quant.num_emb_list", "num_emb_lst", [4, 4]),
        ("quant.rqkmeans", "rqkmean", {}),
        ("quant.rqvae.epochs", "epoch", 3),
        ("align.smooth.alpha", "alfa", 0.5),
    ],
)
def test_a_typo_is_one_mistake(tmp_path: Path, key: str, typo: str, value: object) -> None:
    dotted = ".".join([*key.split(".")[:-1], typo])
    (line,) = problems(tmp_path, {dotted: value}, remove=(key,))
    assert line.startswith(f"{dotted} is an unknown key")
    two = problems(tmp_path, {dotted: value, "export.seed": -1}, remove=(key,))
    assert len(two) == 2


@pytest.mark.parametrize("name", ["rqkmeans", "rqkmeans_constrained"])
def test_a_key_that_moved_says_where_to(tmp_path: Path, name: str) -> None:
    (line,) = problems(tmp_path, {f"quant.rqkmeans_plus.{name}": {"max_iters": 3}})
    assert line == (
        f"quant.rqkmeans_plus.{name} is no longer a key: delete it; quant.{name} sets how the warm start is fitted"
    )


def test_files_that_are_missing_are_told_with_all_other_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from stages import preflight

    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["prepare"] |= {"embeddings": "no/vectors.npy", "items": "no/items.json", "normalize": "l3"}
    values["interactions"]["source"] = "no/inter"
    values["published"] = "releases/none"
    values["quant"] |= {"method": "rqkmeans_plus", "e_dim": -1}
    values["quant"]["rqkmeans_plus"]["warm_start_file"] = "no/books.npz"
    values["export"]["prompts"] = "no/prompts.yaml"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.chdir(tmp_path)
    assert preflight.main() == 1
    said = capsys.readouterr().err.splitlines()
    for part in (
        "prepare.normalize is 'l3'",
        "quant.e_dim is -1",
        "prepare.embeddings is 'no/vectors.npy': no such file or folder",
        "prepare.items is 'no/items.json': no such file or folder (data/none means none)",
        "interactions.source is 'no/inter'",
        "quant.rqkmeans_plus.warm_start_file is 'no/books.npz'",
        "published is 'releases/none'",
        "export.prompts is 'no/prompts.yaml'",
    ):
        assert len([line for line in said if part in line]) == 1, part
    assert len(said) == 8
