"""What to make of an index: a few points, each graded good, fair or poor, and the worst grade of them.

The bounds are the constants here; docs/metrics.md explains them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sid.catalogue.duplicates import MANY_EQUAL

COLLISION_FAIR = 0.01  # collision rate after dedupe; 0 is good
RECALL_GOOD, RECALL_FAIR = 0.3, 0.1  # recall@10 after dedupe
RECALL_CHANCES = 5  # a fair recall is more than so many times what chance gives
RECALL_CHANCE_MOST = 0.5  # where chance gives so much (few items), recall and first tokens aren't graded
FIRST_TOKEN_GOOD, FIRST_TOKEN_FAIR = 0.1, 0.02  # purity of level 1 beyond chance, as a share of what is possible
EVEN_GOOD = 0.5  # perplexity / min(K, N) of the least even level; else fair
R2_GOOD = 0.5  # R2 of the raw codes; else fair
MOVED_GOOD, MOVED_FAIR = 0.2, 0.6  # share of the items that dedupe moved
ADDED_GOOD, ADDED_FAIR = 0.05, 0.3  # error that it added, as a share of the error before
_NAMED = 5
_SIMPLE = {
    "popularity": "The same list of popular items for everyone",
    "co_occurrence": "Counting which items are used together, without Semantic IDs,",
}

Grade = Literal["good", "fair", "poor"]
Reports = Mapping[str, Any]

_HEADLINES: dict[Grade, str] = {  # worst first
    "poor": "This index needs work before it is used.",
    "fair": "This index can be used, but it has a weakness.",
    "good": "This index is good.",
}


@dataclass(frozen=True)
class Point:
    """One thing that was graded, and what to do about it; '' where there is nothing to do."""

    grade: Grade
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Verdict:
    """The worst grade of all points, what it means, and the points."""

    grade: Grade
    headline: str
    points: tuple[Point, ...]


def verdict(reports: Reports) -> Verdict:
    """Grade an index.

    Args:
        reports: the contents of reports/<name>.json for `report` and `dedupe`, and for `prepare`, `index` and
            `evaluate` where they are known.
    """
    points = (
        *_rows(reports),
        _unique(reports),
        *_cost(reports),
        *_similar(reports),
        _even(reports),
        *_kept(reports),
        *_recommends(reports),
    )
    grade = next(grade for grade in _HEADLINES if any(point.grade == grade for point in points))
    return Verdict(grade, _HEADLINES[grade], points)


def least_even(reports: Reports) -> tuple[int, float]:
    """The quantizer's level that uses its codes least evenly after dedupe, from 1, and how evenly, 0..1."""
    after, items = reports["report"]["after"]["levels"], reports["dedupe"]["items"]
    levels = [after[name] for name in reports["report"]["before"]["levels"]]
    even = [level["perplexity"] / min(level["size"], items) for level in levels]
    return even.index(min(even)) + 1, min(even)


def _rows(reports: Reports) -> list[Point]:
    """What prepare found wrong with rows and dimensions; nothing where all is well."""
    found = reports.get("prepare", {})
    points = []
    if count := found.get("outlier_rows", 0):
        named = ", ".join(found["outlier_row_ids"][:_NAMED]) + (", ..." if count > _NAMED else "")
        what = (
            f"{count:,} items lie far from all others ({named})"
            if count > 1
            else f"Item {named} lies far from all others"
        )
        done = {"clip": "moved in (prepare.outliers: clip)", "drop": "left out (prepare.outliers: drop)"}
        policy = found["outliers"]
        points.append(
            Point(
                "fair",
                f"{what} and {'were' if count > 1 else 'was'} {done[policy]}.",
                "Find out where these embeddings come from.",
            )
            if policy in done
            else Point(
                "poor",
                f"{what}, so codes and R² describe that distance and little else.",
                "Set prepare.outliers to clip or drop.",
            )
        )
    if numbers := found.get("dominant_dimensions"):
        shown = ", ".join(map(str, numbers[:_NAMED]))
        points.append(
            Point(
                "poor",
                f"Dimension {shown} of the embeddings holds {found['dominant_share']:.0%} of their variance, so the "
                "codes describe little else.",
                "Scale or remove it before prepare reads the embeddings.",
            )
        )
    if found.get("saturated_rows") or found.get("clipped_share"):
        points.append(
            Point(
                "fair",
                "Some embeddings have values that look cut off.",
                "Check how they were computed and stored (float16?); reports/prepare.json counts them.",
            )
        )
    if found.get("duplicate_rows", 0) > MANY_EQUAL * found.get("items", 1):
        points.append(
            Point(
                "fair",
                "More than half of the embeddings repeat another one exactly.",
                "No quantizer can separate equal vectors: look for duplicate items or missing texts.",
            )
        )
    return points


