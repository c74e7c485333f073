"""run.json: what a run says of itself."""

import json
import sys
from unittest.mock import Mock

import pytest
import torch

from model.errors import SproutError, counted
from tests.stages.workshop import Workshop, write_texts
from training.diagnosis.known import read_description
from training.engine.plan import Plan
from training.report.description import Description, Progress, describe_plan, write_description


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    return Workshop.create(tmp_path_factory.mktemp("workshop"))


def test_what_a_run_says_of_itself(workshop):
    result = workshop.train("told", "--max_steps=3", "--learning_rate=0.1", data=("a.jsonl",))
    facts = read_description(result.logs)
    assert (facts.stage, facts.begins_with, facts.kind) == ("pretrain", "nothing", "text")
    assert facts.parameters == facts.trained_parameters == sum(t.numel() for t in result.weights.values())
    assert (facts.vocab_size, facts.epochs, facts.steps, facts.tokens_per_step) == (272, 1, 3, 128)
    assert (facts.schedule, facts.optimizer, facts.warmup_steps) == ("wsd", "muon", 1)
    assert (facts.learning_rate, facts.default_learning_rate) == (0.1, 0.0035)  # 0.02 x sqrt(128 / 4096)
    assert facts.bytes_per_token == 1.0
    assert facts.different_tokens == facts.tokens_per_epoch > 24 * 10


def test_fine_tuning_names_what_it_begins_with(workshop):
    chat = Workshop(workshop.folder, "full_sft")
    facts = read_description(chat.train("tuned", "--max_steps=1", "--freeze_layers=1").logs)
    assert (facts.stage, facts.begins_with, facts.kind) == ("full_sft", "pretrain", "chat")
    assert facts.trained_parameters < facts.parameters


def test_repeated_text_is_not_counted_as_different(workshop):
    once = write_texts(workshop.folder / "once.jsonl", 20, seed=3).read_text()
    (workshop.folder / "thrice.jsonl").write_text(3 * once)

    def told(out, *data):
        return read_description(workshop.train(out, "--max_steps=1", "--val_ratio=0", data=data).logs)

    one, three = told("once", "once.jsonl"), told("thrice", "thrice.jsonl")
    assert three.tokens_per_epoch == pytest.approx(3 * one.tokens_per_epoch, rel=0.01)
    assert three.different_tokens == pytest.approx(one.different_tokens, rel=0.01)
    mixed = told("mixed", "once.jsonl:0.9", "a.jsonl:0.1")  # the first several times, of the second a part
    assert mixed.different_tokens < 0.8 * mixed.tokens_per_epoch


def test_a_resumed_run_says_it_again(workshop):
    result = workshop.train("resumed", "--max_steps=2")
    before = (result.logs / "run.json").read_text()
    (result.logs / "run.json").unlink()
    workshop.train("resumed", "--max_steps=2", "--resume")
    now, before = json.loads((result.logs / "run.json").read_text()), json.loads(before)
    assert now["flags"].pop("resume") and not before["flags"].pop("resume")
    assert now.pop("said")[-1].startswith("resumed ") and before.pop("said") and now == before


def test_a_folder_without_it_and_one_of_another_version(tmp_path):
    assert read_description(tmp_path) is None
    (tmp_path / "run.json").write_text('{"steps": 7, "moon": "full"}')
    assert read_description(tmp_path) == Description(steps=7)
    write_description(tmp_path, Description(stage="新", learning_rate=0.5))
    assert read_description(tmp_path) == Description(stage="新", learning_rate=0.5)


DAMAGED = ["", "{", "[]", "7", "null", "\0", b"\xff"]
WRONG = ['{"steps": "many"}', '{"steps": true}', '{"steps": -1}', '{"parameters": 0.5}', '{"learning_rate": NaN}']


@pytest.mark.parametrize("text", [*DAMAGED, *WRONG, '{"stage": 1}'])
def test_damage_is_named(tmp_path, text):
    (tmp_path / "run.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SproutError, match=r"run.json is damaged \(.+\): move it away, and the curve alone is judged"):
        read_description(tmp_path)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("1 steps of 1 rows", "1 step of 1 row"),
        ("1 micro-batches x 1 processes, 1 bad lines", "1 micro-batch x 1 process, 1 bad line"),
        ("left out 1 pairs, 21 pairs, 1,001 pairs, 0.1 tokens", "left out 1 pair, 21 pairs, 1,001 pairs, 0.1 tokens"),
        ("1 records from 1 requests; 1 items, 1 tensors", "1 record from 1 request; 1 item, 1 tensor"),
        ("step 1 of 2 steps; --max_steps=1 steps; v1 layers", "step 1 of 2 steps; --max_steps=1 step; v1 layers"),
    ],
)
def test_one_thing_is_said_in_the_singular(message, said):
    assert counted(message) == said


