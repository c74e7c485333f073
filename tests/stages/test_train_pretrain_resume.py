"""Work is never lost: killed, signalled or damaged, a run of train_pretrain.py goes on to the bit."""

import os
import re
import signal

import pytest

import model.generation
import training.engine.run
from dataset.rows.rows import Rows, ValidationRows
from model.disk import previous_path
from model.errors import SproutError
from model.files.checkpoint import save_checkpoint
from model.files.reading import read_checkpoint
from tests.faults.processes import Running, kill_itself
from tests.stages.workshop import Result, Workshop, assert_same_run, signal_at, write_texts
from training.engine import resume
from training.report.metrics import Metrics

# Two epochs of about 22 steps, with the rows of two files mixed by weight.
RUN = ("--epochs=2", "--save_interval=7", "--eval_interval=10")


@pytest.fixture(scope="module")
def uninterrupted(workshop):
    """The result of the whole run with an optimizer, trained once."""
    results: dict[str, Result] = {}

    def result_of(optimizer: str) -> Result:
        if optimizer not in results:
            results[optimizer] = workshop.train(f"whole_{optimizer}", f"--optimizer={optimizer}", *RUN)
        return results[optimizer]

    return result_of


# --- kill -9 ----------------------------------------------------------------------------------------


def die_in_the_second_save() -> None:
    """From here on the second save ends this process with half a file written."""
    honest, saves = training.engine.run.save_checkpoint, []

    def save(path, contents):
        saves.append(path)
        if len(saves) == 2:
            path.with_name(f".{path.name}.{os.getpid()}.tmp").write_bytes(b"half")
            kill_itself()
        honest(path, contents)

    training.engine.run.save_checkpoint = save


def test_killed_in_the_middle_of_a_save_it_goes_on_from_the_one_before(workshop, uninterrupted):
    """The state is being written, the weights of the same step are there already."""
    words = workshop.command("half", "--optimizer=muon", *RUN)
    assert Running("train_pretrain", words, die_in_the_second_save).end().code == -signal.SIGKILL
    half = workshop.result("half")
    assert (half.facts["step"], read_checkpoint(half.resume_file)["step"]) == (14, 7)
    assert list(half.folder.glob(".*.tmp"))
    result = workshop.train("half", "--optimizer=muon", *RUN, "--resume")
    assert "at step 7 of" in result.said
    assert_same_run(result, uninterrupted("muon"))
    assert not list(half.folder.glob(".*.tmp"))


# --- SIGTERM and Ctrl-C -----------------------------------------------------------------------------


PHASES = {
    "training": (Rows, "batch", 23, 11),  # in the first of two micro-batches of step 12
    "epoch's end": (Metrics, "write", 22, 22),
    "validation": (ValidationRows, "batch", 3, 9),
    "sampling": (model.generation, "sample", 7, 19),
    "saving": (training.engine.run, "save_checkpoint", 2, 14),
}


@pytest.mark.parametrize("number, code, phase", [(15, 143, phase) for phase in PHASES] + [(2, 130, "training")])
def test_a_signal_saves_and_the_run_goes_on_to_the_bit(workshop, uninterrupted, number, code, phase):
    owner, name, call, step = PHASES[phase]
    out = f"{phase}_{code}".replace(" ", "_")
    words = ("--optimizer=muon", *RUN, "--sample_interval=20")
    with signal_at(owner, name, call, number):
        exit_code, _ = workshop.fails(out, *words)
    assert exit_code == code  # 130 for Ctrl-C (SIGINT, 2), 143 for SIGTERM (15)
    stopped = workshop.result(out)
    state = read_checkpoint(stopped.resume_file)
    assert state["step"] == step
    assert (state["updates"] != []) == (phase in ("validation", "sampling"))  # updated, not yet measured
    assert stopped.metrics[-1]["step"] == state["step"] == stopped.facts["step"]
    result = workshop.train(out, *words, "--resume")
    assert_same_run(result, uninterrupted("muon"))


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_real_signal_ends_a_process_with_its_code_and_tells_how_to_go_on(workshop, number, code):
    process = workshop.start(f"signalled_{code}", "--epochs=200", "--log_interval=1")
    for line in process.stdout:
        if line.startswith("step 3/"):
            process.send_signal(number)
            break
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, "")
    step, steps = map(int, re.search(r"stopped at step (\d+) of (\d+), saved; .*--resume", said).groups())
    assert 3 <= step < steps
    assert workshop.result(f"signalled_{code}").facts["step"] == step


