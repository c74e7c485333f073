"""train_pretrain.py from data to weights: what it leaves, what it refuses, what it begins with."""

import json
import math
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

import train_pretrain
from dataset.rows.rows import Batch, Rows
from dataset.rows.texts import TEXTS
from model.disk import previous_path
from model.files.hf_export import export_folder
from model.files.loading import load_model
from model.files.reading import read_checkpoint
from model.likelihood import evaluate
from model.text.tokenizer import Tokenizer
from tests.stages.workshop import SIZE, assert_same_run, same, write_texts
from training.engine.output import Output
from training.losses import next_token as losses
from training.report.lines import read_metrics
from training.stages.data import open_data


@pytest.fixture(scope="module")
def finished(workshop):
    """A run of 12 steps that validates, samples, saves and draws on the way."""
    words = ("--max_steps=12", "--save_interval=5", "--eval_interval=4", "--sample_interval=6", "--histograms")
    return workshop.train("finished", *words, draws=True)


# --- what a run leaves ------------------------------------------------------------------------------


def test_a_run_leaves_weights_state_curve_and_events(finished):
    assert finished.weight_file.exists() and finished.resume_file.exists()
    names = sorted(path.name for path in finished.logs.iterdir())
    (events,) = [name for name in names if name.startswith("events.out.tfevents.")]
    assert names == sorted([events, "loss.png", "metrics.jsonl", "run.json", "samples.jsonl"])
    assert (finished.logs / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_metrics_hold_what_is_documented(finished):
    lines = finished.metrics
    assert [line["step"] for line in lines] == list(range(1, 13))
    for line in lines:
        validated = {"val_loss", "val_bits_per_byte"} if line["step"] % 4 == 0 else set()
        assert set(line) == {"step", "tokens", "trained_share", "loss", "lr", "grad_norm"} | validated
        assert all(math.isfinite(value) for value in line.values())
    tokens = [line["tokens"] for line in lines]
    assert 12 * 4 * 32 * 0.9 < tokens[-1] <= 12 * 4 * 32 and tokens == sorted(tokens)


def test_it_learns(finished):
    values = [line["val_loss"] for line in finished.metrics if "val_loss" in line]
    assert values == sorted(values, reverse=True) and values[-1] < values[0] - 0.2


def test_the_last_step_is_saved_and_the_save_before_is_kept(finished):
    facts = finished.facts
    assert facts["step"] == 12 == read_checkpoint(finished.resume_file)["step"]
    assert facts["tokens"] == finished.metrics[-1]["tokens"]
    assert facts["best"]["val_loss"] == min(line.get("val_loss", math.inf) for line in finished.metrics)
    assert facts["arguments"]["save_interval"] == 5
    assert read_checkpoint(previous_path(finished.weight_file))["facts"]["step"] == 10


def test_the_weights_are_those_whose_validation_loss_was_logged(finished, workshop):
    loaded = load_model(finished.weight_file)
    assert loaded.stage == "pretrain"
    args = train_pretrain.parse_arguments(workshop.command("finished"))
    _, validation = open_data(TEXTS, args, loaded.tokenizer, lambda line: None)
    result = evaluate(loaded.model, validation.batches(2))
    assert finished.metrics[-1]["val_loss"] == pytest.approx(result.loss, abs=1e-6)
    assert finished.metrics[-1]["val_bits_per_byte"] == pytest.approx(result.bits_per_byte(validation.bytes), abs=1e-6)


def test_the_plan_and_the_progress_are_printed(finished):
    parameters = sum(tensor.numel() for tensor in finished.weights.values())
    said = finished.said
    assert f"model     {parameters / 1e6:.3f} M parameters" in said
    for text in ("a.jsonl: format text, 24 documents", "70.0% of the rows", "128 tokens a step", "steps     12"):
        assert text in said
    for text in ("memory    about", "step 10/12  loss", "step 12: validation loss", "Once upon a time | "):
        assert text in said
    assert said.rstrip().endswith(f"done: {finished.weight_file} after 12 steps, {finished.facts['tokens']:,} tokens")


def test_three_steps_are_saved_and_the_same_seed_gives_the_same_bytes(workshop):
    first, second, other = (workshop.train(*words, "--max_steps=3") for words in (["x"], ["y"], ["z", "--seed=7"]))
    assert first.facts["step"] == 3
    assert_same_run(second, first)
    assert other.metrics != first.metrics and not same(other.weights, first.weights)


def test_the_first_loss_of_the_shipped_tokenizer_is_that_of_guessing(workshop):
    words = ("--preset=tiny", "--max_steps=1", "--eval_interval=0")
    workshop.train("first", *words, data=("a.jsonl",), begins=())
    (line,) = read_metrics(workshop.folder / "first" / "logs" / "pretrain_256" / "metrics.jsonl")
    assert line["loss"] == pytest.approx(math.log(Tokenizer.load().vocab_size), abs=0.1)


def test_sizes_and_switches_by_flag(workshop):
    words = ("--num_hidden_layers=3", "--head_dim=8", "--rope_theta=500", "--max_position_embeddings=48")
    switches = ("--attention_bias", "--no_tie_word_embeddings")
    result = workshop.train("sizes", "--max_steps=1", "--weight_name=big", *words, *switches)
    loaded = load_model(result.folder / f"big_{SIZE}.pth")
    config = loaded.model.config
    assert (config.num_hidden_layers, config.head_dim, config.rope_theta) == (3, 8, 500)
    assert (config.max_position_embeddings, config.model_type) == (48, "qwen2")
    assert "lm_head.weight" in read_checkpoint(result.folder / f"big_{SIZE}.pth")["model"]


def test_val_path_is_validated_on_and_everything_else_trained_on(workshop):
    held_out = write_texts(workshop.folder / "held_out.jsonl", 10, seed=3)
    result = workshop.train("val_path", "--val_path", str(held_out), "--max_steps=2", "--eval_interval=1")
    assert "held_out.jsonl: format text, 10 documents" in result.said
    assert result.said.count("held out 0 documents") == 2
    assert [set(line) >= {"val_loss", "val_bits_per_byte"} for line in result.metrics] == [True, True]


# --- beginning with a weight ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["name", "file", "folder"])
def test_training_goes_on_from_a_weight_with_the_first_layers_frozen(workshop, finished, kind):
    if kind == "name":
        source = "finished"
        (workshop.folder / "from_name").mkdir()
        (workshop.folder / "from_name" / f"finished_{SIZE}.pth").write_bytes(finished.weight_file.read_bytes())
    elif kind == "file":
        source = str(finished.weight_file)
    else:
        loaded = load_model(finished.weight_file)
        source = str(workshop.folder / "exported")
        export_folder(source, loaded.model, loaded.tokenizer)
    begins = (f"--from_weight={source}", "--freeze_layers=1")
    result = workshop.train(f"from_{kind}", "--max_steps=3", begins=begins)
    assert result.losses[0] == pytest.approx(finished.losses[-1], abs=0.7)  # not ln 272 = 5.6 again
    assert result.losses[0] < finished.losses[0] - 0.5
    before, after = finished.weights, result.weights
    for name, tensor in after.items():
        trained = name.startswith(("model.layers.1.", "model.norm."))
        assert torch.equal(tensor, before[name]) != trained, name


# --- outputs are not overwritten --------------------------------------------------------------------


def test_a_second_run_on_the_same_output_is_refused(workshop):
    first = workshop.train("locked", "--max_steps=2")
    before = first.weight_file.read_bytes()
    other = Output(str(first.folder), first.weight_file.stem, torch.nn.Module())
    other.claim()
    try:
        code, message = workshop.fails("locked", "--max_steps=2")
    finally:
        other.release()
    assert code == 1 and "another run is writing" in message
    assert first.weight_file.read_bytes() == before


# --- what cannot be done ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, code, named",
    [
        (["--max_seq_len=33", "--max_position_embeddings=32"], 2, "more than the network's 32 positions"),
        (["--num_attention_heads=3"], 2, "not divisible by"),
        (["--preset=giant"], 2, "giant"),
        (["--from_weight=nothing"], 2, "no weight called nothing"),
        (["--freeze_layers=2"], 2, "leaves nothing to train"),
        (["--device=cuda:99"], 2, "--device cuda:99"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line_before_anything_is_written(workshop, words, code, named):
    assert not (workshop.folder / "refused" / f"pretrain_{SIZE}.pth").exists()
    result, message = workshop.fails("refused", *words)
    assert (result, message.count("\n")) == (code, 1)
    assert message.startswith("error: ") and named in message
    assert not (workshop.folder / "refused" / "logs").exists()


def test_too_little_space_is_said_before_training(workshop, monkeypatch):
    result = workshop.train("space", "--max_steps=2")
    needed = sum(path.stat().st_size for path in (result.weight_file, result.resume_file))  # of one generation
    for free, ends in ((2 * needed, True), (4 * needed, False)):
        usage = SimpleNamespace(total=10**12, used=0, free=free)
        monkeypatch.setattr("shutil.disk_usage", lambda path, usage=usage: usage)
        if ends:
            code, message = workshop.fails("space", "--max_steps=2")
            assert code == 1 and "GB free" in message and message.count("\n") == 1
            assert result.facts["step"] == 2  # still in its place
        else:
            assert workshop.train("space", "--max_steps=2").facts["step"] == 2


# --- numbers that are not finite --------------------------------------------------------------------


@pytest.fixture
def infinite_in(monkeypatch):
    """Makes the losses of given steps infinite; a step has two micro-batches, of which the second is spoilt."""

    def apply(*steps: int):
        calls = SimpleNamespace(count=0)
        honest = losses.next_token_loss

        def spoilt(features, head, targets):
            calls.count += 1
            loss = honest(features, head, targets)
            step, second = divmod(calls.count + 1, 2)
            return loss * math.inf if second and step in steps else loss

        monkeypatch.setattr(losses, "next_token_loss", spoilt)

    return apply


def test_a_step_that_is_not_finite_is_skipped_and_said(workshop, infinite_in):
    infinite_in(2, 3)
    result = workshop.train("spoilt", "--max_steps=5", "--eval_interval=0")
    assert [line.get("skipped") for line in result.metrics] == [None, "non-finite", "non-finite", None, None]
    assert [line["loss"] is None for line in result.metrics] == [False, True, True, False, False]
    assert "warning: step 2 skipped, non-finite loss or gradient (rows 4 to 7 of epoch 0)" in result.said
    assert all(torch.isfinite(tensor).all() for tensor in result.weights.values())


def test_three_in_a_row_stop_the_run_with_the_last_good_weights_saved(workshop, infinite_in):
    infinite_in(4, 5, 6)
    code, message = workshop.fails("diverged", "--max_steps=20", "--save_interval=2", "--eval_interval=0")
    assert code == 1 and "3 steps in a row" in message
    result = workshop.result("diverged")
    assert result.facts["step"] == 5  # saved before the run ends; steps 4 and 5 changed nothing
    assert all(torch.isfinite(tensor).all() for tensor in result.weights.values())


# --- data reach the network as they are -------------------------------------------------------------


def test_every_token_of_an_epoch_is_trained_once(workshop, monkeypatch):
    seen: list[Batch] = []
    honest = Rows.batch

    def watched(self, epoch, places):
        seen.append(honest(self, epoch, places))
        return seen[-1]

    monkeypatch.setattr(Rows, "batch", watched)
    result = workshop.train("epoch", "--val_ratio=0", data=("a.jsonl", "b.jsonl"))
    trained = Counter(t for batch in seen for t in batch.targets[batch.targets >= 0].tolist())
    tokenizer = Tokenizer.load(workshop.folder / "tokenizer")
    lines = [line for name in "ab" for line in (workshop.folder / f"{name}.jsonl").read_text("utf-8").splitlines()]
    tokens = Counter(t for line in lines for t in (*tokenizer.encode(json.loads(line)["text"]), tokenizer.eos_id))
    assert 0 < trained.pop(tokenizer.bos_id) < len(lines)  # all but those that lead a row
    assert trained == tokens
    assert result.metrics[-1]["tokens"] == tokens.total() + sum(
        int((batch.targets == tokenizer.bos_id).sum()) for batch in seen
    )
