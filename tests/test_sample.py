"""data/sample: what tools/make_sample.py writes, byte for byte, and what its README promises."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "sample"
FILES = ["README.md", "embeddings.npy", "items.json", "test.inter", "train.inter", "valid.inter"]
ITEMS, USERS, WINDOW = 2000, 1500, 10
GROUPS = [[57, 311, 1490], [218, 402], [640, 777, 1111], [845, 1033], [1266, 1954], [1345, 1702]]
NAN_VALUE, NAN_ROW, INF_VALUE, ZERO_ROW = 248, 1304, 795, 1601

Row = tuple[int, list[int], int]


@pytest.fixture(scope="module")
def embeddings() -> np.ndarray:
    return np.load(SAMPLE / "embeddings.npy", allow_pickle=False)


@pytest.fixture(scope="module")
def items() -> list[dict[str, str]]:
    by_id = json.loads((SAMPLE / "items.json").read_text(encoding="utf-8"))
    assert list(by_id) == [str(row) for row in range(ITEMS)]
    return list(by_id.values())


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Row]]:
    return {name: read_split(name) for name in ("train", "valid", "test")}


def read_split(name: str) -> list[Row]:
    header, *lines = (SAMPLE / f"{name}.inter").read_text(encoding="utf-8").splitlines()
    assert header == "user_id:token\titem_id_list:token_seq\titem_id:token"
    rows = [line.split("\t") for line in lines]
    return [(int(user), list(map(int, history.split(" "))), int(target)) for user, history, target in rows]


def level(items: list[dict[str, str]], item: int, depth: int) -> str:
    """An item's department (depth 0), category (1) or type (2)."""
    return items[item]["categories"].split(" > ")[depth]


def test_the_generator_writes_the_committed_bytes(tmp_path: Path) -> None:
    out = tmp_path / "sample"
    subprocess.run([sys.executable, ROOT / "tools" / "make_sample.py", "--out", out], check=True)
    assert sorted(path.name for path in out.iterdir()) == FILES
    differing = [name for name in FILES if (out / name).read_bytes() != (SAMPLE / name).read_bytes()]
    assert differing == []


def test_the_sample_is_small_and_complete() -> None:
    assert sorted(path.name for path in SAMPLE.iterdir()) == FILES
    assert sum((SAMPLE / name).stat().st_size for name in FILES) < 2_000_000


def test_the_invalid_rows_are_those_of_the_readme(embeddings: np.ndarray) -> None:
    assert embeddings.shape == (ITEMS, 64)
    assert embeddings.dtype == np.float32
    nan, inf = np.isnan(embeddings), np.isinf(embeddings)
    assert np.flatnonzero(nan.any(axis=1)).tolist() == [NAN_VALUE, NAN_ROW]
    assert nan.sum(axis=1)[[NAN_VALUE, NAN_ROW]].tolist() == [1, 64]
    assert np.argwhere(inf)[:, 0].tolist() == [INF_VALUE]
    assert np.flatnonzero((embeddings == 0).all(axis=1)).tolist() == [ZERO_ROW]


def test_the_norms_of_the_other_rows_are_ordinary(embeddings: np.ndarray) -> None:
    sound = np.delete(embeddings, [NAN_VALUE, NAN_ROW, INF_VALUE, ZERO_ROW], axis=0)
    norms = np.linalg.norm(sound, axis=1)
    assert norms.min() > 0.3
    assert norms.max() < 3


def test_repeated_rows_are_those_of_the_readme(embeddings: np.ndarray, items: list[dict[str, str]]) -> None:
    rows: dict[bytes, list[int]] = {}
    for row, vector in enumerate(embeddings):
        rows.setdefault(vector.tobytes(), []).append(row)
    assert [group for group in rows.values() if len(group) > 1] == GROUPS
    assert sum(len(group) - 1 for group in GROUPS) == 8
    for first, *others in GROUPS:
        assert all(items[other] == items[first] for other in others)


def test_the_readme_names_the_planted_rows() -> None:
    text = (SAMPLE / "README.md").read_text(encoding="utf-8")
    assert "; ".join(", ".join(map(str, group)) for group in GROUPS) in text
    for row in (NAN_VALUE, NAN_ROW, INF_VALUE, ZERO_ROW):
        assert f"| {row} |" in text


