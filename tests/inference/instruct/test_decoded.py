"""Replies of a network of ours: what it learned, whether it ended, and where a turn of the user begins."""

import copy

import pytest
import torch

from dataset.rendering import ChatRenderer
from inference.instruct.decoded import Decoded, opening_of_user
from inference.instruct.requests import Request
from model.device import Device
from model.files.loading import Loaded
from tests.stages.talker import GO_ON, talker


@pytest.fixture(scope="module")
def decoded():
    model, tokenizer = talker()
    device = Device(torch.device("cpu"), torch.float32, "of the tests")
    return Decoded(
        Loaded(copy.deepcopy(model), tokenizer, "full_sft", {}, "talker", torch.float32), device, "auto", slots=2
    )


def test_replies(decoded):
    model, tokenizer = talker()
    prompt = ChatRenderer(tokenizer).prompt([{"role": "user", "content": "Capital of France?"}])
    full = "x" * (model.config.max_position_embeddings - len(prompt) + len("Capital of France?"))
    asked = ["Capital of France?", GO_ON, "法国的首都？", full, "Capital of France?"]
    found = dict(decoded.replies([Request(text, 0.01, 1.0, 24, seed) for seed, text in enumerate(asked)]))
    assert [found[place].text for place in (0, 2, 4)] == ["Paris.", "巴黎。", "Paris."]
    assert [found[place].finish for place in range(5)] == ["stop", "length", "stop", "refused", "stop"]
    assert found[1].tokens_out == 24
    assert (found[0].tokens_in, found[0].tokens_out) == (len(prompt), len("Paris.") + 1)


def test_a_reply_is_a_function_of_its_seed_and_sampled_as_asked(decoded):
    asked = [Request(GO_ON, 30.0, top_p, 12, seed) for top_p in (1.0, 1e-9) for seed in (1, 1, 2)]
    replies = dict(decoded.replies(asked))
    texts = [replies[place].text for place in range(6)]
    assert texts[0] == texts[1] != texts[2] and texts[3] == texts[4] == texts[5] == "na " * 4


def test_the_users_turn_begins_as_in_the_template(decoded):
    _, tokenizer = talker()
    assert tokenizer.decode(opening_of_user(ChatRenderer(tokenizer)), False) == "<|im_start|>user\n"
    ((_, reply),) = decoded.replies([Request(None, 1.0, 1.0, 8, 1)])
    assert 1 <= reply.tokens_out <= 8
