"""The page: every figure is the JSON's, nothing in a title is markup, and a browser without a network can use it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest

from sid import params
from sid.dedupe.figures import figures as account
from sid.dedupe.resolve import resolve
from sid.ids import SemanticIds
from sid.measure import neighbours
from sid.quantizers import methods
from sid.quantizers.base import Scaling
from sid.quantizers.residual import ResidualQuantizer
from sid.report import code_map, figures, item_search, trials, verdict
from sid.report import page as report
from sid.report.about import About
from tests.conftest import ROOT, Project

SETTINGS = params.load(ROOT / "params.yaml", methods.CONFIGS).dedupe
REPORTS = ("report", "dedupe", "index", "align", "evaluate", "train", "drift", "churn")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

HOSTILE = [
    "</script><script>document.title = 'taken'</script>",
    "<img src=x onerror=\"document.title = 'taken'\">",
    "<!--<script>",
    "{{ 7 * 7 }} {% raw %}",
    "line\u2028separator\u2029and \x00 nul",
    "\"quotes\" & 'more' \\ %{label}",
    "x" * 20_000,
    "مصباح يدوي LED قابل للشحن",
    "LED灯泡白色",
    "",
]


# shown as text, or by another path: `test_the_stages_agree_on_the_codes` compares them
ELSEWHERE = {
    "report.warnings",
    "align.warnings",
    "align.details.evidence_tried",
    "dedupe.collision_rate",
    "dedupe.code_sizes",
    "index.items",
    "index.code_sizes",
    "index.collision_rate",
}


class Page(HTMLParser):
    """What is in a page: figures by path, its JSON by element id, addresses that it would load or link to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shown: dict[str, list[str]] = {}
        self.json: dict[str, Any] = {}
        self.addresses: list[str] = []
        self.scripts = 0
        self._figure: str | None = None
        self._json: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._figure = found.get("data-figure")
        self._json = found.get("id") if found.get("type") == "application/json" else None
        self.scripts += tag == "script"
        self.addresses += [value for key, value in attrs if key in ("src", "href") and value]

    def handle_endtag(self, tag: str) -> None:
        self._figure = self._json = None

    def handle_data(self, data: str) -> None:
        if self._figure:
            self.shown.setdefault(self._figure, []).append(data)
        if self._json:
            self.json[self._json] = json.loads(data)


def leaves(value: Any, path: str) -> dict[str, Any]:
    """Every single value of nested JSON by its path."""
    if not isinstance(value, dict):
        return {path: value}
    return {name: leaf for key, part in value.items() for name, leaf in leaves(part, f"{path}.{key}").items()}


def check_figure(path: str, text: str, value: Any) -> None:
    """The text shows the value, rounded in its last digit at most."""
    if value is None or isinstance(value, str):
        assert text == ("–" if value is None else value), path
        return
    share = text.endswith(" %")
    digits = text.removesuffix(" %").replace(",", "")
    mantissa, _, exponent = digits.partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    if isinstance(value, int):
        assert digits == str(value), path
    else:
        assert float(digits) == pytest.approx(value * (100 if share else 1), abs=0.5001 * unit), path
        assert value == 0 or float(digits) != 0, path


ALIGNED = {
    "method": "smooth",
    "applied": "smooth",
    "items": 40,
    "cold_items": 4,
    "pairs": 90,
    "dim": 4,
    "moved": 0.31,
    "moved_cold": None,
    "neighbours_kept": 0.7,
    "used_together_before": 0.05,
    "used_together_after": 0.25,
    "details": {
        "evidence": 8.0,
        "evidence_tried": [{"evidence": None, "mrr": 0.1, "hit_rate_at_10": 0.2}],
        "share_mean": 0.5,
        "cold_explained": 0.1,
    },
    "warnings": ["a warning"],
}


def check_page(text: str, reports: dict[str, Any]) -> Page:
    """All figures on a page against the reports; the figures of the charts too."""
    page = Page(text)
    wanted = {path: value for name, part in reports.items() for path, value in leaves(part, name).items()}
    for path, texts in page.shown.items():
        for shown in texts:
            check_figure(path, shown, wanted[path])
    missing = (
        {path for path in wanted if path.startswith(("report.", "dedupe.", "index.", "align."))}
        - set(page.shown)
        - ELSEWHERE
    )
    assert not missing, "figures that the page does not show"
    assert "train.mse" in page.shown
    check_charts(page.json["charts"], page.json["data"], reports)
    return page


