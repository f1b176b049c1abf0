"""The recommender over Semantic IDs: its ranking against hand-made cases, its training against planted worlds."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from sid.arrays import NO_TOKEN
from sid.errors import InputError
from sid.evaluate import baselines, recommender, run, runs
from sid.evaluate.beam import Paths, search
from sid.evaluate.histories import Questions, questions, stretches, user_histories
from sid.evaluate.index import Index, item_index, random_index
from sid.evaluate.ranking import Slots, metrics_of, slots_of_beams, slots_of_scores
from sid.evaluate.recommender import BEGIN, Recommender
from sid.evaluate.run import evaluate
from sid.evaluate.signals import signals
from sid.evaluate.training import Training
from sid.ids import SemanticIds
from sid.interactions.sequences import Sequences
from sid.interactions.split_files import Split
from sid.params import Evaluate
from sid.quantizers.training.states import Checkpoints
from stages import summary
from tests.conftest import Project, make_project

CPU = torch.device("cpu")


def config(**changes: Any) -> Evaluate:
    values: dict[str, Any] = {
        "method": "transformer",
        "seeds": (0,),
        "controls": (),
        "max_history": 10,
        "max_train_users": None,
        "max_questions": None,
        "sample_seed": 0,
        "width": 32,
        "layers": 1,
        "heads": 2,
        "dropout_prob": 0.0,
        "label_smoothing": 0.0,
        "lr": 0.01,
        "weight_decay": 0.0,
        "epochs": 4,
        "batch_size": 32,
        "eval_step": 2,
        "patience": 0,
        "beams": 20,
        "processes": 1,
        "device": "cpu",
    }
    return Evaluate(**(values | changes))


def sequences(*rows: list[int]) -> Sequences:
    flat = [item for row in rows for item in row]
    return Sequences(np.array(flat, np.int32), np.cumsum([0, *map(len, rows)]))


def table_split(rows: list[list[int]], first_targets: list[int]) -> Split:
    """A stretch per user, as a table gives them."""
    made = sequences(*rows)
    return Split(
        "table", np.arange(len(rows), dtype=np.int32), made.items, made.offsets, np.array(first_targets, np.int32)
    )


def splits(rows: list[list[int]]) -> tuple[Split, Split, Split]:
    """Leave one out: the last item is test's, the one before valid's."""
    train = table_split([row[:-2] for row in rows], [1] * len(rows))
    valid = table_split([row[:-1] for row in rows], [len(row) - 2 for row in rows])
    return train, valid, table_split(rows, [len(row) - 1 for row in rows])


def planted(users: int, length: int, sizes: tuple[int, int, int], seed: int = 0) -> tuple[np.ndarray, list[list[int]]]:
    """Codes of all items, and users whose next item is drawn from those that share two codes with the last."""
    draw = np.random.default_rng(seed)
    codes = np.stack(np.unravel_index(np.arange(math.prod(sizes)), sizes), axis=1).astype(np.int32)
    group = draw.integers(sizes[0] * sizes[1], size=users)
    items = group[:, None] * sizes[2] + draw.integers(sizes[2], size=(users, length))
    return codes, items.tolist()


# ranking


def test_metrics_by_hand() -> None:
    found = metrics_of(Slots(np.array([0, 4, 9, 10, 19, 20, 0]), np.array([1, 1, 1, 1, 1, 1, 0])))
    assert found["hr_at_5"].tolist() == [1, 1, 0, 0, 0, 0, 0]
    assert found["hr_at_10"].tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert found["hr_at_20"].tolist() == [1, 1, 1, 1, 1, 0, 0]
    np.testing.assert_allclose(found["ndcg_at_10"], [1, 1 / math.log2(6), 1 / math.log2(11), 0, 0, 0, 0])
    np.testing.assert_allclose(found["mrr"], [1, 1 / 5, 1 / 10, 1 / 11, 1 / 20, 1 / 21, 0])


def test_items_that_share_a_place_are_expected_at_each_of_its_slots() -> None:
    found = metrics_of(Slots(np.array([8]), np.array([4])))  # ranks 9, 10, 11, 12
    assert found["hr_at_5"][0] == 0
    assert found["hr_at_10"][0] == 2 / 4
    assert found["hr_at_20"][0] == 1
    np.testing.assert_allclose(found["ndcg_at_10"][0], (1 / math.log2(10) + 1 / math.log2(11)) / 4)
    np.testing.assert_allclose(found["mrr"][0], (1 / 9 + 1 / 10 + 1 / 11 + 1 / 12) / 4)


def test_slots_of_beams_count_items_not_semantic_ids() -> None:
    items = np.array([3, 1, 2, 1])
    leaves = np.array([[1, 0, 2, -1], [0, 2, 1, -1], [2, 1, -1, -1]])
    slots = slots_of_beams(leaves, np.array([0, 2, 3]), items)
    assert slots.starts[:2].tolist() == [1, 3]
    assert slots.sizes.tolist() == [3, 2, 0]


def test_slots_of_scores_share_ties() -> None:
    scores = np.array([[3.0, 1, 1, 1, 0], [0, 0, 0, 0, 5.0]])
    slots = slots_of_scores(scores, np.array([2, 4]))
    assert slots.starts.tolist() == [1, 0]
    assert slots.sizes.tolist() == [3, 1]


# the recommender and its beams


def jolted(model: Recommender) -> Recommender:
    """Weights so large that every token and place matters."""
    torch.manual_seed(0)
    with torch.no_grad():
        for part in model.parameters():
            part.add_(0.3 * torch.randn_like(part))
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("uneven", [False, True])
def test_beams_find_what_scoring_every_semantic_id_finds(uneven: bool) -> None:
    draw = np.random.default_rng(0)
    codes = draw.integers(4, size=(40, 3)).astype(np.int32)
    if uneven:
        codes[::3, 2] = NO_TOKEN
    index = Index.of(codes, (4, 4, 4))
    asked = Questions(sequences([1, 2, 3], [5], [7, 7, 8, 9]), np.array([0, 1, 2], np.int32))
    training = Training(index, asked.histories, asked, config(layers=2), 0, CPU)
    model = jolted(training.model)
    leaves = training.ask(asked, 64)
    starts = np.array(model.starts)
    for row, history in enumerate(([1, 2, 3], [5], [7, 7, 8, 9])):
        scores = []
        for leaf in index.trie.codes:
            tokens = np.concatenate(([BEGIN], *(index.codes[history] + starts), leaf + starts)).astype(np.int64)
            states = model(torch.from_numpy(tokens[None]))[0, -4:-1]
            scores.append(
                sum(float(model.logits(states[level], level).log_softmax(-1)[leaf[level]]) for level in range(3))
            )
        order = np.argsort(-np.array(scores), kind="stable")
        assert leaves[row, : len(order)].tolist() == order.tolist()
        assert (leaves[row, len(order) :] == -1).all()


def test_beams_do_not_depend_on_the_rows_beside_them() -> None:
    index = Index.of(np.random.default_rng(1).integers(8, size=(100, 3)).astype(np.int32), (8, 8, 8))
    model, paths = jolted(Recommender(index.code_sizes, 16, 2, 2, 0.3)), Paths.of(index.trie, CPU)
    tokens = (index.codes[:24].reshape(4, 6, 3) + np.array(model.starts)).reshape(4, 18).astype(np.int64)
    tokens = np.hstack((np.zeros((4, 1), np.int64), tokens))
    lengths = np.array([19, 4, 10, 1])
    together = search(model, paths, tokens, lengths, 5)
    for row in range(4):
        alone = search(model, paths, tokens[row : row + 1, : lengths[row]], lengths[row : row + 1], 5)
        assert alone[0].tolist() == together[row].tolist()


def test_a_random_index_is_unique_where_it_can_be_and_has_the_same_shape() -> None:
    for sizes, items in (((4, 4), 16), ((4, 4), 15), ((256, 256, 256), 3000)):
        index = random_index(items, sizes, 0)
        assert len(index.trie.codes) == items
        assert (index.codes < sizes).all()
        assert not np.array_equal(index.codes, random_index(items, sizes, 1).codes)
        assert not np.array_equal(index.codes, index.trie.codes)
    assert random_index(40, (2, 4), 0).items.tolist() == [5] * 8


# histories


def test_training_sequences_cover_every_step_of_a_long_sequence() -> None:
    rows = [list(range(23)), [30, 31], [40]]
    found = stretches(user_histories(table_split(rows, [1, 1, 1]), None, 0), 6)
    pieces = [found.items[a:b].tolist() for a, b in zip(found.offsets, found.offsets[1:], strict=False)]
    assert all(len(piece) <= 7 for piece in pieces)
    assert pieces[-2:] == [[30, 31], [40]]
    steps = {(piece[place - 1], piece[place]) for piece in pieces for place in range(1, len(piece))}
    assert steps == {(item - 1, item) for item in [*range(1, 23), 31]}
    for item in range(4, 23):
        assert max(piece.index(item) for piece in pieces if item in piece) >= 3, "half of max_history"


def test_training_sequences_put_inter_lines_together() -> None:
    made = sequences([1, 2], [1, 2, 3], [7, 8])
    split = Split("inter", np.array([0, 0, 1], np.int32), made.items, made.offsets, np.array([1, 2, 1], np.int32))
    found = user_histories(split, None, 0)
    assert found.items.tolist() == [1, 2, 3, 7, 8]
    assert found.offsets.tolist() == [0, 3, 5]


def test_users_and_questions_are_drawn_by_seed() -> None:
    rows = [[row, row + 1, row + 2, row + 3] for row in range(50)]
    train, _, test = splits(rows)
    one, again, other = (user_histories(train, 10, seed) for seed in (0, 0, 1))
    assert len(one) == 10
    assert one.items.tolist() == again.items.tolist() != other.items.tolist()
    few, more = questions(test, 10, 5, 0), questions(test, 10, 5, 1)
    assert len(few) == 10
    assert few.targets.tolist() != more.targets.tolist()
    assert all(few.targets[row] == few.histories.items[few.histories.offsets[row + 1] - 1] + 1 for row in range(10))


def test_questions_have_the_latest_items() -> None:
    found = questions(table_split([[1, 2, 3, 4, 5], [6, 7]], [3, 1]), None, 2, 0)
    assert found.targets.tolist() == [4, 5, 7]
    assert found.histories.items.tolist() == [2, 3, 3, 4, 6]


# what it learns


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, tuple[Split, Split, Split]]:
    codes, rows = planted(600, 7, (8, 8, 16))
    return codes, splits(rows)


LEARNS = {"epochs": 8, "width": 64, "layers": 2, "batch_size": 16, "lr": 0.005}


@pytest.fixture(scope="module")
def honest(world: tuple[np.ndarray, tuple[Split, Split, Split]]) -> dict[str, Any]:
    codes, parts = world
    return evaluate(codes, (8, 8, 16), parts, config(**LEARNS, controls=("random",))).figures


def test_a_planted_world_is_recognised_and_shuffled_codes_are_not(
    world: tuple[np.ndarray, tuple[Split, Split, Split]], honest: dict[str, Any]
) -> None:
    codes, parts = world
    best = 10 / 16  # the next item is one of 16, whatever is known
    found = honest
    assert found["test"]["hr_at_10"]["mean"] == pytest.approx(best, abs=0.08)
    assert found["valid"]["hr_at_10"]["mean"] == pytest.approx(best, abs=0.08)
    shuffled = codes[np.random.default_rng(0).permutation(len(codes))]
    chance = evaluate(shuffled, (8, 8, 16), parts, config(**LEARNS)).figures["test"]["hr_at_10"]["mean"]
    assert chance < 0.15 * best
    assert found["controls"]["random"]["test"]["hr_at_10"] < 0.15 * best
    assert found["signals"]["test"]["level_2"]["last"] == 1
    assert found["signals"]["test"]["level_2"]["last_random"] == pytest.approx(1 / 64, abs=0.01)


def test_collisions_are_paid_for(world: tuple[np.ndarray, tuple[Split, Split, Split]], honest: dict[str, Any]) -> None:
    """All items under 64 Semantic IDs, each for 16 items: easy to write, and a tenth of an item each."""
    codes, parts = world
    merged = evaluate(np.ascontiguousarray(codes[:, :2] // 4), (2, 2), parts, config(**LEARNS)).figures["test"]
    for metric in ("hr_at_5", "hr_at_10", "hr_at_20", "ndcg_at_10", "mrr"):
        assert merged[metric]["mean"] < 0.5 * honest["test"][metric]["mean"]


def trained(parts: tuple[Split, Split, Split], codes: np.ndarray, **changes: Any) -> dict[str, bytes]:
    wanted = config(**changes)
    train = stretches(user_histories(parts[0], None, 0), wanted.max_history)
    training = Training(
        Index.of(codes, (8, 8, 16)), train, questions(parts[1], None, 10, 0), wanted, wanted.seeds[0], CPU
    )
    model = training.run(lambda epoch: None, lambda state: None)
    return {name: part.numpy().tobytes() for name, part in model.state_dict().items()}


def test_nothing_held_out_is_seen(world: tuple[np.ndarray, tuple[Split, Split, Split]]) -> None:
    codes, parts = world
    others = tuple(
        Split(part.source, part.users, (part.items + 7) % len(codes), part.offsets, part.first_targets)
        for part in parts[1:]
    )
    once = {"epochs": 2, "eval_step": 2}  # one evaluation: there is nothing to choose from
    assert trained(parts, codes, **once) == trained((parts[0], others[0], others[1]), codes, **once)
    assert trained(parts, codes, **once) != trained(parts, codes, **once, seeds=(1,))


def small(parts: tuple[Split, Split, Split], codes: np.ndarray, folder: Path | None = None, **changes: Any) -> Any:
    wanted = {"seeds": (0, 1), "controls": ("random",), "epochs": 3, "eval_step": 1, "max_questions": 100} | changes
    return evaluate(codes, (8, 8, 16), parts, config(**wanted), folder)


def test_the_same_seeds_give_the_same_figures(world: tuple[np.ndarray, tuple[Split, Split, Split]]) -> None:
    codes, parts = world
    assert small(parts, codes) == small(parts, codes)


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": (2,)},
        {"controls": ("popularity",)},
        {"max_history": 2},
        {"max_train_users": 100},
        {"max_questions": 50},
        {"sample_seed": 1},
        {"width": 16},
        {"layers": 2},
        {"heads": 1},
        {"dropout_prob": 0.3},
        {"label_smoothing": 0.2},
        {"lr": 0.001},
        {"weight_decay": 0.9},
        {"epochs": 2},
        {"batch_size": 100},
        {"eval_step": 3},
        {"beams": 3},
    ],
    ids=str,
)
def test_every_option_matters(
    world: tuple[np.ndarray, tuple[Split, Split, Split]], plain: Any, changes: dict[str, Any]
) -> None:
    codes, parts = world
    assert quick(parts, codes, **changes) != plain


def quick(parts: tuple[Split, Split, Split], codes: np.ndarray, **changes: Any) -> Any:
    return small(parts, codes, **({"seeds": (0,), "controls": (), "max_train_users": 150} | changes))


@pytest.fixture(scope="module")
def plain(world: tuple[np.ndarray, tuple[Split, Split, Split]]) -> Any:
    codes, parts = world
    return quick(parts, codes)


def test_patience_stops_a_training_that_gets_no_better(world: tuple[np.ndarray, tuple[Split, Split, Split]]) -> None:
    codes, parts = world
    found = small(parts, codes, seeds=(0,), controls=(), epochs=20, lr=1e-9, patience=2)
    assert max(row["epoch"] for row in found.curve) < 10


def test_cut_off_at_any_state_it_ends_as_if_unbroken(
    world: tuple[np.ndarray, tuple[Split, Split, Split]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, parts = world
    whole = small(parts, codes)
    write, left = Checkpoints.write, 0

    def write_and_die(self: Checkpoints, epoch: int, state: Any) -> None:
        nonlocal left
        write(self, epoch, state)
        left -= 1
        if not left:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "write", write_and_die)
    monkeypatch.setattr(Checkpoints, "due", lambda self: True)
    cut = 0
    for _ in range(20):
        left = 2
        try:
            found = small(parts, codes, tmp_path)
        except KeyboardInterrupt:
            cut += 1
        else:
            break
    assert cut >= 3
    assert found == whole


def test_trainings_in_processes_of_their_own_give_the_same_figures(
    world: tuple[np.ndarray, tuple[Split, Split, Split]], tmp_path: Path
) -> None:
    codes, parts = world
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 2))
    try:
        alone = small(parts, codes)
    finally:
        torch.set_num_threads(threads)
    assert small(parts, codes, tmp_path, processes=2) == alone
    assert len(list(tmp_path.glob("*/*"))) == 3, "each training leaves its own states"
    assert small(parts, codes, tmp_path, processes=2) == alone, "finished trainings are taken from there"


def test_a_training_that_the_system_kills_is_said_in_one_line(
    world: tuple[np.ndarray, tuple[Split, Split, Split]],
) -> None:
    codes, parts = world

    def kill() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        children[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(InputError, match=r"killed by SIGKILL.*evaluate\.processes to 1"):
        small(parts, codes, epochs=1000, processes=2)
    killer.join()
    assert not multiprocessing.active_children(), "the others end as well"


def test_a_mistake_in_a_process_of_its_own_is_the_users_line(
    world: tuple[np.ndarray, tuple[Split, Split, Split]],
) -> None:
    codes, parts = world
    with pytest.raises(InputError, match=r"lower evaluate\.lr"):
        evaluate(codes, (8, 8, 16), parts, config(seeds=(0, 1), processes=2).model_copy(update={"lr": 1e38}))


def test_short_and_long_histories_are_attended_to_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    model = jolted(Recommender((8, 8), 16, 2, 2, 0.0))
    tokens = torch.randint(17, (3, 21), generator=torch.Generator().manual_seed(0))
    plain = model(tokens)
    monkeypatch.setattr(recommender, "_SHORT", 4)
    torch.testing.assert_close(model(tokens), plain, rtol=1e-4, atol=1e-5)


def test_spread_slices_and_coverage_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recommender that always writes items 0, 1, 2, ...: its figures can be computed."""
    rows = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6], [1, 2, 1, 2, 19], [5, 6, 1]]
    codes = np.stack(np.unravel_index(np.arange(24), (4, 6)), axis=1).astype(np.int32)

    class Fixed(Training):
        def run(self, tell: Any, keep: Any) -> Any:
            return self.model

        def ask(self, asked: Questions, beams: int) -> np.ndarray:
            return np.tile(np.arange(beams), (len(asked), 1))

    monkeypatch.setattr(runs, "Training", Fixed)
    found = evaluate(codes, (4, 6), splits(rows), config(seeds=(0, 1), controls=("popularity",))).figures
    assert found["test"]["hr_at_10"] == {"mean": 0.75, "std": 0.0}
    assert found["coverage_at_10"]["mean"] == round(10 / 24, 6)
    parts = found["slices"]
    # train has 1 2 3, 1 2 3, 1 2 1 and 5: test asks for 5, 6, 19 and 1
    assert parts["cold"]["questions"] == 2
    assert parts["cold"]["hr_at_10"]["mean"] == 0.5
    assert parts["rare"]["questions"] == 2
    assert parts["head"] == {**parts["head"], "questions": 1, "hr_at_10": {"mean": 1.0, "std": 0.0}}
    assert parts["tail"]["questions"] == 1
    assert parts["short_history"]["questions"] == 1
    assert parts["long_history"]["questions"] == 3
    assert round(found["controls"]["popularity"]["test"]["hr_at_5"], 3) == round((1 + 1 + 2 / 20) / 4, 3)


