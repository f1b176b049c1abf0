"""The page a person looks at: one self-contained HTML file that says whether the index is good.

Jinja2 renders it; Plotly, whose JavaScript is put into the page, draws its charts, so that it works offline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from sid.arrays import Codes
from sid.dedupe.groups import Groups
from sid.ids import SemanticIds, sid_text
from sid.measure import neighbours
from sid.measure.metrics import group_sizes, prefix_ids
from sid.measure.neighbours import Neighbours
from sid.report import charts, typical_words, verdict
from sid.report.about import About
from sid.report.code_map import code_map
from sid.report.item_search import search_data
from sid.report.markup import embedded, short
from sid.report.templating import environment

_GROUPS_SHOWN = 20
_GROUP_ITEMS = 8

_METHODS = {
    "rqvae": "an autoencoder with residual codebooks",
    "rqkmeans": "residual k-means",
    "rqkmeans_constrained": "residual k-means with clusters of equal size",
    "rqkmeans_plus": "residual k-means, trained further with a residual encoder",
}
_TRAINING = {
    "items": "in the catalogue",
    "dim": "values per vector",
    "train_rows": "vectors that the codebooks were fitted on",
    "mse": "mean squared error per coordinate at the end of training",
    "r2": "share of the variance that the codes keep",
    "collision_rate": "of the raw codes, at the end of training",
    "iterations": "in all levels together",
    "epochs": "passes over the training vectors",
    "best_epoch": "the epoch whose model was kept",
    "published": "the release whose quantizer is used, so nothing was trained",
}
_ALIGN = {
    "evidence": (
        "Evidence",
        "as how many neighbours an item's own vector counts; – if the interactions predict nothing",
    ),
    "share_mean": ("Weight of the neighbours", "mean; the rest is the item's own vector"),
    "cold_explained": ("Moves predicted from text", "R² on held-out items; at 0, items without neighbours stay"),
    "pairs_shown": ("Training pairs", "that the network saw"),
    "behaviour_dim": ("Dimensions of behaviour", "in each vector"),
    "behaviour_items": ("Items with behaviour", "with a behaviour vector of their own"),
    "behaviour_explained": ("Behaviour predicted from text", "R² on held-out items, for items without behaviour"),
}
_CONTROLS = {
    "random": "the same transformer on random Semantic IDs: what it can memorize without similarity",
    "popularity": "the same list for every user",
    "co_occurrence": "items often used near those of the history, by counting alone, without Semantic IDs",
    "sasrec": "the same transformer on items instead of Semantic IDs",
}
_SLICES = {
    "cold": "never in the train split",
    "rare": "1 to 4 times in the train split",
    "head": "the most popular items, together half of the train split",
    "tail": "all other items of the train split",
    "short_history": "users with 1 or 2 earlier items",
    "long_history": "users with 3 or more earlier items",
}

Reports = Mapping[str, Any]


def page(
    sids: SemanticIds,
    raw_codes: Codes,
    items: pl.DataFrame,
    spaces: tuple[Neighbours, Neighbours],
    reports: Reports,
    curve: pl.DataFrame,
    about: About,
) -> str:
    """Render reports/report.html.

    Args:
        sids: the Semantic IDs after dedupe.
        raw_codes: (N, L) the codes before it.
        items: the prepared items, one row per Semantic ID, for titles.
        spaces: nearest items by the original vectors, and by those that were quantized, the same object where nothing
            was aligned; their queries are the items that the page can find.
        reports: the contents of reports/<name>.json for `prepare`, `align`, `index`, `dedupe`, `evaluate`, `report`,
            `train`, `drift` and `churn`. Every figure on the page is one of theirs and names its path in `data-figure`.
        curve: reports/train.csv.
        about: what the page says of itself.
    """
    titles = items["title"].cast(pl.String).fill_null("")
    raw = prefix_ids(raw_codes)[-1]
    prefixes = prefix_ids(sids.codes)
    nodes, codes = code_map(sids, prefixes, titles, np.bincount(raw)[raw] > 1)
    data, found = search_data(sids, prefixes[-1], titles, spaces, codes)
    curves = charts.curves(curve)
    evaluated = reports["evaluate"]["method"] != "none"
    figures = {
        "map": charts.treemap(nodes),
        "usage": charts.usage(sids.codes, sids.code_sizes),
        "groups": charts.groups(group_sizes(raw), group_sizes(prefixes[-1])),
        **({"recommendation": charts.recommendation(reports["evaluate"])} if evaluated else {}),
        **{f"curve-{name}": figure for name, figure in curves.items()},
    }
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            figure=lambda path, kind="count": _figure(reports, path, kind),
            plotly=Markup(get_plotlyjs()),
            data=Markup(data),
            found=found,
            charts=Markup(embedded(figures)),
            curves=list(curves),
            verdict=verdict.verdict(reports),
            bounds=verdict,
            good_recall=f"{100 * verdict.RECALL_GOOD:g}",
            good_even=f"{100 * verdict.EVEN_GOOD:g}",
            least_even=verdict.least_even(reports)[0],
            example=_example(sids, titles),
            groups=_largest_groups(raw_codes, sids, titles),
            words_sampled=len(titles) > typical_words.TITLES,
            words_titles=f"{typical_words.TITLES:,}",
            map_levels=min(2, sids.codes.shape[1]),
            about=about,
            sizes=" x ".join(map(str, reports["train"]["num_emb_list"])),
            method_notes=_METHODS,
            aligned=spaces[0] is not spaces[1],
            trials=reports["report"]["trials"],
            training=[
                (key, "text" if isinstance(value, str) else "number", _TRAINING.get(key, ""))
                for key, value in reports["train"].items()
                if isinstance(value, str | int | float) and not isinstance(value, bool)
            ],
            queries=neighbours.query_count(len(sids.codes)),
            report=reports["report"],
            align=reports["align"],
            align_details=[
                (key, *_ALIGN.get(key, (key.replace("_", " ").capitalize(), "")))
                for key, value in reports["align"]["details"].items()
                if not isinstance(value, list | dict)
            ],
            dedupe=reports["dedupe"],
            index=reports["index"],
            drift=reports["drift"],
            churn=reports["churn"],
            evaluation=reports["evaluate"],
            control_notes=_CONTROLS,
            slice_notes=_SLICES,
            noise=verdict.noise(reports["evaluate"]["test"]["ndcg_at_10"], len(reports["evaluate"]["seeds"]))
            if evaluated
            else None,
        )
    )


def _figure(reports: Reports, path: str, kind: str) -> Markup:
    """A figure of the reports as the page shows it, with its path on it."""
    value: Any = reports
    for key in path.split("."):
        value = value[key]
    return Markup('<span data-figure="{}">{}</span>').format(path, _shown(value, kind))


def _shown(value: Any, kind: str) -> str:
    if value is None:
        return "–"
    if kind == "text":
        return str(value)
    if kind == "rate" and (value == 0 or value >= 0.00005):
        return f"{value:.4f}"
    if kind == "percent":
        share = 100 * value
        return f"{share:.1f} %" if share >= 1 else f"{share:.2g} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"


def _example(sids: SemanticIds, titles: pl.Series) -> dict[str, str]:
    row = int((titles.str.len_chars() > 0).arg_max() or 0)
    return {"sid": sid_text(sids.codes[row].tolist()), "title": short(titles[row]) or sids.item_ids[row]}


def _largest_groups(raw_codes: Codes, sids: SemanticIds, titles: pl.Series) -> list[dict[str, Any]]:
    """The largest groups that shared raw codes, with the titles and new Semantic IDs of their first items."""
    groups = Groups.of(prefix_ids(raw_codes)[-1])
    largest = np.argsort(-groups.sizes, kind="stable")[:_GROUPS_SHOWN]
    return [
        {
            "sid": sid_text(raw_codes[groups[group][0]].tolist()),
            "size": int(groups.sizes[group]),
            "items": [
                {"id": sids.item_ids[row], "title": short(titles[row]), "sid": sid_text(sids.codes[row].tolist())}
                for row in groups[group][:_GROUP_ITEMS].tolist()
            ],
        }
        for group in largest.tolist()
        if groups.sizes[group] > 1
    ]
