"""How well new items fit into an index that was made without them, and whether it should go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sid.arrays import Codes, Vectors
from sid.files import round6
from sid.measure.metrics import Reconstruction, prefix_ids
from sid.measure.quality import Decode

SAMPLE = 20_000  # items of each kind that are measured
QUANTILES = (0.1, 0.5, 0.9, 0.99)

ERROR_MOST = 1.25  # mean squared error of new items by that of old ones
BEYOND_MOST = 0.05  # share of new items farther from their codes than 99 % of the old ones
LEFT_MOST = 0.05  # share of new items that had to leave their prefix
FREE_LEAST = 1.0  # free places by new items: another day like this one must fit

Rows = NDArray[np.int64]


def errors(decode: Decode, vectors: Vectors, codes: Codes, old: Rows, new: Rows) -> dict[str, Any]:
    """What raw codes keep of new items, beside old ones.

    Args:
        vectors: (N, D) float32; may be a memory map, of which a sample of rows is read.
        codes: (N, L) the raw codes.
        old, new: row numbers.

    Returns:
        For `old` and `new` (None where there are none) `items`, `sampled`, `mse`, `r2` (both about the old items'
        mean), and `distance`: the quantiles of an item's squared distance to what its codes decode to, `q10` to `q99`;
        and `beyond`: the share of the new items that lie beyond the old ones' q99, 0.01 by chance; None where there are
        no old or no new ones.
    """
    mean: NDArray[np.float64] | None = None
    found: dict[str, Any] = {}
    apart = {}
    for name, rows in (("old", old), ("new", new)):
        some = sample(rows)
        if not len(some):
            found[name], apart[name] = None, np.zeros(0)
            continue
        some_vectors = vectors[some]
        mean = some_vectors.mean(axis=0, dtype=np.float64) if mean is None else mean
        sums = Reconstruction(mean)
        apart[name] = sums.add(some_vectors, decode(codes[some]))
        figures = sums.figures()
        quantiles = np.quantile(apart[name], QUANTILES)
        found[name] = {
            "items": len(rows),
            "sampled": len(some),
            "mse": figures["mse"],
            "r2": figures["r2"],
            "distance": {f"q{100 * q:.0f}": round6(float(at)) for q, at in zip(QUANTILES, quantiles, strict=True)},
        }
    found["beyond"] = None
    if len(old) and len(new):
        found["beyond"] = round6(float((apart["new"] > np.quantile(apart["old"], QUANTILES[-1])).mean()))
    return found


def sample(rows: Rows) -> Rows:
    """Up to SAMPLE of some row numbers, drawn with a fixed seed, ascending."""
    if len(rows) <= SAMPLE:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, SAMPLE, replace=False))


def settling(raw: Codes, after: Codes, taken: Codes, new: Rows) -> dict[str, Any]:
    """How new items got their Semantic IDs.

    Args:
        raw: (N, L) the raw codes.
        after: (N, L or L + 1) the Semantic IDs.
        taken: (t, L or L + 1) those that others held before.
        new: row numbers.

    Returns:
        `items`; the shares of them that `collided` (another item had or wanted their raw codes), `moved` (got other
        codes at a level that they had), `left_prefix` (at another level than the last), and `colliding_after`: share a
        Semantic ID at the end. Shares are None without new items.
    """
    levels = raw.shape[1]
    if not len(new):
        return {"items": 0, "collided": None, "moved": None, "left_prefix": None, "colliding_after": None}
    keys = prefix_ids(np.concatenate([taken[:, :levels], raw[new]]))[-1]
    wanted = np.bincount(keys)[keys[len(taken) :]] > 1
    final = prefix_ids(after)[-1]
    changed = raw[new] != after[new, :levels]
    return {
        "items": len(new),
        "collided": round6(float(wanted.mean())),
        "moved": round6(float(changed.any(axis=1).mean())),
        "left_prefix": round6(float(changed[:, : levels - 1].any(axis=1).mean())),
        "colliding_after": round6(float((np.bincount(final)[final[new]] > 1).mean())),
    }


def places(codes: Codes, code_sizes: Sequence[int], new: Rows) -> dict[str, Any]:
    """How many Semantic IDs are left, in all and by prefix (all levels of the quantizer but the last).

    Args:
        codes: (N + r, L) those that are taken, of items first and then reserved ones.
        code_sizes: codes there are at each of the L levels.
        new: rows of new items.

    Returns:
        `all`: Semantic IDs there can be; `taken`, `free`; `prefixes`: those that there can be, that are `used`, and
        that are `full`; `usage`: quantiles, over the used prefixes, of the share of their places that are taken;
        `free_near`: the median number of free places in the prefixes that new items are in, None without new items.
    """
    size = int(code_sizes[-1])
    total = 1
    for one in code_sizes:
        total *= int(one)
    prefixes = prefix_ids(codes)
    whole = prefixes[-1]
    _, first = np.unique(whole, return_index=True)
    above = prefixes[-2] if len(prefixes) > 1 else np.zeros(len(codes), np.int64)
    used = np.bincount(above[first])  # places taken under each prefix
    quantiles = np.quantile(used / size, QUANTILES)
    return {
        "all": total,
        "taken": len(first),
        "free": total - len(first),
        "prefixes": {"all": total // size, "used": len(used), "full": int((used >= size).sum())},
        "usage": {f"q{100 * q:.0f}": round6(float(at)) for q, at in zip(QUANTILES, quantiles, strict=True)},
        "free_near": float(np.median(size - used[above[new]])) if len(new) else None,
    }


def verdict(figures: dict[str, Any]) -> dict[str, Any]:
    """Whether to append on or to refresh: `say` is 'append' or 'refresh', `because` has a line for each reason.

    Args:
        figures: `errors`, `settling` and `places`.
    """
    new, old = figures["errors"]["new"], figures["errors"]["old"]
    if new is None:
        return {"say": "append", "because": ["there are no new items"]}
    if old is None:
        return {"say": "refresh", "because": ["no published item is left in the catalogue"]}
    beyond, left = figures["errors"]["beyond"], figures["settling"]["left_prefix"]
    free = figures["places"]["free"]
    reasons = []
    if new["mse"] > ERROR_MOST * old["mse"]:
        ratio = new["mse"] / old["mse"] if old["mse"] > 0 else float("inf")
        reasons.append(f"the error of new items is {ratio:.2f} times that of old ones, more than {ERROR_MOST:g}")
    if beyond > BEYOND_MOST:
        reasons.append(f"{beyond:.1%} of the new items are farther from their codes than 99 % of the old ones")
    if left > LEFT_MOST:
        reasons.append(f"{left:.1%} of the new items had to leave their prefix")
    if free < FREE_LEAST * new["items"]:
        reasons.append(f"{free:,} free places are left, fewer than the {new['items']:,} new items")
    if reasons:
        return {"say": "refresh", "because": reasons}
    return {"say": "append", "because": ["new items fit the published codes about as well as old ones"]}