def test_items_hold_whole_metadata_one_per_line(items: list[dict[str, str]]) -> None:
    assert len((SAMPLE / "items.json").read_text(encoding="utf-8").splitlines()) == ITEMS + 2
    for item in items:
        assert list(item) == ["title", "description", "brand", "categories"]
        assert all(item.values())
        assert item["title"].startswith(item["brand"])
        assert item["categories"].count(" > ") == 2
        assert not set("[]|\\\n\t") & set("".join(item.values()))
        assert all("  " not in value and value == value.strip() for value in item.values())


def test_titles_repeat_only_among_copies_and_hold_oddities(items: list[dict[str, str]]) -> None:
    titles = [item["title"] for item in items]
    assert len(set(titles)) == ITEMS - 8
    for oddity in ('"', ", ", "ü", "🎂", "²", "&", "'"):
        assert any(oddity in title for title in titles), oddity


def test_sizes_of_types_are_uneven(items: list[dict[str, str]]) -> None:
    sizes = Counter(item["categories"] for item in items).most_common()
    assert len(sizes) > 100
    assert sizes[0][1] > 10 * sizes[-1][1]


def test_histories_are_short_and_of_known_items(splits: dict[str, list[Row]]) -> None:
    for rows in splits.values():
        for _, history, target in rows:
            assert 1 <= len(history) <= WINDOW
            assert {*history, target} <= set(range(ITEMS))
            assert target not in history


def test_every_row_is_a_place_of_one_sequence_per_user(splits: dict[str, list[Row]]) -> None:
    """All but the last purchases are train's; valid and test continue them, so no train target is theirs."""
    train: dict[int, list[Row]] = {}
    for row in splits["train"]:
        train.setdefault(row[0], []).append(row)
    users = list(range(USERS))
    assert [user for user, _, _ in splits["valid"]] == [user for user, _, _ in splits["test"]] == users
    assert sorted(train) == users
    for valid, test in zip(splits["valid"], splits["test"], strict=True):
        rows = [*train[valid[0]], valid, test]
        sequence = [*rows[0][1], *(target for _, _, target in rows)]
        assert 4 <= len(sequence) <= 12
        for place, (_, history, target) in enumerate(rows, 1):
            assert history == sequence[max(0, place - WINDOW) : place]
            assert target == sequence[place]


def test_faulty_items_are_bought_too(splits: dict[str, list[Row]]) -> None:
    targets = {target for _, _, target in splits["train"]}
    assert {NAN_VALUE, NAN_ROW, INF_VALUE, ZERO_ROW} <= targets


def test_the_next_item_depends_on_the_last(splits: dict[str, list[Row]], items: list[dict[str, str]]) -> None:
    last = [history[-1] for _, history, _ in splits["test"]]
    targets = [target for _, _, target in splits["test"]]
    shuffled = np.random.default_rng(0).permutation(targets).tolist()

    def share(following: list[int], depth: int) -> float:
        pairs = zip(last, following, strict=True)
        return float(np.mean([level(items, a, depth) == level(items, b, depth) for a, b in pairs]))

    assert share(targets, 0) > 3 * share(shuffled, 0)
    assert share(targets, 1) > 5 * share(shuffled, 1)


def test_what_follows_what_can_be_learnt(splits: dict[str, list[Row]], items: list[dict[str, str]]) -> None:
    """The types that most often follow a type in train hit test's next type; the most popular ones don't."""
    pairs = {
        name: [(level(items, history[-1], 2), level(items, target, 2)) for _, history, target in rows]
        for name, rows in splits.items()
    }
    following: dict[str, Counter[str]] = {}
    for last, target in pairs["train"]:
        following.setdefault(last, Counter())[target] += 1
    popular = Counter(target for _, target in pairs["train"])

    def hits(guess: Callable[[str], Counter[str]]) -> float:
        return float(np.mean([target in dict(guess(last).most_common(5)) for last, target in pairs["test"]]))

    assert hits(lambda last: following.get(last, popular)) > 3 * hits(lambda last: popular)
