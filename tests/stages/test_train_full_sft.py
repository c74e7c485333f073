"""train_full_sft.py from conversations to weights: what it trains and what it leaves."""

import json
import math
from collections import Counter

import pytest
import torch

import train_full_sft
from dataset.records.conversations import Conversation
from dataset.rendering import ChatRenderer
from dataset.rows.chats import CHATS
from dataset.rows.rows import Rows
from model.files.loading import load_model
from model.likelihood import evaluate
from model.text.tokenizer import Tokenizer
from tests.stages.workshop import Workshop
from training.stages.data import open_data

RUN = ("--epochs=4", "--eval_interval=5", "--sample_interval=10", "--val_ratio=0.2", "--learning_rate=0.005")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    return Workshop.create(tmp_path_factory.mktemp("workshop"), "full_sft")


@pytest.fixture(scope="module")
def finished(workshop):
    """A run over four epochs that validates and samples on the way."""
    return workshop.train("finished", *RUN)


# --- what a run leaves ------------------------------------------------------------------------------


def test_metrics_hold_what_is_documented_and_it_learns(finished):
    measured = [line for line in finished.metrics if line["step"] % 5 == 0]
    for line in measured:
        assert {"val_loss", "val_token_accuracy", "loss", "lr", "grad_norm", "tokens", "trained_share"} <= set(line)
        assert all(math.isfinite(value) for value in line.values())
        assert 0 <= line["token_accuracy"] <= 1 and 0 < line["entropy"] < math.log(272) + 1e-3
        assert line["trained_share"] < 0.5  # headers and questions train nothing
    assert measured[-1]["val_loss"] < measured[0]["val_loss"] - 0.5
    assert measured[-1]["val_token_accuracy"] > measured[0]["val_token_accuracy"]
    for text in ("format conversations", "validation loss", "token accuracy", "Hello! Who are you? | "):
        assert text in finished.said


def test_the_weight_says_what_it_is_and_its_validation_was_logged(finished, workshop):
    loaded = load_model(finished.weight_file)
    assert loaded.stage == "full_sft"
    args = train_full_sft.parse_arguments(workshop.command("finished", "--val_ratio=0.2"))
    _, validation = open_data(CHATS, args, loaded.tokenizer, lambda line: None)
    result = evaluate(loaded.model, validation.batches(2))
    last = [line for line in finished.metrics if "val_loss" in line][-1]
    assert last["step"] == finished.facts["step"]
    assert last["val_loss"] == pytest.approx(result.loss, abs=1e-6)
    assert last["val_token_accuracy"] == pytest.approx(result.token_accuracy, abs=1e-9)


# --- what is trained --------------------------------------------------------------------------------


def test_the_answers_are_trained_once_an_epoch_and_nothing_else(workshop, monkeypatch):
    seen = []
    honest = Rows.batch

    def watched(self, epoch, places):
        seen.append(honest(self, epoch, places))
        return seen[-1]

    monkeypatch.setattr(Rows, "batch", watched)
    names = ("chat_a.jsonl", "chat_b.jsonl")
    result = workshop.train("epoch", "--val_ratio=0", "--max_seq_len=64", data=names)
    trained = Counter(t for batch in seen for t in batch.targets[batch.targets >= 0].tolist())
    tokenizer = Tokenizer.load(workshop.folder / "tokenizer")
    records = [json.loads(line) for name in names for line in (workshop.folder / name).read_text("utf-8").splitlines()]
    answers = [m["content"] for r in records for m in r["conversations"] if m["role"] == "assistant"]
    assert trained == Counter(t for answer in answers for t in (*tokenizer.encode(answer), tokenizer.eos_id))
    assert result.metrics[-1]["tokens"] == trained.total()


def test_the_first_loss_is_the_mean_over_the_answers_each_scored_alone(workshop):
    """Neither what shares a row nor the batch changes it: here against one conversation at a time."""
    result = workshop.train("alone", "--val_ratio=0", "--batch_size=64", "--max_steps=1", data=("chat_a.jsonl",))
    loaded = load_model(workshop.folder / "start.pth")
    renderer = ChatRenderer(loaded.tokenizer)
    nats, count = 0.0, 0
    for line in (workshop.folder / "chat_a.jsonl").read_text("utf-8").splitlines():
        (chat,) = renderer.render([Conversation(tuple(json.loads(line)["conversations"]))])
        ids, trained = torch.tensor(chat.ids[:33]).long(), torch.tensor(chat.trained[:33])
        with torch.no_grad():
            losses = -loaded.model(ids[None, :-1])[0].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        nats, count = nats + losses[trained[1:]].sum().item(), count + int(trained[1:].sum())
    assert result.metrics[0]["tokens"] == count
    assert result.losses[0] == pytest.approx(nats / count, abs=1e-5)