# what it is compared with


def test_co_occurrence_by_hand() -> None:
    met = baselines.co_occurrence(sequences([0, 1, 2], [1, 0]), 4).toarray()
    assert met[0, 1] == met[1, 0] == pytest.approx(2 / (2 + 5))
    assert met[0, 2] == met[2, 0] == pytest.approx(0.5 / (math.sqrt(2) + 5))
    assert met[3].tolist() == [0] * 4
    slots = baselines.rank_by_co_occurrence(
        sequences([0, 1, 2], [1, 0]), Questions(sequences([3, 0]), np.array([1], np.int32)), 4
    )
    assert (slots.starts.tolist(), slots.sizes.tolist()) == ([0], [1])


def test_popularity_is_the_train_splits() -> None:
    slots = baselines.rank_by_popularity(
        sequences([0, 1, 1], [2, 1]), Questions(sequences([0], [0], [0]), np.array([1, 2, 3], np.int32)), 4
    )
    assert slots.starts.tolist() == [0, 1, 3]
    assert slots.sizes.tolist() == [1, 2, 1]


def test_sasrec_learns_items_of_a_small_catalogue() -> None:
    rows = [[(start + step) % 20 for step in range(8)] for start in range(20)] * 10
    found = evaluate(
        item_index(20).codes, (20,), splits(rows), config(controls=("sasrec", "co_occurrence"), epochs=10)
    ).figures
    assert found["controls"]["sasrec"]["test"]["ndcg_at_5"] > 0.9
    assert found["controls"]["sasrec"]["test"]["ndcg_at_5"] > found["controls"]["co_occurrence"]["test"]["ndcg_at_5"]


