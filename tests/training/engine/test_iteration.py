"""Iterations of several updates, of two networks: interrupted anywhere and resumed, they end as if nothing had been."""

import signal
import time
from pathlib import Path

import numpy
import pytest
import torch

from model.files.reading import read_checkpoint
from tests.faults.processes import Running, together
from tests.stages.workshop import same, write_texts
from tests.training.engine.toy_stage import UPDATES, main
from training.engine.iteration import Iteration, mean_of_updates
from training.engine.not_finite import DivergedError
from training.engine.update import Updater
from training.report.lines import read_metrics

ROOT = Path(__file__).parents[3]
SIZE = 32
STEPS = 4


@pytest.fixture(scope="module")
def begin(tmp_path_factory):
    """Command lines of the toy stage, and the state and the metrics that a run leaves."""
    folder = tmp_path_factory.mktemp("toy")
    write_texts(folder / "a.jsonl", 60, seed=1)

    def words(out: str, *more: str) -> list[str]:
        shape = f"--hidden_size={SIZE} --num_hidden_layers=2 --num_attention_heads=2 --num_key_value_heads=1"
        sizes = f"{shape} --intermediate_size=48 --batch_size=2 --accumulation_steps=2 --max_steps={STEPS}"
        paths = [f"--data_path={folder / 'a.jsonl'}", f"--out_dir={folder / out}", "--device=cpu", "--dtype=float32"]
        return [*paths, *sizes.split(), "--save_interval=1", "--learning_rate=0.01", *more]

    def left(out: str):
        lines = read_metrics(folder / out / "logs" / f"toy_{SIZE}" / "metrics.jsonl")
        state = read_checkpoint(folder / out / f"toy_{SIZE}_resume.pth")
        return state, [{name: value for name, value in line.items() if not name.startswith("time/")} for line in lines]

    return words, left


@pytest.fixture(scope="module")
def uninterrupted(begin):
    words, left = begin
    main(words("whole"))
    return left("whole")


def assert_equal(found, expected) -> None:
    (state, lines), (expected_state, expected_lines) = found, expected
    assert lines == expected_lines and len(lines) == STEPS
    for part in ("networks", "updaters", "step", "tokens", "updates", "kept"):
        assert same(state[part], expected_state[part]), part


def test_what_a_script_records_is_in_the_line_of_the_step_whenever_it_does(begin, monkeypatch):
    words, left = begin
    update = Iteration.update

    def recorded(self):
        self.record(**{f"before/{len(self._state.updates)}": torch.tensor(2.5)})
        update(self)
        self.record(after=numpy.float32(0.5))

    monkeypatch.setattr(Iteration, "update", recorded)
    main(words("recorded", "--max_steps=1"))
    (line,) = left("recorded")[1]
    assert [line[f"before/{index}"] for index in range(UPDATES)] == [2.5] * UPDATES and line["after"] == 0.5


def test_where_the_critic_diverges_the_policy_has_made_no_update_that_the_state_does_not_know(begin, monkeypatch):
    words, left = begin
    honest, made = Updater.update, []

    def update(updater, rate, measures, asked):
        made.append(measures is None)
        if measures is None and made.count(True) == UPDATES + 2:  # of the critic
            raise DivergedError("no number")
        return honest(updater, rate, measures, asked)

    monkeypatch.setattr(Updater, "update", update)
    with pytest.raises(DivergedError):
        main(words("diverged"))
    state, _ = left("diverged")
    assert state["step"] * UPDATES + len(state["updates"]) == UPDATES + 1
    for each in state["updaters"]["model"]["optimizers"]:
        assert {int(moments["step"]) for moments in each["state"].values()} == {UPDATES + 1}


def test_the_time_of_an_iteration_counts_what_it_samples(begin, monkeypatch):
    """The end of --dry_run, the page of a run and the time left go by it."""
    words, _ = begin
    honest = Iteration.keep
    monkeypatch.setattr(Iteration, "keep", lambda *words: time.sleep(0.5) or honest(*words))
    main(words("slow"))
    path = Path(words("slow")[1].removeprefix("--out_dir=")) / "logs" / f"toy_{SIZE}" / "metrics.jsonl"
    for line in read_metrics(path):
        assert line["time/seconds"] > 0.5 and line["time/tokens_per_second"] * line["time/seconds"] > 1


def test_two_networks_learn_each_by_its_own_updates(uninterrupted):
    state, lines = uninterrupted
    assert state["networks"].keys() == state["updaters"].keys() == {"model", "critic"}
    for updater in state["updaters"].values():
        counts = {int(moments["step"]) for each in updater["optimizers"] for moments in each["state"].values()}
        assert counts == {STEPS * UPDATES}
    assert all({"loss", "grad_norm", "critic/loss", "critic/grad_norm", "value"} <= line.keys() for line in lines)
    assert all(line["min_value"] <= line["value"] <= line["max_value"] for line in lines)
    assert (state["updates"], state["kept"]) == ([], [{}])


