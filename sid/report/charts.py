"""The report's charts as Plotly figures: plain values that the page's own Plotly draws, in the colours of its theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sid.arrays import Codes
from sid.errors import InputError
from sid.measure.metrics import code_counts

Figure = dict[str, Any]

_POINTS = 128  # points of a line; more can't be seen
_BINS = (2, 3, 4, 5, 6, 11, 21, 51, 101, 1001)
_COLOURS = ["#2f6fb7", "#d9822b", "#2a9d6f", "#b3362c", "#7a5ab5", "#5d6878", "#c05299", "#8a7a2f"]
_GREY = "#6b7280"  # on light and on dark
_LAYOUT: Figure = {
    "font": {"family": "system-ui, sans-serif", "size": 13},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "colorway": _COLOURS,
    "dragmode": False,
    "margin": {"l": 56, "r": 12, "t": 12, "b": 48},
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
}
_MEASURES = {"mse": "squared error per coordinate", "r2": "R²", "collision_rate": "collision rate"}


def usage(codes: Codes, code_sizes: Sequence[int]) -> Figure:
    """Items per code from the fullest to the emptiest, in multiples of the even share, one line per level."""
    lines = []
    for level, size in enumerate(code_sizes):
        counts = np.sort(code_counts(codes[:, level], size))[::-1]
        shown = np.unique(np.linspace(0, size - 1, min(size, _POINTS)).round().astype(np.int64))
        even = max(int(counts.sum()), 1) / size
        lines.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if size < 20 else "lines",
                "name": f"level {level + 1}",
                "x": [round(100 * (rank + 1) / size, 3) for rank in shown.tolist()],
                "y": [round(count / even, 4) for count in counts[shown].tolist()],
                "text": [f"code {rank + 1:,} of {size:,}, {count:,} items" for rank, count in _pairs(shown, counts)],
                "hovertemplate": "%{text}<br>%{y:.2f} times the even share<extra>%{fullData.name}</extra>",
            }
        )
    return {
        "data": lines,
        "layout": {
            **_LAYOUT,
            "xaxis": _axis("codes, fullest first (% of the level)"),
            "yaxis": _axis("times the even share", rangemode="tozero"),
        },
    }


def _pairs(shown: np.ndarray, counts: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(shown.tolist(), counts[shown].tolist(), strict=True))


def groups(before: Mapping[int, int], after: Mapping[int, int]) -> Figure:
    """How many Semantic IDs are shared by 2, 3, ... items, before and after; from `metrics.group_sizes` of each."""
    ends = [low - 1 for low in _BINS[1:]] + [None]
    largest = max([*before, *after, 2])
    bins = [(low, high) for low, high in zip(_BINS, ends, strict=True) if low <= largest]
    names = [
        str(low) if low == high else f"{low:,} or more" if high is None else f"{low}–{high:,}" for low, high in bins
    ]
    bars = [
        {
            "type": "bar",
            "name": when,
            "x": names,
            "y": [
                sum(n for size, n in sizes.items() if low <= size and (high is None or size <= high))
                for low, high in bins
            ],
            "hovertemplate": "%{y:,} Semantic IDs of %{x} items<extra>%{fullData.name}</extra>",
        }
        for when, sizes in (("before", before), ("after", after))
    ]
    return {
        "data": bars,
        "layout": {
            **_LAYOUT,
            "barmode": "group",
            "xaxis": _axis("items that share one Semantic ID", type="category"),
            "yaxis": _axis("Semantic IDs", rangemode="tozero"),
        },
    }


def recommendation(evaluation: Mapping[str, Any]) -> Figure:
    """HR@10 and NDCG@10 in test of the index and of what it is compared with, with the spread between seeds."""
    index = evaluation["test"]
    names = ["this index", *(name.replace("_", "-") for name in evaluation["controls"])]
    bars = []
    for metric, title in (("hr_at_10", "HR@10"), ("ndcg_at_10", "NDCG@10")):
        spread = index[metric]["std"] or 0
        bars.append(
            {
                "type": "bar",
                "name": title,
                "x": names,
                "y": [index[metric]["mean"], *(found["test"][metric] for found in evaluation["controls"].values())],
                "error_y": {"type": "data", "array": [spread, *[0] * len(evaluation["controls"])], "color": _GREY},
                "hovertemplate": f"%{{x}}: {title} %{{y:.4f}}<extra></extra>",
            }
        )
    return {
        "data": bars,
        "layout": {
            **_LAYOUT,
            "barmode": "group",
            "xaxis": _axis("", type="category"),
            "yaxis": _axis("share of test targets", rangemode="tozero"),
        },
    }


def read_curve(path: Path) -> pl.DataFrame:
    """The training curve as the train stage wrote it.

    Raises:
        InputError: no CSV, or without `step` or `mse`.
    """
    try:
        curve = pl.read_csv(path, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: can't be read as CSV, run the train stage ({error})") from None
    if not {"step", "mse"} <= set(curve.columns):
        raise InputError(f"{path}: has columns {', '.join(curve.columns)}, must have step and mse; run the train stage")
    return curve


def curves(curve: pl.DataFrame) -> dict[str, Figure]:
    """A chart for each of the measures that the training curve has, by the column's name.

    Args:
        curve: `step` and `mse` at least; a column `level` separates the lines.
    """
    parts = [("", curve)]
    if "level" in curve.columns:
        parts = [(f"level {key[0]}", part) for key, part in curve.group_by("level", maintain_order=True)]
    found: dict[str, Figure] = {}
    for column, title in _MEASURES.items():
        if column not in curve.columns or not len(curve):
            continue
        lines = []
        for name, part in parts:
            shown = part.gather(
                np.unique(np.linspace(0, len(part) - 1, min(len(part), 8 * _POINTS)).round().astype(int))
            )
            lines.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers" if len(shown) < 60 else "lines",
                    "name": name,
                    "x": shown["step"].to_list(),
                    "y": shown[column].to_list(),
                    "hovertemplate": f"step %{{x}}: %{{y:.4g}}<extra>{name}</extra>",
                    "showlegend": len(parts) > 1,
                }
            )
        found[column] = {
            "data": lines,
            "layout": {**_LAYOUT, "xaxis": _axis("step"), "yaxis": _axis(title, exponentformat="power")},
        }
    return found


def treemap(nodes: Sequence[Mapping[str, Any]]) -> Figure:
    """The map of codes.

    Args:
        nodes: each with `id`, `parent` ('' for the root), `label`, `items`, `words` (a list) and `shared`, the
            share of its items that collided, 0..1.
    """
    sizes = {node["id"]: node["items"] for node in nodes}
    return {
        "data": [
            {
                "type": "treemap",
                "branchvalues": "total",
                "maxdepth": 2,
                "ids": [node["id"] for node in nodes],
                "parents": [node["parent"] for node in nodes],
                "labels": [escape(node["label"]) for node in nodes],
                "values": [node["items"] for node in nodes],
                "text": [_area_text(node, sizes.get(node["parent"], 0)) for node in nodes],
                "customdata": [escape(", ".join(node["words"])) for node in nodes],
                "textinfo": "text",
                "hovertemplate": "<b>%{label}</b><br>%{value:,} items<br>%{customdata}<extra></extra>",
                "marker": {
                    "colors": [node["shared"] for node in nodes],
                    "cmin": 0,
                    "cmax": 1,
                    "line": {"width": 1},
                },
                "pathbar": {"thickness": 26},
                "tiling": {"pad": 1},
            }
        ],
        "layout": {
            **_LAYOUT,
            "margin": {"l": 0, "r": 0, "t": 30, "b": 0},
            "uniformtext": {"minsize": 10, "mode": "hide"},
        },
    }


def _area_text(node: Mapping[str, Any], within: int) -> str:
    """The text in an area: its label, and a few words where it is so large a part of its parent that they fit."""
    room = node["items"] / within if within else 1.0
    found = node["words"][: 1 if room < 0.02 else 4] if room >= 0.008 else []
    return "<br>".join([f"<b>{escape(node['label'])}</b>", *map(escape, found)])


def _axis(title: str, **more: Any) -> Figure:
    return {
        "title": {"text": title, "font": {"size": 12}},
        "fixedrange": True,
        "automargin": True,
        "zeroline": False,
        **more,
    }
