"""The page a person looks at: one self-contained HTML file that says whether the index is good.

Jinja2 renders it; Plotly, whose JavaScript is put into the page, draws its charts, so that it works offline.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

from sid.arrays import NO_TOKEN, Codes
from sid.dedupe.groups import Groups
from sid.ids import SemanticIds, sid_text, tokens
from sid.measure.metrics import group_sizes, prefix_ids
from sid.measure.neighbours import Neighbours
from sid.report import charts, typical_words

_GROUPS_SHOWN = 20
_GROUP_ITEMS = 8
_TITLE = 100  # characters of a title that are shown
_EXAMPLES = 3
_FIRST_CODES, _SECOND_CODES = 300, 2000  # areas of the map; smaller codes are drawn as one
_NEAR = 10  # neighbours of an item, each way
_NEAR_OF_SOME = 5  # where the neighbours are not in the page for their own sake
_BUDGET = 4_000_000  # bytes of the items and codes in the page; Plotly takes 4.8 million more

Rows = NDArray[np.int64]
Reports = Mapping[str, Any]


def page(
    sids: SemanticIds,
    raw_codes: Codes,
    items: pl.DataFrame,
    near: Neighbours,
    reports: Reports,
    curve: pl.DataFrame,
) -> str:
    """Render reports/report.html.

    Args:
        sids: the Semantic IDs after dedupe.
        raw_codes: (N, L) the codes before it.
        items: the prepared items, one row per Semantic ID, for titles.
        near: nearest items in the input space; its queries are those that the page can find.
        reports: the contents of reports/<name>.json for `collisions`, `index` and `train`. Every figure on the page
            is one of theirs and names it in `data-figure`.
        curve: reports/train.csv.
    """
    titles = items["title"].cast(pl.String).fill_null("")
    raw = prefix_ids(raw_codes)[-1]
    prefixes = prefix_ids(sids.codes)
    nodes, codes = _map(sids, prefixes, titles, np.bincount(raw)[raw] > 1)
    data, found = _data(sids, prefixes[-1], titles, near, codes)
    curves = charts.curves(curve)
    figures = {
        "map": charts.treemap(nodes),
        "usage": charts.usage(sids.codes, sids.code_sizes),
        "groups": charts.groups(group_sizes(raw), group_sizes(prefixes[-1])),
        **{f"curve-{name}": figure for name, figure in curves.items()},
    }
    environment = Environment(
        loader=PackageLoader("sid.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        figure=lambda path, kind="count": _figure(reports, path, kind),
        plotly=Markup(get_plotlyjs()),
        data=Markup(data),
        found=found,
        charts=Markup(_embedded(figures)),
        curves=list(curves),
        verdict=verdict(reports),
        weakest=_weakest(reports),
        example=_example(sids, titles),
        groups=_largest_groups(raw_codes, sids, titles),
        words_sampled=len(titles) > typical_words.TITLES,
        words_titles=f"{typical_words.TITLES:,}",
        map_levels=min(2, sids.codes.shape[1]),
        training=[
            (key, "text" if isinstance(value, str) else "number")
            for key, value in reports["train"].items()
            if isinstance(value, str | int | float) and not isinstance(value, bool)
        ],
        collisions=reports["collisions"],
    )


def verdict(reports: Reports) -> dict[str, Any]:
    """What to make of the index: `grade` (good, fair, poor), `headline`, and `points` with a grade and a text each.

    docs/metrics.md has the bounds.
    """
    after, index = reports["collisions"]["after"], reports["index"]
    left, recall, random = after["collision_rate"], after["recall_at_10"], after["recall_at_10_random"]
    points = []
    if left == 0:
        points.append(("good", "Every item has a Semantic ID of its own."))
    elif after["largest_group"] <= (allowed := reports["collisions"]["max_items_per_sid"]):
        points.append(
            (
                "fair",
                f"Up to {allowed} items share a Semantic ID, as dedupe.max_items_per_sid allows, and a recommender "
                "can't tell those apart.",
            )
        )
    elif left <= 0.01:
        points.append(("fair", "A few items still share a Semantic ID, and a recommender can't tell those apart."))
    else:
        points.append(
            (
                "poor",
                "Many items still share a Semantic ID, and a recommender can't tell those apart: dedupe.strategy "
                "reassign or append parts them.",
            )
        )
    copies = reports["collisions"]["before"]
    if copies["items_in_collision"] == reports["collisions"]["items"] and copies["groups_by_quantizer"] == 0:
        points.append(
            ("poor", "Every embedding is another item's too, so nothing is there to keep: look at the embeddings.")
        )
    elif recall is not None and random < 0.5:
        points.append(_first_tokens(after["levels"]["level_1"]))
        if recall >= 0.3:
            points.append(("good", "Similar items are still similar by their codes alone."))
        elif recall >= 0.1 and recall > 5 * random:
            points.append(
                (
                    "fair",
                    "The codes keep part of what makes items similar; more levels, larger ones, or the method rqvae "
                    "keep more.",
                )
            )
        else:
            points.append(
                (
                    "poor",
                    "The codes keep little of what makes items similar: look at R² and the training curve, and try "
                    "more levels, larger ones, or the method rqvae.",
                )
            )
    level = _weakest(reports)
    if level["even"] >= 0.5:
        points.append(("good", "All levels use their codes evenly."))
    else:
        points.append(
            (
                "fair",
                f"Level {level['level']} uses its codes unevenly, so it tells fewer items apart than it could: "
                "rqkmeans_constrained, or index.assignment balanced, evens them out.",
            )
        )
    if index["r2"] < 0.5:
        points.append(
            (
                "fair",
                "The codes keep less than half of what tells embeddings apart (R²): train longer or use more codes.",
            )
        )
    grades = {grade for grade, _ in points}
    grade = next(grade for grade in ("poor", "fair", "good") if grade in grades)
    headline = {
        "good": "This index is good.",
        "fair": "This index can be used, but it has a weakness.",
        "poor": "This index needs work before it is used.",
    }[grade]
    return {"grade": grade, "headline": headline, "points": [{"grade": g, "text": text} for g, text in points]}


def _first_tokens(level: dict[str, Any]) -> tuple[str, str]:
    """Grade and text of what the first token says: by how much neighbours share it more often than by luck."""
    luck = level["purity_random"]
    beyond = (level["purity"] - luck) / (1 - luck) if luck < 1 else 0.0
    if beyond >= 0.1:
        return "good", "Similar items share their first token."
    return (
        "fair" if beyond >= 0.02 else "poor",
        "Similar items rarely share their first token, so a recommender can't learn by it: a first level with fewer "
        "codes gathers more of them.",
    )


def _weakest(reports: Reports) -> dict[str, Any]:
    """The level of the model that uses its codes least evenly after dedupe: `level`, from 1, and `even`, 0..1."""
    after, count = reports["collisions"]["after"]["levels"], reports["collisions"]["items"]
    even = [after[name]["perplexity"] / min(after[name]["size"], count) for name in reports["index"]["levels"]]
    return {"level": int(np.argmin(even)) + 1, "even": min(even)}


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
    if kind == "percent":
        share = 100 * value
        return f"{share:.1f} %" if share >= 1 else f"{share:.2g} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"


def _embedded(value: Any) -> str:
    """JSON that can stand in a script element: no markup can begin or end in it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _short(title: str) -> str:
    """A title on one line, cut where it is long."""
    title = " ".join(title[: 4 * _TITLE].split())
    return title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"


