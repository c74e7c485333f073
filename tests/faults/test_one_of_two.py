"""What goes wrong in one of two processes is said by that one: the other only knows that it has ended."""

from functools import partial

import pytest
import torch

from model.errors import SproutError
from model.files.reading import read_checkpoint
from tests.faults.processes import Running, at_call, in_order, kill_itself, no_curves, together
from tests.stages.workshop import Workshop, assert_same_run
from training.engine.run import Run


def no_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def damaged() -> None:
    raise SproutError("the cache is bad: delete it")


def no_space() -> None:
    raise SproutError("cannot write the cache: make room")


def spoilt() -> None:
    Run.spoilt = lambda run: "lm_head.weight"


def run_two(workshop: Workshop, befores: list, *words: str, codes=(1, 1), machines: int = 1) -> list[str]:
    """What both processes say, without the lines on who waits for whose token cache. codes: with which they end."""
    command, places = workshop.command("out", *words), together(2)
    if machines == 2:
        places = [{**place, "LOCAL_RANK": "0"} for place in places]
    running = [Running("train_pretrain", command, *each) for each in zip(befores, places, strict=True)]
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
    assert not [*(tmp_path / "out").glob("*.pth")]  # although those of the main process are finite
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


RUN = ("--max_steps=6", "--epochs=4", "--eval_interval=0")


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("fails, code", [(damaged, 1), (kill_itself, -9)])
def test_no_step_is_lost_that_all_have_made(tmp_path, rank, fails, code):
    """The fourth step has begun: the process that fails saves, and the main one where the other was killed."""
    workshop = Workshop.create(tmp_path)
    befores, codes = [no_curves, no_curves], [1, 1]
    befores[rank] = partial(in_order, no_curves, partial(at_call, 7, "training.engine.step:Step.learn", fails))
    codes[rank] = code
    said = run_two(workshop, befores, *RUN, codes=tuple(codes))
    out = workshop.result("out")
    if fails is kill_itself and rank == 0:
        assert "begin again with: " in said[1] and not out.weight_file.exists()  # nobody is left who writes
        return
    if rank == 1:  # the main one says it as it saves, before its error
        assert "--resume" in said[rank if fails is damaged else 0]
    assert (out.facts["step"], read_checkpoint(out.resume_file)["step"]) == (3, 3)
    gone_on = [Running("train_pretrain", workshop.command("out", *RUN, "--resume"), no_curves, e) for e in together(2)]
    assert [each.end().code for each in gone_on] == [0, 0]
    whole = [Running("train_pretrain", workshop.command("whole", *RUN), no_curves, each) for each in together(2)]
    assert [each.end().code for each in whole] == [0, 0]
    assert_same_run(workshop.result("out"), workshop.result("whole"))


def test_a_save_that_the_end_of_another_process_breaks_off_is_made_all_the_same(tmp_path):
    """The processes tell each other whether their weights are finite before the main one writes them."""
    workshop = Workshop.create(tmp_path)
    killed = partial(in_order, no_curves, partial(at_call, 1, "training.engine.run:Run.spoilt", kill_itself))
    said = run_two(workshop, [no_curves, killed], *RUN, "--save_interval=3", codes=(1, -9))
    assert "go on with: " in said[0]
    out = workshop.result("out")
    assert (out.facts["step"], read_checkpoint(out.resume_file)["step"]) == (3, 3)
