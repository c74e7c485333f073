"""train_lora.py and --lora: what learns, what is written, what it goes on with, and what it is used with."""

import json

import pytest

import eval_model
import train_full_sft
from model.files.adapters import open_lora
from model.files.checkpoint import save_weights
from model.files.loading import load_model
from model.files.reading import read_checkpoint
from model.fingerprint import fingerprint
from model.lora import TARGETS, merge_lora
from model.whole import is_adapter
from tests.stages.workshop import SIZE, Workshop, same
from tests.support import random_network
from training.stages.arguments import run_main

RUN = ("--epochs=4", "--eval_interval=5", "--val_ratio=0.2", "--learning_rate=0.002", "--lora_rank=4")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    return Workshop.create(tmp_path_factory.mktemp("workshop"), "lora")


@pytest.fixture(scope="module")
def finished(workshop):
    """A run over four epochs that validates on the way."""
    return workshop.train("finished", *RUN)


def base_of(workshop):
    return load_model(workshop.folder / "start.pth").model


# --- what it trains, and what it leaves -------------------------------------------------------------


def test_it_learns_and_leaves_adapters_alone(workshop, finished):
    measured = [line for line in finished.metrics if "val_loss" in line]
    assert measured[-1]["val_loss"] < measured[0]["val_loss"] - 1
    contents = read_checkpoint(finished.weight_file)
    assert {"rank", "alpha", "targets", "base", "adapters"} < set(contents) and "model" not in contents
    assert (contents["rank"], contents["alpha"], contents["targets"]) == (4, 32.0, list(TARGETS))
    assert contents["base"] == {
        "fingerprint": fingerprint(base_of(workshop)),
        "path": str(workshop.folder / "start.pth"),
    }
    state = read_checkpoint(finished.resume_file)
    assert all(is_adapter(name) for name in [*contents["adapters"], *state["networks"]["model"]])
    trained = sum(tensor.numel() for tensor in contents["adapters"].values())
    total = trained + sum(p.numel() for p in base_of(workshop).parameters())
    assert f"{trained / 1e6:.3f} M trained ({trained / total:.1%})" in finished.said
    facts = json.loads((finished.logs / "run.json").read_text())
    assert (facts["stage"], facts["trained_parameters"]) == ("lora", trained)
    assert not list((workshop.folder / "finished").glob("*.pth"))  # a network is written nowhere


def test_the_logged_validation_is_that_of_the_network_with_what_was_saved(workshop, finished, capsys):
    chats = str(workshop.folder / "chat_a.jsonl")
    words = ["--model_mode", "1", "--data_path", chats, "--json", "--device", "cpu", "--dtype", "float32"]
    out = ["--out_dir", str(workshop.folder / "finished")]
    losses = []
    eval_model.main([*words, *out, "--lora", "lora"])  # on the network that the adapters remember
    losses.append(json.loads(capsys.readouterr().out))
    merged = load_model(workshop.folder / "start.pth")
    open_lora(finished.weight_file).attach(merged.model)
    merge_lora(merged.model)
    path = workshop.folder / "merged_32.pth"
    save_weights(path, merged.model, merged.tokenizer, stage="lora")
    for weight in (path, workshop.folder / "start.pth"):
        eval_model.main([*words, "--weight_path", str(weight)])
        losses.append(json.loads(capsys.readouterr().out))
    with_lora, of_merged, without = losses
    assert with_lora["lora"] == "lora" and with_lora["loss"] == of_merged["loss"] < without["loss"] - 0.3


def test_it_is_fine_tuning_with_lora_to_the_bit_and_begins_at_the_loss_of_the_network(workshop):
    words = ("--max_steps=4", "--learning_rate=0.02", "--lora_targets", "attention", "down_proj")
    ours = workshop.train("alone", *words)
    theirs = Workshop(workshop.folder, "full_sft").train("under_sft", *words, "--lora")
    assert theirs.losses == ours.losses and same(theirs.weights, ours.weights)
    assert {name.split(".")[-3] for name in ours.weights} == {"q_proj", "k_proj", "v_proj", "o_proj", "down_proj"}
    whole = Workshop(workshop.folder, "full_sft").train("whole", "--max_steps=1")
    assert whole.losses[0] == ours.losses[0]