# --- damage -----------------------------------------------------------------------------------------


def test_a_damaged_state_is_reported_and_the_one_before_continued(workshop, uninterrupted, capsys):
    with signal_at(Rows, "batch", 60):
        workshop.fails("damaged", "--optimizer=muon", *RUN)
    damaged = workshop.result("damaged")
    with open(damaged.resume_file, "r+b") as file:
        file.truncate(1000)
    assert read_checkpoint(previous_path(damaged.resume_file))["step"] == 28
    capsys.readouterr()
    result = workshop.train("damaged", "--optimizer=muon", *RUN, "--resume")
    assert re.search("warning: .*pretrain_32_resume.pth is damaged.*step 28", capsys.readouterr().err)
    assert_same_run(result, uninterrupted("muon"))


# --- what is not resumed ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short(workshop) -> Result:
    return workshop.train("short", "--max_steps=4")


@pytest.mark.parametrize(
    "changed, named",
    [
        (["--batch_size=4"], "batch_size was 2, is 4"),
        (["--accumulation_steps=4"], "accumulation_steps was 2, is 4"),
        (["--learning_rate=0.5"], "learning_rate was"),
        (["--max_steps=5"], "steps was 4, is 5"),
        (["--schedule=cosine"], "schedule was wsd, is cosine"),
        (["--optimizer=adamw"], "optimizer was muon, is adamw"),
        (["--seed=1"], "seed was 42, is 1"),
        (["--num_hidden_layers=3"], "network.num_hidden_layers was 2, is 3"),
        (["--max_seq_len=16"], "max_seq_len was 32, is 16"),
        (["--max_seq_len=16", "--batch_size=4"], "max_seq_len was 32, is 16"),
        (["--dtype=bfloat16"], "dtype was float32, is bfloat16"),
        (["--freeze_layers=1"], "freeze_layers was 0, is 1"),
        (["--val_ratio=0.3"], "is read otherwise: --val_ratio was"),
    ],
)
def test_another_run_is_refused_by_name(workshop, short, changed, named):
    before = short.resume_file.read_bytes()
    code, message = workshop.fails("short", "--max_steps=4", *changed, "--resume")
    assert code == 2 and named in message and message.count("\n") == 1
    # Only where that would be enough.
    allowed = ("batch_size", "accumulation", "learning_rate", "max_steps", "schedule", "dtype")
    assert ("--allow_changed" in message) == changed[0].startswith(tuple(f"--{name}" for name in allowed))
    assert short.resume_file.read_bytes() == before
    assert [line["step"] for line in short.metrics] == [1, 2, 3, 4]


def test_more_epochs_and_another_rate_go_on_where_it_stopped_and_say_what_changes(workshop):
    words = ("--optimizer=muon", "--eval_interval=0")
    first = workshop.train("longer", "--epochs=1", *words)
    steps, weights = first.facts["step"], first.weights
    changed = ("--epochs=2", "--learning_rate=0.001", "--resume")
    code, message = workshop.fails("longer", *words, *changed)
    assert code == 2 and "--allow_changed goes on all the same" in message
    code, message = workshop.fails("longer", *words, *changed[:2], "--allow_changed")
    assert code == 2 and "lets --resume go on" in message and first.weight_file.exists()
    result = workshop.train("longer", *words, *changed, "--allow_changed")
    assert "changed: epochs was 1, is 2: the schedule is" in result.said
    assert "changed: learning_rate was" in result.said and f"at step {steps} of {2 * steps}" in result.said
    assert [line["step"] for line in result.metrics] == list(range(1, 2 * steps + 1))
    assert max(line["lr"] for line in result.metrics[steps:]) == pytest.approx(0.001)
    largest = max((result.weights[name] - weights[name]).abs().max().item() for name in weights)
    assert 0 < largest < 0.05  # the rate that is applied is the new one, not that of the state


