from __future__ import annotations

import re
from html.parser import HTMLParser

from tests.conftest import Project


class Figures(HTMLParser):
    """The text of every element that names the figure it shows, and every address the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[str, str] = {}
        self.addresses: list[str] = []
        self._name: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._name = found.get("data-figure")
        self.addresses += [value for key, value in attrs if key in ("src", "href") and value]

    def handle_data(self, data: str) -> None:
        if self._name:
            self.shown[self._name] = data.strip()
            self._name = None


def test_figures_on_the_page_are_those_of_the_reports(finished: Project) -> None:
    page = finished.path("reports/report.html").read_text()
    parser = Figures()
    parser.feed(page)
    collisions, index = finished.report("collisions"), finished.report("index")
    assert parser.shown["r2"] == f"{index['r2']:.3f}"
    assert parser.shown["moved_share"] == f"{100 * collisions['moved_share']:.1f} %"
    for when in ("before", "after"):
        for key in ("unique", "items_in_collision", "collision_groups", "largest_group"):
            assert parser.shown[f"{when}.{key}"] == f"{collisions[when][key]:,}"
        assert parser.shown[f"{when}.collision_rate"] == f"{100 * collisions[when]['collision_rate']:.1f} %"
    for level in collisions["after"]["levels"].values():
        assert f"{level['used']} of {level['size']} codes used" in page


def test_the_page_loads_nothing_and_escapes_titles(finished: Project) -> None:
    items = finished.path("items.json")
    items.write_text(items.read_text().replace("Item ", "<script>alert(1)</script>&"))
    finished.succeed()
    page = finished.path("reports/report.html").read_text()
    parser = Figures()
    parser.feed(page)
    assert parser.addresses == []
    assert "@import" not in page
    assert "url(" not in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_report_without_metadata_and_with_append(finished: Project) -> None:
    finished.params(prepare__items="data/none", dedupe__strategy="append", export__interactions="data/none")
    finished.succeed()
    page = finished.path("reports/report.html").read_text()
    assert "level 4" in page
    assert re.search(r"Collisions before and after \(append\)", page)
    collisions = finished.report("collisions")
    assert collisions["after"]["collision_rate"] == 0
    assert collisions["mse_added"] is None
    assert collisions["moved"] == 0
    export = finished.report("export")
    assert not any(export["records"].values())
    assert export["levels"] == 4