# Iteration and update, behind whose first micro-batch the signal comes; update -1: behind the rollout.
@pytest.mark.parametrize("place", [(1, -1), (2, -1), (2, 0), (2, 1), (3, UPDATES - 1)])
def test_stopped_by_a_signal_anywhere_and_resumed(begin, uninterrupted, place):
    words, left = begin
    out = f"stopped {place}"

    def at(iteration, update):
        if (iteration, update) == place:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as ended:
        main(words(out), at)
    assert ended.value.code == 143
    state, _ = left(out)
    iteration, update = place
    assert (state["step"], len(state["updates"])) == (iteration - 1, max(update, 0))  # what was made is not made again
    assert list(state["kept"][0]) == ["answers"]
    main(words(out, "--resume"))
    assert_equal(left(out), uninterrupted)


def toy(words: list[str], processes: int) -> list[int]:
    """Runs the toy stage in so many processes and returns their exit codes."""
    environments = together(processes) if processes > 1 else [{}]
    running = [Running("tests.training.engine.toy_stage", words, environment=own) for own in environments]
    ended = [each.end(timeout=120) for each in running]
    assert not any("Traceback" in each.err for each in ended), ended
    return [each.code for each in ended]


def test_killed_between_rollout_and_update_and_resumed(begin, uninterrupted):
    words, left = begin
    assert toy(words("killed", "--at", "SIGKILL", "2", "-1"), 1) == [-9]
    assert toy(words("killed", "--resume", "--at", "SIGKILL", "3", "1"), 1) == [-9]
    assert toy(words("killed", "--resume"), 1) == [0]
    assert_equal(left("killed"), uninterrupted)


def test_each_of_two_processes_resumes_with_its_own_rollouts(begin):
    words, left = begin
    assert toy(words("pair"), 2) == [0, 0]
    assert toy(words("pair stopped", "--at", "SIGTERM", "2", "0"), 2) == [143, 143]
    state, _ = left("pair stopped")
    assert (state["step"], len(state["updates"])) == (1, 1)
    first, second = (kept["answers"]["tokens"] for kept in state["kept"])
    assert first.shape == second.shape and not torch.equal(first, second)
    assert toy(words("pair stopped", "--resume", "--at", "SIGKILL", "3", "1"), 2)[1] == -9
    assert toy(words("pair stopped", "--resume"), 2) == [0, 0]
    assert_equal(left("pair stopped"), left("pair"))


def test_a_loop_over_updates_makes_each_of_them(begin, monkeypatch):
    words, _ = begin
    monkeypatch.setattr("training.engine.step.Step.update", lambda self: None)
    with pytest.raises(RuntimeError, match="calls step.update"):
        main(words("forgotten"))


def test_the_metrics_of_an_iteration_are_means_of_its_updates():
    times = {"time/seconds": 2.0, "time/tokens_per_second": 50.0, "time/memory": 7}
    first = {"step": 3, "tokens": 10, "loss": 1.0, "lr": 0.1, "kl": 0.5, "min_r": -1.0, "max_r": 1.0, **times}
    slow = {"time/seconds": 6.0, "time/tokens_per_second": 10.0, "time/memory": 9}
    second = first | {"tokens": 20, "loss": None, "min_r": -3.0, "max_r": 0.5, "skipped": "non-finite", **slow}
    found = mean_of_updates([first, second])
    assert (found["step"], found["tokens"], found["loss"], found["kl"]) == (3, 20, 1.0, 0.5)
    assert (found["min_r"], found["max_r"], found["skipped"]) == (-3.0, 1.0, "non-finite")
    assert found.items() >= {"time/seconds": 8.0, "time/tokens_per_second": 20.0, "time/memory": 9}.items()
    assert mean_of_updates([first]) == first and mean_of_updates([]) == {}


def test_a_loss_that_is_not_finite_stops_only_its_own_network(begin, monkeypatch):
    words, left = begin
    honest = torch.Tensor.square
    calls = []

    def square(self):
        calls.append(self)
        return honest(self) * (float("nan") if len(calls) == 1 else 1.0)

    monkeypatch.setattr(torch.Tensor, "square", square)
    main(words("nan", "--max_steps=1"))
    state, lines = left("nan")
    assert state["updaters"]["critic"]["skipped"] == {"non-finite": 1, "overflow": 0}
    assert state["updaters"]["model"]["skipped"] == {"non-finite": 0, "overflow": 0}
    assert lines[0]["skipped"] == "non-finite" and lines[0]["loss"] is not None
