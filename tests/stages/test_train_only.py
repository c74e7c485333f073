"""train_pretrain.py --train_only embeddings: what moves, and what stays equal to the bit."""

import json

import pytest
import torch

from model.files.loading import load_model
from model.text.extend_bpe import extend
from model.text.tokenizer import Tokenizer
from model.whole import EMBEDDING, HEAD
from tests.stages.workshop import signal_at

CHINESE = ["今天天气很好，我们去公园散步。", "公园里有很多人在散步。", "明天天气不好，我们不去公园。"] * 40


@pytest.fixture(scope="module")
def extended(workshop):
    """The tokenizer of the workshop with Chinese tokens, and Chinese texts."""
    old = Tokenizer.load(workshop.folder / "tokenizer")
    extend(old, CHINESE, 20, 16).save(workshop.folder / "extended")
    lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in CHINESE)
    (workshop.folder / "chinese.jsonl").write_text("".join(lines), encoding="utf-8")
    return old.vocab_size


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_only_the_rows_of_new_tokens_learn(workshop, extended, tied, optimizer):
    head = () if tied else ("--no_tie_word_embeddings",)
    start = workshop.train(f"start_{tied}_{optimizer}", "--max_steps=2", *head).weight_file
    folder = workshop.folder
    begins = (
        *(f"--from_weight={start}", f"--tokenizer_path={folder / 'extended'}", "--train_only=embeddings"),
        *(f"--optimizer={optimizer}", "--learning_rate=0.01", "--epochs=9", "--max_steps=6"),
    )
    before = load_model(start, tokenizer_path=folder / "extended").model.state_dict()

    whole = workshop.train(f"whole_{tied}_{optimizer}", data=["chinese.jsonl"], begins=begins)
    matrices = {EMBEDDING} if tied else {EMBEDDING, HEAD}
    for name, tensor in whole.weights.items():
        if name in matrices:
            assert torch.equal(tensor[:extended], before[name][:extended]), name
            assert (tensor[extended:] != before[name][extended:]).any(dim=1).float().mean() > 0.5, name
        else:
            assert torch.equal(tensor, before[name]), name
    assert whole.losses[-1] < whole.losses[0] - 0.1

    out = f"half_{tied}_{optimizer}"
    with signal_at(torch.Tensor, "backward", 4):
        code, _ = workshop.fails(out, data=["chinese.jsonl"], begins=begins)
    assert code == 143
    resumed = workshop.train(out, "--resume", data=["chinese.jsonl"], begins=begins)
    assert all(torch.equal(resumed.weights[name], tensor) for name, tensor in whole.weights.items())


def test_without_new_tokens_all_rows_learn(workshop, capsys):
    start = workshop.train("start", "--max_steps=2")
    begins = (f"--from_weight={start.weight_file}", "--train_only=embeddings")
    result = workshop.train("all_rows", "--max_steps=2", begins=begins)
    moved = {name for name, tensor in result.weights.items() if not torch.equal(tensor, start.weights[name])}
    assert moved <= {EMBEDDING, HEAD} and moved


def test_it_needs_a_weight_and_no_frozen_layers(workshop, capsys):
    code, message = workshop.fails("new", "--train_only=embeddings")
    assert code == 2 and "--from_weight" in message
