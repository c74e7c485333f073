"""The runs of train_distill.py: where they begin, that no work is lost, and what they refuse."""

import re

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

import train_distill
from dataset.rows.chats import ChatRows
from inference import evaluation
from model.files.checkpoint import load_model, save_weights
from model.files.huggingface import export_folder
from model.text.tokenizer import Tokenizer
from tests.stages.workshop import SHAPE, SIZE, Workshop, assert_same_run, same, signal_at
from tests.support import make_tokenizer, random_network
from training.stages import on_policy
from training.stages.teacher import TaughtRows

RUN = ("--epochs=6", "--eval_interval=6", "--val_ratio=0.2", "--learning_rate=0.01")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    return Workshop.create(tmp_path_factory.mktemp("workshop"), "distill")


@pytest.fixture(scope="module")
def finished(workshop):
    return workshop.train("finished", *RUN)


# --- where it begins --------------------------------------------------------------------------------


@pytest.mark.parametrize("config_type", [LlamaConfig, Qwen2Config, Qwen3Config])
def test_folders_that_transformers_saved_are_teacher_and_student(workshop, config_type):
    """The teacher's embedding has rows that no token has, as imported ones may."""
    tokenizer, folders = Tokenizer.load(workshop.folder / "tokenizer"), {}
    for seed, (role, rows) in enumerate({"student": 0, "teacher": 8}.items()):
        folder = folders[role] = workshop.folder / f"{config_type.model_type}_{role}"
        torch.manual_seed(seed)
        size = tokenizer.vocab_size + rows
        config = config_type(vocab_size=size, max_position_embeddings=64, head_dim=16, **SHAPE)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        tokenizer.save(folder)
    out = f"from_{config_type.model_type}"
    words = (f"--from_weight={folders['student']}", f"--teacher_weight={folders['teacher']}")
    workshop.train(out, "--max_steps=3", *words)
    loaded = load_model(workshop.result(out).weight_file)
    export_folder(workshop.folder / "again", loaded.model, loaded.tokenizer)
    again = AutoModelForCausalLM.from_pretrained(workshop.folder / "again")
    assert again.config.model_type == config_type.model_type
    tokens = torch.arange(3, 19)[None]
    torch.testing.assert_close(again(tokens).logits, loaded.model(tokens), atol=1e-5, rtol=1e-5)


def test_names_are_looked_for_in_the_output_folder(workshop):
    folder = workshop.folder / "named"
    folder.mkdir()
    (folder / f"pretrain_{SIZE}.pth").write_bytes((workshop.folder / "start.pth").read_bytes())
    (folder / "full_sft_40.pth").write_bytes((workshop.folder / "teacher.pth").read_bytes())
    command = workshop.command("named", "--max_steps=1")
    for flag in ("--from_weight", "--teacher_weight"):
        place = command.index(flag)
        del command[place : place + 2]
    train_distill.main(command)
    assert (folder / f"distill_{SIZE}.pth").exists()


def test_a_dry_run_writes_no_weight(workshop):
    result = workshop.train("dry", "--dry_run")
    assert "dry run: one step took" in result.said and not list(result.folder.glob("*.pth"))


# --- several processes ------------------------------------------------------------------------------


def test_two_processes_have_the_curve_of_one(workshop):
    words = ("--epochs=2", "--val_ratio=0.1", "--eval_interval=3", "--batch_size=1", "--max_seq_len=50")
    words += ("--teacher_top_k=8",)
    one = workshop.train("one", *words, "--accumulation_steps=4", data=("chat_b.jsonl",))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    process = workshop.start("two", *words, "--accumulation_steps=2", launcher=launcher, data=("chat_b.jsonl",))
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    two = workshop.result("two")
    assert len(two.metrics) == len(one.metrics)
    for a, b in zip(two.metrics, one.metrics, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


# --- work is not lost -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, words",
    [("live", ()), ("kept", ("--teacher_top_k=8",)), ("sampled", ("--on_policy=0.7", "--max_new_tokens=6"))],
)
def test_a_signal_saves_and_the_run_goes_on_to_the_bit(workshop, name, words):
    """In `sampled` it comes while answers are drawn."""
    owner, watched_name, call = {
        "live": (ChatRows, "batch", 12),
        "kept": (TaughtRows, "batch", 12),
        "sampled": (on_policy, "generate_batch", 9),
    }[name]
    run = ("--epochs=4", "--eval_interval=4", "--val_ratio=0.2", "--learning_rate=0.01", *words)
    whole = workshop.train(f"whole_{name}", *run)
    with signal_at(owner, watched_name, call):
        code, said = workshop.fails(f"stopped_{name}", *run)
    stopped = workshop.result(f"stopped_{name}")
    assert code == 143 and 0 < stopped.facts["step"] < whole.facts["step"], said
    result = workshop.train(f"stopped_{name}", *run, "--resume")
    assert re.search("resumed .* at step", result.said)
    assert_same_run(result, whole)


