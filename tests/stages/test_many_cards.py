"""`--shard`: one curve whatever is spread over how many processes; what is saved is that of one process."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.distributed.fsdp import FSDPModule

from model.config import PRESETS
from model.files.reading import read_checkpoint
from model.files.reward import Spread
from scripts.benchmark.scale.shard import bytes_held
from tests.faults.processes import Running, at_call, kill_itself, no_curves, together
from tests.stages.workshop import Result, Workshop, assert_same_run
from training.engine.memory_of_shards import sizes
from training.engine.step import Step

pytestmark = pytest.mark.skipif(not hasattr(FSDPModule, "reset_iter_state"), reason="--shard needs torch 2.13")
ROOT = Path(__file__).parents[2]
# Steps of 4 rows. An epoch has 33, so it ends with a step of one row, and all processes but one have none.
RUN = ("--epochs=2", "--max_seq_len=31", "--save_interval=4", "--eval_interval=6", "--batch_size=1")
DATA = ("b.jsonl",)


def begin(workshop: Workshop, out: str, count: int, *words: str, before=no_curves, data=None) -> list[Running]:
    """Begins a run of `count` processes with steps of 4 rows."""
    command = workshop.command(out, *words, f"--accumulation_steps={4 // count}", data=data)
    environments = together(count) if count > 1 else [{}]
    befores = before if isinstance(before, list) else [before] * count
    return [Running(f"train_{workshop.stage}", command, b, e) for b, e in zip(befores, environments)]


def by(workshop: Workshop, out: str, count: int, *words: str, data=None) -> Result:
    ends = [each.end(240) for each in begin(workshop, out, count, *words, data=data)]
    assert [each.code for each in ends] == [0] * count, "".join(each.err for each in ends)
    assert not any(each.out for each in ends[1:])
    return workshop.result(out, ends[0].out)


# Muon magnifies the rounding of small singular values: up to 5e-4 of a step of 0.02.
MOST = {"adamw": 1e-6, "muon": 1e-5}


def assert_same_curve(found: Result, expected: Result, most: float = MOST["muon"]) -> None:
    """most: how far a weight may be off."""
    for a, b in zip(found.metrics, expected.metrics, strict=True):
        missing = {name for name, value in b.items() if value is None}  # JSON's way to say: not a number
        assert missing == {name for name, value in a.items() if value is None}
        a, b = ({name: value for name, value in line.items() if name not in missing} for line in (a, b))
        assert a == pytest.approx(b, rel=2e-6, abs=2e-6)
    weights = expected.weights
    assert found.weights.keys() == weights.keys()
    for name, tensor in found.weights.items():
        assert tensor.dtype == weights[name].dtype and (tensor - weights[name]).abs().max() < most, name


@pytest.fixture(scope="module")
def one(workshop):
    """The result of pretraining by one process, with each optimizer."""
    return {name: by(workshop, f"one_{name}", 1, f"--optimizer={name}", *RUN, data=DATA) for name in ("adamw", "muon")}


@pytest.fixture(scope="module")
def spread(workshop):
    """Pretraining by two processes, with Muon."""
    return by(workshop, "full_muon_2", 2, "--shard=full", "--optimizer=muon", *RUN, data=DATA)


@pytest.mark.parametrize(
    "mode, optimizer, count", [("full", "adamw", 4), ("optimizer", "muon", 4), ("optimizer", "adamw", 2)]
)
def test_pretraining_has_the_curve_of_one_process(workshop, one, mode, optimizer, count):
    words = (f"--shard={mode}", f"--optimizer={optimizer}", *RUN)
    found = by(workshop, f"{mode}_{optimizer}_{count}", count, *words, data=DATA)
    assert_same_curve(found, one[optimizer], MOST[optimizer])
    assert f"spread    {mode}: 0.02" in found.said and f"in {count} pieces" in found.said


def test_what_is_saved_is_that_of_one_process(one, spread):
    assert_same_curve(spread, one["muon"])
    assert "an epoch: 33 rows of 31" in spread.said, "no step in which a process has no row"
    state, wanted = (read_checkpoint(each.resume_file) for each in (spread, one["muon"]))
    for mine, other in zip(state["updaters"]["model"]["optimizers"], wanted["updaters"]["model"]["optimizers"]):
        assert mine["param_groups"] == other["param_groups"]
        shapes = [
            {i: {k: (v.shape, v.dtype) for k, v in each.items()} for i, each in optimizer["state"].items()}
            for optimizer in (mine, other)
        ]
        assert shapes[0] == shapes[1]
    assert not spread.facts["arguments"].keys() ^ one["muon"].facts["arguments"].keys()


def clock(always: bool) -> None:
    """Lets a process find that it has the time to write samples from the eleventh step on, or never."""
    Step.age = property(lambda step: 1.0 if always else 2.0**step.number)


def test_all_write_samples_or_none_by_the_clock_of_the_main_process(workshop):
    """To write them each process gathers what the others hold, so one that goes on alone would end the run."""
    command = workshop.command("samples", "--shard=full", *RUN, "--accumulation_steps=2", data=DATA)
    place = command.index("--sample_interval")
    del command[place : place + 2]  # as without the flag
    befores = [partial(clock, True), partial(clock, False)]
    running = [Running("train_pretrain", command, b, e) for b, e in zip(befores, together(2), strict=True)]
    ends = [each.end(240) for each in running]
    assert [each.code for each in ends] == [0, 0], "".join(each.err for each in ends)
    written = [int(number) for number in re.findall(r"step (\d+) writes", ends[0].out)]
    assert written == [12, 16, 18]


WORDS = {
    "full_sft": ("full",),
    "lora": ("optimizer", "--lora_rank=4"),
    "dpo": ("full", "--no_precompute_ref"),
    "reason": ("optimizer",),
    "reward": ("full",),
    "distill": ("optimizer", "--teacher_top_k=8"),
}


@pytest.mark.parametrize("stage", WORDS)
def test_a_stage_has_the_curve_of_one_process(workshop, stage):
    """With its validation, which is shared out, and all that it measures."""
    workshop, (mode, *words) = Workshop(workshop.folder, stage), WORDS[stage]
    words = (*words, "--max_steps=4", "--batch_size=1", "--eval_interval=2")
    expected = by(workshop, f"one_{stage}", 1, *words)
    found = by(workshop, f"two_{stage}", 2, *words, f"--shard={mode}")
    assert_same_curve(found, expected)
    assert any("val_loss" in line for line in found.metrics)
    if stage == "reward":
        found, expected = (Spread.of(each.facts) for each in (found, expected))
        assert (found.mean, found.deviation) == pytest.approx((expected.mean, expected.deviation), abs=1e-6)


@pytest.mark.parametrize("stage, mode", [("grpo", "full"), ("ppo", "optimizer")])
def test_rollouts_are_those_of_as_many_whole_processes(workshop, stage, mode):
    """A process samples for itself, so the answers depend on the number of processes, and not on what is spread."""
    workshop = Workshop(workshop.folder, stage)
    words = ("--max_steps=4", "--batch_size=1", "--mini_batches=2", "--eval_interval=2")
    expected = by(workshop, f"whole_{stage}", 2, *words)
    assert_same_curve(by(workshop, f"spread_{stage}", 2, *words, f"--shard={mode}"), expected)


AT_ITS_END = """
import atexit, os, runpy, sys
from contextlib import suppress

