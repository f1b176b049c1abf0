"""Constrained decoding and the way back to items, with real tokenizers and tiny random models."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from sid.decoding import AllowedTokens, Trie, item_lookup, prefix_allowed_tokens
from sid.errors import InputError
from sid.ids import SemanticIds, sid_text, vocabulary
from tests.tiny import bytes_tokenizer, causal, encoder_decoder

PROMPTS = ["Which comes next? <a_1><b_2><c_3>, <a_4>\n", "A", "ends with <a_1><b_2><c_3>", "ends with <a_1><b_2>"]


def catalogue(rows: int, sizes: tuple[int, ...] = (64, 64, 64), seed: int = 0) -> SemanticIds:
    """Distinct random codes."""
    flat = np.random.default_rng(seed).choice(int(np.prod(sizes)), size=rows, replace=False)
    codes = np.stack(np.unravel_index(flat, sizes), axis=1).astype(np.int32)
    return SemanticIds(pl.Series("item_id", [f"sku-{row}" for row in range(rows)]), codes, sizes)


def uneven() -> SemanticIds:
    """Two items with one SID, a SID that is the start of longer ones, and one alone."""
    codes = np.array([[1, 2, -1], [1, 2, 0], [1, 2, 3], [0, 5, -1], [1, 2, 3], [3, 0, 1]], np.int32)
    return SemanticIds(pl.Series("item_id", [*"abcdef"]), codes, (4, 6, 4))


@pytest.fixture(scope="module")
def large() -> tuple[SemanticIds, Any]:
    sids = catalogue(10_000)
    return sids, bytes_tokenizer(vocabulary(sids.code_sizes))


def encoded(tokenizer: Any, prompts: list[str]) -> Any:
    """What `generate` takes of prompts, padded on the left to one length."""
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    inputs.pop("token_type_ids", None)
    return inputs


def generate(model: Any, tokenizer: Any, allowed: AllowedTokens, inputs: Any, **options: Any) -> torch.Tensor:
    """What was written after the prompts, one row per beam."""
    wanted = {
        "do_sample": False,
        "max_new_tokens": allowed.max_new_tokens,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **options,
    }
    out: torch.Tensor = model.generate(**inputs, prefix_allowed_tokens_fn=allowed, **wanted)
    return out[:, allowed.prompt_length :]


def test_every_new_token_is_one_id_and_semantic_ids_come_back(large: tuple[SemanticIds, Any]) -> None:
    sids, tokenizer = large
    before = 256 + 2
    ids = tokenizer(vocabulary(sids.code_sizes))["input_ids"]
    assert ids == [[before + place] for place in range(sum(sids.code_sizes))]
    for text in sids.texts()[:500]:
        written = tokenizer.encode(text, add_special_tokens=False)
        assert len(written) == 3
        assert tokenizer.decode(written) == text
    mixed = f"Titel: {sids.texts()[0]}, {sids.texts()[1]}🌹\n"
    assert tokenizer.decode(tokenizer.encode(mixed)) == mixed


def test_beams_are_different_and_all_exist(large: tuple[SemanticIds, Any]) -> None:
    """Prompts of several lengths, padded on the left, some ending with (part of) a Semantic ID."""
    sids, tokenizer = large
    model = causal(len(tokenizer))
    allowed = prefix_allowed_tokens(tokenizer, sids, prompt_length=0)
    lookup = item_lookup(sids, tokenizer)
    beams, there = 12, set(sids.texts())
    for prompts in (PROMPTS, PROMPTS[1:2], PROMPTS[2:3]):
        inputs = encoded(tokenizer, prompts)
        here = allowed.after(inputs["input_ids"].shape[1])
        new = generate(model, tokenizer, here, inputs, num_beams=beams, num_return_sequences=beams)
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
        assert set(texts) <= there
        for start in range(0, len(texts), beams):
            assert len(set(texts[start : start + beams])) == beams
        assert (new[:, 3] == tokenizer.eos_token_id).all()
        for row, text in zip(new, texts, strict=True):
            (item,) = lookup.of_ids(row)
            assert lookup.of_text(text) == [item]
            assert sids.texts()[int(item.removeprefix("sku-"))] == text


def test_an_encoder_and_decoder_generates_only_what_exists() -> None:
    sids = uneven()
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    model = encoder_decoder(tokenizer)
    allowed = prefix_allowed_tokens(tokenizer, sids, prompt_length=1)
    for prompts in (["<a_1><b_2>", "x"], ["y"], ["x, <a_1><b_2><c_3>", "<a_1>"]):
        inputs = encoded(tokenizer, prompts)
        new = generate(model, tokenizer, allowed, inputs, num_beams=5, num_return_sequences=5)
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
        for start in range(0, len(texts), 5):
            assert set(texts[start : start + 5]) == set(sids.texts())  # all five there are


@pytest.mark.parametrize("beams", [1, 2, 7, 20])
def test_more_beams_and_more_steps_than_semantic_ids_can_fill(beams: int) -> None:
    """Finished sequences and those that `generate` fills up with are asked for too, long after the end."""
    sids = uneven()
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    inputs = encoded(tokenizer, ["a", "bcd <a_1><b_2>\n"])
    allowed = prefix_allowed_tokens(tokenizer, sids, prompt_length=inputs["input_ids"].shape[1])
    for model, here in [(causal(len(tokenizer)), allowed), (encoder_decoder(tokenizer), allowed.after(1))]:
        new = generate(model, tokenizer, here, inputs, num_beams=beams, num_return_sequences=beams, max_new_tokens=9)
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
        for start in (0, beams):
            assert len(set(texts[start : start + beams]) & set(sids.texts())) == min(beams, 5)


def test_sampled_batches_pad_what_has_ended() -> None:
    sids = uneven()
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    model = causal(len(tokenizer))
    inputs = encoded(tokenizer, ["a", "bcd <a_1><b_2>\n", "e"])
    allowed = prefix_allowed_tokens(tokenizer, sids, prompt_length=inputs["input_ids"].shape[1])
    for seed in range(5):
        torch.manual_seed(seed)
        new = generate(model, tokenizer, allowed, inputs, do_sample=True, max_new_tokens=8)
        assert set(tokenizer.batch_decode(new, skip_special_tokens=True)) <= set(sids.texts())


def test_a_generate_that_stops_early_leaves_no_trace() -> None:
    """One step on "ab", then "abc": it looks like the next step of the first one, and isn't."""
    sids = catalogue(64, (4, 4, 4))
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    model = causal(len(tokenizer))
    allowed = prefix_allowed_tokens(tokenizer, sids, prompt_length=2)
    first = generate(model, tokenizer, allowed, encoded(tokenizer, ["ab"]), max_new_tokens=1)
    assert tokenizer.decode(first[0]) in {f"<a_{code}>" for code in range(4)}
    for text in ("abc", tokenizer.decode(tokenizer.encode("ab") + first[0].tolist())):
        inputs = encoded(tokenizer, [text])
        written = generate(model, tokenizer, allowed.after(inputs["input_ids"].shape[1]), inputs)
        assert tokenizer.decode(written[0], skip_special_tokens=True) in sids.texts()


