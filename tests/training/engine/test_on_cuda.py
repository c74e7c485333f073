"""Whole runs with what a CUDA GPU has, on a CPU, against the same runs without; and how a GPU is set up."""

import signal
import threading
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from model import grouped
from model.device import Device
from model.experts import ExpertsConfig
from tests.stages.workshop import Workshop, assert_same_run, signal_at
from tests.training.engine.fake_gpu import fake_gpu
from tests.training.support import flags
from training.engine import on_cuda
from training.engine.machine import Interrupted
from training.engine.plan import make_plan
from training.engine.step import Step

# 27 rows or so in an epoch, four a step: the last micro-batch of an epoch has other rows.
RUNS = {
    "pretrain": ("--max_steps=9", "--epochs=2", "--histograms"),
    "lora": ("--max_steps=6", "--lora_rank=4", "--lora_dropout=0.2", "--epochs=2"),
}


@pytest.mark.parametrize("stage", RUNS)
def test_recorded_and_made_ahead_a_run_is_the_same(tmp_path, stage):
    workshop = Workshop.create(tmp_path, stage)
    expected = workshop.train("plain", *RUNS[stage])
    with fake_gpu() as graphs:
        result = workshop.train("gpu", *RUNS[stage])
    assert_same_run(result, expected)
    assert graphs.recorded == 1 and graphs.replayed > 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


@pytest.mark.parametrize("stage", ["full_sft", "reason"])
def test_network_and_loss_of_a_stage_compile_as_one_graph(tmp_path, monkeypatch, stage):
    workshop, graphs = Workshop.create(tmp_path, stage), []
    words = ("--max_steps=5", "--max_seq_len=64", *(("--tag_weight=3",) if stage == "reason" else ()))
    expected = workshop.train("plain", *words)

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend, fullgraph=True))
    with fake_gpu(compiles=True):
        result = workshop.train("gpu", *words)
    assert len(graphs) == 1 and "cannot be compiled" not in result.said
    assert result.losses == pytest.approx(expected.losses, rel=1e-5)


def test_interrupted_and_resumed_it_is_the_same(tmp_path):
    workshop, words = Workshop.create(tmp_path), ("--max_steps=9", "--epochs=2", "--save_interval=3")
    expected = workshop.train("plain", *words)
    with fake_gpu():
        with signal_at(Step, "learn", call=9, number=signal.SIGTERM), pytest.raises(Interrupted):
            workshop.train("gpu", *words)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
        result = workshop.train("gpu", *words, "--resume")
    assert "resumed" in result.said
    assert_same_run(result, expected)


def test_the_dry_run_measures_a_step_that_is_replayed(tmp_path):
    workshop = Workshop.create(tmp_path)
    with fake_gpu() as graphs:
        steps = []
        with pytest.MonkeyPatch.context() as patch:
            update = Step.update
            patch.setattr(Step, "update", lambda step: steps.append(graphs.recorded) or update(step))
            workshop.main(workshop.command("out", "--dry_run"))
    assert steps == [0, 1, 1]


@pytest.mark.parametrize(
    "layers, words, passes", [(8, (), True), (48, (), False), (8, ("--activation_checkpointing",), None)]
)
def test_what_a_gpu_gets_is_what_the_plan_allows(monkeypatch, layers, words, passes):
    monkeypatch.setattr(on_cuda, "Copies", lambda choice: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(torch.cuda, "default_generators", [None, torch.default_generator])
    choice = Device(torch.device("cuda:1"), torch.float32, "")
    nothing = dict.fromkeys(("recorded_passes", "batches_ahead", "shards"))
    machine = SimpleNamespace(choice=choice, device=choice.device, compiles=True, **nothing)
    machine.say = print
    model = SimpleNamespace(config=SimpleNamespace(num_hidden_layers=layers, model_type="qwen3"))
    plan = make_plan(flags("--batch_size=4", *words), rows_per_epoch=3, row_length=8, world_size=1)
    on_cuda.equip(machine, model, plan)
    assert machine.batches_ahead is not None and (machine.recorded_passes and machine.recorded_passes.as_one) == passes
    assert passes is None or machine.recorded_passes._rows == 3  # of no more in an epoch


@pytest.mark.parametrize(
    "capability, dtype, recorded",
    [
        ((9, 0), torch.bfloat16, True),
        ((10, 0), torch.bfloat16, True),
        ((9, 0), torch.float16, False),
        ((12, 0), torch.bfloat16, False),
        ((8, 0), torch.bfloat16, False),
    ],
)
def test_experts_are_recorded_where_the_host_does_not_read_how_many_rows_each_gets(
    monkeypatch, capability, dtype, recorded
):
    monkeypatch.setattr(on_cuda, "Copies", lambda choice: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "default_generators", [torch.default_generator])
    monkeypatch.setattr(grouped, "_one_kernel", lambda device, dtype: True)  # PyTorch has a loop of its own
    choice = Device(torch.device("cuda:0"), dtype, "")
    nothing = dict.fromkeys(("recorded_passes", "batches_ahead", "shards"))
    machine = SimpleNamespace(choice=choice, device=choice.device, compiles=True, **nothing)
    machine.say = print
    model = SimpleNamespace(config=ExpertsConfig(vocab_size=100, hidden_size=64, intermediate_size=128))
    plan = make_plan(flags("--batch_size=4"), rows_per_epoch=3, row_length=8, world_size=1)
    before = torch.get_float32_matmul_precision()
    on_cuda.equip(machine, model, plan)
    torch.set_float32_matmul_precision(before)
    assert (machine.recorded_passes is not None) == recorded and machine.batches_ahead is not None


@pytest.mark.parametrize(
    "capability, dtype, precision",
    [
        ((8, 6), torch.float16, "high"),  # Muon's products are in float32
        ((9, 0), torch.bfloat16, "high"),
        ((9, 0), torch.float32, "highest"),  # only where it is asked for
        ((7, 5), torch.float16, "highest"),
    ],
)
def test_float32_beside_half_precision_runs_as_tf32(monkeypatch, capability, dtype, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    before = torch.get_float32_matmul_precision()
    try:
        on_cuda.allow_tf32(Device(torch.device("cuda:0"), dtype, ""))
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
