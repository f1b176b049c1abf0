"""Compare two indexes: what share of the items keep their first tokens, and which change.

    python -m stages.compare A B [--changed changed.csv] [--page compare.html]

A and B are sids.parquet files, releases, index.json files (item id -> list of tokens), `workspace`, or revisions of Git
or names of DVC experiments. The page shows their figures, the settings that differ, and examples.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sid.catalogue.items import load_items
from sid.errors import InputError
from sid.files import write_csv
from sid.ids import sid_text
from sid.report.comparison import Comparison, page
from stages import pipeline, revisions
from stages.run import alone

_SHOWN = 10


def main() -> int:
    """0 after the figures are printed; 1 for a user's mistake, one line each on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", help="the earlier index")
    parser.add_argument("after", help="the later one")
    parser.add_argument("--changed", type=Path, metavar="CSV", help="a CSV file for every item that changed")
    parser.add_argument("--page", type=Path, metavar="HTML", help="an HTML file for a page that shows the comparison")
    given = parser.parse_args()
    return alone("compare", lambda: _compare(given.before, given.after, given.changed, given.page))


def _compare(before: str, after: str, changed: Path | None, html: Path | None) -> str:
    one, other = revisions.index(before), revisions.index(after)
    if not set(one.sids.item_ids) & set(other.sids.item_ids):
        raise InputError(f"{before} and {after} have no item in common")
    found = Comparison.of(one, other)
    rows = [
        {
            "item_id": found.item_ids[row],
            "before": sid_text(found.codes[row].tolist()),
            "after": sid_text(found.codes_after[row].tolist()),
        }
        for row in found.changed().tolist()
    ]
    if changed is not None:
        write_csv(changed, ("item_id", "before", "after"), rows)
    if html is not None:
        items = pipeline.declared()["report"].option("items") if pipeline.PIPELINE.exists() else None
        titles = load_items(items) if items is not None and items.exists() else None
        html.write_text(page(found, titles), encoding="utf-8")
    lines = [f"  {row['item_id']}  {row['before']} -> {row['after']}" for row in rows[:_SHOWN]]
    more = [f"  and {len(rows) - _SHOWN:,} more"] if len(rows) > _SHOWN else []
    table = [f"  {row['title']}: {row['before']} -> {row['after']} {row['verdict']}" for row in found.headline()]
    return "\n".join([json.dumps(found.figures, indent=2), *table, *lines, *more])


if __name__ == "__main__":
    sys.exit(main())