def _unique(reports: Reports) -> Point:
    after, allowed = reports["report"]["after"], reports["dedupe"]["max_items_per_sid"]
    if after["collision_rate"] == 0:
        return Point("good", "Every item has a Semantic ID of its own.")
    if after["largest_group"] <= allowed:
        return Point(
            "fair",
            f"Up to {allowed} items share a Semantic ID, as dedupe.max_items_per_sid allows, and a recommender can't "
            "distinguish them.",
        )
    if after["collision_rate"] <= COLLISION_FAIR:
        return Point(
            "fair",
            "A few items still share a Semantic ID, and a recommender can't distinguish them.",
            "Set dedupe.strategy to reassign or append.",
        )
    return Point(
        "poor",
        "Many items still share a Semantic ID, and a recommender can't distinguish them.",
        "Set dedupe.strategy to reassign or append.",
    )


def _cost(reports: Reports) -> list[Point]:
    """What it cost to make Semantic IDs unique; nothing where no item was moved."""
    moved, added = reports["dedupe"]["moved_share"], reports["report"]["mse_added_share"] or 0.0
    if moved == 0:
        return []
    what = f"Dedupe moved {_percent(moved)} of the items to other codes, which added {_percent(added)} to the error."
    if moved <= MOVED_GOOD and added <= ADDED_GOOD:
        return [Point("good", what)]
    grade: Grade = "fair" if moved <= MOVED_FAIR and added <= ADDED_FAIR else "poor"
    return [Point(grade, what, _fewer_collisions(reports))]


