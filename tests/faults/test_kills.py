"""Killed at any moment and resumed, a run of any stage ends as if never killed: metrics, weights, state."""

import functools
import os
import random
import signal
from functools import partial

import pytest

from model.files.reading import read_checkpoint
from tests.faults.kills import KINDS, Kind, kill_at, lines_in, start, survives, whole
from tests.faults.processes import at_call, kill_itself, left_behind, pause_in_step
from tests.stages.workshop import Result, Workshop, assert_same_run
from tests.support import wait_until

KILLS = 3  # of each kind of run; many more by python -m tests.faults.kills --soak 200


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory):
    """A workshop for a kind of run, and what such a run leaves that nothing happens to."""

    @functools.cache
    def of(name: str) -> tuple[Workshop, Result]:
        workshop = Workshop.create(tmp_path_factory.mktemp("kills"), KINDS[name].stage)
        return workshop, whole(workshop, KINDS[name], "whole")

    return of


@pytest.mark.parametrize("name", KINDS)
def test_killed_at_random_moments_a_run_ends_as_if_never_killed(never_killed, name, record_property):
    kind, (workshop, expected) = KINDS[name], never_killed(name)
    assert len(expected.metrics) % 7 and len(expected.metrics) > 20  # the last save is of the end alone
    survives(workshop, kind, "killed", expected, KILLS, random.Random(name))  # the soak draws other moments
    record_property("kills", KILLS)


# --- in a save --------------------------------------------------------------------------------------

SHORT = Kind("pretrain", ("--max_steps=6", "--save_interval=2", "--eval_interval=0"))

# What a save calls, once for the metrics and twice (weights, state) to sync, link and rename a file.
CALLS_OF_A_SAVE = 1 + 2 * 6


def kill_in_the_second_save(call: int) -> None:
    """Kills this process before the call number `call` of those by which the second save changes the disk."""
    at_call(2, "training.engine.run:Run.save", partial(_kill_at_change, call))


def _kill_at_change(call: int) -> None:
    calls = []
    for name in ("fsync", "link", "replace"):
        honest = getattr(os, name)

        def watched(*args, honest=honest):
            calls.append(honest)
            if len(calls) == call:
                kill_itself()
            return honest(*args)

        setattr(os, name, watched)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    workshop = Workshop.create(tmp_path_factory.mktemp("saves"))
    return workshop, whole(workshop, SHORT, "whole")


@pytest.mark.parametrize("call", range(1, CALLS_OF_A_SAVE + 1))
def test_killed_at_any_moment_of_a_save_it_goes_on_from_a_whole_one(short, call, record_property):
    workshop, expected = short
    out = f"in_save_{call}"
    (running,) = start(workshop, SHORT, out, {0: partial(kill_in_the_second_save, call)})
    ended = running.end()
    assert ended.code == -signal.SIGKILL
    killed = workshop.result(out)
    # The file of the state is renamed by the tenth call: until then it is that of the first save.
    assert read_checkpoint(killed.resume_file)["step"] == (2 if call <= 10 else 4)
    assert killed.facts["step"] == (2 if call <= 4 else 4)
    assert_same_run(whole(workshop, SHORT, out), expected)
    assert not left_behind(killed.folder)
    record_property("kills", 1)


def test_a_save_has_no_other_moments(short):
    workshop, expected = short
    beyond = partial(kill_in_the_second_save, CALLS_OF_A_SAVE + 1)
    (running,) = start(workshop, SHORT, "beyond", {0: beyond})
    running.end()
    state = read_checkpoint(workshop.result("beyond").resume_file)
    assert state["step"] == 4 and state["identity"] == read_checkpoint(expected.resume_file)["identity"]


# --- one of several processes -----------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 1])
def test_where_one_process_is_killed_the_other_ends_and_says_so(never_killed, rank, record_property):
    name, out = "pretrain in two processes", f"rank_{rank}"
    kind, (workshop, expected) = KINDS[name], never_killed(name)
    paused = workshop.folder / f"{out}_paused"
    running = start(workshop, kind, out, {rank: partial(pause_in_step, 10, paused)})
    wait_until(paused.exists)
    assert running[rank].kill()
    other = running[1 - rank].end()
    assert "another process of this run has ended" in other.sentence and "--resume" in other.sentence
    assert_same_run(whole(workshop, kind, out), expected)
    record_property("kills", 1)


def test_a_kill_is_a_kill(tmp_path):
    workshop, kind = Workshop.create(tmp_path), KINDS["pretrain"]
    metrics = workshop.result("out").logs / "metrics.jsonl"
    running = start(workshop, kind, "out", {0: partial(pause_in_step, 4, tmp_path / "paused")})
    assert kill_at(running, metrics, 3, 0) and lines_in(metrics) == 3
    assert running[0].end().code == -signal.SIGKILL and not running[0].is_alive()
