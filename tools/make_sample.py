"""Write data/sample: a synthetic catalogue with embeddings, metadata and interactions.

    python tools/make_sample.py [--out data/sample]

The same bytes come out on every machine and with every NumPy release: all randomness is integers made from
the raw stream of PCG64, which NumPy keeps stable (it doesn't promise that for distributions), and floats see
only elementwise sums and products before they are rounded to four decimals.
"""

from __future__ import annotations

import argparse
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sample_words import ProductType, product_types

T = TypeVar("T")
Vector = NDArray[np.float64]

SEED = 20
ITEMS, DIM, USERS = 2000, 64, 1500
PURCHASES = (4, 12)  # of a user, least and most
WINDOW = 10  # items a history has at most
HEADER = "user_id:token\titem_id_list:token_seq\titem_id:token\n"

# Listings of one product: row -> the row which it repeats.
COPIES = {311: 57, 1490: 57, 402: 218, 777: 640, 1111: 640, 1033: 845, 1954: 1266, 1702: 1345}
NAN_VALUE, NAN_ROW, INF_VALUE, ZERO_ROW = 248, 1304, 795, 1601
FAULTY_COLUMN = 20

# The length which a direction of each kind has in the embeddings, about.
SCALES = {"department": 0.55, "category": 0.5, "type": 0.45, "brand": 0.2, "word": 0.12, "item": 0.48}


@dataclass(frozen=True)
class Item:
    """A product. `words` are the options chosen in its title."""

    type: ProductType
    brand: str
    words: tuple[str, ...]
    title: str
    description: str

    def metadata(self) -> dict[str, str]:
        return {
            "title": self.title,
            "description": self.description,
            "brand": self.brand,
            "categories": f"{self.type.department} > {self.type.category} > {self.type.name}",
        }

    def features(self) -> Iterator[tuple[str, str]]:
        """(kind, name) of everything but the item itself that shapes its embedding."""
        yield "department", self.type.department
        yield "category", self.type.category
        yield "type", self.type.name
        yield "brand", self.brand
        for word in self.words:
            yield "word", word


