"""The libraries that read our records do read them, and train on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import trl

from sid.catalogue.items import FIELDS
from sid.ids import SemanticIds
from tests.shop import INTER, export, inter, lines, load, shop
from tests.tiny import bytes_tokenizer, causal

TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'assistant' %}"
    "<assistant>{% generation %}{{ message.content }}</s>{% endgeneration %}"
    "{% else %}<{{ message.role }}>{{ message.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readers")
    export(folder / "sft", *shop(), inter(folder / "inter"))
    return folder / "sft"


def read(kind: str, files: Any, cache: Path) -> Any:
    return datasets.load_dataset(kind, data_files=files, cache_dir=str(cache))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("alpaca", "json"), ("messages", "jsonl"), ("prompt_completion", "jsonl"), ("parquet", "parquet")],
)
def test_datasets_reads_all_splits_by_one_schema(exported: Path, tmp_path: Path, name: str, suffix: str) -> None:
    files = {split: str(exported / name / f"{split}.{suffix}") for split in INTER}
    kind = "parquet" if suffix == "parquet" else "json"
    together = read(kind, files, tmp_path)
    assert list(together) == list(INTER)
    for split, file in files.items():
        if kind == "parquet":
            expected = pq.read_table(file).to_pylist()
        else:
            expected = load(Path(file)) if suffix == "json" else lines(Path(file))
        assert together[split].to_list() == expected
        alone = read(kind, file, tmp_path)["train"]
        assert alone.features == together[split].features == together["train"].features
        assert "null" not in str(alone.features)


def test_datasets_reads_every_other_file_too(exported: Path, tmp_path: Path) -> None:
    files = [path for path in exported.rglob("*") if path.suffix in (".json", ".jsonl", ".parquet")]
    assert len(files) > 20
    for path in files:
        rows = read("parquet" if path.suffix == ".parquet" else "json", str(path), tmp_path)["train"]
        assert len(rows) > 0, path
    vocabulary = read("json", str(exported / "tokens/new_tokens.json"), tmp_path)["train"]
    assert vocabulary["text"][:2] == ["<a_0>", "<a_1>"]


@pytest.fixture(scope="module")
def two_hundred(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SemanticIds]:
    """200 records: both ways between the titles and the Semantic IDs of 100 items."""
    rows = 100
    codes = np.stack([np.arange(rows) // 25, np.arange(rows) // 5 % 5, np.arange(rows) % 5], axis=1).astype(np.int32)
    items = pl.DataFrame(
        {"item_id": [str(row) for row in range(rows)], "title": [f"Item {row}" for row in range(rows)]}
    )
    items = items.with_columns(pl.lit(None, pl.String).alias(name) for name in FIELDS[1:])
    sids = SemanticIds(items["item_id"], codes, (4, 5, 5))
    folder = tmp_path_factory.mktemp("train")
    tasks = ["title_to_sid", "sid_to_title"]
    export(folder, sids, items, tasks=tasks, formats=["messages", "prompt_completion", "tokens"])
    return folder, sids


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing. is deprecated:FutureWarning")  # TRL's own setting
@pytest.mark.parametrize("name", ["messages", "prompt_completion"])
def test_sft_trainer_trains_from_the_files_as_they_lie(
    two_hundred: tuple[Path, SemanticIds], tmp_path: Path, name: str
) -> None:
    folder, _ = two_hundred
    records = read("json", str(folder / name / "train.jsonl"), tmp_path / "cache")["train"]
    assert len(records) == 200
    tokenizer = bytes_tokenizer(load(folder / "tokens/new_tokens.json"))
    if name == "messages":
        tokenizer.chat_template = TEMPLATE
    model = causal(len(tokenizer))
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    trainer = trl.SFTTrainer(
        model=model,
        args=trl.SFTConfig(
            output_dir=str(tmp_path / "out"),
            max_steps=5,
            per_device_train_batch_size=40,
            learning_rate=0.01,
            lr_scheduler_type="constant",
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
            dataloader_pin_memory=False,
            assistant_only_loss=name == "messages",
            seed=0,
        ),
        train_dataset=records,
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    answers = {row["completion"] for row in lines(folder / "prompt_completion/train.jsonl")}
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        # the loss is on the answer and its end, and on nothing else
        counted = ids[labels != -100]
        assert counted[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(counted[:-1]) in answers
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 5
    assert losses[-1] < 0.8 * losses[0]