def _example(sids: SemanticIds, titles: pl.Series) -> dict[str, str]:
    row = int((titles.str.len_chars() > 0).arg_max() or 0)
    return {"sid": sid_text(sids.codes[row].tolist()), "title": _short(titles[row]) or sids.item_ids[row]}


def _map(
    sids: SemanticIds, prefixes: list[Rows], titles: pl.Series, shared: NDArray[np.bool_]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The treemap's nodes, and what the page tells of each code: Semantic ID, items, words, examples, by node id.

    Args:
        shared: (N,) whether the item's raw codes were another's too.
    """
    first = _Prefixes(sids.codes[:, :1], prefixes[0], shared)
    kept = first.largest(_FIRST_CODES)
    levels = [(first, kept)]
    if len(prefixes) > 1:
        second = _Prefixes(sids.codes[:, :2], prefixes[1], shared)
        parents = prefixes[0][second.example]
        levels.append((second, second.largest(_SECOND_CODES, np.isin(parents, kept))))
    groups = [np.where(np.isin(prefix.ids, chosen), prefix.ids, -1) for prefix, chosen in levels]
    telling = typical_words.typical(titles, groups)
    nodes = [_node("all", "", "all items", len(titles), [], float(shared.mean()))]
    codes: dict[str, Any] = {}
    for depth, (prefix, chosen) in enumerate(levels):
        for number in chosen.tolist():
            row = prefix.codes[prefix.example[number]].tolist()
            name, parent = ".".join(map(str, row)), str(row[0]) if depth else "all"
            found = telling[depth].get(number, [])
            label = "no further token" if row[-1] == NO_TOKEN else tokens(row)[-1]
            nodes.append(_node(name, parent, label, prefix.sizes[number], found, prefix.shared[number]))
            codes[name] = [sid_text(row), int(prefix.sizes[number]), found, prefix.titles(number, titles)]
    return nodes + _rests(levels, prefixes), codes


def _node(name: str, parent: str, label: str, items: int, telling: list[str], shared: float) -> dict[str, Any]:
    return {
        "id": name,
        "parent": parent,
        "label": label,
        "items": int(items),
        "words": telling,
        "shared": round(float(shared), 3),
    }


class _Prefixes:
    """The distinct prefixes of one length.

    Attributes:
        codes: (N, l); ids: (N,) dense; sizes: (P,) items; shared: (P,) share of them that collided; example: (P,) the
            first row of each.
    """

    def __init__(self, codes: Codes, ids: Rows, shared: NDArray[np.bool_]) -> None:
        self.codes, self.ids = codes, ids
        self.groups = Groups.of(ids)
        self.sizes = self.groups.sizes
        self.shared = np.bincount(ids, weights=shared) / self.sizes
        self.example = self.groups.rows[self.groups.starts[:-1]]

    def largest(self, count: int, among: NDArray[np.bool_] | None = None) -> Rows:
        """The ids of the `count` prefixes with the most items, in order of the codes."""
        order = np.argsort(-self.sizes, kind="stable")
        if among is not None:
            order = order[among[order]]
        return np.sort(order[:count])

    def titles(self, number: int, titles: pl.Series) -> list[str]:
        """A few different titles of a prefix's items, the first there are."""
        some = titles.gather(self.groups[number][: 4 * _EXAMPLES]).to_list()
        return list(dict.fromkeys(short for title in some if (short := _short(title))))[:_EXAMPLES]


def _rests(levels: list[tuple[_Prefixes, Rows]], prefixes: list[Rows]) -> list[dict[str, Any]]:
    """A node for the codes that are too small to be drawn, one below the root and one below each drawn code."""
    found = []
    first, kept = levels[0]
    left = np.setdiff1d(np.arange(len(first.sizes)), kept)
    if len(left):
        found.append(_rest("all", left, first))
    if len(levels) > 1:
        second, chosen = levels[1]
        left = np.setdiff1d(np.arange(len(second.sizes)), chosen)
        parents = prefixes[0][second.example[left]]
        for parent in np.intersect1d(parents, kept).tolist():
            name = str(int(first.codes[first.example[parent], 0]))
            found.append(_rest(name, left[parents == parent], second))
    return found


def _rest(parent: str, left: Rows, prefix: _Prefixes) -> dict[str, Any]:
    items = int(prefix.sizes[left].sum())
    shared = float((prefix.shared[left] * prefix.sizes[left]).sum()) / items
    return _node(f"{parent}.rest", parent, f"{len(left):,} smaller codes", items, [], shared)


def _data(sids: SemanticIds, ids: Rows, titles: pl.Series, near: Neighbours, codes: dict[str, Any]) -> tuple[str, int]:
    """The items and codes that the page knows, as JSON of at most _BUDGET, and how many items it can find.

    `items`: id, title and Semantic ID; the first `found` of them can be searched for, the others are their
    neighbours. `near` and `alike`: for each of those, places in `items` of its neighbours by embedding and by prefix.
    """
    whole = len(near.queries) == len(ids)
    shown = _NEAR if whole else _NEAR_OF_SOME
    order = np.argsort(ids, kind="stable")
    place = np.empty(len(ids), np.int64)
    place[order] = np.arange(len(ids))
    chosen = np.arange(len(near.queries))
    while True:
        queries = near.queries[chosen]
        alike = [_alike(int(row), sids.codes, order, int(place[row]), shown) for row in queries]
        close = near.rows[chosen, :shown]
        rows = list(
            dict.fromkeys([*queries.tolist(), *close.reshape(-1).tolist(), *(r for found in alike for r in found)])
        )
        entry = {row: number for number, row in enumerate(rows)}
        data = _embedded(
            {
                "total": len(ids),
                "found": len(queries),
                "items": list(
                    zip(
                        sids.item_ids.gather(rows).to_list(),
                        map(_short, titles.gather(rows).to_list()),
                        map(sid_text, sids.codes[rows].tolist()),
                        strict=True,
                    )
                ),
                "near": [[entry[row] for row in found] for found in close.tolist()],
                "alike": [[entry[row] for row in found] for found in alike],
                "codes": codes,
            }
        )
        if len(data.encode()) <= _BUDGET or len(chosen) < 2:
            return data, len(queries)
        chosen = chosen[::2]


def _alike(row: int, codes: Codes, order: Rows, place: int, count: int) -> list[int]:
    """The items that share the longest prefix with a row, at most `count`, the longest first.

    Args:
        order: all rows in the order of their codes: those of one prefix stand together.
        place: where the row stands in it.
    """
    around = np.r_[order[max(place - count, 0) : place], order[place + 1 : place + 1 + count]]
    shared = np.logical_and.accumulate(codes[around] == codes[row], axis=1).sum(axis=1)
    best = np.lexsort((around, -shared))[:count]
    return [int(around[at]) for at in best if shared[at] > 0]


def _largest_groups(raw_codes: Codes, sids: SemanticIds, titles: pl.Series) -> list[dict[str, Any]]:
    """The largest groups that shared raw codes, with the titles and new Semantic IDs of their first items."""
    groups = Groups.of(prefix_ids(raw_codes)[-1])
    largest = np.argsort(-groups.sizes, kind="stable")[:_GROUPS_SHOWN]
    return [
        {
            "sid": sid_text(raw_codes[groups[group][0]].tolist()),
            "size": int(groups.sizes[group]),
            "items": [
                {"id": sids.item_ids[row], "title": _short(titles[row]), "sid": sid_text(sids.codes[row].tolist())}
                for row in groups[group][:_GROUP_ITEMS].tolist()
            ],
        }
        for group in largest.tolist()
        if groups.sizes[group] > 1
    ]
