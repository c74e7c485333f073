"""A reward model is kept as safely as a language model: damage and NaN are noticed, and nothing is lost."""

import json
import math
import shutil

import pytest

from model.disk import previous_path
from tests.faults.scripts import python
from tests.faults.test_damage import Trained, damages, flipped
from tests.faults.test_not_finite import finite, spoil
from tests.stages.workshop import Workshop, assert_same_run, write_scored

SHORT = """--max_steps=6 --epochs=4 --save_interval=2 --eval_interval=0 --val_ratio=0.2 --learning_rate=0.01""".split()
SOME = (0, 3, 7, 10)  # all are tried on language models


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    monkeypatch.setattr("training.report.loss_curve.draw_loss_curve", lambda *drawn: None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    """A reward model after six steps, with the save of step 4 before it."""
    workshop = Workshop.create(tmp_path_factory.mktemp("rewards"), "reward")
    write_scored(workshop.folder / "scored.jsonl", 24, seed=1)
    return Trained(workshop, workshop.train("whole", *SHORT), workshop.train("other", *SHORT, "--loss_type=hinge"))


@pytest.mark.parametrize("number", SOME)
def test_a_damaged_state_goes_back_to_the_save_before(trained, number):
    copy = trained.copy("state")
    content, other = copy.resume_file.read_bytes(), trained.other.resume_file.read_bytes()
    name, damaged = list(damages(content, other).items())[number]
    copy.resume_file.write_bytes(damaged)
    ended = python("train_reward.py", *trained.workshop.command("state", *SHORT, "--resume"))
    assert ended.code == 0, (name, ended.err)
    assert "going back to" in ended.err or name.startswith("a bit")
    assert_same_run(trained.workshop.result("state"), trained.result)


def test_a_damaged_weight_gives_way_to_the_save_before_and_says_so(trained):
    copy = trained.copy("weight")
    copy.weight_file.write_bytes(flipped(copy.weight_file.read_bytes(), 5000))
    words = ("--weight_path", copy.weight_file, "--device", "cpu", "--prompt", "a", "--answer", "b")
    ended = python("scripts/score.py", *words)
    assert ended.code == 0 and f"warning: {copy.weight_file}" in ended.err and "(step 4)" in ended.err
    previous_path(copy.weight_file).unlink()
    assert "no previous save" in python("scripts/score.py", *words).sentence


@pytest.mark.parametrize("data, label", [("pairs_a.jsonl", "margins"), ("scored.jsonl", "scores")])
@pytest.mark.parametrize("kind", ["cut", "flipped", "gone"])
def test_damaged_labels_are_made_again_or_refused(trained, data, label, kind):
    out = f"labels_{label}_{kind}"
    command = trained.workshop.command(out, *SHORT, data=(data,))
    assert python("train_reward.py", *command).code == 0
    whole = trained.workshop.result(out).metrics
    (path,) = trained.workshop.result(out).folder.glob(f"cache/*/train.{label}.bin")
    content = path.read_bytes()
    damaged = {"cut": content[:-1], "flipped": flipped(content, len(content) // 2), "gone": None}[kind]
    path.unlink()
    if damaged is not None:
        path.write_bytes(damaged)
    ended = python("train_reward.py", *command)
    if kind == "flipped":
        assert f"{path.name} has another checksum; delete this folder" in ended.sentence
        shutil.rmtree(path.parent)
        ended = python("train_reward.py", *command)
    else:
        assert f"the token cache {path.parent} is damaged" in ended.err
    assert ended.code == 0 and trained.workshop.result(out).metrics == whole


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_skipped_and_counted(trained, monkeypatch, where):
    spoil(monkeypatch, where, math.nan, {3})
    ended = python("train_reward.py", *trained.workshop.command(f"nan_{where}", *SHORT))
    result = trained.workshop.result(f"nan_{where}")
    assert ended.code == 0 and "warning: step 3 skipped" in ended.out and finite(result)
    assert [line["step"] for line in result.metrics if line.get("skipped")] == [3]


def test_scores_beyond_all_measure_are_a_bad_line(trained):
    path = trained.workshop.folder / "huge.jsonl"
    lines = [{"input": "a", "output": "b", "score": score} for score in (1, 1e300)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ended = python("train_reward.py", *trained.workshop.command("huge", *SHORT, data=("huge.jsonl",)))
    assert ended.code == 1 and f'{path}:2: "score" is beyond 1,000,000' in ended.sentence