def everything(allowed: AllowedTokens, tokenizer: Any, prompt: str) -> set[str]:
    """All texts that may follow a prompt: `generate` in small, with a beam for each sequence there can be."""
    start = tokenizer.encode(prompt, add_special_tokens=False)
    allowed = allowed.after(len(start))
    beams, ended = [start], set()
    while beams:
        assert len(beams[0]) - len(start) < allowed.max_new_tokens
        following = [(beam, allowed(0, np.array(beam, np.int64))) for beam in beams]
        beams = []
        for beam, ids in following:
            assert ids
            for single in ids:
                if single == tokenizer.eos_token_id:
                    ended.add(tokenizer.decode(beam[len(start) :]))
                else:
                    beams.append([*beam, single])
    return ended


@pytest.mark.parametrize("sids", [uneven(), catalogue(200, (5, 6, 9)), catalogue(30, (31,)), catalogue(64, (4, 4, 4))])
def test_exactly_what_exists_can_be_written_after_any_prompt(sids: SemanticIds) -> None:
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    allowed = prefix_allowed_tokens(tokenizer, sids, prompt_length=0)
    texts = sids.texts()
    for prompt in ["x", "", texts[0], texts[0], texts[0] + ",", "xyz" + texts[-1] + texts[0], "<a_1>", "xx", "a" * 9]:
        assert everything(allowed, tokenizer, prompt) == set(texts), prompt


def test_one_object_serves_several_threads_at_once() -> None:
    sids = catalogue(64, (4, 4, 4))
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    allowed = prefix_allowed_tokens(tokenizer, sids, prompt_length=0)
    prompts = ["x", "y", "xy", sids.texts()[0], "z" + sids.texts()[1], "zz"]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda prompt: everything(allowed, tokenizer, prompt), prompts * 4))
    assert found == [set(sids.texts())] * len(found)