def check_charts(figures: dict[str, Any], data: dict[str, Any], reports: dict[str, Any]) -> None:
    after, before, items = reports["report"]["after"], reports["report"]["before"], reports["dedupe"]["items"]
    for figure in figures.values():
        go.Figure(figure)  # refuses whatever Plotly doesn't know
    for line, level in zip(figures["usage"]["data"], after["levels"].values(), strict=True):
        assert line["text"][0].endswith(f" {level['largest']:,} items")
        assert line["y"] == sorted(line["y"], reverse=True)
    for bars, state in zip(figures["groups"]["data"], (before, after), strict=True):
        assert sum(bars["y"]) == state["collision_groups"]
    (areas,) = figures["map"]["data"]
    parents = dict(zip(areas["ids"], areas["parents"], strict=True))
    size = dict(zip(areas["ids"], areas["values"], strict=True))
    assert size["all"] == items == data["total"]
    for parent in set(parents.values()) - {""}:
        assert sum(size[name] for name, above in parents.items() if above == parent) == size[parent]
    top = [name for name in data["codes"] if "." not in name]
    if "all.rest" not in size:
        assert len(top) == after["levels"]["level_1"]["used"]
    assert max(size[name] for name in top) == after["levels"]["level_1"]["largest"]
    assert all(data["codes"][name][1] == size[name] for name in data["codes"])


def render(
    vectors: np.ndarray, sizes: tuple[int, ...], titles: list[str], strategy: str = "none"
) -> tuple[str, dict[str, Any]]:
    """The page of a random model of some sizes, and the reports that it was made from."""
    generator = np.random.default_rng(0)
    spread = vectors.std()
    books = [(generator.normal(size=(k, vectors.shape[1])) * spread / 2**i) for i, k in enumerate(sizes)]
    model = ResidualQuantizer(tuple(book.astype(np.float32) for book in books), Scaling.identity(vectors.shape[1]))
    codes = model.encode(vectors)
    wanted = SETTINGS.model_copy(update={"strategy": strategy})
    after, after_sizes = resolve(codes, model, vectors, wanted)
    sids = SemanticIds(pl.Series([str(row) for row in range(len(vectors))]), after, after_sizes)
    found, near, near_original = figures.measure(model, vectors, codes, sids, np.arange(len(vectors)))
    reports = {
        "report": found,
        "dedupe": account(codes, after, after_sizes, wanted),
        "index": {"assignment": "balanced", "slack": 2},
        "align": ALIGNED,
        "evaluate": {"method": "none", "reason": "there are no interactions"},
        "train": {"method": "rqkmeans", "num_emb_list": list(sizes), "mse": found["mse"], "kept": True},
        "drift": {"release": None},
        "churn": {"release": None},
    }
    curve = pl.DataFrame({"step": [1, 2], "level": [1, 2], "mse": [2e-7, 1e-7]})
    items = pl.DataFrame({"title": titles})
    return report.page(sids, codes, items, (near_original, near), reports, curve, ABOUT), reports


ABOUT = About(
    "shop", {"quant.method": "rqkmeans", "quant.num_emb_list": "[4, 4]", "quant.seed": "0"}, "2026-01-31 12:00 UTC"
)


def some(rows: int = 40, dim: int = 4) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(rows, dim)).astype(np.float32)


def test_every_figure_on_the_page_is_the_reports(finished: Project) -> None:
    reports = {name: finished.report(name) for name in REPORTS}
    page = check_page(finished.path("reports/report.html").read_text(), reports)
    curve = pl.read_csv(finished.path("reports/train.csv"))
    lines = page.json["charts"]["curve-mse"]["data"]
    assert [value for line in lines for value in line["y"]] == curve["mse"].to_list()
    assert [value for line in lines for value in line["x"]] == curve["step"].to_list()


@pytest.mark.parametrize(
    ("rows", "sizes", "strategy"),
    [
        (40, (4, 4), "none"),
        (40, (4, 4), "append"),
        (40, (4, 4), "append_colliding"),
        (40, (4, 4, 4), "sinkhorn"),
        (40, (64,), "reassign"),
        (40, (2,), "append_colliding"),
        (2, (2, 2), "none"),
        (40, (2,) * 26, "none"),
    ],
)
def test_figures_of_any_shape_of_codes(rows: int, sizes: tuple[int, ...], strategy: str) -> None:
    text, reports = render(some(rows), sizes, (HOSTILE * rows)[:rows], strategy)
    check_page(text, reports)
    for warning in reports["report"]["warnings"]:
        assert warning in unescape(text)


