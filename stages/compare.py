"""What share of the items keep their first tokens from one index to another: python -m stages.compare A B

A and B are sids.parquet files, releases, or index.json files (item id -> list of tokens).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl

from sid.arrays import NO_TOKEN, Codes
from sid.errors import InputError
from sid.files import write_csv
from sid.ids import parse, read_codes, sid_text
from sid.measure.churn import churn, padded
from sid.releases.folder import SIDS

_SHOWN = 10


def main() -> int:
    """0 after the figures are printed; 1 for a user's mistake, one line each on stderr."""
    parser = argparse.ArgumentParser(prog="python -m stages.compare", description=__doc__)
    parser.add_argument("before", type=Path, help="the earlier index")
    parser.add_argument("after", type=Path, help="the later one")
    parser.add_argument("--changed", type=Path, metavar="CSV", help="write every item that changed here")
    given = parser.parse_args()
    try:
        print(_compare(given.before, given.after, given.changed))
    except InputError as error:
        for problem in error.problems:
            print(f"compare: error: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"compare: error: {error.filename or 'disk'}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def _compare(before: Path, after: Path, changed: Path | None) -> str:
    one, other = _read(before), _read(after)
    both = one.join(other, on="item_id", suffix="_after", maintain_order="left")
    if both.is_empty():
        raise InputError(f"{before} and {after} have no item in common")
    codes, codes_after = (np.array(both[name].to_list(), np.int32) for name in ("codes", "codes_after"))
    found = churn(codes, codes_after)
    differs = both.filter(_differs(codes, codes_after))
    rows = [
        {"item_id": item, "before": sid_text(old), "after": sid_text(new)}
        for item, old, new in differs.select("item_id", "codes", "codes_after").iter_rows()
    ]
    if changed is not None:
        write_csv(changed, ("item_id", "before", "after"), rows)
    figures = {
        "common": found["items"],
        "only_before": len(one) - len(both),
        "only_after": len(other) - len(both),
        "changed": found["changed"],
        "kept": found["kept"],
    }
    lines = [f"  {row['item_id']}  {row['before']} -> {row['after']}" for row in rows[:_SHOWN]]
    more = [f"  and {len(rows) - _SHOWN:,} more"] if len(rows) > _SHOWN else []
    return "\n".join([json.dumps(figures, indent=2), *lines, *more])


def _differs(codes: Codes, other: Codes) -> pl.Series:
    levels = max(codes.shape[1], other.shape[1])
    return pl.Series((padded(codes, levels) != padded(other, levels)).any(axis=1))


def _read(path: Path) -> pl.DataFrame:
    """item_id and codes as lists of equal length, -1 for 'no token'."""
    path = path / SIDS if path.is_dir() else path
    if path.suffix == ".json":
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path}: isn't JSON ({error})") from None
        if not isinstance(index, dict) or not all(isinstance(tokens, list) for tokens in index.values()):
            raise InputError(f"{path}: must be an object of item id -> list of tokens")
        ids = list(index)
        codes = [list(_parsed(path, item, tokens)) for item, tokens in index.items()]
        levels = max(map(len, codes), default=0)
        lists = [[*row, *[NO_TOKEN] * (levels - len(row))] for row in codes]
    else:
        table, array, _ = read_codes(path, "item_id", "Semantic IDs", "must be sids.parquet or an index.json")
        ids, lists = table["item_id"].to_pylist(), array.tolist()
    return pl.DataFrame({"item_id": ids, "codes": lists}, schema={"item_id": pl.String, "codes": pl.List(pl.Int32)})


def _parsed(path: Path, item: str, tokens: list[object]) -> tuple[int, ...]:
    try:
        return parse("".join(map(str, tokens)))
    except InputError as error:
        raise InputError(f"{path}: item {item!r}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
