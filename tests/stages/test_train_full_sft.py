"""train_full_sft.py from conversations to weights: what it trains, what it leaves, what it begins with."""

import json
import math
import re
from collections import Counter

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

import train_full_sft
from dataset.records.conversations import Conversation
from dataset.rendering import ChatRenderer
from dataset.rows.chats import ChatRows
from inference import evaluation
from inference.evaluation import evaluate
from model.files.checkpoint import load_model
from model.files.huggingface import export_folder
from model.text.tokenizer import Tokenizer
from tests.stages.workshop import SHAPE, SIZE, Workshop, assert_same_run, same, signal_at, write_chats
from training.stages.data import open_chats

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
    _, validation = open_chats(args, loaded.tokenizer, lambda line: None)
    result = evaluate(loaded.model, validation.batches(2), device=torch.device("cpu"))
    last = [line for line in finished.metrics if "val_loss" in line][-1]
    assert last["step"] == finished.facts["step"]
    assert last["val_loss"] == pytest.approx(result.loss, abs=1e-6)
    assert last["val_token_accuracy"] == pytest.approx(result.token_accuracy, abs=1e-9)


# --- what is trained --------------------------------------------------------------------------------


def test_the_answers_are_trained_once_an_epoch_and_nothing_else(workshop, monkeypatch):
    seen = []
    honest = ChatRows.batch

    def watched(self, epoch, places):
        seen.append(honest(self, epoch, places))
        return seen[-1]

    monkeypatch.setattr(ChatRows, "batch", watched)
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


# --- where it begins --------------------------------------------------------------------------------


def test_it_begins_with_the_pretrained_weight_when_nothing_is_said(workshop):
    folder = workshop.folder / "default"
    folder.mkdir()
    (folder / f"pretrain_{SIZE}.pth").write_bytes((workshop.folder / "start.pth").read_bytes())
    command = workshop.command("default", "--max_steps=1")
    position = command.index("--from_weight")
    del command[position : position + 2]
    train_full_sft.main(command)
    assert (folder / f"full_sft_{SIZE}.pth").exists() and (folder / f"pretrain_{SIZE}.pth").exists()


@pytest.mark.parametrize("config_type", [LlamaConfig, Qwen2Config, Qwen3Config])
def test_a_folder_that_transformers_saved_is_fine_tuned_and_exported_again(workshop, config_type):
    folder = workshop.folder / config_type.model_type
    tokenizer = Tokenizer.load(workshop.folder / "tokenizer")
    torch.manual_seed(0)
    config = config_type(vocab_size=tokenizer.vocab_size, max_position_embeddings=64, head_dim=16, **SHAPE)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save(folder)
    command = workshop.command(f"from_{config_type.model_type}", "--max_steps=3")
    command[command.index("--from_weight") + 1] = str(folder)
    train_full_sft.main(command)

    result = workshop.result(f"from_{config_type.model_type}")
    assert result.facts["step"] == 3 and result.metrics[0]["lr"] < 1e-3  # imported networks are changed gently
    loaded = load_model(result.weight_file)
    export_folder(workshop.folder / "again", loaded.model, loaded.tokenizer)
    again = AutoModelForCausalLM.from_pretrained(workshop.folder / "again")
    assert again.config.model_type == config_type.model_type
    tokens = torch.arange(3, 19)[None]
    torch.testing.assert_close(again(tokens).logits, loaded.model(tokens), atol=1e-5, rtol=1e-5)


# --- several processes ------------------------------------------------------------------------------


def test_two_processes_have_the_curve_of_one(workshop):
    """At the same total batch, with what is measured beside the loss; the last step has no rows for one of the two."""
    words = ("--epochs=2", "--val_ratio=0.1", "--eval_interval=3", "--batch_size=1", "--max_seq_len=50")
    one = workshop.train("one", *words, "--accumulation_steps=4", data=("chat_b.jsonl",))
    rows = int(re.search(r"an epoch: (\d+) rows", one.said)[1])
    assert rows % 4 == 1

    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    process = workshop.start("two", *words, "--accumulation_steps=2", launcher=launcher, data=("chat_b.jsonl",))
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors

    two = workshop.result("two")
    assert len(two.metrics) == len(one.metrics) == 2 * -(-rows // 4)
    for a, b in zip(two.metrics, one.metrics, strict=True):
        assert "token_accuracy" in a and a == pytest.approx(b, abs=1e-5)
    for name, tensor in two.weights.items():
        assert (tensor - one.weights[name]).abs().max() < 1e-4, name


# --- work is not lost -------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["training", "validation"])
def test_a_signal_saves_and_the_run_goes_on_to_the_bit(workshop, finished, phase):
    owner, name, call = {"training": (ChatRows, "batch", 14), "validation": (evaluation, "next_token_scores", 4)}[phase]
    with signal_at(owner, name, call):
        code, _ = workshop.fails(phase, *RUN)
    stopped = workshop.result(phase)
    assert code == 143 and 0 < stopped.facts["step"] < finished.facts["step"]
    result = workshop.train(phase, *RUN, "--resume")
    assert re.search("resumed .* at step", result.said)
    assert_same_run(result, finished)


def test_other_data_are_refused_on_resuming(workshop):
    result = workshop.train("changed", "--max_steps=2")
    before = result.weights
    write_chats(workshop.folder / "other.jsonl", 16, seed=9)
    code, message = workshop.fails("changed", "--max_steps=2", "--resume", data=("other.jsonl",))
    assert code == 2 and "data.training was" in message and message.count("\n") == 1
    assert same(result.weights, before)


# --- what cannot be done ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line, named",
    [
        ({"text": "a document"}, "the shape is unknown"),
        ({"conversations": [{"role": "user", "content": "no answer"}]}, "assistant"),
        ({"conversations": [{"role": "robot", "content": "x"}]}, "role"),
    ],
)
def test_what_is_no_conversation_is_said_with_its_place(workshop, line, named):
    good = (workshop.folder / "chat_a.jsonl").read_text("utf-8").splitlines()[:12]
    text = json.dumps(line) if "text" in line else "\n".join([*good[:2], json.dumps(line), *good[2:]])
    (workshop.folder / "bad.jsonl").write_text(text + "\n")
    code, message = workshop.fails("bad", "--max_steps=1", data=("bad.jsonl",))
    assert code == 1 and named in message and message.count("\n") == 1
    assert ("bad.jsonl:1" if "text" in line else "bad.jsonl:3") in message


def test_a_missing_pretrained_weight_is_said(workshop):
    command = workshop.command("nothing", "--max_steps=1")
    position = command.index("--from_weight")
    del command[position : position + 2]
    with pytest.raises(Exception, match="there is no pretrain_<hidden>.pth .*train that stage first"):
        train_full_sft.main(command)