def test_two_generations_may_take_turns_step_by_step() -> None:
    """What two threads do to one object at worst, in a fixed order."""
    sids = catalogue(64, (4, 4, 4))
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    allowed = prefix_allowed_tokens(tokenizer, sids, prompt_length=2)
    rows = [tokenizer.encode(text) for text in ("ab", "cd", "ef")]
    for _ in range(3):
        for row in rows:
            row.append(allowed(0, np.array(row))[0])
    assert {tokenizer.decode(row[2:]) for row in rows} <= set(sids.texts())
    assert [allowed(0, np.array(row)) for row in rows] == [[tokenizer.eos_token_id]] * 3


def test_prompts_may_go_on_from_what_was_written() -> None:
    sids = catalogue(64, (4, 4, 4))
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    allowed = prefix_allowed_tokens(tokenizer, sids, prompt_length=0)
    texts = sids.texts()
    for separator in ("", ",", ", "):
        prompt = "x"
        for text in texts[:4]:
            assert everything(allowed, tokenizer, prompt) == set(texts)
            prompt += text + separator


def test_a_whole_output_is_gone_on_from() -> None:
    """With its end token, and with several sequences of which some ended before others."""
    sids = uneven()
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    allowed = prefix_allowed_tokens(tokenizer, sids, prompt_length=1)
    model = causal(len(tokenizer))
    ids = encoded(tokenizer, ["a", "b", "c"])["input_ids"]
    for _ in range(3):
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        new = generate(model, tokenizer, allowed.after(ids.shape[1]), inputs)
        assert set(tokenizer.batch_decode(new, skip_special_tokens=True)) <= set(sids.texts())
        ids = torch.cat([ids, new], dim=1)


@pytest.mark.parametrize(
    ("prompt", "length"),
    [
        ("abc", 2),
        ("abc", 0),
        ("a", 0),
        ("abcdefgh", 1),
        ("<b_2>", 0),
        ("x<a_1><b_2><c_3>\n", 1),  # a whole Semantic ID and more
        ("a, <a_1><b_2>", 1),
        ("abc", 5),
        ("", 1),
    ],
)
def test_a_wrong_prompt_length_is_told_at_the_first_step(prompt: str, length: int) -> None:
    sids = uneven()
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    allowed = prefix_allowed_tokens(tokenizer, sids, length)
    with pytest.raises(InputError, match=r"input_ids\.shape\[1\].*1 for an encoder-decoder") as caught:
        allowed(0, np.array(tokenizer.encode(prompt), np.int64))
    assert len(caught.value.problems) == 1


def test_the_length_of_the_encoders_prompt_is_refused_for_its_decoder() -> None:
    sids = uneven()
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    inputs = encoded(tokenizer, ["abc"])
    allowed = prefix_allowed_tokens(tokenizer, sids, prompt_length=inputs["input_ids"].shape[1])
    with pytest.raises(InputError, match=r"prompt_length is 3, but generate starts from 1 tokens"):
        generate(encoder_decoder(tokenizer), tokenizer, allowed, inputs)


@pytest.mark.parametrize("length", [-1, 1.5, "3", None])
def test_a_prompt_length_that_is_none_is_refused(length: Any) -> None:
    sids = uneven()
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    with pytest.raises(InputError, match=r"prompt_length is .*: must be a whole number"):
        prefix_allowed_tokens(tokenizer, sids, length)
    allowed = prefix_allowed_tokens(tokenizer, sids, np.int64(3))
    with pytest.raises(InputError, match=r"prompt_length is .*: must be a whole number"):
        allowed.after(length)


def test_several_items_a_semantic_id_and_shorter_ones() -> None:
    sids = uneven()
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    lookup = item_lookup(sids, tokenizer)
    expected = {
        "<a_1><b_2><c_3>": ["c", "e"],
        "<a_1><b_2>": ["a"],
        "<a_1><b_2><c_0>": ["b"],
        "<a_0><b_5>": ["d"],
        "<a_1>": [],
        "<a_1><b_2><c_1>": [],
        "<b_2>": [],
        "<a_0><b_5><c_0>": [],
        "<a_9><b_5>": [],
        "nothing": [],
        "": [],
    }
    for text, items in expected.items():
        assert lookup.of_text(text) == items
        assert lookup.of_text(f"[CLS] {text.replace('><', '> <')} [SEP]") == items
        assert lookup.of_text(text.replace("><", ">\n \t<")) == items
        assert lookup.of_text(f"Item <a_0><b_5>: {text}</s><pad>") == (items or (["d"] if "<" not in text else []))
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert lookup.of_ids(ids) == items
        assert lookup.of_ids(np.array([*ids, tokenizer.eos_token_id, tokenizer.pad_token_id])) == items
    assert lookup.of_ids(tokenizer.encode("<a_0><b_5><a_1><b_2>")) == ["a"]
    assert lookup.of_text("<a_1><b_2><c_3> <a_0> <b_5>") == ["d"]
    batch = torch.tensor([[1, 2], [3, 4]])
    for several in (batch, batch.numpy(), batch.tolist(), list(batch), torch.tensor(1)):
        with pytest.raises(InputError, match="takes one sequence of token ids at a time"):
            lookup.of_ids(several)
    assert lookup.of_ids([]) == lookup.of_ids(torch.tensor([], dtype=torch.int64)) == []
    with pytest.raises(InputError, match="needs the tokenizer"):
        item_lookup(sids).of_ids([1])


