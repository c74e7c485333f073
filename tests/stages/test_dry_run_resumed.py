"""`--resume --dry_run`: what the run would go on with or be refused for, with nothing written."""

import pytest

from tests.stages.workshop import Workshop

RUN = ("--max_steps=2", "--epochs=4", "--eval_interval=0")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    workshop = Workshop.create(tmp_path_factory.mktemp("dry"))
    workshop.train("out", *RUN, "--save_interval=2")
    return workshop


def contents(workshop: Workshop) -> dict:
    """The files of the run; the token cache may grow."""
    files = (path for path in (workshop.folder / "out").rglob("*") if path.is_file() and "cache" not in path.parts)
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.mark.parametrize(
    "words, data, said",
    [
        (("--weight_decay=0.5",), None, "weight_decay was 0.1, is 0.5; --allow_changed goes on all the same"),
        (("--seed=7",), None, "seed was 42, is 7"),
        ((), ("b.jsonl",), "give the data as they were"),
        (("--max_steps=1", "--allow_changed"), None, "the run is at step 2 already, and is to end at 1"),
    ],
)
def test_it_is_refused_as_the_run_would_be(workshop, words, data, said):
    before = contents(workshop)
    code, error = workshop.fails("out", *RUN, *words, "--resume", "--dry_run", data=data)
    assert code == 2 and said in error and error.count("\n") == 1
    assert contents(workshop) == before


def test_it_takes_the_next_step_and_tells_of_those_that_are_left(workshop):
    before = contents(workshop)
    result = workshop.train("out", *RUN, "--max_steps=5", "--allow_changed", "--resume", "--dry_run")
    assert "changed: steps was 2, is 5" in result.said and "at step 2 of 5" in result.said
    assert "so the 3 steps that are left take about" in result.said
    assert "moved to" not in result.said and contents(workshop) == before


def test_a_run_at_its_end_has_no_step_to_take(workshop):
    before = contents(workshop)
    said = workshop.train("out", *RUN, "--resume", "--dry_run").said
    assert "nothing is left to train" in said and said.endswith(
        "dry run: no step was taken; nothing was written but the token cache\n"
    )
    assert contents(workshop) == before


def test_a_run_that_a_rule_has_stopped_would_stop_again(tmp_path, monkeypatch):
    workshop = Workshop.create(tmp_path, "ppo")
    monkeypatch.setattr("training.stages.stop_rules.FEWEST", 1)
    words = ("--max_steps=3", "--epochs=4", "--eval_interval=0", "--stop_cut=0.0001", "--critic_warmup=0")
    monkeypatch.setattr("training.stages.stop_rules.why_stop", lambda *facts: "it is enough")
    assert "stopped after step 1 of 3: it is enough" in workshop.train("out", *words).said
    before = contents(workshop)
    assert "ends after step 1 of 3: it is enough" in workshop.train("out", *words, "--resume", "--dry_run").said
    assert contents(workshop) == before
