"""What decodes Semantic IDs outside `generate`: CSR arrays, grammars that the real libraries read, first embeddings."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from sid.decoding import Transitions, Trie, initial_embeddings
from sid.decoding.grammar import ebnf, lark, regex
from sid.errors import InputError
from sid.ids import SemanticIds, sid_text, vocabulary
from tests.test_decoding import catalogue, uneven
from tests.tiny import bytes_tokenizer

CATALOGUES = {
    "even": catalogue(60, (5, 5, 5)),
    "one level": catalogue(3, (7,)),
    "one item": catalogue(1, (4, 4, 4)),
    "uneven": uneven(),
    "long": catalogue(20, (2,) * 8),
}


@pytest.fixture(params=CATALOGUES, ids=str)
def sids(request: pytest.FixtureRequest) -> SemanticIds:
    return CATALOGUES[request.param]


def written(found: Transitions) -> set[str]:
    """Everything that the automaton can write, by its arrays alone."""
    texts, done = vocabulary(found.code_sizes), set()
    todo = [(0, "")]
    while todo:
        state, text = todo.pop()
        if found.ends[state]:
            done.add(text)
        for token, after in zip(
            found.allowed(state), found.states[found.row_pointers[state] : found.row_pointers[state + 1]], strict=True
        ):
            todo.append((int(after), text + texts[token]))
    return done


def test_the_automaton_writes_the_semantic_ids_that_exist(sids: SemanticIds, tmp_path: Path) -> None:
    found = Transitions.of(sids)
    assert written(found) == set(sids.texts())
    assert len(found.row_pointers) == len(found.ends) + 1
    found.save(tmp_path / "one.npz")
    found.save(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    again = Transitions.load(tmp_path / "one.npz")
    assert written(again) == set(sids.texts())
    assert again.code_sizes == sids.code_sizes
    with pytest.raises(InputError, match="transitions"):
        Transitions.load(tmp_path / "none.npz")


def test_the_automaton_walks_by_token_ids(sids: SemanticIds) -> None:
    tokenizer = bytes_tokenizer([*reversed(vocabulary(sids.code_sizes))])  # ids that aren't in the tokens' order
    found = Transitions.of(sids).for_tokenizer(tokenizer)
    end, width = tokenizer.eos_token_id, len(tokenizer)
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in sids.texts()]
    states = np.zeros(len(ids), np.int64)
    for level in range(max(map(len, ids))):
        mask = found.mask(states, width, end)
        prefixes = [row[:level] for row in ids]
        for row, prefix in enumerate(prefixes):
            if len(prefix) < level:
                continue
            follow = {other[level] if len(other) > level else end for other in ids if other[:level] == prefix}
            assert set(np.flatnonzero(mask[row])) == follow
        taken = [row[level] if len(row) > level else 0 for row in ids]
        states = np.where([len(row) > level for row in ids], found.step(states, taken), states)
    assert found.ends[states].all()
    assert (found.mask([-1], width, end)[0].nonzero()[0] == [end]).all()
    assert found.step([0, -1], [end, taken[0]]).tolist() == [-1, -1]


def test_a_tokenizer_without_the_tokens_is_refused() -> None:
    with pytest.raises(InputError, match=r"add those of new_tokens\.json"):
        Transitions.of(CATALOGUES["even"]).for_tokenizer(bytes_tokenizer([]))


def others(sids: SemanticIds) -> list[str]:
    """Texts that are near Semantic IDs and aren't any."""
    known = set(sids.texts())
    near = {sid_text(row) for row in product(*(range(min(size, 3)) for size in sids.code_sizes))} - known
    cut = {text[: text.rindex("<")] for text in known} - known
    return [*sorted(near)[:50], *sorted(cut), *(text + "<a_0>" for text in known), "", "no"]


def test_the_regular_expression(sids: SemanticIds) -> None:
    pattern = re.compile(regex(sids))
    assert all(pattern.fullmatch(text) for text in sids.texts())
    assert not [text for text in others(sids) if pattern.fullmatch(text)]


def test_equal_continuations_share_a_rule() -> None:
    codes = np.array([*product(range(8), range(3))], np.int32)
    lines = list(ebnf(SemanticIds(pl.Series(map(str, range(24))), codes, (8, 3))))
    assert len(lines) == 2


def test_xgrammar_reads_the_grammar(sids: SemanticIds) -> None:
    xgrammar = pytest.importorskip("xgrammar", reason="pip install xgrammar, what vLLM and SGLang decode by")
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=len(tokenizer))
    compiler = xgrammar.GrammarCompiler(info)
    for grammar in (compiler.compile_grammar("".join(ebnf(sids))), compiler.compile_regex(regex(sids))):
        for text in set(sids.texts()):
            matcher = xgrammar.GrammarMatcher(grammar)
            for token in tokenizer(text, add_special_tokens=False)["input_ids"]:
                assert matcher.accept_token(token), text
            assert matcher.accept_token(tokenizer.eos_token_id), text
            assert matcher.is_terminated()
        for text in others(sids):
            matcher = xgrammar.GrammarMatcher(grammar)
            assert not (matcher.accept_string(text) and matcher.accept_token(tokenizer.eos_token_id)), text


