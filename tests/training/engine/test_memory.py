"""The memory a run is said to take, and the two ways to make it less."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from model.attention import rotary_tables
from model.config import PRESETS
from model.device import PROGRAM_ON_CPU, Device
from model.errors import UsageError
from model.lora import Lora, add_lora
from model.reward import RewardModel
from model.transformer import Transformer
from tests.support import random_network
from tests.training.support import SMALL, flags
from training.engine.fitting import ROOM, fit, fitted
from training.engine.memory import Footprint, footprint_of
from training.engine.memory_on_cuda import CudaFootprint
from training.engine.optimizers import build_optimizers
from training.engine.plan import make_plan
from training.engine.speed import decide
from training.stages.changes import freeze_layers

ROOT, ROWS = Path(__file__).parents[3], 3


def rows_of(kind: str) -> SimpleNamespace:
    """Rows of 16 tokens, as far as a footprint needs them."""
    return SimpleNamespace(row_length=16, kind=SimpleNamespace(name=kind))


def footprint(config=SMALL, optimizer="adamw", trainable=1000, compute_bytes=2, **more) -> Footprint:
    return Footprint(config, 16, optimizer, trainable, compute_bytes, **more)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weights_gradients_and_optimizer_take_what_is_said(name, tied):
    config = replace(SMALL, tie_word_embeddings=tied)
    model = Transformer(config)
    model(torch.tensor([[1, 2, 3]])).sum().backward()
    optimizers = build_optimizers(model, name, 1e-3, 0.1)
    for optimizer in optimizers:
        optimizer.step()
    parameters = list(model.parameters())
    state = sum(tensor.nbytes for each in optimizers for values in each.state.values() for tensor in values.values())

    parts = footprint(config, name, config.num_parameters(), compute_bytes=4).parts(2)

    assert parts["weights"] == sum(p.nbytes for p in parameters)
    assert parts["gradients"] == sum(p.grad.nbytes for p in parameters)
    assert parts["optimizer"] == pytest.approx(state, rel=0.02)


def test_frozen_parameters_take_no_gradient_or_optimizer_state():
    total = SMALL.num_parameters()
    parts = footprint(trainable=total // 2).parts(2)
    assert parts["weights"] == 4 * total
    assert parts["gradients"] == 4 * (total // 2)
    assert parts["optimizer"] == 8 * (total // 2)
    assert footprint(optimizer="muon", trainable=100).parts(2)["optimizer"] == 4 * 100  # fewer than there are matrices


def test_layers_below_all_that_learns_keep_no_activations():
    model, cpu = Transformer(SMALL), Device(torch.device("cpu"), torch.float32, "")
    whole = footprint_of(model, rows_of("text"), "adamw", cpu)
    assert whole.parts(4) == replace(whole, layers=0).parts(4)
    freeze_layers(model, 1)
    here = footprint_of(model, rows_of("text"), "adamw", cpu)
    alone = Footprint(SMALL.replace(num_hidden_layers=1), 16, "adamw", here.trainable, compute_bytes=4)
    for grade in (False, "cheap", "layers"):
        assert (
            here.parts(4, grade)["activations"] == alone.parts(4, grade)["activations"] < whole.parts(4)["activations"]
        )
    model.requires_grad_(False)
    model.model.embed_tokens.requires_grad_(True)  # as with --train_only: the gradient comes through all layers
    embedding = footprint_of(model, rows_of("text"), "adamw", cpu)
    assert replace(embedding, unread=0).parts(4)["activations"] == whole.parts(4)["activations"]


ATTENTION, ALL = ("q_proj", "v_proj"), None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("targets", [ATTENTION, ALL])
def test_a_layer_with_adapters_keeps_so_much_less(targets, qk_norm, dtype):
    whole = random_network(SMALL.replace(qk_norm=qk_norm))
    adapted = random_network(SMALL.replace(qk_norm=qk_norm))
    add_lora(adapted, Lora(rank=2, alpha=4.0, **({"targets": targets} if targets else {})))
    found = footprint_of(adapted, rows_of("text"), "adamw", Device(torch.device("cpu"), dtype, ""))
    # Of A and B, too, autocast makes copies, as small as they are.
    copies = [p.numel() for p in adapted.model.layers[1].parameters() if p.requires_grad]
    less = kept_by_a_layer(whole, dtype) + 2 * sum(copies) * (dtype != torch.float32) - kept_by_a_layer(adapted, dtype)
    assert less == ROWS * 16 * found.unread > 0


def test_a_kernel_makes_numbers_of_a_mask():
    network, seen = random_network(SMALL), torch.ones(ROWS, 1, 16, 16, dtype=torch.bool).tril()
    more = kept_by_a_layer(network, torch.float32, seen) - kept_by_a_layer(network, torch.float32)
    cpu = Device(torch.device("cpu"), torch.float32, "")
    texts, chats = (footprint_of(network, rows_of(kind), "adamw", cpu) for kind in ("text", "chat"))
    layers = SMALL.num_hidden_layers
    assert (
        chats.parts(ROWS)["activations"] - texts.parts(ROWS)["activations"]
        == layers * more
        == layers * ROWS * 16**2 * 4
    )
    half = [replace(each, compute_bytes=2, keeps_attention=True).total(ROWS) for each in (texts, chats)]
    assert half[0] == half[1] and kept_by_a_layer(network, torch.bfloat16, seen) == kept_by_a_layer(
        network, torch.bfloat16
    )


def test_a_reward_model_makes_no_logits():
    cpu = Device(torch.device("cpu"), torch.float32, "")
    network = Transformer(SMALL)
    rewards, texts = (footprint_of(each, rows_of("chat"), "adamw", cpu) for each in (RewardModel.of(network), network))
    less = texts.parts(2)["activations"] - rewards.parts(2)["activations"]
    assert less == 2 * 16 * SMALL.vocab_size * 8  # logits and their logarithms in float32
    gpu = CudaFootprint(**vars(rewards))
    assert gpu.parts(2)["activations"] < replace(gpu, head_learns=False).parts(2)["activations"]
    assert replace(gpu, head_learns=False).total(2) < replace(gpu, head_learns=True).total(2)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_program_without_a_network_takes_what_is_said():
    """Twice as much where PyTorch brings the libraries for a GPU, on a machine without one as well.

    The peak of `getrusage` would not do: Linux counts the process that starts another one into it.
    """
    modules = "torch._dynamo, torch.utils.tensorboard, matplotlib.pyplot, training.engine.run, training.stages.data"
    asked = f"import {modules}; print(open('/proc/self/status').read())"
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=ROOT)
    (kilobytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", found.stdout, re.MULTILINE)
    assert 0.5 * PROGRAM_ON_CPU < int(kilobytes) * 1024 < PROGRAM_ON_CPU


def test_a_row_beside_the_micro_batch_is_kept_as_well():
    here = footprint()
    beside = replace(here, beside=16)
    assert [beside.parts(rows) for rows in (1, 2)] == [here.parts(rows + 1) for rows in (1, 2)]


def test_a_row_of_the_plan_may_be_a_group_and_another_network_takes_its_weights():
    assert replace(footprint(), rows=4).parts(2) == footprint().parts(8)
    model, cpu = Transformer(SMALL), Device(torch.device("cpu"), torch.float32, "")
    alone, beside = (footprint_of(model, rows_of("text"), "adamw", cpu, count).parts(2) for count in (0, 1000))
    assert beside == alone | {"program": alone["program"] + 4 * 1000}


def test_activations_grow_with_the_micro_batch_and_shrink_with_checkpointing():
    here = Footprint(PRESETS["26m"], 512, "muon", 1000, compute_bytes=2)
    activations = [here.parts(rows)["activations"] for rows in (2, 4, 8)]
    assert activations == sorted(activations) and activations[0] < activations[2]
    assert here.parts(8, checkpointing=True)["activations"] < activations[2] / 2
    assert here.total(8) == sum(here.parts(8).values())


def test_fit_takes_the_most_rows_and_recomputes_only_where_it_must():
    here = Footprint(PRESETS["26m"], 512, "muon", PRESETS["26m"].num_parameters(), compute_bytes=2)

    def chosen(gigabytes, checkpointing=False):
        rows, recomputed = fit(here, gigabytes, range(16, 0, -1), checkpointing)
        assert here.total(rows, recomputed) <= ROOM * gigabytes * 2**30
        assert rows == 16 or here.total(rows + 1, recomputed) > ROOM * gigabytes * 2**30
        return rows, recomputed

    assert chosen(100) == (16, False)
    assert chosen(100, checkpointing="layers") == (16, "layers")
    assert chosen(100, checkpointing="cheap") == (16, "cheap")
    rows, recomputed = chosen(here.total(9) / ROOM / 2**30)
    assert (rows, recomputed) == (9, False)  # 4608 tokens at once are enough
    rows, recomputed = chosen(here.total(3) / ROOM / 2**30)
    assert rows >= 4 and recomputed == "cheap"  # as much as it takes for 2048 tokens
    rows, recomputed = chosen(here.total(3, "cheap") / ROOM / 2**30)
    assert rows > 3 and recomputed == "layers"
    compiled = fit(here, here.total(3) / ROOM / 2**30, range(16, 0, -1), False, compiled=True)
    assert compiled[1] == "layers"  # compiled layers are cheap as they are
    group = replace(here, rows=4)  # one has 2048 tokens
    assert fit(group, 1.001 * group.total(1) / ROOM / 2**30, [4, 2, 1], False) == (1, False)
    with pytest.raises(UsageError, match=r"--fit 0.2: one row takes about .* GB") as error:
        fit(here, 0.2, [16, 1], False)
    advised = float(re.search(r"give --fit ([0-9.]+)", str(error.value))[1])
    assert fit(here, advised, [16, 1], False)[0] == 1
    with pytest.raises(UsageError):
        fit(here, advised - 0.2, [16, 1], False)


def kept_by_a_layer(network, dtype, mask=None) -> int:
    """Bytes that the backward pass of the second layer reads, without its parameters themselves."""
    layer, kept = network.model.layers[1], {}
    own = {parameter.untyped_storage().data_ptr() for parameter in layer.parameters()}
    x = torch.randn(ROWS, 16, SMALL.hidden_size, requires_grad=True)
    rotary = rotary_tables(torch.arange(16)[None], network.rotary_frequencies, 1.0)
    own |= {each.untyped_storage().data_ptr() for each in rotary}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            layer(x, rotary, mask, None)
    return sum(each.untyped_storage().nbytes() for place, each in kept.items() if place not in own)


@pytest.mark.parametrize("gigabytes, size, times", [(10, 6, 2), (5, 4, 3), (4, 3, 4), (3, 2, 6)])
def test_a_fitted_micro_batch_divides_the_rows_of_a_step(gigabytes, size, times):
    """A GB for each row and a fifth kept free: of four rows that fit into 5 GB all are taken, of five only four."""
    footprint = SimpleNamespace(total=lambda rows, grade=False: rows * 2**30, compact=False, rows=1, row_length=1)
    args = SimpleNamespace(batch_size=None, accumulation_steps=None, activation_checkpointing=False, fit=gigabytes)
    reasons = {"batch": "as asked"}
    assert fitted(footprint, args, 6, 2, reasons)[:3] == (size, times, False)
    assert reasons["batch"] == f"as asked; micro-batch as --fit {gigabytes} allows"


def test_recomputed_activations_give_the_same_gradients_and_keep_less():
    tokens = torch.arange(1, 33).reshape(2, 16)
    positions = torch.arange(16).repeat(2, 1)

    def train(recompute: bool):
        model = random_network(SMALL)
        if recompute:
            model.recomputes_layers = True
        kept = 0

        def count(tensor):
            nonlocal kept
            kept += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = model(tokens, positions).square().mean()
        loss.backward()
        return loss, {name: p.grad for name, p in model.named_parameters()}, kept

    loss, gradients, kept = train(recompute=False)
    again, recomputed, kept_then = train(recompute=True)
    assert torch.equal(loss, again)
    for name, gradient in gradients.items():
        assert torch.equal(gradient, recomputed[name]), name
    assert kept_then < kept / 2


def test_the_flag_alone_means_whole_layers(tmp_path):
    assert flags().activation_checkpointing is False
    assert flags("--activation_checkpointing").activation_checkpointing == "layers"
    assert flags("--activation_checkpointing", "--epochs=2").activation_checkpointing == "layers"
    assert flags("--activation_checkpointing", "cheap").activation_checkpointing == "cheap"
    assert flags("--activation_checkpointing=cheap", "--no_activation_checkpointing").activation_checkpointing is False
    with pytest.raises(UsageError, match="invalid choice: 'some'"):
        flags("--activation_checkpointing=some")
    for value, grade in (("true", "layers"), ("false", False), ("cheap", "cheap"), ("layers", "layers")):
        (tmp_path / "flags.yaml").write_text(f"activation_checkpointing: {value}\n", encoding="utf-8")
        assert flags(f"--config={tmp_path / 'flags.yaml'}").activation_checkpointing == grade


def test_layers_that_recompute_what_is_cheap_are_not_compiled():
    machine, plan = SimpleNamespace(shards=None, compile_choice="on"), SimpleNamespace(activation_checkpointing="cheap")
    with pytest.raises(UsageError, match="cheap and --compile on do not go together"):
        decide(machine, None, plan, None)
    here = Footprint(PRESETS["26m"], 512, "muon", PRESETS["26m"].num_parameters(), compute_bytes=2)
    asked = flags("--fit=2", "--activation_checkpointing=cheap")
    asked.compile = "on"
    with pytest.raises(UsageError, match="cheap and --compile on do not go together"):
        make_plan(asked, rows_per_epoch=1000, row_length=512, world_size=1, footprint=here)
