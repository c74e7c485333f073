"""train_dpo.py from pairs to weights: what it computes and what it refuses."""

import json
import math
import re
import shutil

import numpy as np
import pytest
import torch

from dataset.records.preferences import from_pair
from dataset.rendering import ChatRenderer
from model.files.loading import load_model
from model.text.tokenizer import Tokenizer
from scripts import diagnose
from tests.faults.processes import Running, no_curves, together
from tests.stages.workshop import Workshop, another_reference, assert_same_run, signal_at
from training.engine.speed import _has_compiler as has_compiler
from training.engine.step import Step
from training.losses.preference import LOSSES, WITHOUT_REFERENCE, Completions, Settings, at_the_start
from training.stages.held_out import share_of

RUN = ("--epochs=6", "--eval_interval=4", "--val_ratio=0.2", "--learning_rate=0.003")
NAMES = {f"rewards/{name}" for name in ("chosen", "rejected", "accuracies", "margins")} | {
    "logps/chosen",
    "logps/rejected",
    "entropy",
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    return Workshop.create(tmp_path_factory.mktemp("workshop"), "dpo")


@pytest.fixture(scope="module")
def finished(workshop):
    return workshop.train("finished", *RUN)


def records(workshop, *names) -> list[dict]:
    return [json.loads(line) for name in names for line in (workshop.folder / name).read_text("utf-8").splitlines()]


def answer_log_probabilities(workshop, record, network=None) -> list[float]:
    """log p of the chosen and the rejected answer, each conversation on its own. network: None is the starting one."""
    loaded = load_model(workshop.folder / "start.pth")
    network, found = network or loaded.model, []
    for one in ChatRenderer(loaded.tokenizer).render(from_pair(record).conversations):
        ids, trained = torch.tensor(one.ids).long(), torch.tensor(one.trained)
        with torch.no_grad():
            scores = network(ids[None, :-1])[0].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        found.append(scores[trained[1:]].sum().item())
    return found


def test_it_learns_which_answer_is_better(finished):
    first, last = finished.metrics[0], finished.metrics[-1]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-3)
    assert first["rewards/accuracies"] == 0 and first["rewards/margins"] == pytest.approx(0, abs=1e-4)
    assert last["loss"] < 0.5 and last["rewards/accuracies"] == 1 and last["rewards/margins"] > 0.5
    assert last["val_rewards/accuracies"] > 0.9 and last["val_loss"] < 0.6
    for line in finished.metrics:
        assert NAMES <= line.keys() and all(math.isfinite(value) for value in line.values())
        assert line["rewards/margins"] == pytest.approx(line["rewards/chosen"] - line["rewards/rejected"], abs=1e-5)
    assert re.findall("warning: (.*?) has", finished.said) == ["what is held out"]  # 28 pairs are few
    assert load_model(finished.weight_file).stage == "dpo"


def test_the_first_log_probabilities_are_those_of_the_answers_each_scored_alone(workshop):
    words = ("--val_ratio=0", "--batch_size=64", "--accumulation_steps=1", "--max_steps=1", "--max_seq_len=64")
    result = workshop.train("alone", *words, data=("pairs_a.jsonl",))
    alone = [answer_log_probabilities(workshop, record) for record in records(workshop, "pairs_a.jsonl")]
    for name, column in zip(("logps/chosen", "logps/rejected"), zip(*alone)):
        assert result.metrics[0][name] == pytest.approx(sum(column) / len(column), abs=1e-4)


