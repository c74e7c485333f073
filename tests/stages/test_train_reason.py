"""train_reason.py from conversations that think to weights: what it computes and what it refuses."""

import json
import math

import pytest
import torch

from dataset.records.conversations import from_conversations
from dataset.rendering import ChatRenderer
from model.files.adapters import open_lora
from model.files.loading import load_model
from model.generation import generate_batch
from model.sampling import GREEDY
from tests.stages.workshop import SIZE, Workshop, same

LONG = "--max_seq_len=64"  # a thought and its answer
RUN = (LONG, "--epochs=12", "--eval_interval=10", "--val_ratio=0.2", "--learning_rate=0.01", "--tag_weight=3")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    return Workshop.create(tmp_path_factory.mktemp("workshop"), "reason")


@pytest.fixture(scope="module")
def finished(workshop):
    return workshop.train("finished", *RUN)


# --- what it computes -------------------------------------------------------------------------------


def test_it_learns_to_think_first(finished):
    measured = [line for line in finished.metrics if "val_loss" in line]
    assert measured[-1]["val_loss"] < measured[0]["val_loss"] - 0.5
    for line in finished.metrics:
        assert {"loss", "token_accuracy", "entropy"} <= line.keys()
        assert all(math.isfinite(value) for value in line.values())
    assert "no answer thinks" not in finished.said
    loaded = load_model(finished.weight_file)
    assert loaded.stage == "reason"
    renderer = ChatRenderer(loaded.tokenizer)
    prompt = renderer.prompt([{"role": "user", "content": "ab"}])
    (ids,) = generate_batch(loaded.model, [prompt], max_new_tokens=24, sampling=GREEDY, eos_ids={renderer.end_id})
    begin, end = renderer.think_ids
    assert ids[0] == begin and end in ids and ids[-1] == renderer.end_id


def tokens_scored_alone(workshop, name: str) -> list[tuple[bool, float]]:
    """Of every trained token: whether it is a tag, and -log p under the starting network, a conversation at a time."""
    loaded = load_model(workshop.folder / "start.pth")
    renderer, found = ChatRenderer(loaded.tokenizer), []
    for line in (workshop.folder / name).read_text("utf-8").splitlines():
        (chat,) = renderer.render([from_conversations(json.loads(line))])
        ids, trained = torch.tensor(chat.ids).long(), torch.tensor(chat.trained)
        with torch.no_grad():
            losses = -loaded.model(ids[None, :-1])[0].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        tags = [loaded.tokenizer.vocab[tag] for tag in ("<think>", "</think>")]
        scored = zip(ids[1:].tolist(), losses.tolist(), trained[1:].tolist())
        found += [(token in tags, loss) for token, loss, is_trained in scored if is_trained]
    return found


@pytest.mark.parametrize("weight", [1, 10, 0.5])
def test_the_first_loss_is_the_weighted_mean_over_the_answers_each_scored_alone(workshop, weight):
    words = (LONG, "--val_ratio=0", "--batch_size=64", "--accumulation_steps=1", "--max_steps=1")
    result = workshop.train(f"alone_{weight}", *words, f"--tag_weight={weight}", data=("thoughts_a.jsonl",))
    scored = tokens_scored_alone(workshop, "thoughts_a.jsonl")
    assert sum(is_tag for is_tag, _ in scored) == 2 * 24  # in the content and beside it alike
    weights = [weight if is_tag else 1 for is_tag, _ in scored]
    mean = sum(w * loss for w, (_, loss) in zip(weights, scored)) / sum(weights)
    assert result.losses[0] == pytest.approx(mean, abs=1e-5)
    assert result.metrics[0]["tokens"] == len(scored)  # a token counts once, whatever it weighs


def test_a_weight_of_one_is_fine_tuning_to_the_bit(workshop):
    words = (LONG, "--max_steps=6", "--learning_rate=0.005", "--val_ratio=0.2")
    ours = workshop.train("one", *words, "--tag_weight=1")
    theirs = Workshop(workshop.folder, "full_sft").train("tuned", *words, data=("thoughts_a.jsonl", "thoughts_b.jsonl"))
    assert ours.metrics == theirs.metrics and same(ours.weights, theirs.weights)


def test_neither_micro_batches_nor_packing_change_the_curve(workshop):
    common = (LONG, "--epochs=2", "--val_ratio=0", "--eval_interval=0", "--learning_rate=0.003", "--tag_weight=7")
    curves = [
        workshop.train(f"split_{rows}", *common, f"--batch_size={rows}", f"--accumulation_steps={8 // rows}")
        for rows in (8, 4, 1)
    ]
    for curve in curves[1:]:
        for a, b in zip(curve.metrics, curves[0].metrics, strict=True):
            assert a == pytest.approx(b, abs=2e-5)


# --- where it begins, and what it warns of ----------------------------------------------------------


def test_data_without_a_thought_are_warned_of_and_taken(workshop):
    result = workshop.train("thoughtless", "--max_steps=1", data=("chat_a.jsonl",))
    assert "warning: no answer thinks first" in result.said and result.weight_file.exists()
    mixed = workshop.train("mixed", LONG, "--max_steps=1", data=("chat_a.jsonl", "thoughts_a.jsonl"))
    assert "no answer thinks" not in mixed.said


def test_adapters_learn_to_think_alone(workshop):
    workshop.train("adapted", LONG, "--max_steps=2", "--lora", "--lora_rank=2")
    assert open_lora(workshop.folder / "adapted" / "lora" / f"reason_{SIZE}.pth").lora.rank == 2
    assert not list((workshop.folder / "adapted").glob("*.pth"))


# --- what cannot be done ----------------------------------------------------------------------------


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "much"])
def test_a_weight_that_is_no_number_above_zero_is_refused(workshop, weight):
    code, message = workshop.fails("refused", f"--tag_weight={weight}")
    assert code == 2 and "--tag_weight" in message and message.count("\n") == 1