def test_xgrammar_allows_what_the_automaton_allows() -> None:
    xgrammar = pytest.importorskip("xgrammar", reason="pip install xgrammar, what vLLM and SGLang decode by")
    sids = CATALOGUES["even"]
    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    automaton = Transitions.of(sids).for_tokenizer(tokenizer)
    info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=len(tokenizer))
    matcher = xgrammar.GrammarMatcher(xgrammar.GrammarCompiler(info).compile_grammar("".join(ebnf(sids))))
    bitmask = xgrammar.allocate_token_bitmask(1, len(tokenizer))
    state = np.zeros(1, np.int64)
    own = set(tokenizer.convert_tokens_to_ids(vocabulary(sids.code_sizes)))
    for token in tokenizer(sids.texts()[0], add_special_tokens=False)["input_ids"]:
        matcher.fill_next_token_bitmask(bitmask)
        bits = np.unpackbits(bitmask.numpy().view(np.uint8), bitorder="little")[: len(tokenizer)]
        assert own & set(bits.nonzero()[0].tolist()) == set(automaton.allowed(int(state[0])).tolist())
        assert matcher.accept_token(token)
        state = automaton.step(state, [token])


def test_llguidance_reads_the_lark_grammar(sids: SemanticIds) -> None:
    llguidance: Any = pytest.importorskip("llguidance", reason="pip install llguidance, which vLLM and SGLang offer")
    if not hasattr(llguidance, "LLMatcher"):
        pytest.skip("this llguidance has no LLMatcher")
    from llguidance.hf import from_tokenizer

    tokenizer = bytes_tokenizer(vocabulary(sids.code_sizes))
    known = from_tokenizer(tokenizer, n_vocab=len(tokenizer))
    grammar = llguidance.LLMatcher.grammar_from_lark("".join(lark(sids)))
    assert llguidance.LLMatcher.validate_grammar(grammar) == ""
    for text in set(sids.texts()):
        matcher = llguidance.LLMatcher(known, grammar)
        assert matcher.consume_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])
        assert matcher.is_accepting()
    for text in others(sids):
        matcher = llguidance.LLMatcher(known, grammar)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert not (matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()), text


def test_outlines_reads_the_regular_expression(sids: SemanticIds) -> None:
    outlines: Any = pytest.importorskip("outlines_core", reason="pip install outlines-core, which vLLM offers")
    tokens = {text: [number] for number, text in enumerate(vocabulary(sids.code_sizes))}
    index = outlines.Index(regex(sids), outlines.Vocabulary(len(tokens), tokens))
    for text in set(sids.texts()):
        guide = outlines.Guide(index)
        for token in re.findall("<[^>]*>", text):
            assert tokens[token][0] in guide.get_tokens()
            guide.advance(tokens[token][0])
        assert guide.is_finished() or len(tokens) in guide.get_tokens()


def test_first_embeddings_are_means_of_the_words_of_the_items() -> None:
    codes = np.array([[0, 1], [0, 2], [1, -1]], np.int32)
    sids = SemanticIds(pl.Series([*"abc"]), codes, (3, 3))
    tokenizer = bytes_tokenizer([])
    embeddings = np.random.default_rng(0).normal(size=(len(tokenizer), 5)).astype(np.float32)

    def words(text: str) -> np.ndarray:
        return embeddings[tokenizer(text, add_special_tokens=False)["input_ids"]].mean(axis=0)

    found = initial_embeddings(sids, ["drill", "saw", "lamp"], tokenizer, embeddings)
    rows = dict(zip(vocabulary(sids.code_sizes), found, strict=True))
    assert rows["<a_0>"] == pytest.approx((words("drill") + words("saw")) / 2, abs=1e-6)
    assert rows["<b_1>"] == pytest.approx(words("drill"), abs=1e-6)
    assert rows["<a_1>"] == pytest.approx(words("lamp"), abs=1e-6)
    for unused in ("<a_2>", "<b_0>"):
        assert rows[unused] == pytest.approx(embeddings.mean(axis=0), abs=1e-6)
    untitled = initial_embeddings(sids, ["drill", "", ""], tokenizer, embeddings)
    assert untitled[0] == pytest.approx(words("drill"), abs=1e-6)
    assert untitled[1] == pytest.approx(embeddings.mean(axis=0), abs=1e-6)
    with pytest.raises(InputError, match="2 titles"):
        initial_embeddings(sids, ["drill", "saw"], tokenizer, embeddings)
    with pytest.raises(InputError, match="there are 3 embeddings"):
        initial_embeddings(sids, ["drill", "saw", "lamp"], tokenizer, embeddings[:3])


def test_the_formats_are_files_of_the_same_catalogue(tmp_path: Path) -> None:
    from sid.export.formats import FORMATS
    from sid.export.source import Source

    sids = CATALOGUES["uneven"]
    items = pl.DataFrame({"item_id": sids.item_ids, "title": [""] * 6, "description": [""] * 6})
    source = Source("shop", sids, items, None)
    for name in ("grammar", "transitions", "tokens"):
        (tmp_path / name).mkdir()
        write = FORMATS[name].write
        assert write is not None
        assert write(tmp_path / name, source) > 0
    assert json.loads((tmp_path / "tokens/new_tokens.json").read_text()) == vocabulary(sids.code_sizes)
    assert written(Transitions.load(tmp_path / "transitions/transitions.npz")) == set(sids.texts())
    assert (tmp_path / "grammar/shop.ebnf").read_text() == "".join(ebnf(Trie.of(sids)))
    assert (tmp_path / "grammar/shop.lark").read_text() == "".join(lark(sids))
    assert (tmp_path / "grammar/shop.regex").read_text() == regex(sids)
