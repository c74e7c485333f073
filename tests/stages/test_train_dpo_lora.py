"""train_dpo.py --lora: adapters learn from pairs, and the reference is the network that they are on."""

import math
import re

import pytest
import torch

import eval_model
from model.files.loading import load_model
from model.files.reading import read_checkpoint
from model.fingerprint import fingerprint
from model.lora import Lora, add_lora
from model.whole import is_adapter
from tests.stages.workshop import SIZE, Workshop
from training.stages.reference import frozen_copy

RUN = ("--lora", "--lora_rank=4", "--epochs=6", "--eval_interval=4", "--val_ratio=0.2", "--learning_rate=0.01")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    return Workshop.create(tmp_path_factory.mktemp("workshop"), "dpo")


@pytest.fixture(scope="module")
def finished(workshop):
    return workshop.train("finished", *RUN)


def test_adapters_learn_which_answer_is_better_and_the_network_stays(workshop, finished):
    first, last = finished.metrics[0], finished.metrics[-1]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6) and first["rewards/margins"] == 0
    assert last["loss"] < 0.5 and last["rewards/accuracies"] == 1 and last["val_rewards/accuracies"] > 0.9
    assert re.findall("warning: (.*?) has", finished.said) == ["what is held out"]  # few pairs
    contents = read_checkpoint(finished.weight_file)
    network = load_model(workshop.folder / "start.pth").model
    assert contents["stage"] == "dpo" and contents["base"]["fingerprint"] == fingerprint(network)
    assert all(is_adapter(name) for name in contents["adapters"])
    assert not list((workshop.folder / "finished").glob("*.pth"))  # a network is written nowhere


def test_its_reference_is_that_of_training_the_whole_network(workshop, finished):
    """The same numbers: those of the network without adapters, whatever was drawn for these."""
    whole = Workshop(workshop.folder, "dpo").train(
        "whole", "--val_ratio=0.2", "--epochs=6", "--eval_interval=4"
    )  # the same rows
    kept = [
        sorted(file.read_bytes() for file in (workshop.folder / out / "cache" / "reference").glob("*.bin"))
        for out in ("finished", "whole")
    ]
    assert kept[0] == kept[1] and len(kept[0]) == 2
    for name in ("loss", "logps/chosen", "logps/rejected", "entropy"):
        assert finished.metrics[0][name] == pytest.approx(whole.metrics[0][name], abs=1e-6)


def test_a_live_reference_gives_the_numbers_of_the_precomputed_one(workshop, finished):
    live = workshop.train("live", *RUN, "--no_precompute_ref")
    assert not (workshop.folder / "live" / "cache" / "reference").exists()
    for a, b in zip(live.metrics, finished.metrics, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_a_live_reference_shares_what_does_not_learn(workshop):
    model = load_model(workshop.folder / "start.pth").model
    add_lora(model, Lora(4, 8.0))
    reference = frozen_copy(model)
    theirs = dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        assert (theirs[name] is parameter) == (not is_adapter(name))
    tokens = torch.arange(3, 19)[None]
    before = reference(tokens)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_adapter(name):
                parameter += 1
    assert torch.equal(reference(tokens), before) and not torch.equal(model(tokens), before)


def test_one_chats_with_them(workshop, finished, capsys):
    """On the network that they remember, under the name of their stage."""
    words = ("--model_mode", "2", "--lora", "dpo", "--prompt", "abc", "--temperature", "0", "--max_new_tokens", "8")
    eval_model.main([*words, "--device", "cpu", "--out_dir", str(workshop.folder / "finished")])
    said = capsys.readouterr()
    assert f"dpo_{SIZE}.pth (rank 4" in said.err and "start.pth" in said.err and said.out.startswith("> abc")


@pytest.mark.parametrize(
    "words, named",
    [
        (("--lora", "--lora_dropout=0.1"), "--lora_dropout would let chance into the comparison"),
        (("--lora_rank=4",), "--lora_rank is for --lora, which is not given"),
        (("--lora", "--optimizer=muon"), "drop --optimizer muon"),
    ],
)
def test_flags_that_make_no_sense_are_one_sentence(workshop, words, named):
    code, message = workshop.fails("refused", *words)
    assert code == 2 and named in message and message.count("\n") == 1
