"""What share of the items keep their first tokens from one index to another: python -m stages.compare A B

A and B are sids.parquet files, releases, or index.json files (item id -> list of tokens).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes
from sid.errors import InputError
from sid.files import write_csv
from sid.ids import SemanticIds, sid_text
from sid.measure.churn import churn, padded
from sid.releases.folder import SIDS
from stages.run import alone

_SHOWN = 10


def main() -> int:
    """0 after the figures are printed; 1 for a user's mistake, one line each on stderr."""
    parser = argparse.ArgumentParser(prog="python -m stages.compare", description=__doc__)
    parser.add_argument("before", type=Path, help="the earlier index")
    parser.add_argument("after", type=Path, help="the later one")
    parser.add_argument("--changed", type=Path, metavar="CSV", help="write every item that changed here")
    given = parser.parse_args()
    return alone("compare", lambda: _compare(given.before, given.after, given.changed))


def _compare(before: Path, after: Path, changed: Path | None) -> str:
    one, other = _read(before), _read(after)
    common = one.item_ids.filter(one.item_ids.is_in(other.item_ids.to_list()))
    if common.is_empty():
        raise InputError(f"{before} and {after} have no item in common")
    codes, codes_after = one.of_items(common, before).codes, other.of_items(common, after).codes
    found = churn(codes, codes_after)
    rows = [
        {"item_id": common[row], "before": sid_text(codes[row].tolist()), "after": sid_text(codes_after[row].tolist())}
        for row in _changed(codes, codes_after).tolist()
    ]
    if changed is not None:
        write_csv(changed, ("item_id", "before", "after"), rows)
    figures = {
        "common": found["items"],
        "only_before": len(one.item_ids) - len(common),
        "only_after": len(other.item_ids) - len(common),
        "changed": found["changed"],
        "kept": found["kept"],
    }
    lines = [f"  {row['item_id']}  {row['before']} -> {row['after']}" for row in rows[:_SHOWN]]
    more = [f"  and {len(rows) - _SHOWN:,} more"] if len(rows) > _SHOWN else []
    return "\n".join([json.dumps(figures, indent=2), *lines, *more])


def _changed(codes: Codes, other: Codes) -> NDArray[np.int64]:
    levels = max(codes.shape[1], other.shape[1])
    return np.flatnonzero((padded(codes, levels) != padded(other, levels)).any(axis=1))


def _read(path: Path) -> SemanticIds:
    return SemanticIds.read(path / SIDS if path.is_dir() else path)


if __name__ == "__main__":
    sys.exit(main())
