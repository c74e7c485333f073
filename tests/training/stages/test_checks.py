"""What a stage looks at now and then: samples end where the model ends them, and validation says what it found."""

import contextlib
import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dataset.cache.token_cache import build_or_open
from dataset.rendering import ChatRenderer
from dataset.rows.rows import ValidationRows
from dataset.rows.texts import TEXTS
from inference.benchmark.report import table
from inference.benchmark.scores import Score
from inference.terminal import figures_in_words
from model.config import TransformerConfig
from model.errors import in_short
from model.likelihood import Evaluation
from model.text.tokenizer import Tokenizer
from tests.stages.table import SHAPE
from tests.support import make_tokenizer, random_network
from training.stages import chat_samples, checks

NETWORK = SimpleNamespace(config=TransformerConfig())  # as far as samples ask


@pytest.mark.parametrize("eos", ["<|im_end|>", "<|endoftext|>"])
def test_an_answer_ends_with_its_turn_whatever_ends_a_text(monkeypatch, eos):
    files = Tokenizer.load().files
    settings = json.loads(files["tokenizer_config.json"]) | {"eos_token": eos}
    tokenizer = Tokenizer.from_files(files | {"tokenizer_config.json": json.dumps(settings)})
    ends = []

    def generate(model, prompts, *, eos_ids, **settings):
        ends.append(eos_ids)
        return [tokenizer.encode("Yes") for _ in prompts]

    monkeypatch.setattr(checks, "generate_batch", generate)
    monkeypatch.setattr(checks, "new_generator", lambda device, seed: None)
    machine = SimpleNamespace(inference=contextlib.nullcontext, device=None, poll=None)
    samples = chat_samples.answer_questions(NETWORK, ChatRenderer(tokenizer), machine, seed=0)
    assert [each["answer"] for each in samples] == ["Yes"] * 4 and samples[3]["prompt"] == "法国的首都是哪里？"
    assert tokenizer.vocab["<|im_end|>"] in ends[0] and tokenizer.eos_id in ends[0]


def test_a_text_to_be_continued_begins_as_in_training_and_ends_as_the_tokenizer_says(monkeypatch):
    tokenizer, asked = make_tokenizer(), []

    def generate(model, prompts, *, eos_ids, max_new_tokens, **settings):
        asked.append((prompts, eos_ids, max_new_tokens))
        return [tokenizer.encode("home") for _ in prompts]

    monkeypatch.setattr(checks, "generate_batch", generate)
    machine = SimpleNamespace(inference=contextlib.nullcontext, device="cpu", poll=None)
    samples = checks.continue_prompts(NETWORK, tokenizer, machine, seed=0, max_new_tokens=7)
    assert samples == [{"prompt": prompt, "answer": "home"} for prompt in checks.PROMPTS]
    prompts = [[tokenizer.bos_id, *tokenizer.encode(prompt)] for prompt in checks.PROMPTS]
    assert asked == [(prompts, tokenizer.end_ids, 7)]


def test_a_network_too_short_for_one_question_answers_the_others():
    """Its run ended at the first sample, with the request to shorten a prompt that no user had chosen."""
    network = random_network(TransformerConfig(vocab_size=16, max_position_embeddings=4, **SHAPE))
    machine = SimpleNamespace(inference=contextlib.nullcontext, device="cpu", poll=None)
    prompts = [[5, 6], [5, 6, 7, 8], [9]]
    spelling = SimpleNamespace(vocab_size=16, end_ids=frozenset())
    assert list(map(len, checks.write_samples(network, prompts, 9, spelling, machine, seed=0))) == [2, 0, 2]
    assert checks.write_samples(network, prompts[1:2], 9, spelling, machine, seed=0) == [[]]


@pytest.mark.parametrize("wrap", [lambda tokenizer: tokenizer, ChatRenderer])
def test_samples_hold_tokens_alone_of_a_network_with_more_rows(wrap):
    spelling = wrap(make_tokenizer())
    rows = 4 * spelling.vocab_size
    network = random_network(TransformerConfig(vocab_size=rows, max_position_embeddings=32, **SHAPE))
    machine = SimpleNamespace(inference=contextlib.nullcontext, device="cpu", poll=None)
    written = checks.write_samples(network, [[5, 6]] * 4, 16, spelling, machine, seed=0)
    assert max(map(max, written)) < spelling.vocab_size


@pytest.mark.parametrize(
    ("total_bytes", "measure", "words"),
    [(40, "val_bits_per_byte", " bits per byte"), (0, "val_token_accuracy", ", token accuracy ")],
)
def test_a_validation_says_what_it_found(monkeypatch, total_bytes, measure, words):
    found = Evaluation(nats=8.0, targets=4, correct=3)
    monkeypatch.setattr(checks, "evaluate", lambda *args, **settings: found)
    machine = SimpleNamespace(move=None, inference=None, poll=None)
    rows = SimpleNamespace(batches=lambda size, first, every: [], bytes=total_bytes, bytes_of=lambda targets: 40)
    result = checks.validate(None, rows, machine, 2)
    value = found.bits_per_byte(40) if total_bytes else 0.75
    assert result.measures == {"val_loss": 2.0, measure: value}
    assert result.words.startswith("validation loss 2.0000, perplexity 7.39, ") and words in result.words


def test_a_perplexity_beyond_all_bounds_stays_short(monkeypatch):
    monkeypatch.setattr(checks, "evaluate", lambda *args, **settings: Evaluation(2400.0, 4, 3))
    rows = SimpleNamespace(batches=lambda size, first, every: [], bytes=0)
    result = checks.validate(None, rows, SimpleNamespace(move=None, inference=None, poll=None), 2)
    assert result.words.startswith("validation loss 600.0000, perplexity 3.77e+260, token accuracy")
    assert figures_in_words({"perplexity": math.exp(600), "tokens": 4}) == "perplexity 3.77e+260  tokens 4"
    assert "3.77e+260" in table([("text", Score("perplexity", 1, math.exp(600)))])[1]
    assert (in_short(math.inf, 2), in_short(999999.0, 2)) == ("inf", "999999.00")


class Undecided:
    """Finds all 272 tokens equally likely, so each target is 8.09 bits."""

    training, lm_head = False, SimpleNamespace(weight=torch.zeros(272, 4))

    def train(self, mode=True):
        pass

    eval = train

    def features(self, tokens, positions):
        return torch.zeros(*tokens.shape, 4)


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_bits_per_byte_are_of_the_targets_that_are_scored(tmp_path, kept):
    """Three rows of 16, 16 and 3 targets: so many bytes go with each, not a third of all."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "%s"}\n' % ("a" * 34))  # a byte is a token; its end is the 35th target
    cache = build_or_open(path, make_tokenizer(), TEXTS.cache, val_ratio=1, cache_dir=tmp_path, progress=False)
    rows = ValidationRows(TEXTS, [cache], 16)
    assert (len(rows), rows.tokens, rows.bytes) == (3, 35, 34)
    rows.keep(kept)
    machine = SimpleNamespace(move=lambda batch: batch, inference=contextlib.nullcontext, poll=lambda: None)
    found = checks.validate(Undecided(), rows, machine, 2).measures["val_bits_per_byte"]
    assert found == pytest.approx(math.log2(272) * 35 / 34, rel=0.03)
    assert kept < 3 or found == pytest.approx(math.log2(272) * 35 / 34)


def test_a_new_network_and_its_checks_load_nothing_of_inference():
    modules = "training.stages.checks, training.stages.starting_point, training.stages.data, training.engine.run"
    code = f"import sys, {modules}; print([name for name in sys.modules if name.startswith('inference')])"
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