def test_a_figure_that_differs_is_found() -> None:
    text, reports = render(some(), (4, 4), HOSTILE * 4)
    reports["report"]["before"]["recall_at_10"] += 0.01
    with pytest.raises(AssertionError, match=r"before\.recall_at_10"):
        check_page(text, reports)


def test_titles_are_text_and_nothing_is_loaded() -> None:
    text, reports = render(some(), (4, 4), HOSTILE * 4)
    page = check_page(text, reports)
    assert page.scripts == 4
    assert [address for address in page.addresses if not address.startswith("#")] == ["../docs/metrics.md"]
    own = text.replace(report.get_plotlyjs(), "")
    assert 'onerror="' not in own
    assert "\u2028" not in own.split('id="data"')[1]
    assert len(own) < 200_000, "long titles are cut"
    titles = {title for _, title, _ in page.json["data"]["items"]}
    assert "x" * 99 + "…" in titles
    assert HOSTILE[0] in titles
    labels = [text for text in page.json["charts"]["map"]["data"][0]["text"] if "<" in text.replace("<b>", "")]
    assert all("&lt;a_" in label or "&lt;b_" in label or "all items" in label for label in labels)


def test_neighbours_on_the_page_are_those_of_the_catalogue() -> None:
    vectors = some(60)
    text, _ = render(vectors, (3, 3), [f"Item {row}" for row in range(60)])
    data = Page(text).json["data"]
    near = neighbours.search(vectors)
    assert data["found"] == data["total"] == 60
    for row in range(60):
        assert [int(data["items"][place][0]) for place in data["original"][row]] == near.rows[row].tolist()
        tokens = [sid.split(">") for _, _, sid in data["items"]]
        shared = [next((n for n in (2, 1) if other[:n] == tokens[row][:n]), 0) for other in tokens]
        best = sorted((-shared[other], other) for other in range(60) if other != row and shared[other])
        found = [(-shared[other], other) for other in data["alike"][row]]
        assert [rank for rank, _ in found] == [rank for rank, _ in best[:10]]
        assert row not in data["alike"][row]


def test_a_large_catalogue_is_sampled_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ALL_QUERIES", 50)
    monkeypatch.setattr(neighbours, "SOME_QUERIES", 40)
    monkeypatch.setattr(neighbours, "FEW_QUERIES", 40)
    monkeypatch.setattr(item_search, "BUDGET", 12_000)
    monkeypatch.setattr(code_map, "FIRST_CODES", 3)
    monkeypatch.setattr(code_map, "SECOND_CODES", 4)
    text, reports = render(some(300), (6, 6), [f"Item {row}, " + "long " * 30 for row in range(300)])
    page = check_page(text, reports)
    data = page.json["data"]
    assert data["found"] in (5, 10, 20)
    assert f"You can search {data['found']} of 300 items, drawn at random" in text
    assert len(json.dumps(data)) < 13_000
    assert all(len(found) == 5 for found in data["original"])
    assert len(data["codes"]) == 7
    assert "3 smaller codes" in page.json["charts"]["map"]["data"][0]["labels"]


def test_a_catalogue_of_copies_is_told_so() -> None:
    text, reports = render(np.ones((40, 4), np.float32), (4, 16), [f"Item {row}" for row in range(40)], "reassign")
    assert verdict.verdict(reports).grade == "poor"
    assert "Every embedding equals another item's" in unescape(text)


def test_the_page_says_what_it_is_of(finished: Project) -> None:
    text = unescape(finished.path("reports/report.html").read_text())
    assert "<h1>Semantic IDs of shop</h1>" in text
    assert "rqkmeans</span>, 4 x 4 x 8 codes · seed 0 · sid " in text
    assert '<time id="made"></time>' in text, "the file's own time, so that equal runs give equal pages"
    for key, value in (
        ("quant.num_emb_list", "[4, 4, 8]"),
        ("quant.train_sample", "auto"),
        ("prepare.embeddings", "embeddings.npy"),
        ("evaluate.method", "none"),
    ):
        assert f"<dt><code>{key}</code></dt><dd><bdi>{value}</bdi></dd>" in text
    for key in ("quant.e_dim", "quant.rqvae.lr", "align.fuse.dim", "evaluate.seeds", "release.mode"):
        assert f"<code>{key}</code>" not in text, "a key that shaped nothing"


