"""What goes wrong in one of two processes is said by that one, and the main one saves what was done before."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from model.errors import SproutError
from model.files.reading import read_checkpoint
from tests.faults.processes import Running, at_call, together
from tests.stages.workshop import Workshop, assert_same_run
from training.engine.early_end import has_the_whole_state
from training.engine.run import Run


def no_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def damaged() -> None:
    raise SproutError("the cache is bad: delete it")


def no_space() -> None:
    raise SproutError("cannot write the cache: make room")


def spoilt() -> None:
    Run.spoilt = lambda run: "lm_head.weight"


def run_two(
    workshop: Workshop, befores: list, *words: str, out: str = "out", codes=(1, 1), machines: int = 1
) -> list[str]:
    """What both processes say, without the lines on who waits for whose token cache. codes: with which they end."""
    command, places = workshop.command(out, *words), together(2)
    if machines == 2:
        places = [{**place, "LOCAL_RANK": "0"} for place in places]
    running = [Running(f"train_{workshop.stage}", command, *each) for each in zip(befores, places, strict=True)]
    endings = [each.end() for each in running]
    assert tuple(ended.code for ended in endings) == codes
    return ["".join(line for line in one.err.splitlines(True) if not line.startswith("waiting: ")) for one in endings]


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("fails, words", [(no_memory, "the GPU's memory is used up"), (damaged, "the cache is bad")])
def test_the_process_that_fails_says_why(tmp_path, rank, fails, words):
    befores = [None, None]
    befores[rank] = partial(at_call, 3, "training.engine.step:Step.learn", fails)
    said = run_two(Workshop.create(tmp_path), befores, "--max_steps=6")
    assert said[rank].startswith("error: ") and words in said[rank] and said[rank].count("\n") == 1
    # The main one has nothing to add where it would say the same alone.
    assert f"process {rank + 1} of 2: " in said[rank] or (rank == 0 and fails is damaged)
    assert "another process of this run has ended" in said[1 - rank]


def test_what_all_processes_meet_is_said_once(tmp_path):
    said = run_two(Workshop.create(tmp_path), [spoilt, spoilt], "--max_steps=2")
    assert said[0].startswith("error: lm_head.weight is not finite after step 2") and said[1] == ""
    fails = partial(at_call, 3, "training.engine.step:Step.learn", damaged)
    said = run_two(Workshop.create(tmp_path / "file"), [fails, fails], "--max_steps=6")
    assert said == ["error: the cache is bad: delete it\n", ""]


def test_what_two_processes_meet_at_once_is_said_by_both_where_it_differs(tmp_path):
    fails = [partial(at_call, 3, "training.engine.step:Step.learn", each) for each in (damaged, no_space)]
    said = run_two(Workshop.create(tmp_path), fails, "--max_steps=6")
    assert said[0] == "error: the cache is bad: delete it\n"
    assert said[1].startswith("error: process 2 of 2: cannot write")


def test_a_wrong_flag_is_said_once_on_each_machine(tmp_path):
    workshop, words = Workshop.create(tmp_path), "there is no weight called nothing"
    said = run_two(workshop, [None, None], "--from_weight=nothing", codes=(2, 2))
    assert said[0].startswith(f"error: {words}") and said[1] == ""
    said = run_two(workshop, [None, None], "--from_weight=nothing", codes=(2, 1), machines=2)
    assert said[0].startswith(f"error: {words}") and said[1].startswith(f"error: process 2 of 2: {words}")


# --- what is saved ----------------------------------------------------------------------------------

STAGES_OF_TWO = {  # where one of two processes fails, in which call, and after how many steps
    "pretrain": ("training.engine.step:Step.learn", 13, 6),
    "grpo": ("training.stages.rated_answers:rewards_of", 4, 3),
}


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("stage", STAGES_OF_TWO)
def test_the_main_process_saves_what_was_done_before_one_of_them_failed(tmp_path, stage, rank):
    """On its own: the other has ended, or waits. Resumed, the run ends as if nothing had failed."""
    workshop, befores = Workshop.create(tmp_path, stage), [None, None]
    words = ("--batch_size=1", "--max_steps=8", "--epochs=4", "--eval_interval=0")
    place, call, steps = STAGES_OF_TWO[stage]
    run_two(workshop, befores, *words, out="whole", codes=(0, 0))
    befores[rank] = partial(at_call, call, place, damaged)
    said = run_two(workshop, befores, *words)
    state = read_checkpoint(workshop.result("out").resume_file)
    assert state["step"] == steps and workshop.result("out").facts["step"] == steps
    assert said[0].count("\n") == 1 and "go on with: " in said[1 - rank] and "--resume" in said[1 - rank]
    run_two(workshop, [None, None], *words, "--resume", codes=(0, 0))
    assert_same_run(workshop.result("out"), workshop.result("whole"))


@pytest.mark.parametrize("fails", ["critic", "kept", "experts", "shards", "gpu"])
def test_what_the_main_process_does_not_know_whole_it_does_not_save(fails):
    """An update of one of two networks, what other processes keep, counts of experts, pieces, a queue of a GPU."""
    updater = SimpleNamespace(fresh=False, balance=None)
    other = SimpleNamespace(fresh=fails == "critic", balance=fails == "experts" or None)
    state = SimpleNamespace(kept={"answers": 1}, updates=[{}] if fails == "kept" else [])
    device = torch.device("cuda" if fails == "gpu" else "cpu")
    machine = SimpleNamespace(shards=fails == "shards" or None, device=device)
    run = SimpleNamespace(updaters={"model": updater, "critic": other}, state=state, machine=machine)
    assert not has_the_whole_state(run)
    updater.fresh, other.fresh, other.balance, state.updates = False, False, None, []
    machine.shards, machine.device = None, torch.device("cpu")
    assert has_the_whole_state(run)