def test_a_signal_in_validation_too(workshop, finished):
    with signal_at(evaluation, "next_token_scores", 2):
        code, _ = workshop.fails("validating", *RUN)
    assert code == 143
    assert_same_run(workshop.train("validating", *RUN, "--resume"), finished)


@pytest.mark.parametrize(
    "words, named",
    [
        (("--temperature=2",), "data.loss was"),
        (("--alpha=0.1",), "data.loss was"),
        (("--on_policy=0.5",), "data.on_policy was no"),
        (("--teacher_top_k=4",), "data.teacher was"),
    ],
)
def test_another_loss_or_teacher_is_refused_on_resuming_by_name(workshop, words, named):
    result = workshop.train("other_loss", "--max_steps=2")
    code, message = workshop.fails("other_loss", "--max_steps=2", "--resume", *words)
    assert code == 2 and named in message and message.count("\n") == 1
    assert same(result.weights, workshop.result("other_loss").weights)


# --- what cannot be done ----------------------------------------------------------------------------


def refusal(workshop, *words) -> str:
    code, message = workshop.fails("refused", "--max_steps=1", *words)
    assert code == 2 and message.count("\n") == 1, message
    return message


def test_a_teacher_with_another_tokenizer_is_refused(workshop):
    tokenizer = make_tokenizer(("ab",))
    network = load_model(workshop.folder / "teacher.pth").model
    other = random_network(network.config.replace(vocab_size=tokenizer.vocab_size))
    save_weights(workshop.folder / "foreign.pth", other, tokenizer, stage="full_sft")
    message = refusal(workshop, f"--teacher_weight={workshop.folder / 'foreign.pth'}")
    assert "foreign.pth has another tokenizer than the student" in message


@pytest.mark.parametrize(
    "words, named",
    [
        (("--on_policy=0.5", "--teacher_top_k=4"), "give one of the two"),
        (("--teacher_top_k=272",), "not less than all 272 tokens"),
        (("--loss_type=jsd", "--jsd_beta=0"), "--jsd_beta 0"),
        (("--preset=tiny", "--from_weight=pretrain"), "--preset tiny makes a new network, but pretrain"),
        (("--alpha=1.5",), "--alpha"),
        (("--on_policy=-0.1",), "--on_policy"),
        (("--temperature=0",), "--temperature"),
        (("--teacher_weight=nobody",), "there is no nobody_<hidden>.pth"),
        (("--teacher_weight=gone.pth",), "gone.pth does not exist"),
        (("--max_seq_len=65",), "--max_seq_len 65"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(workshop, words, named):
    assert named in refusal(workshop, *words)


def test_several_teachers_of_a_name_want_a_path(workshop):
    folder = workshop.folder / "refused"
    folder.mkdir(exist_ok=True)
    for size in (32, 40):
        (folder / f"mentor_{size}.pth").write_bytes((workshop.folder / "teacher.pth").read_bytes())
    assert "or choose by a path" in refusal(workshop, "--teacher_weight=mentor")


def test_own_answers_to_texts_are_refused(workshop):
    code, message = workshop.fails("texts_own", "--max_steps=1", "--on_policy=0.5", data=("a.jsonl",))
    assert code == 2 and "--on_policy answers conversations" in message and message.count("\n") == 1