def test_the_trials_are_of_this_catalogue() -> None:
    vectors = some(400, 8)
    found = trials.trials(vectors, (8, 8))
    assert [(trial["method"], trial["num_emb_list"]) for trial in found.values()] == [
        ("rqkmeans", "8 x 8"),
        ("rqkmeans_constrained", "8 x 8"),
        ("rqkmeans", "16 x 16"),
    ]
    assert found["larger"]["collision_rate"] < found["rqkmeans"]["collision_rate"]
    assert found["larger"]["r2"] > found["rqkmeans"]["r2"] > 0
    assert trials.trials(vectors, (300, 8)).keys() == {"rqkmeans", "rqkmeans_constrained"}, "600 codes of 400 items"
    assert trials.trials(vectors, (500, 8)) == {}
    copies = trials.trials(np.ones((40, 4), np.float32), (4, 4))
    assert copies["rqkmeans"]["collision_rate"] == 39 / 40


def test_nothing_is_tried_where_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "WORK", 1000.0)
    text, reports = render(some(), (4, 4), HOSTILE * 4)
    assert reports["report"]["trials"] == {}
    assert 'id="trials"' not in text
    check_page(text, reports)


def test_what_each_reader_loses() -> None:
    def lost(sizes: tuple[int, ...], strategy: str) -> list[str]:
        return list(render(some(), sizes, [""] * 40, strategy)[1]["report"]["warnings"])

    assert lost((2, 4, 8), "reassign") == []
    (cut,) = lost((2, 4, 4), "append")
    assert "up to 4 tokens: in three of its five fine-tuning tasks" in cut
    cut, uneven = lost((2, 4, 4), "append_colliding")
    assert "MiniOneRec" in cut
    assert "GRID" in uneven
    assert re.match(r"\d+ items share a Semantic ID: MiniOneRec", lost((2, 2, 2), "none")[0])
    assert lost((2, 4), "append") == []
    short, uneven = lost((4, 8), "append_colliding")
    assert "fewer than 3 tokens: MiniOneRec leaves such items out" in short


def test_every_figure_is_defined(finished: Project) -> None:
    defined = (ROOT / "docs" / "metrics.md").read_text()
    headline = {
        f"metrics/{name}": finished.report(f"metrics/{name}")
        for name in ("prepare", "align", "index", "dedupe", "report")
    }
    for name, found in {**{name: finished.report(name) for name in REPORTS[:4]}, **headline}.items():
        for path in leaves(found, name):
            figure = "moved_by_level" if "moved_by_level" in path else path.rsplit(".", 1)[1]
            assert f"`{figure}`" in defined, path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: make test installs Debian's as root; elsewhere install the package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