def test_a_longer_run_scores_more_rows_says_so_and_compares_its_lowest_loss_among_them(workshop):
    words = ("--optimizer=muon", "--val_ratio=0.5", "--learning_rate=1e-9")  # the loss stays as it is
    first = workshop.train("scored", *words, "--max_steps=3")  # 12 rows
    assert re.search(r"epochs; validation scores 1 of \d+ held-out rows\n", first.said)
    changed = ("--max_steps=6", "--epochs=3", "--resume")
    code, message = workshop.fails("scored", *words, *changed)
    assert code == 2 and "data.scored_rows was 1, is 2;" in message and "--allow_changed goes on" in message
    second = workshop.train("scored", *words, *changed, "--allow_changed")
    assert "changed: data.scored_rows was 1, is 2: validation is of other rows" in second.said
    found = {line["step"]: line["val_loss"] for line in second.metrics if "val_loss" in line}
    assert found.keys() == {3, 6} and found[3] != found[6]
    assert second.facts["best"] == {"val_loss": found[6], "step": 6}


def test_a_state_that_does_not_say_how_many_rows_it_scored_goes_on(short):
    identity = read_checkpoint(short.resume_file)["identity"]
    data = identity["data"] | {"scored_rows": 5}
    with pytest.raises(SproutError, match=r"data.scored_rows was \d, is 5"):
        resume.read(short.resume_file, identity | {"data": data})
    state = read_checkpoint(short.resume_file)
    del state["identity"]["data"]["scored_rows"]  # as an earlier version wrote it
    older = short.folder / "older_resume.pth"
    save_checkpoint(older, state)
    assert resume.read(older, identity | {"data": data})[1] == []


def test_changed_data_weights_and_tokenizers_are_refused(workshop, short):
    for data, said in (
        (("a.jsonl:0.5", "b.jsonl:0.5"), "a.jsonl was 0.7, is 0.5"),
        (("a.jsonl",), "is not among the files any more"),
        (("b.jsonl:0.3", "a.jsonl:0.7"), "the files are given in another order"),
    ):
        code, message = workshop.fails("short", "--max_steps=4", "--resume", data=data)
        assert code == 2 and said in message
    copy = Workshop(workshop.folder / "copy")  # the same names, another text; the same text elsewhere is fine
    copy.folder.mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        (copy.folder / name).write_bytes((workshop.folder / name).read_bytes())
    (copy.folder / "tokenizer").symlink_to(workshop.folder / "tokenizer")
    (copy.folder / "short").symlink_to(workshop.folder / "short")
    copy.train("short", "--max_steps=4", "--resume")
    write_texts(copy.folder / "b.jsonl", 16, seed=5)
    code, message = copy.fails("short", "--max_steps=4", "--resume")
    assert code == 2 and "b.jsonl, which has changed: it had " in message and "and has 16 records" in message


# --- several processes ------------------------------------------------------------------------------


def test_two_processes_have_the_curve_of_one(workshop):
    """At the same total batch; in the last step of an epoch one of the two has no rows."""
    words = ("--epochs=2", "--eval_interval=5", "--val_ratio=0.1", "--batch_size=1", "--max_seq_len=33")
    one = workshop.train("one", *words, "--accumulation_steps=4", data=("b.jsonl",))
    rows = int(re.search(r"an epoch: (\d+) rows", one.said)[1])
    assert rows % 4 == 1

    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    process = workshop.start("two", *words, "--accumulation_steps=2", launcher=launcher, data=("b.jsonl",))
    said, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert "1 row x 2 micro-batches x 2 processes" in said
    assert said.count("done: ") == 1

    two = workshop.result("two")
    assert len(two.metrics) == len(one.metrics) == 2 * -(-rows // 4)
    for a, b in zip(two.metrics, one.metrics, strict=True):
        assert a == pytest.approx(b, abs=1e-5)
    for name, tensor in two.weights.items():
        assert (tensor - one.weights[name]).abs().max() < 1e-4, name


def test_a_flag_that_is_newer_than_the_state_is_a_change_only_if_it_is_on(short):
    identity = read_checkpoint(short.resume_file)["identity"]
    assert resume.read(short.resume_file, identity | {"new_weight": 0.0, "new_switch": False})[1] == []
    with pytest.raises(SproutError, match="new_weight was None, is 0.3"):
        resume.read(short.resume_file, identity | {"new_weight": 0.3})


def test_two_processes_cannot_resume_a_run_of_one(short):
    identity = read_checkpoint(short.resume_file)["identity"] | {"processes": 2}
    with pytest.raises(SproutError, match="processes was 1, is 2"):
        resume.read(short.resume_file, identity)