def test_signals_by_hand() -> None:
    codes = np.array([[0, 0], [0, 0], [0, 1], [1, 0], [2, 0]], np.int32)
    asked = Questions(sequences([3, 0], [0, 3], [4], [2, 2]), np.array([1, 2, 3, 2], np.int32))
    found = signals(codes, asked)
    assert found["questions"] == 3, "the last question's history is its target alone"
    first, second = found["level_1"], found["level_2"]
    assert first["last"] == pytest.approx(1 / 3, abs=1e-6)
    assert first["any"] == pytest.approx(2 / 3, abs=1e-6)
    assert second["last"] == second["any"] == pytest.approx(1 / 3, abs=1e-6)
    assert first["items_with_neighbour"] == 0.6
    assert second["items_with_neighbour"] == 0.4
    # of the four targets 3 have code 0 and 1 has code 1
    assert first["last_random"] == pytest.approx((0.75 + 0.25 + 0) / 3, abs=1e-6)
    assert first["any_random"] == pytest.approx((1 + 1 + 0) / 3, abs=1e-6)


# the stage


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with enough interactions to learn from, finished up to dedupe."""
    project = make_project(tmp_path_factory.mktemp("shop") / "project")
    draw = np.random.default_rng(0)
    rows = [(user, int(item), time) for user in range(40) for time, item in enumerate(draw.integers(60, size=6))]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(project.path("log.csv"))
    project.params(
        interactions__source="log.csv",
        evaluate__method="transformer",
        evaluate__epochs=2,
        evaluate__width=16,
        evaluate__seeds=[0, 1],
    )
    project.succeed("prepare", "interactions", "align", "train", "index", "dedupe", "evaluate")
    return project


def test_the_stage_writes_figures_curve_and_headline(shop: Project) -> None:
    found = shop.report("evaluate")
    assert found["questions"] == {"valid": 40, "test": 40}
    headline = json.loads(shop.path("reports/metrics/evaluate.json").read_text())
    assert headline == {
        "hr_at_10": found["test"]["hr_at_10"]["mean"],
        "ndcg_at_10": found["test"]["ndcg_at_10"]["mean"],
        "ndcg_at_10_std": found["test"]["ndcg_at_10"]["std"],
    }
    curve = pl.read_csv(shop.path("reports/evaluate.csv"))
    assert curve["run"].unique().sort().to_list() == ["index", "random"]
    assert not shop.path(".checkpoints").exists() or not list(shop.path(".checkpoints").glob("evaluate-*"))


def test_the_page_shows_it(shop: Project) -> None:
    shop.succeed("delta", "report")
    text = shop.path("reports/report.html").read_text()
    assert "chart-recommendation" in text
    assert 'data-figure="evaluate.test.ndcg_at_10.mean"' in text
    assert 'data-figure="evaluate.controls.random.test.hr_at_10"' in text
    assert "Noise: NDCG@10 of two runs" in text


def index_json(shop: Project) -> dict[str, list[str]]:
    sids = SemanticIds.load(shop.path("data/sids.parquet"))
    return {
        item: [f"<{'abc'[level]}_{code}>" for level, code in enumerate(row)]
        for item, row in zip(sids.item_ids, sids.codes.tolist(), strict=True)
    }


def test_any_index_is_evaluated_beside_the_pipelines(shop: Project) -> None:
    entries = index_json(shop)
    shop.path("other.index.json").write_text(json.dumps(dict(reversed(entries.items()))))
    before = shop.contents()
    done = shop.program("stages.evaluate", "--sids", "other.index.json", "--report", "other.json")
    assert done.returncode == 0, done.stderr
    assert shop.contents() == before
    found, own = json.loads(shop.path("other.json").read_text()), shop.report("evaluate")
    assert found["test"] == own["test"]
    assert "other.index.json" in done.stdout
    assert "reports/evaluate.json" in done.stdout


def lacks(entries: dict[str, Any]) -> Any:
    del entries["7"]
    return entries


def shorter(entries: dict[str, Any]) -> Any:
    entries["7"] = entries["7"][:1]
    return entries


def no_token(entries: dict[str, Any]) -> Any:
    entries["7"] = ["a_1", "<b_2>", "<c_3>"]
    return entries


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lacks, "lacks 1 of 60 items, e.g. item '7'"),
        (shorter, "item '7' has 1 tokens, but others have 3"),
        (no_token, "item '7': 'a_1<b_2><c_3>' isn't a Semantic ID"),
        (lambda entries: [], "must be an object of item id -> list of tokens"),
    ],
)
def test_a_bad_index_gets_one_clear_line(shop: Project, change: Any, said: str) -> None:
    shop.path("bad.index.json").write_text(json.dumps(change(index_json(shop))))
    done = shop.program("stages.evaluate", "--sids", "bad.index.json")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("evaluate: error: bad.index.json: ")
    assert said in line


def test_a_missing_and_a_broken_index(shop: Project) -> None:
    shop.path("broken.json").write_text("{")
    for name, said in (("none.json", "No such file"), ("broken.json", "isn't JSON"), ("none.parquet", "can't be read")):
        done = shop.program("stages.evaluate", "--sids", name)
        assert done.returncode == 1
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (splits([[0, 1, 2, 3]]), "the train split has 1 users"),
        (splits([[0, 1, 2], [0, 1, 2]]), "0 users have 2 items or more in the train split"),
        (
            (splits([[0, 1, 2, 3]] * 3)[0], Split.empty("table"), splits([[0, 1, 2, 3]] * 3)[2]),
            "the valid split has no",
        ),
        ((*splits([[0, 1, 2, 3]] * 3)[:2], Split.empty("table")), "the test split has no targets"),
    ],
)
def test_too_little_to_evaluate_by_is_refused(parts: tuple[Split, Split, Split], said: str) -> None:
    with pytest.raises(InputError, match=said):
        evaluate(np.arange(4, dtype=np.int32)[:, None], (4,), parts, config())


@pytest.mark.parametrize("changes", [{"evaluate__method": "none"}, {"interactions__source": "data/none"}])
def test_where_nothing_is_asked_for_it_ends_at_once(finished: Project, changes: dict[str, Any]) -> None:
    finished.params(**({"evaluate__method": "transformer"} | changes))
    finished.succeed("interactions", "evaluate", "report")
    assert finished.report("evaluate")["method"] == "none"
    assert json.loads(finished.path("reports/metrics/evaluate.json").read_text()) == {}
    assert "Not evaluated" in finished.path("reports/report.html").read_text()


def test_cuda_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(InputError, match="finds no CUDA device"):
        evaluate(np.arange(4, dtype=np.int32)[:, None], (4,), splits([[0, 1, 2, 3]] * 3), config(device="cuda"))


def test_seeds_that_disagree_are_warned_of() -> None:
    def warned(mean: float, std: float | None) -> list[str]:
        return run.warnings({"method": "transformer", "test": {"hr_at_10": {"mean": mean, "std": std}}})

    assert warned(0.1, 0.003) == warned(0.1, None) == run.warnings({"method": "none"}) == []
    (said,) = warned(0.1, 0.0031)
    assert "HR@10 varies by 3.1% between seeds" in said
    assert len(warned(0.0, 0.001)) == 1


def test_make_says_how_much_of_a_difference_is_noise() -> None:
    def evaluation(mean: float, std: float | None) -> dict[str, Any]:
        value = {"mean": mean, "std": std}
        return {"method": "transformer", "seeds": [0, 1], "test": {"hr_at_10": value, "ndcg_at_10": value}}

    first = summary.recommends(evaluation(0.1, 0.002), {})
    assert first == [("recommends", "HR@10 0.1000 ± 0.0020, NDCG@10 0.1000 ± 0.0020")]
    (_, within) = summary.recommends(evaluation(0.1, 0.002), {"ndcg_at_10": 0.0961})
    assert within == ("", "NDCG@10 +0.0039 since the last commit, within the noise of 0.0040 between seeds")
    (_, beyond) = summary.recommends(evaluation(0.1, 0.002), {"ndcg_at_10": 0.1041})
    assert beyond == ("", "NDCG@10 -0.0041 since the last commit, beyond the noise of 0.0040 between seeds")
    (_, single) = summary.recommends(evaluation(0.1, None), {"ndcg_at_10": 0.1041})
    assert "a single seed" in single[1]
    assert summary.recommends({"method": "none", "reason": ""}, {}) == []


def test_make_says_to_commit_the_baseline_where_its_metrics_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commits() -> int:
        steps = summary.next_steps(
            {"prepare": {"embeddings": "data/sample/embeddings.npy"}, "quant": {"method": "rqvae"}}
        )
        return sum(step.startswith("git commit --all") for step in steps)

    monkeypatch.chdir(tmp_path)
    assert commits() == 0
    (tmp_path / "reports/metrics").mkdir(parents=True)
    (tmp_path / "reports/metrics/index.json").write_text("{}")
    subprocess.run(["git", "init", "-q"], check=True)
    assert commits() == 1
    subprocess.run(["git", "add", "--all"], check=True)
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=n@n", "commit", "-qm", "all"], check=True)
    assert commits() == 0
