"""What a stage looks at now and then: samples end where the model ends them, and validation says what it found."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dataset.rendering import ChatRenderer
from model.likelihood import Evaluation
from model.text.tokenizer import Tokenizer
from training.stages import chat_samples, checks


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
    samples = chat_samples.answer_questions(None, ChatRenderer(tokenizer), machine, seed=0)
    assert [each["answer"] for each in samples] == ["Yes"] * 4 and samples[3]["prompt"] == "法国的首都是哪里？"
    assert tokenizer.vocab["<|im_end|>"] in ends[0] and tokenizer.eos_id in ends[0]


@pytest.mark.parametrize(
    ("total_bytes", "measure", "words"),
    [(40, "val_bits_per_byte", " bits per byte"), (0, "val_token_accuracy", ", token accuracy ")],
)
def test_a_validation_says_what_it_found(monkeypatch, total_bytes, measure, words):
    found = Evaluation(nats=8.0, targets=4, bytes=total_bytes, correct=3)
    monkeypatch.setattr(checks, "evaluate", lambda *args, **settings: found)
    machine = SimpleNamespace(device=None, inference=None, poll=None)
    rows = SimpleNamespace(batches=lambda size, first, every: [], bytes=total_bytes)
    result = checks.validate(None, rows, machine, 2)
    value = found.bits_per_byte if total_bytes else 0.75
    assert result.measures == {"val_loss": 2.0, measure: value}
    assert str(result).startswith("validation loss 2.0000, perplexity 7.39, ") and words in str(result)


def test_a_new_network_and_its_checks_load_nothing_of_inference():
    modules = "training.stages.checks, training.stages.starting_point, training.stages.data, training.engine.run"
    code = f"import sys, {modules}; print([name for name in sys.modules if name.startswith('inference')])"
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