def test_the_time_left_does_not_count_the_first_step_which_compiles(capsys):
    clock = [0.0]
    progress = Progress(is_main=True)
    progress.start(0, 100)
    progress._bar._time = lambda: clock[0]
    for seconds in (60, 1, 1, 1):
        clock[0] += seconds
        progress.advance({"loss": 1.0, "lr": 0.1, "time/tokens_per_second": 1.0}, 0, True)
    progress.close()
    assert capsys.readouterr().out.splitlines()[-1].endswith("01:36 left")


@pytest.mark.parametrize("jump", [-3.2e9, -3600, 3.2e9])
def test_the_time_left_does_not_follow_a_clock_that_is_set(capsys, monkeypatch, jump):
    day, passed = [1.8e9], [5.0]
    monkeypatch.setattr("tqdm.std.time", lambda: day[0])
    monkeypatch.setattr("training.report.description.time.monotonic", lambda: passed[0])
    progress = Progress(is_main=True)
    progress.start(0, 100)
    for number in range(4):
        day[0] += jump if number == 2 else 1
        passed[0] += 1
        progress.advance({"loss": 1.0, "lr": 0.1, "time/tokens_per_second": 1.0}, 0, True)
    assert progress._bar.format_dict["elapsed"] == 3  # from the end of the first step
    progress.close()
    assert capsys.readouterr().out.splitlines()[-1].endswith("01:36 left")


def test_a_terminal_of_80_columns_shows_the_whole_of_the_progress_bar(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Progress(is_main=True)
    progress.start(1233, 5300)
    progress.advance({"loss": 2.754, "lr": 4.88e-4, "time/tokens_per_second": 12_750.0}, 10 << 30, True)
    told = progress._bar.format_dict | {"ncols": 80, "elapsed": 5025, "initial": 0, "rate": 0.5}
    shown = progress._bar.format_meter(**told)
    progress.close()
    assert len(shown) <= 80 and shown.startswith("1234/5300 ")
    assert shown.endswith("| 1:23:45<2:15:32, loss 2.754  lr 4.88e-04  12,750 tokens/s  10.0 GB")


@pytest.mark.parametrize("steps, rows, said", [(3, 12, "0.857 epochs"), (4, 14, "1 epoch"), (7, 26, "1.86 epochs")])
def test_a_plan_counts_the_tokens_of_the_rows_that_its_steps_have(steps, rows, said):
    """14 rows in steps of 4: the last step of an epoch has two, so that three steps are 12/14 of an epoch, not 3/4."""
    plan = Plan(
        epochs=2, rows_per_epoch=14, row_length=10, batch_size=4, accumulation_steps=1, world_size=1, max_steps=steps,
        learning_rate=0.1, warmup_steps=1, schedule="wsd", footprint=Mock(parts=Mock(return_value={})),
        reasons=dict.fromkeys(("batch", "warmup", "learning_rate"), ""),
    )  # fmt: skip
    model = Mock(parameters=lambda: [torch.zeros(3)], config=Mock(active_parameters=lambda: 3))
    lines = describe_plan(Mock(dry_run=False), plan, model, Mock(run_seconds=None), Mock(), tokens_per_epoch=1400)
    assert sum(len(plan.rows_of_step(step)[1]) for step in range(steps)) == rows
    assert any(f"about {100 * rows:,} tokens to learn, in rows of 10, {said}" in line for line in lines)


def test_a_plan_tells_tokens_to_learn_from_those_that_are_read():
    plan = Plan(
        epochs=2, rows_per_epoch=14, row_length=10, batch_size=14, accumulation_steps=1, world_size=1, max_steps=None,
        learning_rate=0.1, warmup_steps=1, schedule="wsd", footprint=Mock(parts=Mock(return_value={})),
        reasons=dict.fromkeys(("batch", "warmup", "learning_rate"), ""),
    )  # fmt: skip
    model = Mock(parameters=lambda: [torch.zeros(3)], config=Mock(active_parameters=lambda: 3))
    lines = describe_plan(Mock(dry_run=False), plan, model, Mock(run_seconds=None), Mock(), tokens_per_epoch=60)
    assert any("about 120 tokens to learn of 280, in rows of 10, 2 epochs" in line for line in lines)