def test_a_tokenizer_without_the_tokens_is_refused() -> None:
    sids = catalogue(10, (4, 4))
    new_tokens = vocabulary(sids.code_sizes)
    with pytest.raises(InputError, match=r"of \d tokens are not one token each \(<a_0>.*new_tokens.json") as caught:
        prefix_allowed_tokens(bytes_tokenizer([]), sids, 1)
    assert len(caught.value.problems) == 1
    with pytest.raises(InputError, match=r"1 of \d tokens are not one token each \(<b_3>\)"):
        prefix_allowed_tokens(bytes_tokenizer(new_tokens[:-1]), sids, 1)
    words = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0, "</s>": 1}, unk_token="[UNK]")),
        unk_token="[UNK]",
        eos_token="</s>",
    )
    with pytest.raises(InputError, match="are not one token each"):
        item_lookup(sids, words)
    endless = bytes_tokenizer(new_tokens)
    endless.eos_token = None
    with pytest.raises(InputError, match="has no eos_token_id"):
        prefix_allowed_tokens(endless, sids, 1)
    both = endless.encode(sids.texts()[0])
    assert prefix_allowed_tokens(endless, sids, 0, eos_token_id=7)(0, np.array(both)) == [7]


class Merging:
    """A tokenizer that knows each token alone, and reads them joined as something else."""

    eos_token_id, unk_token_id = 0, None

    def __call__(self, text: list[str], *, add_special_tokens: bool) -> dict[str, list[list[int]]]:
        return {"input_ids": [[hash(part)] if part.count("<") == 1 else [1, 2, 3] for part in text]}


def test_a_tokenizer_that_reads_joined_tokens_otherwise_is_refused() -> None:
    with pytest.raises(InputError, match=r"does not read <a_\d><b_\d> as its 2 tokens"):
        prefix_allowed_tokens(Merging(), catalogue(10, (4, 4)), 1)


def test_the_trie_is_saved_and_loaded(tmp_path: Path) -> None:
    trie = Trie.of(uneven())
    trie.save(tmp_path / "x.trie.parquet")
    found = Trie.load(tmp_path / "x.trie.parquet")
    assert (found.codes == trie.codes).all()
    assert found.code_sizes == trie.code_sizes
    assert found.item_ids.to_list() == ["d", "a", "b", "c", "e", "f"]
    assert found.children([1, 2]).tolist() == [-1, 0, 3]
    assert found.children([]).tolist() == [0, 1, 3]
    assert [found.children(prefix).tolist() for prefix in ([2], [1, 2, 3], [9, 9], [1, 2, 3, 4])] == [[]] * 4
    rows = pl.read_parquet(tmp_path / "x.trie.parquet")
    assert rows["sid"].to_list() == [sid_text(codes) for codes in trie.codes.tolist()]


@pytest.mark.parametrize("content", [b"no", None])
def test_no_trie_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.parquet"
    if content is None:
        uneven().save(path)
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"x.parquet: (can't be read as Parquet|holds no trie)"):
        Trie.load(path)


def test_children_are_those_of_a_plain_search() -> None:
    sids = catalogue(500, (6, 7, 8, 9), seed=3)
    trie = Trie.of(sids)
    rows = [tuple(row) for row in sids.codes.tolist()]
    prefixes = {row[:length] for row in rows for length in range(5)} | {(5, 6, 7), (0, 0), (6,)}
    for prefix in prefixes:
        below = [row for row in rows if row[: len(prefix)] == prefix and len(row) > len(prefix)]
        following = sorted({row[len(prefix)] for row in below})
        assert trie.children(prefix).tolist() == following
    for prefix in {row[:3] for row in rows}:
        for code in range(9):
            found = trie.items([*prefix, code])
            assert found == [f"sku-{place}" for place, row in enumerate(rows) if row == (*prefix, code)]