def _fewer_collisions(reports: Reports) -> str:
    """How to have fewer collisions before dedupe, by what was tried on this catalogue."""
    now = reports["report"]["before"]["collision_rate"]
    tried = [trial for trial in reports["report"].get("trials", {}).values() if trial["collision_rate"] < now]
    if not tried:
        return "Try more codes per level in quant.num_emb_list: the more room there is, the fewer items have to move."
    best = min(tried, key=lambda trial: float(trial["collision_rate"]))
    sizes = best["num_emb_list"].replace(" x ", ",")
    return (
        f"Try quant.method {best['method']} with quant.num_emb_list [{sizes}]: {_percent(best['collision_rate'])} "
        f"collisions before dedupe in a quick trial on this catalogue, instead of {_percent(now)}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def _similar(reports: Reports) -> list[Point]:
    """What the codes keep of similarity; nothing where chance alone would keep it."""
    before, after = reports["report"]["before"], reports["report"]["after"]
    recall, chance = after["recall_at_10"], after["recall_at_10_random"]
    if before["items_in_collision"] == reports["dedupe"]["items"] and before["groups_by_quantizer"] == 0:
        return [
            Point(
                "poor",
                "Every embedding equals another item's, so there is no similarity to keep.",
                "Look at the embeddings.",
            )
        ]
    if chance >= RECALL_CHANCE_MOST:
        return []
    first = _first_token(after["levels"]["level_1"])
    if recall >= RECALL_GOOD:
        return [first, Point("good", "Items that were similar are still similar by their codes alone.")]
    if recall >= RECALL_FAIR and recall > RECALL_CHANCES * chance:
        return [
            first,
            Point(
                "fair",
                "The codes keep only part of what makes items similar.",
                "Try more levels, more codes per level, or the method rqvae.",
            ),
        ]
    return [
        first,
        Point(
            "poor",
            "The codes keep little of what makes items similar.",
            "Look at R² and the training curve; try more levels, more codes per level, or the method rqvae.",
        ),
    ]


def _first_token(level: Mapping[str, Any]) -> Point:
    """By how much neighbours share the first token more often than by chance, of what is possible."""
    chance = level["purity_random"]
    beyond = (level["purity"] - chance) / (1 - chance) if chance < 1 else 0.0
    if beyond >= FIRST_TOKEN_GOOD:
        return Point("good", "Similar items share their first token.")
    return Point(
        "fair" if beyond >= FIRST_TOKEN_FAIR else "poor",
        "Similar items rarely share their first token, so a recommender can't learn from it.",
        "Try fewer codes at the first level, which brings more of them together.",
    )


def _even(reports: Reports) -> Point:
    level, even = least_even(reports)
    if even >= EVEN_GOOD:
        return Point("good", "All levels use their codes evenly.")
    text = f"Level {level} uses its codes unevenly, so it distinguishes fewer items than it could."
    return Point("fair", text, _more_even(reports))


def _more_even(reports: Reports) -> str:
    """How to use codes more evenly; equal sizes only where they don't make more collisions on this catalogue."""
    if reports.get("index", {}).get("assignment") == "balanced":
        return "Try more codes per level."
    trials = reports["report"].get("trials", {})
    free, equal = (trials.get(name, {}).get("collision_rate") for name in ("rqkmeans", "rqkmeans_constrained"))
    if free is not None and equal is not None and equal > free:
        return (
            "Try more codes per level. Equal sizes would make more collisions here, "
            f"{_percent(equal)} instead of {_percent(free)} in quick trials by k-means: items form tight clusters."
        )
    return "index.assignment: balanced evens them out, at the cost of a larger error."


def _kept(reports: Reports) -> list[Point]:
    if reports["report"]["r2"] >= R2_GOOD:
        return []
    return [
        Point(
            "fair",
            "The codes keep less than half of the embeddings' variance (R²).",
            "Train longer, or use more levels or more codes per level.",
        )
    ]


def _recommends(reports: Reports) -> list[Point]:
    """Whether a recommender gains by the index; nothing where it wasn't evaluated beside random Semantic IDs."""
    found = reports.get("evaluate", {})
    random = found.get("controls", {}).get("random")
    if random is None:
        return []
    own, chance = found["test"]["ndcg_at_10"], random["test"]["ndcg_at_10"]
    margin = noise(own, len(found["seeds"])) or 0.0
    if own["mean"] > chance + margin:
        gain = f"{_percent(own['mean'] / chance - 1)} above" if chance > 0 else "above"
        better = f"A recommender finds more with this index: NDCG@10 is {gain} that of random Semantic IDs"
        return _beside_counts(better, own["mean"], margin, found["controls"])
    return [
        Point(
            "fair",
            "A recommender does no better with this index than with random Semantic IDs.",
            "There may be too few interactions to tell, or the embeddings say little about what users choose next: try "
            "another align.method, or other embeddings.",
        )
    ]


def _beside_counts(better: str, own: float, margin: float, controls: Mapping[str, Any]) -> list[Point]:
    """The point `better`, and what rankings that need no training reach, if they were measured."""
    simple = {name: controls[name]["test"]["ndcg_at_10"] for name in _SIMPLE if name in controls}
    best = max(simple, key=lambda name: float(simple[name]), default=None)
    if best is None or simple[best] == 0:
        return [Point("good", f"{better}.")]
    if own > simple[best] + margin:
        named = best.replace("_", "-")
        return [Point("good", f"{better}, and {_percent(own / simple[best] - 1)} above that of {named}.")]
    ahead = "better than" if simple[best] > own + margin else "as well as"
    return [
        Point("good", f"{better}."),
        Point(
            "fair",
            f"{_SIMPLE[best]} recommends {ahead} the index: NDCG@10 {simple[best]:.4f} and {own:.4f}.",
            "Simple counts are hard to beat on little data, and this recommender is small. Try more evaluate.epochs or "
            "a larger evaluate.width; if the counts stay ahead, use NDCG@10 only to compare indexes with each other.",
        ),
    ]


def noise(figure: Mapping[str, float | None], seeds: int) -> float | None:
    """How far the means of a figure differ by chance in two runs of the same index: two standard errors.

    Args:
        figure: `mean`, and the standard deviation `std` between seeds; None where there is one seed.
        seeds: each run has so many.
    """
    spread = figure["std"]
    return None if spread is None else 2 * spread * (2 / seeds) ** 0.5
