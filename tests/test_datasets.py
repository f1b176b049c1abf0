"""The lines of params that README and docs/data.md show for public data sets, run on files of their exact shape."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from sid import params
from sid.export.formats import CHOICES
from sid.files import Outputs
from sid.interactions import load_interactions, user_sequences
from sid.quantizers.methods import CONFIGS
from stages import interactions, prepare
from stages.run import Stage
from tests.conftest import ROOT

BLOCKS = [
    block
    for page in ("README.md", "docs/data.md")
    for block in re.findall(
        r"^```yaml\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
]
OUTPUTS = ("vectors", "items", "ids", "report", "metrics", "train", "valid", "test", "users", "counts", "keep")


def blocks(folder: str, suffix: str) -> list[str]:
    """The blocks whose interactions are a file of such a suffix in a folder."""
    return [block for block in BLOCKS if re.search(rf"source: {folder}/\S*{re.escape(suffix)}(?=[\s,}}])", block)]


def run(folder: Path, block: str, monkeypatch: pytest.MonkeyPatch) -> tuple[pl.DataFrame, dict[str, list[str]]]:
    """The prepared items, and each user's items in order, by the stages' own code."""
    monkeypatch.chdir(folder)
    wanted: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    shown = yaml.safe_load(block)
    for section, keys in shown.items():
        assert set(keys) <= set(wanted[section]), "a key that there isn't"
        wanted[section] |= keys
    Path("params.yaml").write_text(yaml.safe_dump(wanted))
    Path("prompts").symlink_to(ROOT / "prompts")
    loaded = params.load("params.yaml", CONFIGS, CHOICES)
    outputs = Outputs()
    paths = {name: folder / "out" / name for name in OUTPUTS}
    stage = Stage(loaded, paths, outputs, None)  # type: ignore[arg-type]
    with outputs:
        prepare.main(stage)
        outputs.commit()
        interactions.main(stage)
        outputs.commit()
    items = pl.read_parquet(paths["items"])
    found = load_interactions([paths[name] for name in ("train", "valid", "test")], paths["users"], items["item_id"])
    assert found is not None
    ids = items["item_id"]
    whole = user_sequences(found.splits, len(found.user_ids))
    rows = np.split(whole.items, whole.offsets[1:-1])
    return items, {
        user: [ids[row] for row in of_user.tolist()]
        for user, of_user in zip(found.user_ids, rows, strict=True)
        if len(of_user) > 1
    }


def vectors(folder: Path, ids: list[str]) -> None:
    folder.mkdir()
    np.save(folder / "vectors.npy", np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32))
    (folder / "ids.txt").write_text("".join(f"{one}\n" for one in ids))


@pytest.mark.parametrize("block", blocks("ml", "ratings.csv"))
def test_movielens(tmp_path: Path, block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors(tmp_path / "ml", ["1", "2", "11", "58559"])
    (tmp_path / "ml/movies.csv").write_text(
        "movieId,title,genres\r\n"
        "1,Toy Story (1995),Adventure|Animation|Children|Comedy|Fantasy\r\n"
        "2,Jumanji (1995),Adventure|Children|Fantasy\r\n"
        '11,"American President, The (1995)",Comedy|Drama|Romance\r\n'
        '58559,"Dark Knight, The (""Batman"") (2008)",(no genres listed)\r\n',
        newline="",
    )
    (tmp_path / "ml/ratings.csv").write_text(
        "userId,movieId,rating,timestamp\r\n"
        "1,58559,4.0,964982703\r\n1,1,4.0,964981247\r\n1,2,3.5,964981248\r\n1,11,5.0,964982224\r\n1,2,4.5,964983815\r\n"
        "2,1,0.5,1445714835\r\n",
        newline="",
    )
    items, sequences = run(tmp_path, block, monkeypatch)
    assert items["title"].to_list()[2:] == ["American President, The (1995)", 'Dark Knight, The ("Batman") (2008)']
    assert items["categories"][1] == "Adventure|Children|Fantasy"
    assert sequences == {"1": ["1", "11", "58559", "2"]}


@pytest.mark.parametrize("block", blocks("ml-1m", "ratings.dat"))
def test_movielens_of_old(tmp_path: Path, block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors(tmp_path / "ml-1m", ["1", "73", "1193", "3942"])
    (tmp_path / "ml-1m/movies.dat").write_bytes(
        "1::Toy Story (1995)::Animation|Children's|Comedy\n"
        "73::Misérables, Les (1995)::Drama|Musical\n"
        "1193::One Flew Over the Cuckoo's Nest (1975)::Drama\n"
        '3942::Sorority House Massacre II: "Nighty" (1990)::Horror\n'.encode("latin-1")
    )
    (tmp_path / "ml-1m/ratings.dat").write_text(
        "1::1193::5::978300760\n1::73::4::978302109\n1::1::3::978301968\n1::3942::4::978300275\n1::1::5::978824291\n"
    )
    items, sequences = run(tmp_path, block, monkeypatch)
    assert items["title"].to_list()[1] == "Misérables, Les (1995)"
    assert items["title"].to_list()[3] == 'Sorority House Massacre II: "Nighty" (1990)'
    assert items["categories"].to_list()[0] == "Animation|Children's|Comedy"
    assert sequences == {"1": ["3942", "1193", "73", "1"]}


ASINS = ["B00YQ6X8EO", "B081TJ8YS3", "0262033844", "B07PNNCSP9"]
USERS = ["AGKHLEW2SOWHNMFQIJGBECAF7INQ", "AHV6QCNBJNSGLATP56JAWJ3C4G2A"]
RATED = [
    (USERS[0], ASINS[3], 5.0, 1588687728923),
    (USERS[0], ASINS[0], 5.0, 1588615855070),
    (USERS[1], "B0000NOTIN", 1.0, 1589665266052),
    (USERS[0], ASINS[1], 4.0, 1589665266052),
    (USERS[0], ASINS[2], 1.0, 1643393630220),
]


def amazon(folder: Path) -> None:
    vectors(folder, ASINS)
    meta = {
        "main_category": "Industrial & Scientific",
        "title": 'Howard &amp; Sons <b>LC0008</b> Leather Conditioner, 8" (4-Pack)',
        "average_rating": 4.8,
        "rating_number": 10,
        "features": ["Fits most", "100% steel"],
        "description": ["First paragraph.", "Second<br />paragraph."],
        "price": None,
        "images": [{"thumb": "https://t.jpg", "large": "https://l.jpg", "variant": "MAIN", "hi_res": None}],
        "videos": [],
        "store": "Howard Products",
        "categories": ["Industrial & Scientific", "Janitorial"],
        "details": {"Package Dimensions": "7.1 x 5.5 x 3 inches", "Date First Available": "2016"},
        "bought_together": None,
    }
    with gzip.open(folder / "meta_Industrial_and_Scientific.jsonl.gz", "wt") as file:
        for asin in [*ASINS, "B0000META0"]:
            file.write(json.dumps({**meta, "parent_asin": asin}) + "\n")
    with gzip.open(folder / "Industrial_and_Scientific.csv.gz", "wt") as file:
        file.write("user_id,parent_asin,rating,timestamp\n")
        file.writelines(",".join(map(str, row)) + "\n" for row in RATED)
    with gzip.open(folder / "Industrial_and_Scientific.jsonl.gz", "wt") as file:
        for user, asin, rating, time in RATED:
            text = 'A "quoted" text,\nover two lines'
            record = {"rating": rating, "title": "Good", "text": text, "images": [], "asin": "B0CHILD000"}
            more = {"parent_asin": asin, "user_id": user, "timestamp": time, "verified_purchase": True}
            file.write(json.dumps({**record, **more}) + "\n")


@pytest.mark.parametrize("reviews", [False, True])
@pytest.mark.parametrize("block", blocks("amazon", ".csv.gz"))
def test_amazon_reviews_2023(tmp_path: Path, block: str, reviews: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    amazon(tmp_path / "amazon")
    items, sequences = run(tmp_path, block.replace(".csv.gz", ".jsonl.gz") if reviews else block, monkeypatch)
    first = items.row(0, named=True)
    assert first["title"] == 'Howard & Sons LC0008 Leather Conditioner, 8" (4-Pack)'
    assert first["description"] == "First paragraph. Second paragraph."
    assert first["brand"] == "Howard Products"
    assert first["categories"] == "Industrial & Scientific, Janitorial"
    assert json.loads(first["details"])["Date First Available"] == "2016"
    assert items["item_id"].to_list() == ASINS
    assert sequences == {USERS[0]: [ASINS[0], ASINS[3], ASINS[1], ASINS[2]]}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("block", blocks("ml-1m", ".inter"))
def test_recbole(tmp_path: Path, block: str, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors(tmp_path / "ml-1m", ["1", "73", "1193", "3942"])
    (tmp_path / "ml-1m/ml-1m.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tgenre:token_seq\n"
        "1\tToy Story\t1995\tAnimation Children's Comedy\n73\tMisérables, Les\t1995\tDrama Musical\n"
        '1193\t"One" Flew Over the Cuckoo\'s Nest\t1975\tDrama\n3942\tSorority House\t1990\tHorror\n'
    )
    (tmp_path / "ml-1m/ml-1m.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "1\t1193\t5\t978300760\n1\t73\t4\t978302109\n1\t1\t3\t978301968\n1\t3942\t4\t978300275\n1\t1\t5\t978824291\n"
    )
    (tmp_path / "ml-1m/ml-1m.user").write_text("user_id:token\tage:token\n1\t1\n")
    if whole:
        block = block.replace("ml-1m/ml-1m.inter", "ml-1m")
    items, sequences = run(tmp_path, block, monkeypatch)
    assert items["title"].to_list()[1:3] == ["Misérables, Les", '"One" Flew Over the Cuckoo\'s Nest']
    assert items["categories"].to_list()[0] == "Animation Children's Comedy"
    assert items["release_year"].to_list() == ["1995", "1995", "1975", "1990"]
    assert sequences == {"1": ["3942", "1193", "73", "1"]}


def test_each_data_set_is_shown() -> None:
    for folder, suffix in (("ml", "ratings.csv"), ("amazon", ".csv.gz"), ("ml-1m", ".inter")):
        assert blocks(folder, suffix), folder
    assert blocks("ml-1m", "ratings.dat")
