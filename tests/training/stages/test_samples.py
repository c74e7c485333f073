"""Samples end where the model ends them."""

import contextlib
import json
from types import SimpleNamespace

import pytest

from dataset.rendering import ChatRenderer
from model.text.tokenizer import Tokenizer
from training.stages import samples


@pytest.mark.parametrize("eos", ["<|im_end|>", "<|endoftext|>"])
def test_an_answer_ends_with_its_turn_whatever_ends_a_text(monkeypatch, eos):
    files = Tokenizer.load().files
    settings = json.loads(files["tokenizer_config.json"]) | {"eos_token": eos}
    tokenizer = Tokenizer.from_files(files | {"tokenizer_config.json": json.dumps(settings)})
    ends = []

    def generate(model, prompts, *, eos_ids, **settings):
        ends.append(eos_ids)
        return [tokenizer.encode("Yes") for _ in prompts]

    monkeypatch.setattr(samples, "generate_batch", generate)
    monkeypatch.setattr(samples, "new_generator", lambda device, seed: None)
    run = SimpleNamespace(inference=contextlib.nullcontext, device=None, args=SimpleNamespace(seed=0), poll=None)
    assert "| Yes" in samples.answer_questions(run, None, tokenizer, ChatRenderer(tokenizer))
    assert tokenizer.vocab["<|im_end|>"] in ends[0] and tokenizer.eos_id in ends[0]
