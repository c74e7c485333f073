"""Tokens that nothing has trained, and ids without a token, are not written, whoever lets the network write."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from inference.exact_match import Question, answer_all
from inference.instruct.decoded import Decoded
from inference.instruct.requests import Request
from inference.server.exchange import Exchange, Prompt
from inference.server.requests import completion
from inference.server.shelf import serve
from model.config import TransformerConfig
from model.files.checkpoint import save_weights
from model.files.loading import load_model
from model.running_batch import Row
from tests.inference.server.conftest import CPU, save_network
from tests.stages.table import SHAPE
from tests.support import make_tokenizer, random_network

LIMIT = 40


@pytest.fixture
def loaded(tmp_path):
    """A network of random weights, all of whose tokens but the first 40 count as new."""
    save_network(tmp_path / "full_sft_32.pth", 0, "full_sft")
    loaded = load_model(tmp_path / "full_sft_32.pth")
    assert loaded.writable == 0
    loaded = replace(loaded, new_tokens=loaded.tokenizer.vocab_size - LIMIT)
    assert loaded.writable == LIMIT
    return loaded


def test_nor_is_an_id_without_a_token(tmp_path):
    """Networks may have more rows than tokens (Qwen's have). scripts/make_pairs.py gave such ids to a reward model."""
    tokenizer = make_tokenizer()
    config = TransformerConfig(vocab_size=tokenizer.vocab_size + 9, max_position_embeddings=32, **SHAPE)
    save_weights(tmp_path / "padded.pth", random_network(config), tokenizer, stage="full_sft")
    assert load_model(tmp_path / "padded.pth").writable == tokenizer.vocab_size


def test_by_the_server(loaded):
    served = serve("served", loaded, CPU, "auto", 512)
    asked = completion({"model": "served", "prompt": "ab", "temperature": 2.0})
    exchange = Exchange(SimpleNamespace(submit=lambda writings: None), served, asked, [Prompt([1, 9])], 8, 60)
    assert [writing.row.sampling.vocabulary for writing in exchange.writings] == [LIMIT]


def test_in_greedy_answers(loaded):
    question = Question([1, 9, 11], "?", "a", 4, None, None)
    free, bound = (
        answer_all(
            loaded.model, loaded.tokenizer, [question], end_ids={2}, max_new_tokens=20, batch_size=1, vocabulary=limit
        )
        for limit in (0, LIMIT)
    )
    allowed = {loaded.tokenizer.decode([token]) for token in range(LIMIT)}
    assert set(bound[0].text) <= set("".join(allowed)) and not set(free[0].text) <= set("".join(allowed))


def test_in_replies(loaded, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "inference.instruct.decoded.Row", lambda ids, how, seed: seen.append(how) or Row(ids, how, seed)
    )
    list(Decoded(loaded, CPU, "auto", 1).replies([Request("a", 0.8, 0.95, 3, 1)]))
    assert [how.vocabulary for how in seen] == [LIMIT]