def say():
    names = []
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):  # it ended since it was listed
            names.append(open(f"/proc/self/task/{thread}/comm").read().strip())
    os.write(1, f"alive: {names}\\n".encode())  # in one piece: two processes write

atexit.register(say)
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="where threads are listed")
def test_no_thread_of_the_process_group_outlives_the_run(workshop, tmp_path):
    """One that does can abort the process at its exit (torch 2.13)."""
    (tmp_path / "stage.py").write_text(AT_ITS_END)
    command = workshop.command("threads", "--shard=full", "--max_steps=2", "--batch_size=1", data=DATA)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    words = [*torchrun, tmp_path / "stage.py", ROOT / "train_pretrain.py", *command]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=300, env=environment)
    assert ended.returncode == 0, ended.stderr
    alive = re.findall(r"alive: (.*)", ended.stdout)
    assert len(alive) == 2 and not any("gloo" in each for each in alive)


# --- kill -9, and other numbers of processes --------------------------------------------------------


@pytest.fixture(scope="module")
def killed(workshop):
    """A run whose second process was killed in step 7, after the save of step 4, and what the first one said."""
    dies = partial(at_call, 7, "training.engine.sharded:ShardedUpdater.update", kill_itself)
    words = ("--shard=full", "--optimizer=muon", *RUN)
    running = begin(workshop, "killed", 2, *words, before=[no_curves, dies], data=DATA)
    assert running[1].end(120).code == -signal.SIGKILL
    return running[0].end(30)  # seconds


def test_a_killed_process_ends_the_run_and_it_goes_on_to_the_bit(workshop, spread, killed):
    assert killed.code == 1
    assert "another process of this run has ended or cannot be reached" in killed.sentence
    assert "and go on with: " in killed.sentence and "--resume" in killed.sentence
    shutil.copytree(workshop.folder / "killed", workshop.folder / "again")
    resumed = by(workshop, "again", 2, "--shard=full", "--optimizer=muon", *RUN, "--resume", data=DATA)
    assert "at step 4 of" in resumed.said
    assert_same_run(resumed, spread)


@pytest.mark.parametrize(
    "step, method, words",
    [(2, "sharded:ShardedUpdater", ("--shard=full",)), (1, "update:Updater", ())],
    ids=["spread", "in the first step"],
)
def test_before_the_first_save_there_is_nothing_to_resume(workshop, step, method, words):
    """Also where an earlier run has left a state, which the run has moved aside. Spread over processes, nothing can be
    saved when one of them is lost; else the main one saves the last step that all have made."""
    out = f"killed_early_{step}"
    by(workshop, out, 1, *RUN, "--max_steps=1", data=DATA)
    dies = partial(at_call, step, f"training.engine.{method}.update", kill_itself)
    running = begin(workshop, out, 2, *words, *RUN, before=[no_curves, dies], data=DATA)
    assert running[1].end(120).code == -signal.SIGKILL
    said = running[0].end(30).sentence
    assert "see what it said, and begin again with: " in said and "--resume" not in said


