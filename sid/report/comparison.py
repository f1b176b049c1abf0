"""A page that compares two indexes of about the same items: figures, who keeps which tokens, examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sid.arrays import Codes
from sid.ids import SemanticIds, sid_text
from sid.measure.churn import churn, kept_levels, kept_together, padded
from sid.measure.metrics import prefix_ids
from sid.report.item_search import alike
from sid.report.markup import short
from sid.report.templating import environment

EXAMPLES = 12  # items whose neighbours are shown
CHANGED = 200  # items whose Semantic ID changed that are listed

_NEAR = 5
_FIGURES = {  # by path: what it is called, whether more is better (None: neither), whether it is a share
    "evaluate.hr_at_10": ("HR@10 of the recommender", True, False),
    "evaluate.ndcg_at_10": ("NDCG@10 of the recommender", True, False),
    "report.r2": ("R², what the codes keep of the vectors", True, False),
    "report.recall_at_10": ("neighbours kept by codes (recall@10)", True, True),
    "report.purity": ("neighbours that share the first token", True, True),
    "report.least_perplexity": ("perplexity of the least even level", True, False),
    "index.collision_rate_before": ("collisions before dedupe", False, True),
    "dedupe.collision_rate": ("collisions after dedupe", False, True),
    "dedupe.moved": ("items that dedupe moved", False, False),
    "report.error_added": ("error that dedupe added", False, True),
    "align.neighbours_kept": ("original neighbours kept by alignment", None, True),
    "align.used_together_after": ("items used together that are near", None, True),
    "prepare.items": ("items", None, False),
    "export.records": ("records for the trainer", None, False),
}


@dataclass(frozen=True)
class Index:
    """An index to compare.

    Attributes:
        name: what people call it.
        metrics: the headline figures, by stage, as in reports/metrics; empty where they aren't known.
        params: params.yaml, keys dotted; empty where it isn't known.
    """

    name: str
    sids: SemanticIds
    metrics: Mapping[str, Mapping[str, float | None]]
    params: Mapping[str, str]


@dataclass(frozen=True)
class Comparison:
    """Two indexes, of the items that both have.

    Attributes:
        before, after: the indexes.
        item_ids: (n,) the common items in the order of `before`.
        codes, codes_after: (n, L) and (n, L') their codes.
        figures: `common`, `only_before`, `only_after`, `changed` and `kept`, see `churn`; `together`: of the pairs of
            items that share their first 1, 2, ... tokens in `before`, the share that does so in `after`. It doesn't
            depend on how the codes are named.
    """

    before: Index
    after: Index
    item_ids: pl.Series
    codes: Codes
    codes_after: Codes
    figures: Mapping[str, Any]

    @classmethod
    def of(cls, before: Index, after: Index) -> Comparison:
        """Compare; the indexes have an item in common."""
        one, other = before.sids, after.sids
        common = one.item_ids.filter(one.item_ids.is_in(other.item_ids.to_list()))
        codes, codes_after = one.of_items(common, before.name).codes, other.of_items(common, after.name).codes
        found = churn(codes, codes_after)
        figures = {
            "common": found["items"],
            "only_before": len(one.item_ids) - len(common),
            "only_after": len(other.item_ids) - len(common),
            "changed": found["changed"],
            "kept": found["kept"],
            "together": kept_together(codes, codes_after),
        }
        return cls(before, after, common, codes, codes_after, figures)

    def changed(self) -> NDArray[np.int64]:
        """The rows whose Semantic ID isn't the same."""
        levels = max(self.codes.shape[1], self.codes_after.shape[1])
        return np.flatnonzero((padded(self.codes, levels) != padded(self.codes_after, levels)).any(axis=1))

    def headline(self) -> list[dict[str, Any]]:
        """Of each figure that both have: its name, both values, the difference, and whether that is better or worse."""
        rows = []
        same_sizes = self.before.sids.code_sizes == self.after.sids.code_sizes
        for path, (title, more, share) in _FIGURES.items():
            stage, key = path.split(".")
            one, other = (index.metrics.get(stage, {}).get(key) for index in (self.before, self.after))
            if one is None or other is None:
                continue
            change = other - one
            noise = self._noise(key) if stage == "evaluate" else None
            if path == "report.least_perplexity" and not same_sizes:  # it is at most the number of codes
                more = None
            if change == 0 or more is None:
                verdict = "same" if change == 0 else ""
            elif noise is not None and abs(change) <= noise:
                verdict = "within the noise"
            else:
                verdict = "better" if (change > 0) == more else "worse"
            rows.append(
                {
                    "path": path,
                    "title": title,
                    "before": _shown(one, share),
                    "after": _shown(other, share),
                    "change": ("+" if change > 0 else "") + _shown(change, share),
                    "verdict": verdict,
                }
            )
        return rows

    def _noise(self, key: str) -> float | None:
        """By how much a figure of `evaluate` differs by chance.

        For NDCG@10 two standard errors of the difference, of about three seeds each; for others the same share of them.
        """
        both = [index.metrics["evaluate"] for index in (self.before, self.after)]
        known = [spread for figures in both if (spread := figures.get("ndcg_at_10_std")) is not None]
        if len(known) < len(both):
            return None
        noise: float = 2 * (sum(spread**2 for spread in known) / 3) ** 0.5
        value, ndcg = both[0].get(key), both[0].get("ndcg_at_10")
        return noise if not value or not ndcg else noise * value / ndcg

    def settings(self) -> list[tuple[str, str, str]]:
        """The keys of params.yaml that differ, where both are known: key, before, after."""
        one, other = self.before.params, self.after.params
        if not one or not other:
            return []
        keys = dict.fromkeys([*one, *other])
        return [
            (key, one.get(key, "–"), other.get(key, "–")) for key in keys if one.get(key, "–") != other.get(key, "–")
        ]


def _shown(value: float, share: bool) -> str:
    if share:
        return f"{100 * value:.1f} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if abs(value) < 1 else f"{value:,.1f}"


def page(comparison: Comparison, titles: pl.DataFrame | None) -> str:
    """Render the comparison.

    Args:
        titles: `item_id` and `title` of the items; None where they aren't known.
    """
    known = {} if titles is None else dict(zip(titles["item_id"], titles["title"].fill_null(""), strict=True))
    names = [short(known.get(item, "")) or item for item in comparison.item_ids]
    changed = comparison.changed()
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            one=comparison.before.name,
            other=comparison.after.name,
            date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            figures=comparison.figures,
            headline=comparison.headline(),
            settings=comparison.settings(),
            changed=[
                (
                    comparison.item_ids[row],
                    names[row],
                    sid_text(comparison.codes[row].tolist()),
                    sid_text(comparison.codes_after[row].tolist()),
                )
                for row in changed[:CHANGED].tolist()
            ],
            more=max(len(changed) - CHANGED, 0),
            examples=_examples(comparison, names),
        )
    )


def _examples(comparison: Comparison, names: list[str]) -> list[dict[str, Any]]:
    """Items, spread over how much they changed, with those next to them by code in both indexes."""
    kept = kept_levels(comparison.codes, comparison.codes_after)
    order = np.argsort(kept, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(EXAMPLES, len(order))).astype(np.int64))]
    sides = []
    for codes in (comparison.codes, comparison.codes_after):
        ids = prefix_ids(codes)[-1]
        ranked = np.argsort(ids, kind="stable")
        place = np.empty(len(ids), np.int64)
        place[ranked] = np.arange(len(ids))
        sides.append({row: alike(row, codes, ranked, int(place[row]), _NEAR) for row in chosen.tolist()})
    found = []
    for row in chosen.tolist():
        common = {names[other] for other in sides[0][row]} & {names[other] for other in sides[1][row]}
        found.append(
            {
                "id": comparison.item_ids[row],
                "title": names[row],
                "sides": [
                    (
                        sid_text(codes[row].tolist()),
                        [
                            (names[other], sid_text(codes[other].tolist()), names[other] in common)
                            for other in side[row]
                        ],
                    )
                    for codes, side in zip((comparison.codes, comparison.codes_after), sides, strict=True)
                ],
            }
        )
    return found