@pytest.mark.parametrize(
    "name, settings",
    [
        ("sigmoid", {"beta": 0.7}),
        ("cdpo", {"beta": 0.7, "label_smoothing": 0.2}),
        ("simpo", {"beta": 2.0, "gamma": 1.3}),
        ("orpo", {"odds_weight": 0.6}),
    ],
)
def test_loss_and_measures_are_those_of_the_formula_with_the_constants_that_flags_give(workshop, name, settings):
    """Of answers scored one by one, under a reference that differs: else no constant would show in the first step."""
    flags = [f"--{key}={value}" for key, value in settings.items()]
    flags += [] if name in WITHOUT_REFERENCE else ["--no_precompute_ref"]
    words = ("--val_ratio=0", "--batch_size=64", "--accumulation_steps=1", "--max_steps=1", "--max_seq_len=64")
    with another_reference() as copies:
        result = workshop.train(f"constants_{name}", *words, f"--loss_type={name}", *flags, data=("pairs_a.jsonl",))
    every, tokenizer = records(workshop, "pairs_a.jsonl"), Tokenizer.load(workshop.folder / "tokenizer")
    sums = [answer_log_probabilities(workshop, record) for record in every]
    known = [answer_log_probabilities(workshop, record, copies[0]) for record in every] if copies else None
    counts = [[len(tokenizer.encode(record[key])) + 1 for key in ("chosen", "rejected")] for record in every]
    columns = [list(map(torch.tensor, zip(*each))) for each in (sums, counts, *([known] if known else []))]
    pair = Completions(*(one.double() for each in columns for one in each))
    s = Settings(**settings)
    (line,) = result.metrics
    assert line["loss"] == pytest.approx(LOSSES[name](pair, s).mean().item(), rel=1e-4)
    if known:
        chosen, rejected = s.beta * pair.chosen_ratio, s.beta * pair.rejected_ratio
    else:
        chosen, rejected = s.beta * pair.chosen / pair.chosen_tokens, s.beta * pair.rejected / pair.rejected_tokens
    expected = {
        "rewards/chosen": chosen,
        "rewards/rejected": rejected,
        "rewards/margins": chosen - rejected,
        "rewards/accuracies": (chosen > rejected).double(),
        "logps/chosen": pair.chosen,
        "logps/rejected": pair.rejected,
        "nll_loss": -pair.chosen / pair.chosen_tokens,
    }
    means = {key: value.mean().item() for key, value in expected.items()}
    assert abs(means["rewards/margins"]) > 0.01
    assert {key: line[key] for key in means} == pytest.approx(means, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", ["sigmoid", "sigmoid_norm", "hinge", "ipo", "robust", "cdpo", "apo_zero"])
def test_every_loss_begins_with_its_value_and_falls(workshop, name):
    words = ("--epochs=3", "--val_ratio=0", "--eval_interval=0", "--learning_rate=0.003", f"--loss_type={name}")
    losses = workshop.train(f"loss_{name}", *words).losses
    expected = at_the_start(name, Settings())
    assert losses[0] == pytest.approx(expected, rel=1e-3) and losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("name", ["simpo", "orpo"])
def test_losses_without_a_reference_compute_none(workshop, name):
    words = ("--epochs=3", "--val_ratio=0", "--eval_interval=0", "--learning_rate=0.003", f"--loss_type={name}")
    result = workshop.train(f"loss_{name}", *words)
    assert result.losses[-1] < result.losses[0]
    assert not (result.folder / "cache" / "reference").exists()


def test_a_live_reference_gives_the_numbers_of_the_precomputed_one(workshop, finished):
    live = workshop.train("live", *RUN, "--no_precompute_ref")
    assert not (live.folder / "cache" / "reference").exists()
    for a, b in zip(live.metrics, finished.metrics, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


@pytest.mark.parametrize("reference", ["--precompute_ref", "--no_precompute_ref"])
def test_half_precision_begins_with_the_value_of_the_loss_too(workshop, reference):
    """Reference and network are computed alike, by the same kernels, so that what is rounded is rounded alike."""
    result = workshop.train("half", *RUN, reference, "--dtype=bfloat16", "--max_steps=1")
    assert result.losses[0] == pytest.approx(math.log(2), abs=1e-6)


def test_neither_micro_batches_nor_packing_change_the_curve(workshop):
    """One pair a row and many, eight rows at once and one."""
    common = ("--epochs=2", "--val_ratio=0", "--eval_interval=0", "--learning_rate=0.003", "--max_seq_len=32")
    curves = [
        workshop.train(f"split_{rows}", *common, f"--batch_size={rows}", f"--accumulation_steps={8 // rows}")
        for rows in (8, 4, 1)
    ]
    for curve in curves[1:]:
        for a, b in zip(curve.metrics, curves[0].metrics, strict=True):
            assert a == pytest.approx(b, abs=2e-5)


def test_the_weight_of_fine_tuning_adds_the_chosen_answers_loss(workshop):
    words = ("--val_ratio=0", "--batch_size=64", "--accumulation_steps=1", "--max_steps=1", "--max_seq_len=64")
    words += ("--sft_weight=0.5",)
    loss = workshop.train("weighted", *words, data=("pairs_a.jsonl",)).losses[0]
    tokenizer = Tokenizer.load(workshop.folder / "tokenizer")
    means = []
    for record in records(workshop, "pairs_a.jsonl"):
        tokens = len(tokenizer.encode(record["chosen"])) + 1  # and the end of the turn
        means.append(-answer_log_probabilities(workshop, record)[0] / tokens)
    assert loss == pytest.approx(math.log(2) + 0.5 * sum(means) / len(means), abs=1e-4)


@pytest.mark.skipif(not has_compiler(), reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("precompute", ["--precompute_ref", "--no_precompute_ref"])
def test_compiled_in_half_precision_it_begins_at_ln_2_too(workshop, precompute):
    """Where the reference went through other kernels, its log-probabilities would be others."""
    words = ("--compile=on", "--dtype=bfloat16", "--max_steps=1", "--val_ratio=0", precompute)
    result = workshop.train(f"compiled{precompute}", *words)
    assert "compile as --compile says" in result.said and result.losses[0] == pytest.approx(math.log(2), abs=1e-6)


def test_a_run_goes_on_where_the_reference_is_computed_anew_by_other_kernels(workshop):
    """As when it is to be longer, and so is worth compiling, or in another precision: it is of the same network."""
    workshop.train("precision", "--max_steps=2")
    result = workshop.train("precision", "--max_steps=4", "--dtype=bfloat16", "--resume", "--allow_changed")
    assert [line["step"] for line in result.metrics] == [1, 2, 3, 4]
    assert len(list((result.folder / "cache" / "reference").glob("*.bin"))) > 2


def test_of_two_processes_one_computes_the_reference_and_the_other_reads_it(workshop):
    command = workshop.command("two", "--max_steps=2", "--val_ratio=0.2", "--accumulation_steps=1")
    running = [Running("train_dpo", command, no_curves, each) for each in together(2)]
    assert [each.end().code for each in running] == [0, 0]
    assert len(list((workshop.folder / "two" / "cache" / "reference").glob("*.bin"))) == 2  # to train on, and held out


def test_the_reference_is_found_again_and_made_anew_when_damaged(workshop, finished):
    files = sorted((finished.folder / "cache" / "reference").glob("*.bin"))
    assert len(files) == 2  # to train on, and held out
    times = [file.stat().st_mtime_ns for file in files]
    again = workshop.train("finished", *RUN)
    assert [file.stat().st_mtime_ns for file in files] == times
    assert again.losses == finished.losses
    assert "damaged" not in again.said
    content = files[0].read_bytes()
    changed = content[:40] + bytes([content[40] ^ 1]) + content[41:]  # a bit of a number
    for damaged in (content[:50], b"", content + b"\0", changed):
        files[0].write_bytes(damaged)
        mended = workshop.train("finished", *RUN)
        assert f"warning: {files[0]} is damaged" in mended.said and mended.losses == again.losses
        assert files[0].read_bytes() == content


def test_only_what_a_short_run_sees_gets_a_reference(workshop):
    """A longer one adds the rest, and keeps what is there."""
    words = ("--val_ratio=0", "--batch_size=1", "--accumulation_steps=1", "--max_seq_len=32")

    def known(*more) -> int:
        result = workshop.train("short", *words, *more)
        (file,) = (result.folder / "cache" / "reference").glob("*.bin")
        columns = np.frombuffer(file.read_bytes()[16:], "<f4").reshape(-1, 2)
        said = re.findall(r"computes the reference's log-probabilities in (\d+) rows", result.said)
        return np.count_nonzero(np.isfinite(columns[:, 0])), said

    pairs = len(records(workshop, "pairs_a.jsonl", "pairs_b.jsonl"))
    few, rows = known("--max_steps=4")
    assert 4 <= few < pairs and rows == ["4"]
    assert known("--max_steps=4", "--dry_run") == (few, [])
    every, rows = known("--epochs=2")
    assert every == pairs and int(rows[0]) > 4
    assert known("--epochs=1") == (pairs, [])


def test_labels_that_turn_preferences_around_are_refused(workshop):
    code, message = workshop.fails("smooth", "--loss_type=robust", "--label_smoothing=0.5")
    assert code == 2 and "give less than 0.5" in message


@pytest.mark.parametrize(
    "words, losses",
    [(("--label_smoothing=0.1",), "cdpo and robust"), (("--gamma=1",), "simpo"), (("--odds_weight=2",), "orpo")],
)
def test_a_flag_that_the_loss_does_not_know_is_refused(workshop, words, losses):
    code, message = workshop.fails("unknown", *words)
    assert code == 2 and f"means nothing to --loss_type sigmoid: it is for {losses}" in message


@pytest.mark.parametrize(
    "loss, flag", [("orpo", "--beta=0.5"), ("orpo", "--no_precompute_ref"), ("simpo", "--no_precompute_ref")]
)
def test_flags_of_a_reference_are_refused_without_one(workshop, loss, flag):
    code, message = workshop.fails("alone", f"--loss_type={loss}", flag)
    assert code == 2 and f"{flag.split('=')[0]} means nothing to --loss_type {loss}" in message


def test_pairs_that_are_too_long_to_be_validated_on_are_counted(workshop):
    said = workshop.train("long", "--max_steps=1", "--val_ratio=0.5", "--max_seq_len=21").said
    assert re.search(r"validation leaves out \d+ pairs, of which an answer begins beyond --max_seq_len", said)


def test_a_few_pairs_are_counted_and_not_in_percent(workshop, finished):
    assert re.search(r"validation loss [\d.]+, the chosen answer preferred in \d+ of \d+ pairs?, by", finished.said)
    assert share_of(0.5, 100, "pairs") == "50.0% of the pairs" and share_of(2 / 3, 3, "pairs") == "2 of 3 pairs"
    assert "nothing is held out" not in finished.said
    said = workshop.train("none", "--max_steps=1", "--val_ratio=0").said
    assert "nothing is held out, so this run has no validation (--val_path, --val_ratio)" in said


def test_a_reference_of_another_network_is_warned_of():
    from training.stages.preferences import first_loss_warning

    assert first_loss_warning("sigmoid", 0.6931, math.log(2)) is None
    assert "0.7100" in first_loss_warning("sigmoid", 0.71, math.log(2))
    assert first_loss_warning("ipo", 24.9995, 25.0) is None
    assert "24.9800" in first_loss_warning("ipo", 24.98, 25.0)
    assert first_loss_warning("ipo", 27777.77901785714, (1 / 0.006) ** 2) is None  # of float32
    assert first_loss_warning("simpo", 3.0, None) is None


def test_preferences_have_a_verdict_of_their_own(finished, tmp_path, capsys):
    assert "verdict   " in finished.said and "has 8 records, too few to judge by" in finished.said
    logs = shutil.copytree(finished.logs, tmp_path / "logs")
    (logs / "run.json").write_text(json.dumps(json.loads((logs / "run.json").read_text()) | {"held_out": 80}))
    diagnose.main([str(logs)])
    said = capsys.readouterr().out
    assert "perplexity" not in said and "the better answer preferred in" in said and "too few" not in said


def test_a_second_round_of_the_same_name_goes_on_with_its_reference(workshop):
    """The start of the second round has been moved away, and its name means the result of the run."""
    for out in ("twice", "twice_cut"):
        workshop.train(out, *RUN, "--max_steps=2")
    begins, words = ("--from_weight", "dpo"), (*RUN, "--max_steps=4")
    whole = workshop.train("twice", *words, begins=begins)
    with signal_at(Step, "update", 2):
        assert workshop.fails("twice_cut", *words, begins=begins)[0] == 143
    assert_same_run(workshop.train("twice_cut", *words, "--resume", begins=begins), whole)

    shutil.rmtree(whole.folder / "earlier")
    code, said = workshop.fails("twice", *words, "--resume", begins=begins)
    assert code == 2 and "began with an earlier dpo_32.pth, which was moved to" in said and "put that file back" in said
