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
_NAMED = 5

Grade = Literal["good", "fair", "poor"]
Reports = Mapping[str, Any]

_HEADLINES: dict[Grade, str] = {  # worst first
    "poor": "This index needs work before it is used.",
    "fair": "This index can be used, but it has a weakness.",
    "good": "This index is good.",
}


@dataclass(frozen=True)
class Point:
    """One thing that was graded."""

    grade: Grade
    text: str


@dataclass(frozen=True)
class Verdict:
    """The worst grade of all points, what it means, and the points."""

    grade: Grade
    headline: str
    points: tuple[Point, ...]


def verdict(reports: Reports) -> Verdict:
    """Grade an index.

    Args:
        reports: the contents of reports/<name>.json for `report` and `dedupe`, and for `prepare` where it is known.
    """
    points = (*_rows(reports), _unique(reports), *_similar(reports), _even(reports), *_kept(reports))
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
            Point("fair", f"{what} and {'were' if count > 1 else 'was'} {done[policy]}: look at where they come from.")
            if policy in done
            else Point(
                "poor",
                f"{what}: codes and R² are about that and not about the rest. prepare.outliers clip or drop takes care "
                "of it.",
            )
        )
    if numbers := found.get("dominant_dimensions"):
        shown = ", ".join(map(str, numbers[:_NAMED]))
        points.append(
            Point(
                "poor",
                f"Dimension {shown} of the embeddings holds {found['dominant_share']:.0%} of their variance, so the "
                "codes are about little else.",
            )
        )
    if found.get("saturated_rows") or found.get("clipped_share"):
        points.append(Point("fair", "Values of some embeddings look cut off, as the prepare stage's report says."))
    if found.get("duplicate_rows", 0) > MANY_EQUAL * found.get("items", 1):
        points.append(Point("fair", "More than half of the embeddings repeat another one exactly."))
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
        return Point("fair", "A few items still share a Semantic ID, and a recommender can't distinguish them.")
    return Point(
        "poor",
        "Many items still share a Semantic ID, and a recommender can't distinguish them: dedupe.strategy reassign or "
        "append separates them.",
    )


def _similar(reports: Reports) -> list[Point]:
    """What the codes keep of similarity; nothing where chance alone would keep it."""
    before, after = reports["report"]["before"], reports["report"]["after"]
    recall, chance = after["recall_at_10"], after["recall_at_10_random"]
    if before["items_in_collision"] == reports["dedupe"]["items"] and before["groups_by_quantizer"] == 0:
        return [
            Point(
                "poor",
                "Every embedding equals another item's, so there is no similarity to keep: look at the embeddings.",
            )
        ]
    if chance >= RECALL_CHANCE_MOST:
        return []
    first = _first_token(after["levels"]["level_1"])
    if recall >= RECALL_GOOD:
        return [first, Point("good", "Similar items are still similar by their codes alone.")]
    if recall >= RECALL_FAIR and recall > RECALL_CHANCES * chance:
        return [
            first,
            Point(
                "fair",
                "The codes keep part of what makes items similar; more levels, larger ones, or the method rqvae keep "
                "more.",
            ),
        ]
    return [
        first,
        Point(
            "poor",
            "The codes keep little of what makes items similar: look at R² and the training curve, and try more "
            "levels, larger ones, or the method rqvae.",
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
        "Similar items rarely share their first token, so a recommender can't learn from it: a first level with fewer "
        "codes brings more of them together.",
    )


def _even(reports: Reports) -> Point:
    level, even = least_even(reports)
    if even >= EVEN_GOOD:
        return Point("good", "All levels use their codes evenly.")
    return Point(
        "fair",
        f"Level {level} uses its codes unevenly, so it distinguishes fewer items than it could: rqkmeans_constrained, "
        "or index.assignment balanced, evens them out.",
    )


def _kept(reports: Reports) -> list[Point]:
    if reports["report"]["r2"] >= R2_GOOD:
        return []
    return [
        Point(
            "fair",
            "The codes keep less than half of the embeddings' variance (R²): train longer or use more codes.",
        )
    ]


def noise(figure: Mapping[str, float | None], seeds: int) -> float | None:
    """How far the means of a figure differ by chance in two runs of the same index: two standard errors.

    Args:
        figure: `mean`, and the standard deviation `std` between seeds; None where there is one seed.
        seeds: each run has so many.
    """
    spread = figure["std"]
    return None if spread is None else 2 * spread * (2 / seeds) ** 0.5