def opened(browser: Any, path: Path, width: int) -> tuple[Any, list[str]]:
    """A page from disk without a network, and whatever it complains about."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    context.set_offline(True)
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith("file:") else faults.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    return page, faults


@pytest.mark.parametrize("width", [1280, 400])
def test_in_a_browser_search_and_map_answer(browser: Any, finished: Project, width: int) -> None:
    page, faults = opened(browser, finished.path("reports/report.html"), width)
    assert page.locator(".js-plotly-plot").count() < page.locator(".chart").count(), "drawn when one comes near"

    page.locator("#search").press_sequentially("item 17")
    assert page.inner_text("#found") == "1 item matches."
    page.click("#hits button")
    data = Page(finished.path("reports/report.html").read_text()).json["data"]
    panel = page.inner_text("#item")
    assert "Item 17" in panel
    assert data["items"][17][2] in panel
    for heading, places in (
        ("Closest Semantic IDs", data["alike"][17]),
        ("Closest original embeddings", data["original"][17]),
        ("Closest aligned embeddings", data["near"][17]),
    ):
        shown = page.locator("#item section").filter(has_text=heading).locator(".title").all_inner_texts()
        assert shown == [data["items"][place][1] for place in places] != []
    page.locator("#item section").filter(has_text="original").locator("button").first.click()
    assert data["items"][data["original"][17][0]][1] in page.inner_text("#item h3 >> nth=0")
    page.fill("#search", "no such thing")
    assert page.inner_text("#found") == "No item found."

    largest = max((name for name in data["codes"] if "." not in name), key=lambda name: data["codes"][name][1])
    page.locator("#map").scroll_into_view_if_needed()
    page.wait_for_selector("#chart-map g.slice")
    area = page.locator("#chart-map g.slice").filter(has_text=data["codes"][largest][0]).first
    area.click()
    told = page.inner_text("#code")
    assert data["codes"][largest][0] in told
    assert f"{data['codes'][largest][1]} items of 60" in told
    assert data["codes"][largest][3][0] in told
    page.wait_for_selector("#chart-map g.pathbar")  # it has gone down into the code
    child = next(name for name in data["codes"] if name.startswith(f"{largest}."))
    page.select_option("#second-code", child)
    assert data["codes"][child][0] in page.inner_text("#code h3 >> nth=0")
    for chart in page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        chart.locator(".main-svg").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert faults == []
    page.context.close()


def test_in_a_browser_dark_mode_and_the_keyboard(browser: Any, finished: Project) -> None:
    page, faults = opened(browser, finished.path("reports/report.html"), 400)
    colours = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.locator("#chart-usage").scroll_into_view_if_needed()
        page.locator("#chart-usage .xtick text").first.wait_for()
        page.wait_for_timeout(100)
        colours[scheme] = [
            page.evaluate("getComputedStyle(document.body).backgroundColor"),
            page.evaluate("getComputedStyle(document.body).color"),
            page.evaluate("getComputedStyle(document.querySelector('#chart-usage .xtick text')).fill"),
        ]
    assert colours["light"][0] == "rgb(255, 255, 255)"
    assert [sum(map(int, re.findall(r"\d+", colour))) > 380 for colour in colours["dark"]] == [False, True, True]
    assert [sum(map(int, re.findall(r"\d+", colour))) > 380 for colour in colours["light"]] == [True, False, False]

    page.evaluate("scrollTo(0, 0)")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("Item 3")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert "Item 3" in page.inner_text("#item h3 >> nth=0")
    wide = [
        box.evaluate("box => [box.scrollWidth > box.clientWidth, getComputedStyle(box).overflowX, box.tabIndex]")
        for box in page.locator(".wide:visible").all()
    ]
    assert any(scrolls for scrolls, _, _ in wide)
    assert all((overflow, place) == ("auto", 0) for _, overflow, place in wide)
    assert faults == []
    page.context.close()


@pytest.mark.parametrize("sizes", [(4,), (2,) * 26])
def test_in_a_browser_hostile_titles_stay_text(browser: Any, tmp_path: Path, sizes: tuple[int, ...]) -> None:
    text, _ = render(some(), sizes, HOSTILE * 4, "append_colliding" if len(sizes) < 26 else "none")
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    page, faults = opened(browser, tmp_path / "report.html", 400)
    for query, shown in (
        ("</script>", HOSTILE[0]),
        ("xxxx", "x" * 99 + "…"),
        ("灯泡", "LED灯泡白色"),
        ("img", HOSTILE[1]),
    ):
        page.fill("#search", query)
        page.click("#hits button >> nth=0")
        assert page.inner_text("#item h3 >> nth=0") == shown
        assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.fill("#search", "مصباح")
    page.click("#hits button >> nth=0")
    assert page.evaluate("getComputedStyle(document.querySelector('#item h3')).direction") == "rtl"
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    page.select_option("#first-code", index=1)
    assert page.is_visible("#code")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert page.title() == "shop: Semantic ID report"
    assert page.inner_text("#made").startswith("20")
    assert faults == []
    page.context.close()


def test_the_report_without_metadata_and_with_append(finished: Project) -> None:
    finished.params(prepare__items="data/none", dedupe__strategy="append", interactions__source="data/none")
    finished.succeed()
    reports = {name: finished.report(name) for name in REPORTS}
    check_page(finished.path("reports/report.html").read_text(), reports)
    assert reports["report"]["after"]["collision_rate"] == 0
    assert reports["report"]["mse_added"] == 0
    assert reports["dedupe"]["moved"] == 0
    export = finished.report("export")
    assert not any(export["records"].values())
    assert export["levels"] == 4
