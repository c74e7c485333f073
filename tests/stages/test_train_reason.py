"""train_reason.py from conversations that think to weights: what it computes, that it resumes, and what it refuses."""

import json
import math
import re

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

import train_reason
from dataset.records.conversations import from_conversations
from dataset.rendering import ChatRenderer
from dataset.rows.chats import ChatRows
from inference import evaluation
from model.files.adapters import open_lora
from model.files.checkpoint import load_model
from model.files.huggingface import export_folder
from model.generation import generate_batch
from model.sampling import GREEDY
from model.text.tokenizer import Tokenizer
from tests.stages.workshop import SHAPE, SIZE, Workshop, assert_same_run, same, signal_at

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


@pytest.mark.parametrize("config_type", [LlamaConfig, Qwen2Config, Qwen3Config])
def test_a_folder_that_transformers_saved_learns_to_think_and_is_exported_again(workshop, config_type):
    folder = workshop.folder / config_type.model_type
    tokenizer = Tokenizer.load(workshop.folder / "tokenizer")
    torch.manual_seed(0)
    config = config_type(vocab_size=tokenizer.vocab_size, max_position_embeddings=64, head_dim=16, **SHAPE)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save(folder)
    command = workshop.command(f"from_{config_type.model_type}", LONG, "--max_steps=3")
    command[command.index("--from_weight") + 1] = str(folder)
    train_reason.main(command)

    loaded = load_model(workshop.result(f"from_{config_type.model_type}").weight_file)
    export_folder(workshop.folder / "again", loaded.model, loaded.tokenizer)
    again = AutoModelForCausalLM.from_pretrained(workshop.folder / "again")
    assert again.config.model_type == config_type.model_type
    tokens = torch.arange(3, 19)[None]
    torch.testing.assert_close(again(tokens).logits, loaded.model(tokens), atol=1e-5, rtol=1e-5)


def test_data_without_a_thought_are_warned_of_and_taken(workshop):
    result = workshop.train("thoughtless", "--max_steps=1", data=("chat_a.jsonl",))
    assert "warning: no answer thinks first" in result.said and result.weight_file.exists()
    mixed = workshop.train("mixed", LONG, "--max_steps=1", data=("chat_a.jsonl", "thoughts_a.jsonl"))
    assert "no answer thinks" not in mixed.said


def test_adapters_learn_to_think_alone(workshop):
    workshop.train("adapted", LONG, "--max_steps=2", "--lora", "--lora_rank=2")
    assert open_lora(workshop.folder / "adapted" / "lora" / f"reason_{SIZE}.pth").lora.rank == 2
    assert not list((workshop.folder / "adapted").glob("*.pth"))


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


def test_another_weight_of_the_tags_is_refused_on_resuming_by_name(workshop):
    workshop.train("changed", LONG, "--max_steps=2", "--tag_weight=2")
    code, message = workshop.fails("changed", LONG, "--max_steps=2", "--tag_weight=3", "--resume")
    assert code == 2 and "data.loss was tag_weight 2, is tag_weight 3" in message and message.count("\n") == 1


# --- what cannot be done ----------------------------------------------------------------------------


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "much"])
def test_a_weight_that_is_no_number_above_zero_is_refused(workshop, weight):
    code, message = workshop.fails("refused", f"--tag_weight={weight}")
    assert code == 2 and "--tag_weight" in message and message.count("\n") == 1


@pytest.mark.parametrize(
    "line, named",
    [
        ({"conversations": [{"role": "user", "content": "x", "reasoning_content": "y"}]}, "reasoning_content"),
        ({"conversations": [{"role": "user", "content": "no answer"}]}, "assistant"),
        (
            {"conversations": [{"role": "user", "content": "x"}, {"role": "assistant", "reasoning_content": 3}]},
            "reasoning_content",
        ),
    ],
)
def test_what_is_no_conversation_is_said_with_its_place(workshop, line, named):
    good = (workshop.folder / "thoughts_a.jsonl").read_text("utf-8").splitlines()[:12]
    (workshop.folder / "bad.jsonl").write_text("\n".join([*good[:2], json.dumps(line), *good[2:]]) + "\n")
    code, message = workshop.fails("bad", LONG, "--max_steps=1", data=("bad.jsonl",))
    assert code == 1 and named in message and "bad.jsonl:3" in message and message.count("\n") == 1


def test_a_missing_weight_is_said(workshop):
    command = workshop.command("nothing", "--max_steps=1")
    position = command.index("--from_weight")
    del command[position : position + 2]
    with pytest.raises(Exception, match="there is no full_sft_<hidden>.pth .*train that stage first"):
        train_reason.main(command)