@pytest.mark.parametrize("count, words", [(4, ("--shard=optimizer",)), (1, ())])
def test_it_goes_on_with_another_number_of_processes(workshop, spread, killed, count, words):
    """At the same place, with the same rows in the same order."""
    out = f"by_{count}"
    shutil.copytree(workshop.folder / "killed", workshop.folder / out)
    words = (*words, "--optimizer=muon", *RUN, "--resume")
    if count == 1:
        code, said = workshop.fails(out, *words, "--accumulation_steps=3", "--allow_changed", data=DATA)
        assert code == 2 and "for steps as before give --batch_size 1 --accumulation_steps 4" in said
    found = by(workshop, out, count, *words, "--allow_changed", data=DATA)
    assert f"processes was 2, is {count}" in found.said and "at step 4 of" in found.said
    assert_same_curve(found, spread)


# --- several machines, bytes, refusals --------------------------------------------------------------


def test_two_machines_have_the_curve_of_one(workshop, one):
    """Two launchers that find each other over the network, each with one process."""
    meeting = together(2)[0]["MASTER_PORT"]
    launcher = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d"]
    launcher += [f"--rdzv_endpoint=127.0.0.1:{meeting}", "--local_addr=127.0.0.1", "--rdzv_id=sprout"]
    words = ("--shard=full", "--optimizer=muon", *RUN, "--accumulation_steps=2")
    started = [workshop.start("machines", *words, launcher=launcher, data=DATA) for _ in range(2)]
    said = [each.communicate(timeout=240) for each in started]
    assert [each.returncode for each in started] == [0, 0], said
    assert_same_curve(workshop.result("machines"), one["muon"])


def main(words: list[str]) -> None:
    """What a process of the next test prints."""
    print(json.dumps(bytes_held(*words)))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_bytes_of_a_process_fall_as_the_table_says(optimizer):
    """With AdamW 4 + 4 + 8 bytes a parameter, over N processes; `optimizer` has whole weights while it computes."""
    numbers = PRESETS["tiny"].num_parameters()
    for mode in ("optimizer", "full"):
        environments, words = together(2), ["tiny", mode, optimizer]
        running = [Running("tests.stages.test_many_cards", words, environment=each) for each in environments]
        ends = [each.end(120) for each in running]
        assert [each.code for each in ends] == [0, 0], ends[0].err
        found = [json.loads(each.out.splitlines()[-1]) for each in ends]
        for name, size in {"weights": 4, "gradients": 4}.items():
            assert sum(one[name] for one in found) == size * numbers
            assert max(one[name] for one in found) < 1.01 * size * numbers / 2
        least = 4 if optimizer == "muon" else 8  # AdamW has two for what Muon does not update
        assert least * numbers <= sum(one["moments"] for one in found) <= 8 * numbers
        assert max(one["moments"] for one in found) < 1.1 * sum(one["moments"] for one in found) / 2
        block, outside = sizes(PRESETS["tiny"])
        blocks = PRESETS["tiny"].num_hidden_layers if mode == "optimizer" else 0
        assert found[0]["whole"] == 4 * (outside + blocks * block)


def refusal(workshop, *words: str) -> str:
    code, said = workshop.fails("refused", "--shard=full", *words)
    assert code == 2 and said.count("\n") == 1, said
    return said


def test_an_older_torch_is_refused(workshop, monkeypatch):
    monkeypatch.delattr(FSDPModule, "reset_iter_state")
    assert f"--shard needs torch 2.13, and this is {torch.__version__}" in refusal(workshop)


def test_one_process_has_nothing_to_share_out(workshop):
    assert "start it by torchrun --nproc_per_node N, or leave --shard out" in refusal(workshop)


@pytest.mark.parametrize(
    "words",
    [
        "--optimizer_memory compact --dtype bfloat16",
        "--compile on",
        "--histograms",
        "--fit 4",
        "--train_only embeddings",
    ],
)
def test_what_does_not_go_together_is_a_sentence(workshop, monkeypatch, words):
    monkeypatch.setenv("WORLD_SIZE", "2")
    named = words.removesuffix(" --dtype bfloat16")
    flag = named.split()[0]
    assert f"--shard and {flag}" in refusal(workshop, *words.split())


@pytest.mark.parametrize("stage, words", [("dpo", "--loss_type kto"), ("distill", "--on_policy 0.5")])
def test_a_loss_of_the_whole_step_is_refused(workshop, monkeypatch, stage, words):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert f"--shard and {words.split()[0]}" in refusal(Workshop(workshop.folder, stage), *words.split())


def test_experts_are_refused(workshop):
    ends = [
        each.end(120) for each in begin(workshop, "experts", 2, "--shard=full", "--num_experts=4", "--batch_size=1")
    ]
    assert [each.code for each in ends] == [2, 2]
    assert "--shard" not in ends[1].err  # one process says it
    assert "--shard is not for a network with experts" in ends[0].sentence
