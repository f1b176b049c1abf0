"""Measure how well an index recommends: the recommender over all seeds, its controls, and signals before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sid.arrays import Codes
from sid.errors import InputError
from sid.evaluate import baselines
from sid.evaluate.ranking import Floats, metrics_of, with_spread
from sid.evaluate.runs import SPLITS, Data, Job, train_all
from sid.evaluate.signals import signals
from sid.files import round6
from sid.interactions.split_files import Split
from sid.params import Evaluate

HEAD = 0.5
"""Head items are the most popular ones that together have this share of the train split's interactions."""

RARE = 5
"""Cold items have no interaction in the train split, rare ones have fewer than this many."""

SHORT = 3
"""Short histories have fewer items than this, long ones as many or more."""

STEADY = 0.03
"""The standard deviation of HR@10 between seeds, as a share of it, up to which a comparison is steady."""

MAX_SASREC_ITEMS = 200_000
"""SASRec scores all items at each step; beyond this many that takes too long."""


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        figures: what reports/evaluate.json holds; docs/metrics.md explains them.
        curve: a row per evaluation of every training: `run`, `seed`, `epoch`, `loss`, `ndcg_at_10`.
    """

    figures: dict[str, Any]
    curve: list[dict[str, Any]]


def not_evaluated(reason: str) -> Evaluation:
    """What the stage writes where nothing was asked for."""
    return Evaluation({"method": "none", "reason": reason}, [])


def evaluate(
    codes: Codes,
    code_sizes: Sequence[int],
    splits: tuple[Split, Split, Split],
    config: Evaluate,
    checkpoints: Path | None = None,
) -> Evaluation:
    """Train recommenders on the train split, and rank all items for each target of valid and test.

    Args:
        codes: (N, L) of all items; -1 in the last column means 'no token'.
        code_sizes: L of them.
        splits: train, valid and test, whose items are row numbers of codes.
        config: the section `evaluate`, of method transformer.
        checkpoints: a folder where an interrupted run leaves its state, and continues from; None leaves nothing.

    Raises:
        InputError: a split has nothing to train on or to ask for, one user alone, CUDA is asked for and not there, or
            the loss became infinite.
    """
    data = Data.of(splits, config)
    jobs = [Job("index", seed, codes, tuple(code_sizes)) for seed in config.seeds]
    trained = (name for name in ("random", "sasrec") if name in config.controls)
    jobs += [Job(name, config.seeds[0], codes, tuple(code_sizes)) for name in trained]
    if "sasrec" in config.controls and len(codes) > MAX_SASREC_ITEMS:
        raise InputError(
            "params.yaml: evaluate.controls: sasrec scores all items, so there may be at most "
            f"{MAX_SASREC_ITEMS:,}; there are "
            f"{len(codes):,}: leave it out"
        )
    runs = train_all(jobs, data, config, checkpoints)
    own = [run for run in runs if run["run"] == "index"]
    found: dict[str, Any] = {
        "method": config.method,
        "seeds": list(config.seeds),
        "train_users": len(data.whole),
        "train_interactions": len(data.whole.items),
        "questions": {name: len(asked) for name, asked in data.asked.items()},
        **{split: _over_seeds([run[split] for run in own]) for split in SPLITS},
        "coverage_at_10": _over_seeds([{"value": run["coverage"]} for run in own])["value"],
        "slices": _slices(own, data, len(codes)),
        "controls": _controls(runs, data, config, len(codes)),
        "signals": {split: signals(codes, data.asked[split]) for split in SPLITS},
    }
    found["warnings"] = warnings(found)
    curve = [{"run": run["run"], "seed": run["seed"], **row} for run in runs for row in run["curve"]]
    return Evaluation(found, curve)


def _over_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Each metric's mean over the seeds, and the standard deviation between them; None for a single seed."""
    found = {}
    for name in runs[0]:
        means = [float(np.asarray(run[name]).mean()) for run in runs]
        spread = float(np.std(means, ddof=1)) if len(means) > 1 else None
        found[name] = {"mean": round6(float(np.mean(means))), "std": None if spread is None else round6(spread)}
    return found


def _slices(runs: Sequence[Mapping[str, Any]], data: Data, items: int) -> dict[str, Any]:
    """HR@10 and NDCG@10 of parts of test's questions."""
    asked = data.asked["test"]
    counts = baselines.popularity(data.whole, items)
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    head = np.zeros(items, bool)
    head[order[before < HEAD * counts.sum()]] = True
    seen, lengths = counts[asked.targets], asked.histories.lengths
    parts = {
        "cold": seen == 0,
        "rare": (seen > 0) & (seen < RARE),
        "head": head[asked.targets],
        "tail": ~head[asked.targets] & (seen > 0),
        "short_history": lengths < SHORT,
        "long_history": lengths >= SHORT,
    }
    found: dict[str, Any] = {}
    for name, rows in parts.items():
        chosen = np.flatnonzero(rows)
        found[name] = {"questions": len(chosen)}
        for metric in ("hr_at_10", "ndcg_at_10"):
            values = [{metric: np.asarray(run["test"][metric])[chosen]} for run in runs]
            found[name][metric] = _over_seeds(values)[metric] if len(chosen) else None
    return found


def _controls(
    runs: Sequence[Mapping[str, Any]], data: Data, config: Evaluate, items: int
) -> dict[str, dict[str, dict[str, float]]]:
    """The mean of each metric by control and split."""
    trained = {run["run"]: run for run in runs}
    ranked = {"popularity": baselines.rank_by_popularity, "co_occurrence": baselines.rank_by_co_occurrence}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in config.controls:
        found[name] = {}
        for split, asked in data.asked.items():
            values: Mapping[str, Floats] = (
                metrics_of(ranked[name](data.whole, asked, items)) if name in ranked else trained[name][split]
            )
            found[name][split] = {metric: round6(float(np.asarray(part).mean())) for metric, part in values.items()}
    return found


def warnings(figures: Mapping[str, Any]) -> list[str]:
    """What makes the figures less certain than they look: too large a spread between seeds."""
    if figures["method"] == "none":
        return []
    value = figures["test"]["hr_at_10"]
    if value["std"] is None or value["std"] <= STEADY * value["mean"]:
        return []
    share = value["std"] / value["mean"] if value["mean"] else float("inf")
    return [
        f"HR@10 varies by {share:.1%} between seeds (one standard deviation; up to {STEADY:.0%} is steady): "
        "add seeds to evaluate.seeds before you compare"
    ]


def headline(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures that runs are compared by, as reports/metrics/evaluate.json holds them: of test."""
    if figures["method"] == "none":
        return {}
    test = figures["test"]
    return {
        "hr_at_10": test["hr_at_10"]["mean"],
        "ndcg_at_10": test["ndcg_at_10"]["mean"],
        "ndcg_at_10_std": test["ndcg_at_10"]["std"],
    }


def line(figures: Mapping[str, Any]) -> str:
    """What came out, in a few words."""
    if figures["method"] == "none":
        return f"not evaluated: {figures['reason']}"
    test = figures["test"]
    return f"HR@10 {with_spread(test['hr_at_10'])}, NDCG@10 {with_spread(test['ndcg_at_10'])}"
