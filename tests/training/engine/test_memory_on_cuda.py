"""The formula for the memory of a GPU, against what autograd keeps: but for attention, the same on every device."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import model.transformer
from model.config import PRESETS
from model.transformer import Transformer
from tests.training.support import SMALL, flags
from training.engine.fitting import ROOM, fit
from training.engine.memory import Footprint
from training.engine.memory_on_cuda import WORKSPACE, CudaFootprint, footprint_on_cuda
from training.engine.plan import MOST_TOKENS_PER_STEP, make_plan, rows_of_a_step, tokens_per_step_rule
from training.engine.speed import OPERATIONS_PER_SECOND, WORTH_COMPILING
from training.losses.next_token import next_token_loss

ROWS, LENGTH = 3, 16
GB = 2**30


class KernelOfAGpu(torch.autograd.Function):
    """Keeps what the attention of a GPU keeps: its inputs, its output, and a float32 number per head and token."""

    @staticmethod
    def forward(ctx, q, k, v):
        B, H, T, h = q.shape
        output = q.new_zeros(B, T, H, h).transpose(1, 2)
        ctx.save_for_backward(q, k, v, output, q.new_zeros(B, H, T, dtype=torch.float32))
        return output

    @staticmethod
    def backward(ctx, gradient):
        return tuple(torch.zeros_like(each) for each in ctx.saved_tensors[:3])


def kept_by_autograd(config, dtype, checkpointing: bool) -> int:
    """Bytes of the tensors that the backward pass of one micro-batch will read, without the parameters themselves."""
    network = Transformer(config)
    network.recomputes_layers = checkpointing
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    tokens = torch.randint(3, config.vocab_size, (ROWS, LENGTH))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            next_token_loss(network.features(tokens), network.lm_head.weight, tokens)
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("changes", [{}, {"qk_norm": True}, {"attention_bias": True, "tie_word_embeddings": False}])
def test_the_formula_counts_what_autograd_keeps(changes, dtype, checkpointing, monkeypatch):
    config, flash = SMALL.replace(**changes), dtype == torch.bfloat16
    groups = config.num_attention_heads // config.num_key_value_heads

    def attend(q, k, v, mask):
        repeated = (k, v) if flash else (k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1))
        return KernelOfAGpu.apply(q, *repeated)

    monkeypatch.setattr(model.transformer, "attend", attend)
    found = kept_by_autograd(config, dtype, checkpointing)
    here = CudaFootprint(config, LENGTH, "muon", config.num_parameters(), dtype.itemsize, flash=flash)
    tokens, layers = ROWS * LENGTH, config.num_hidden_layers
    expected = (
        here.kept_at_the_end(tokens, checkpointing) + 8 * tokens
    )  # the loss needs no token ids, but the embedding does
    if checkpointing:
        expected += tokens * layers * 4 * config.hidden_size
    else:
        expected += tokens * layers * here.kept_by_layer() + here.kept_weights()
        expected += 2 * 4 * LENGTH * config.head_dim  # cosines and sines, too small for the formula
    assert found == expected


# Peaks of a first step, before which there are no gradients: NVIDIA H200, torch 2.11, not compiled (docs/gpu.md).
@pytest.mark.parametrize(
    "preset, rows, measured", [("26m", 16, 2.15), ("26m", 64, 7.33), ("64m", 16, 4.13), ("104m", 16, 5.89)]
)
def test_the_formula_agrees_with_a_card(preset, rows, measured):
    config = PRESETS[preset]
    parts = CudaFootprint(config, 512, "muon", config.num_parameters(), 2, program=WORKSPACE).parts(rows)
    assert parts["program"] + parts["weights"] + parts["activations"] == pytest.approx(measured * GB, rel=0.02)


def test_the_update_counts_where_it_is_the_peak():
    config = PRESETS["104m"]
    here = CudaFootprint(config, 512, "muon", config.num_parameters(), 2)
    parts = here.parts(1, checkpointing=True)
    assert parts["update"] == here.muon() > 0 and "activations" not in parts
    assert "update" not in here.parts(16)
    adamw = CudaFootprint(config, 512, "adamw", config.num_parameters(), 2)
    assert "update" not in adamw.parts(1, checkpointing=True)
    assert here.total(16) == sum(here.parts(16).values()) + here.muon()
    assert here.total(16, True) == sum(here.parts(16, True).values())  # nothing is recorded, and then kept


def test_compiled_code_keeps_less():
    config = PRESETS["64m"]
    plain, compiled = (CudaFootprint(config, 512, "muon", 1000, 2, compiled=compiled) for compiled in (False, True))
    assert compiled.total(16) < 0.8 * plain.total(16)
    assert compiled.compiled_as_one(False) and not compiled.compiled_as_one(True)
    assert not replace(compiled, compact=True).compiled_as_one(False)
    deep = CudaFootprint(PRESETS["1b"], 512, "muon", 1000, 2, compiled=True)
    assert not deep.compiled_as_one(False)


def on_card(total: float, free: float | None = None, length=512, config=PRESETS["26m"]) -> CudaFootprint:
    memory = {"total_memory": int(total * GB), "free_memory": int((total if free is None else free) * GB)}
    return CudaFootprint(config, length, "muon", config.num_parameters(), 2, **memory)


def planned(footprint, *words, rows=10**5):
    return make_plan(
        flags(*words), rows_per_epoch=rows, row_length=footprint.row_length, world_size=1, footprint=footprint
    )


@pytest.mark.parametrize("length", [512, 768])
def test_a_gpu_takes_a_step_at_once_and_a_small_one_in_equal_parts(length):
    asked = round(tokens_per_step_rule(10**5 * length) / length)
    whole = planned(on_card(80, length=length))
    assert (whole.batch_size, whole.accumulation_steps) == (asked, 1)
    footprint = on_card(4, length=length)
    parts = planned(footprint)
    assert parts.accumulation_steps > 1 and footprint.total(parts.batch_size) <= ROOM * 4 * GB
    assert abs(parts.rows_per_step - asked) <= parts.accumulation_steps
    assert planned(on_card(0.1, length=length)).batch_size == 1


def test_what_little_others_take_of_a_card_does_not_change_the_plan():
    assert planned(on_card(4, free=3.8)) == planned(on_card(4))
    assert planned(on_card(4, free=3)).batch_size < planned(on_card(4)).batch_size


def test_flags_decide_on_a_gpu_too():
    assert planned(on_card(80), "--batch_size=4").batch_size == 4
    assert planned(on_card(80), "--accumulation_steps=4").accumulation_steps == 4
    plan, here = planned(on_card(80), "--fit=3"), on_card(80)
    assert here.total(plan.batch_size, plan.activation_checkpointing) <= ROOM * 3 * GB
    assert plan.tokens_per_step == planned(on_card(80)).tokens_per_step
    assert fit(here, 3, range(64, 0, -1), False)[0] >= plan.batch_size


def test_what_counts_on_a_gpu_is_asked_of_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (30 * GB, 40 * GB))
    monkeypatch.setattr("training.engine.speed._has_triton", lambda device: True)
    plain = Footprint(SMALL, 16, "muon", 1000, 2, program=7)

    def found(capability, *words, kind="text", rows=100, shards=None, processes=1):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        args = flags(*words)
        args.compile = "auto"
        data = SimpleNamespace(kind=SimpleNamespace(name=kind), rows_per_epoch=rows, row_length=16)
        machine = SimpleNamespace(device=torch.device("cuda", 0), world_size=processes, shards=shards)
        here = replace(plain, masked=kind != "text")
        return footprint_on_cuda(here, data, args, machine, rows_of_a_step)

    with monkeypatch.context() as several:  # all processes must plan the same
        several.setattr("training.engine.distributed.gathered", lambda own: [own, (20 * GB, 50 * GB)])
        assert (found((9, 0)).free_memory, found((9, 0)).total_memory) == (20 * GB, 40 * GB)
    here = found((9, 0))
    assert (here.free_memory, here.total_memory, here.program) == (30 * GB, 40 * GB, 7 + 2 * WORKSPACE)
    assert found((9, 0), "--activation_checkpointing").program == 7 + WORKSPACE  # which is not recorded
    assert found((9, 0), processes=2).program == here.program + 4 * 1000  # all gradients as one message
    assert (here.flash, here.masked, here.compiled) == (True, False, False)
    assert not found((7, 5)).flash and not found((9, 0), kind="chat").flash
    assert found((9, 0), kind="chat").kept_by_layer() > here.kept_by_layer()
    assert found((9, 0), rows=10**12).compiled and not found((9, 0), "--max_steps=9", rows=10**12).compiled
    assert not found((9, 0), rows=10**12, shards="full").compiled  # which never is
    # The same steps as in the plan: 8 rows of 16, accumulated to the most tokens of a step.
    operations = 6 * SMALL.active_parameters() * MOST_TOKENS_PER_STEP
    steps = math.ceil(WORTH_COMPILING * OPERATIONS_PER_SECOND["cuda"] / operations)
    for number, compiled in ((steps - 1, False), (steps, True)):
        assert found((9, 0), "--batch_size=8", f"--max_steps={number}", rows=10**12).compiled == compiled
