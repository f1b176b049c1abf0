"""The page a person looks at: one self-contained HTML file that says whether the index is good."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from sid.codes import Codes
from sid.collisions import Groups
from sid.metrics import code_counts, prefix_ids
from sid.semantic_ids import SemanticIds
from sid.tokens import sid_text

_GROUPS_SHOWN = 20
_ITEMS_SHOWN = 8
_BARS = 128


def page(
    sids: SemanticIds, raw_codes: Codes, items: pl.DataFrame, index: dict[str, Any], deduped: dict[str, Any]
) -> str:
    """Render reports/report.html.

    Args:
        sids: the Semantic IDs after dedupe.
        raw_codes: (N, L) the codes before it, for the groups that collided.
        items: the prepared items, one row per Semantic ID, for titles.
        index, deduped: the contents of reports/index.json and reports/collisions.json; every figure on the page
            is one of theirs.
    """
    environment = Environment(
        loader=PackageLoader("sid"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        index=index,
        deduped=deduped,
        verdict=_verdict(index, deduped),
        example=_example(sids, items),
        levels=[
            {"name": name, **figures, "bars": _bars(sids.codes[:, level], figures["size"])}
            for level, (name, figures) in enumerate(deduped["after"]["levels"].items())
        ],
        groups=_largest_groups(raw_codes, sids, items),
    )


def _verdict(index: dict[str, Any], deduped: dict[str, Any]) -> dict[str, str]:
    """What to make of the index, in words, and whether that is good, fair or poor."""
    left = deduped["after"]["collision_rate"]
    even = min(level["perplexity"] / level["size"] for level in index["levels"].values())
    faults = []
    if left > 0:
        faults.append(f"{left:.1%} of the items still share a Semantic ID, a recommender can't tell them apart")
    if even < 0.5:
        faults.append(f"a level uses its codes unevenly (as if {even:.0%} of them were in use)")
    if index["r2"] < 0.5:
        faults.append(f"the codes keep {index['r2']:.0%} of what tells the embeddings apart")
    if not faults:
        return {
            "grade": "good",
            "text": "Good. Every item has a Semantic ID of its own and the codebooks are in use.",
        }
    text = "; ".join(faults)
    return {
        "grade": "poor" if left > 0 or len(faults) > 1 else "fair",
        "text": f"{text[0].upper()}{text[1:]}.",
    }


def _example(sids: SemanticIds, items: pl.DataFrame) -> dict[str, str]:
    titles = items["title"].fill_null("")
    row = int((titles.str.len_chars() > 0).arg_max() or 0)
    return {"sid": sid_text(sids.codes[row].tolist()), "title": titles[row] or sids.item_ids[row]}


def _bars(column: np.ndarray[Any, np.dtype[np.int32]], size: int) -> list[float]:
    """Usage of a level's codes from most to least used, as heights 0..1; at most _BARS bars, each a mean of codes."""
    counts = np.sort(code_counts(column, size))[::-1]
    means = [float(part.mean()) for part in np.array_split(counts, min(_BARS, size))]
    return [round(mean / max(means[0], 1e-9), 4) for mean in means]


def _largest_groups(raw_codes: Codes, sids: SemanticIds, items: pl.DataFrame) -> list[dict[str, Any]]:
    """The largest groups that shared raw codes, with the titles and new Semantic IDs of their first items."""
    found = sorted(Groups.of(prefix_ids(raw_codes)[-1]).larger_than(1), key=lambda rows: (-len(rows), rows[0]))
    titles = items["title"].fill_null("")
    return [
        {
            "sid": sid_text(raw_codes[rows[0]].tolist()),
            "size": len(rows),
            "items": [
                {"id": sids.item_ids[row], "title": titles[row], "sid": sid_text(sids.codes[row].tolist())}
                for row in rows[:_ITEMS_SHOWN].tolist()
            ],
        }
        for rows in found[:_GROUPS_SHOWN]
    ]