class Draws:
    """Random draws that need nothing but integers."""

    def __init__(self, *seed: int) -> None:
        self._stream = np.random.PCG64(seed)

    def below(self, stop: int) -> int:
        return int(self._stream.random_raw()) * stop >> 64

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def weighted(self, options: Sequence[T], weights: Sequence[int]) -> T:
        totals = list(accumulate(weights))
        return options[bisect_right(totals, self.below(totals[-1]))]

    def shuffled(self, options: Sequence[T]) -> list[T]:
        rest = list(options)
        return [rest.pop(self.below(len(rest))) for _ in options]

    def bells(self, rows: int) -> Vector:
        """(rows, DIM), nearly normal with unit variance: each value is a sum of twelve uniform numbers."""
        raw = np.asarray(self._stream.random_raw(rows * DIM * 3)).reshape(rows, DIM, 3)
        sums = np.zeros((rows, DIM), dtype=np.int64)
        for number in range(3):
            for shift in (0, 16, 32, 48):
                sums += ((raw[:, :, number] >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)
        return (sums - 6 * 0xFFFF) / 0x10000


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the synthetic sample catalogue.")
    parser.add_argument("--out", type=Path, default=Path("data/sample"), help="folder (default: data/sample)")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    items = make_items(Draws(SEED, 1))
    np.save(out / "embeddings.npy", make_embeddings(Draws(SEED, 2), items))
    write_text(out / "items.json", items_json(items))
    splits = split(make_purchases(Draws(SEED, 3), items))
    for name, lines in splits.items():
        write_text(out / f"{name}.inter", HEADER + "".join(lines))
    write_text(out / "README.md", readme({name: len(lines) for name, lines in splits.items()}))


def write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def make_items(draws: Draws) -> list[Item]:
    types = product_types()
    items: list[Item] = []
    titles: set[str] = set()
    for type_ in draws.shuffled(shares(types)):
        items.append(new_item(draws, type_, titles))
    for copy, original in COPIES.items():
        items[copy] = items[original]
    return items


def shares(types: Sequence[ProductType]) -> list[ProductType]:
    """Every type as often as it has items: ITEMS in all, by weight."""
    totals = list(accumulate(type_.weight for type_ in types))
    places = (totals[-1] * (2 * item + 1) // (2 * ITEMS) for item in range(ITEMS))  # evenly along the total
    return [types[bisect_right(totals, place)] for place in places]


def new_item(draws: Draws, type_: ProductType, titles: set[str]) -> Item:
    """An item whose title isn't among `titles` yet, to which it is added."""
    for _ in range(1000):
        brand = draws.pick(type_.brands)
        text, words = expand(draws, type_.title)
        title = f"{brand} {text}"
        if title not in titles:
            break
    else:
        raise ValueError(f"{type_.name}: the title pattern has fewer combinations than items")
    titles.add(title)
    sentences = [expand(draws, type_.description)[0], draws.pick(("", *type_.closers))]
    return Item(type_, brand, words, title, " ".join(filter(None, sentences)))


def expand(draws: Draws, pattern: str) -> tuple[str, tuple[str, ...]]:
    """A pattern's text, one option chosen for each group, and the options other than empty ones."""
    words: list[str] = []

    def choose(group: re.Match[str]) -> str:
        words.append(draws.pick(group[1].split("|")))
        return words[-1]

    text = re.sub(r"\[(.*?)\]", choose, pattern)
    return text, tuple(filter(None, words))


def make_embeddings(draws: Draws, items: Sequence[Item]) -> NDArray[np.float32]:
    """(ITEMS, DIM): the sum of the directions of an item's features and its own, with the planted faults."""
    features = list(dict.fromkeys(feature for item in items for feature in item.features()))
    unit = 1 / 8  # 1 / sqrt(DIM): DIM values of unit variance become a direction of length 1, about
    values = draws.bells(len(features))
    directions = {feature: values[row] * (SCALES[feature[0]] * unit) for row, feature in enumerate(features)}
    rows = draws.bells(len(items)) * (SCALES["item"] * unit)
    for row, item in enumerate(items):
        for feature in item.features():
            rows[row] += directions[feature]
    for copy, original in COPIES.items():
        rows[copy] = rows[original]
    embeddings = np.round(rows, 4).astype("<f4")
    embeddings[NAN_VALUE, FAULTY_COLUMN] = np.nan
    embeddings[NAN_ROW] = np.nan
    embeddings[INF_VALUE, FAULTY_COLUMN] = np.inf
    embeddings[ZERO_ROW] = 0
    return embeddings


def items_json(items: Sequence[Item]) -> str:
    """One item per line, for readable diffs."""
    lines = (f'"{row}": {json.dumps(item.metadata(), ensure_ascii=False)}' for row, item in enumerate(items))
    return "{\n" + ",\n".join(lines) + "\n}\n"


@dataclass(frozen=True)
class Shop:
    """What users choose from."""

    items: Sequence[Item]
    types: Sequence[ProductType]
    rows: dict[str, list[int]]  # the items of a type, the most popular first

    def where(self, wanted: Callable[[ProductType], bool]) -> list[ProductType]:
        return [type_ for type_ in self.types if wanted(type_)]


def make_purchases(draws: Draws, items: Sequence[Item]) -> list[list[int]]:
    """Each user's items, oldest first."""
    types = product_types()
    rows: dict[str, list[int]] = {type_.name: [] for type_ in types}
    for row in draws.shuffled(range(len(items))):
        rows[items[row].type.name].append(row)
    shop = Shop(items, types, rows)
    return [user_purchases(draws, shop) for _ in range(USERS)]


def user_purchases(draws: Draws, shop: Shop) -> list[int]:
    least, most = PURCHASES
    length = least + draws.below(most - least + 1)
    departments = list(dict.fromkeys(type_.department for type_ in shop.types))
    homes = draws.shuffled(departments)[:2]
    bought: list[int] = []
    while len(bought) < length:
        past = [shop.items[row].type for row in bought]
        options = next_types(draws, shop, past, homes)
        # Nobody needs a second kettle right away, but cat litter runs out.
        options = [type_ for type_ in options if type_ not in past or type_.name in type_.goes_with]
        if options:
            type_ = draws.weighted(options, [option.weight for option in options])
            rows = [row for row in shop.rows[type_.name] if row not in bought]
            if rows:
                bought.append(draws.weighted(rows, appeal(shop, rows, bought)))
    return bought


def next_types(draws: Draws, shop: Shop, past: list[ProductType], homes: list[str]) -> list[ProductType]:
    """Types of which the next purchase may be: mostly what goes with the last one, or with an earlier one."""
    percent = draws.below(100)
    if not past or percent >= 80:
        return shop.where(lambda type_: percent >= 94 or type_.department in homes)
    if percent >= 62:
        return shop.where(lambda type_: type_.category == past[-1].category)
    before = past[-1] if percent < 45 else draws.pick(past)
    return shop.where(lambda type_: type_.name in before.goes_with)


def appeal(shop: Shop, rows: Sequence[int], bought: Sequence[int]) -> list[int]:
    """Weights of the items of a type: popularity falls with the rank, brands bought before win."""
    known = {shop.items[row].brand for row in bought}
    favour = [4 if shop.items[row].brand in known else 1 for row in rows]
    return [1_000_000 // rank * factor for rank, factor in enumerate(favour, 1)]


def split(purchases: Sequence[Sequence[int]]) -> dict[str, list[str]]:
    """Lines by split: a user's last purchase is test's, the one before valid's, earlier ones are train's."""
    lines: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for user, bought in enumerate(purchases):
        for place in range(1, len(bought)):
            name = {len(bought) - 1: "test", len(bought) - 2: "valid"}.get(place, "train")
            history = " ".join(map(str, bought[max(0, place - WINDOW) : place]))
            lines[name].append(f"{user}\t{history}\t{bought[place]}\n")
    return lines


def readme(rows: dict[str, int]) -> str:
    groups: dict[int, list[int]] = {}
    for copy, original in sorted(COPIES.items()):
        groups.setdefault(original, [original]).append(copy)
    copies = "; ".join(", ".join(map(str, group)) for _, group in sorted(groups.items()))
    return f"""\
# Sample catalogue

A synthetic shop of {ITEMS:,} items and {USERS:,} users. Products, brands and people are invented. Made by

    python tools/make_sample.py

which writes the same bytes every time and everywhere. Change the tool, not these files.

| File | Content |
|---|---|
| `embeddings.npy` | ({ITEMS}, {DIM}) float32: row i is item i |
| `items.json` | title, description, brand and categories of each item, by row number |
| `train.inter`, `valid.inter`, `test.inter` | {rows["train"]:,}, {rows["valid"]:,} and \
{rows["test"]:,} rows: user, history ({WINDOW} items at most, oldest first), next item |

An embedding is the sum of directions for the item's department, category, type, brand and the words of its
title, and of noise. A user's last purchase is the next item in `test.inter`, the one before in `valid.inter`,
and all earlier ones but the first in `train.inter`. What users buy depends on what they bought before: things
that go with it, of brands they know.

## Planted faults

| Rows | Fault |
|---|---|
| {copies} | rows of a group repeat one another exactly, metadata and all: listings of one product |
| {NAN_VALUE} | NaN in column {FAULTY_COLUMN} |
| {NAN_ROW} | NaN in every column |
| {INF_VALUE} | Inf in column {FAULTY_COLUMN} |
| {ZERO_ROW} | zero in every column |

The metadata of the last four is sound and users buy these items too. Once NaN is set to zero, row {NAN_ROW}
repeats row {ZERO_ROW}. Not faults, but there: titles with quotes, commas, umlauts or an emoji.
"""


if __name__ == "__main__":
    main()