def test_rate_optimizer_and_name_are_those_of_adapters(workshop):
    (workshop.folder / "flags.yaml").write_text("lora_name: medic\nlora_rank: 2\n")
    said = workshop.train("named", "--max_steps=1", "--config", str(workshop.folder / "flags.yaml")).said
    assert "adamw: 0.0015, as adapters learn" in said
    assert open_lora(workshop.folder / "named" / "lora" / f"medic_{SIZE}.pth").lora.rank == 2
    parse = train_full_sft.parse_arguments
    assert [parse(words).optimizer for words in ([], ["--lora"])] == ["muon", "adamw"]
    (workshop.folder / "flags.yaml").write_text("lora: true\n")
    assert parse(["--config", str(workshop.folder / "flags.yaml")]).optimizer == "adamw"


def test_dropout_drops_the_same_again_where_activations_are_recomputed(workshop):
    words = ("--max_steps=4", "--learning_rate=0.02", "--lora_dropout=0.5")
    plain = workshop.train("plain", *words)
    recomputed = workshop.train("recomputed", *words, "--activation_checkpointing")
    assert recomputed.losses == pytest.approx(plain.losses, abs=1e-6)
    assert workshop.train("calm", *words[:2]).losses[-1] != pytest.approx(plain.losses[-1], abs=1e-3)


# --- what cannot be done ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, named",
    [
        (["--lora_targets", "lm_head"], "there is no linear layer 'lm_head'"),
        (["--lora_rank", "33"], "give 1 to 32"),
        (["--lora_rank", "0"], "--lora_rank"),
        (["--lora_dropout", "1"], "--lora_dropout"),
        (["--freeze_layers", "1"], "drop it"),
        (["--rope_scaling_factor", "2", "--max_seq_len", "128"], "--rope_scaling_factor changes the network"),
        (["--optimizer", "muon"], "drop --optimizer muon"),
        (["--lora_name", "a/b"], "not a plain name"),
        (["--from_weight", "nothing"], "no weight called nothing"),
        (["--from_weight", "none", "--preset", "tiny"], "adapters need a network that is trained already"),
    ],
)
def test_flags_that_make_no_sense_are_one_sentence(workshop, words, named):
    code, message = workshop.fails("refused", *words)
    assert code == 2 and named in message and message.count("\n") == 1
    assert not (workshop.folder / "refused").exists()


def test_adapters_are_no_network_and_belong_to_one(workshop, finished, capsys):
    code, message = workshop.fails("refused", "--from_weight", str(finished.weight_file))
    assert code == 1 and "adapters without their network" in message and message.count("\n") == 1
    code, message = Workshop(workshop.folder, "full_sft").fails("refused", "--lora_rank=4")
    assert code == 2 and "--lora_rank is for --lora, which is not given" in message

    loaded = load_model(workshop.folder / "start.pth")
    other = workshop.folder / "another.pth"
    save_weights(other, random_network(loaded.model.config, seed=7), loaded.tokenizer, stage="full_sft")
    words = ["--prompt", "a", "--device", "cpu", "--out_dir", str(workshop.folder / "finished")]
    for more, code, named in (
        (["--lora", "lora", "--weight_path", str(other)], 1, "was trained on another network"),
        (["--lora", "nobody"], 2, "no weight called nobody in"),
        (["--lora", str(workshop.folder)], 1, "is not a folder of adapters"),
        (["--lora", str(other)], 1, "holds no adapters"),
    ):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            run_main(lambda more=more: eval_model.main([*words, *more]))
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
        assert stopped.value.code == code and len(errors) == 1 and named in errors[0]
