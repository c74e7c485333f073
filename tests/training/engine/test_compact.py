"""Compact optimizers learn as the exact ones do, small steps are not lost, and states go from one to the other."""

import copy
from types import SimpleNamespace

import pytest
import torch

from model.config import TransformerConfig
from model.device import Device
from model.errors import UsageError
from model.experts import ExpertsConfig
from model.generation import generate_batch
from model.lora import Lora, add_lora
from model.sampling import GREEDY
from model.transformer import Transformer
from model.whole import changing_state, plain_state_dict
from tests.support import random_network
from training.engine.compact import CompactAdamW, CompactMuon, made_compact, refuse
from training.engine.compact_network import Masters
from training.engine.optimizers import build_optimizers
from training.engine.resume import load_changing_state, restore_updater
from training.engine.update import Updater
from training.losses.next_token import next_token_loss
from training.stages.reference import frozen_copy

CONFIG = TransformerConfig(
    vocab_size=96,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    max_position_embeddings=32,
)


class Learner:
    """A network that learns which of few tokens follow each other."""

    def __init__(self, optimizer: str, compact: bool, offload: bool = False):
        self.model = random_network(CONFIG)
        optimizers = build_optimizers(self.model, optimizer, 2e-3, 0.1)
        if compact:
            optimizers = made_compact(optimizers, self.model, offload)
        self.updater = Updater(optimizers, 128, 1.0, fp16=False)

    def learn(self, steps: range, parts: int = 1) -> list[float]:
        losses = []
        for step in steps:
            generator = torch.Generator().manual_seed(step)
            starts = torch.randint(0, 8, (8, 1), generator=generator)
            rows = (starts * 5 + torch.arange(17) ** 2) % 90
            for part in rows.chunk(parts):
                with torch.autocast("cpu", torch.bfloat16):
                    features = self.model.features(part[:, :-1])
                    loss = next_token_loss(features, self.model.lm_head.weight, part[:, 1:])
                self.updater.backward(loss, part[:, 1:].numel())
            losses.append(self.updater.update(1.0).loss)
        return losses

    def weights(self) -> dict:
        return {name: tensor.clone() for name, tensor in plain_state_dict(self.model).items()}


def assert_equal(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype and torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_it_learns_as_the_exact_one_does(optimizer):
    exact, compact = Learner(optimizer, compact=False), Learner(optimizer, compact=True)
    expected, found = exact.learn(range(30)), compact.learn(range(30))
    assert sum(found) == pytest.approx(sum(expected), rel=0.005)
    assert expected[-1] < 0.8 * expected[0]
    weight = compact.model.lm_head.weight
    assert weight.dtype == weight.grad.dtype == torch.bfloat16
    in_parts = Learner(optimizer, compact=True).learn(range(30), parts=8)
    assert sum(in_parts) == pytest.approx(sum(expected), rel=0.005)


def test_files_hold_the_float32_weights_to_the_bit():
    model = random_network(CONFIG)
    before = {name: tensor.clone() for name, tensor in plain_state_dict(model).items()}
    made_compact([], model, offload=False)
    assert model.lm_head.weight.dtype == torch.bfloat16 and model.model.norm.weight.dtype == torch.float32
    assert_equal(plain_state_dict(model), before)
    other = random_network(CONFIG, seed=1)
    made_compact([], other, offload=False)
    load_changing_state(other, changing_state(model))
    assert_equal(plain_state_dict(other), before)


def one_matrix(**settings):
    """An AdamW of one matrix that holds 1 everywhere, and what holds it."""
    holder = torch.nn.Module()
    holder.model, holder.weight = torch.nn.Module(), torch.nn.Parameter(torch.ones(64, 64))
    exact = torch.optim.AdamW([holder.weight], betas=(0.9, 0.95), weight_decay=0.0, **settings)
    return holder, CompactAdamW(exact, Masters(holder, offload=False), offload=False)


@pytest.mark.parametrize("gradient", [1.0, 1e-6])
def test_a_thousand_small_steps_are_not_lost(gradient):
    holder, optimizer = one_matrix(lr=1e-5, eps=1e-12)
    for _ in range(1000):
        holder.weight.grad = torch.full((64, 64), gradient, dtype=torch.bfloat16)
        optimizer.step()
    # v is rounded in the mean, so a step is of the size of the rate only in the mean
    assert holder.state_dict()["weight"].mean() == pytest.approx(0.99, abs=2e-4)
    plain = torch.ones(64, dtype=torch.bfloat16)
    for _ in range(1000):
        plain -= 1e-5
    assert torch.equal(plain, torch.ones_like(plain))  # without lower halves all of it is lost


def test_the_arithmetic_is_that_of_torch():
    """Where moments are exact, as those of small tensors are."""
    own, torchs = (torch.nn.Parameter(torch.linspace(-1, 1, 50)) for _ in range(2))
    holder = torch.nn.Module()
    holder.model = torch.nn.Module()
    settings = {"lr": 1e-2, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
    optimizers = (
        CompactAdamW(torch.optim.AdamW([own], **settings), Masters(holder, False), False),
        torch.optim.AdamW([torchs], **settings),
    )
    for step in range(10):
        for parameter, optimizer in zip((own, torchs), optimizers):
            parameter.grad = torch.sin(torch.arange(50.0) * (step + 1))
            optimizer.step()
    torch.testing.assert_close(own, torchs)


def test_gradients_of_many_micro_batches_are_summed():
    """1 / 300 of the sum is less than half a digit of bfloat16: adding up as usual would stand still."""
    holder, _ = one_matrix(lr=0.0)
    for _ in range(600):
        holder.weight.sum().backward()
    assert holder.weight.grad.dtype == torch.bfloat16
    errors = holder.weight.grad.double() / 600 - 1
    assert abs(errors.mean()) < 1e-3 and errors.abs().max() < 0.05


def test_the_gradient_of_a_frequent_token_is_summed_in_float32():
    model = random_network(CONFIG.replace(tie_word_embeddings=False))
    made_compact([], model, offload=False)
    tokens = torch.tensor([[3] * 1000 + [5, 3]])
    model.model.embed_tokens(tokens).sum().backward()
    gradient = model.model.embed_tokens.weight.grad
    assert gradient.dtype == torch.bfloat16 and torch.equal(gradient[5], torch.ones_like(gradient[5]))
    assert torch.equal(gradient[3], torch.full_like(gradient[3], 1001.0))  # that is 1,000 in bfloat16
    assert gradient.count_nonzero() == 2 * CONFIG.hidden_size


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_goes_on_to_the_bit(optimizer, tmp_path):
    whole = Learner(optimizer, compact=True)
    whole.learn(range(3))
    saved = {"network": changing_state(whole.model), "updater": whole.updater.state_dict()}
    torch.save(saved, tmp_path / "state.pth")
    whole.learn(range(3, 6))

    saved = torch.load(tmp_path / "state.pth", weights_only=True)
    resumed = Learner(optimizer, compact=True)
    load_changing_state(resumed.model, saved["network"])
    restore_updater(resumed.updater, saved["updater"])
    resumed.learn(range(3, 6))
    assert_equal(resumed.weights(), whole.weights())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("compact", [True, False])
def test_a_state_goes_from_one_to_the_other(optimizer, compact):
    before = Learner(optimizer, compact)
    before.learn(range(20))
    after = Learner(optimizer, not compact)
    load_changing_state(after.model, changing_state(before.model))
    restore_updater(after.updater, copy.deepcopy(before.updater.state_dict()))
    assert_equal(after.weights(), before.weights())
    steps = range(20, 24)
    assert after.learn(steps)[-1] == pytest.approx(before.learn(steps)[-1], rel=0.02)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_offloaded_states_change_nothing(optimizer):
    plain, offloaded = Learner(optimizer, True), Learner(optimizer, True, offload=True)
    assert plain.learn(range(3), parts=2) == offloaded.learn(range(3), parts=2)
    assert_equal(plain.weights(), offloaded.weights())


def test_pieces_of_a_tensor_are_updated_as_the_whole(monkeypatch):
    whole = Learner("adamw", True)
    whole.learn(range(3))
    monkeypatch.setattr("training.engine.compact_network.AT_ONCE", {"cpu": 1024})
    in_pieces = Learner("adamw", True)
    in_pieces.learn(range(3))
    assert_equal(in_pieces.weights(), whole.weights())


def test_a_frozen_copy_computes_the_same_and_does_not_learn():
    learner = Learner("adamw", True)
    learner.learn(range(2))
    reference, tokens = frozen_copy(learner.model), torch.arange(3, 19)[None]
    with torch.autocast("cpu", torch.bfloat16):
        before = reference.features(tokens)
        assert torch.equal(before, learner.model.features(tokens))
        learner.learn(range(2, 4))
        assert torch.equal(before, reference.features(tokens))
        assert not torch.equal(before, learner.model.features(tokens))
    held = {**dict(reference.named_parameters()), **reference.state_dict()}
    assert held["lm_head.weight"].dtype == torch.bfloat16, "two bytes a parameter, and no lower halves"


def test_it_writes_many_tokens_as_few():
    """Many by a rearranged copy, for which its embedding is not that of another network."""
    model, prompts = Learner("adamw", True).model, [[number, 5, 9][: 1 + number % 3] for number in range(1, 61)]
    with torch.autocast("cpu", torch.bfloat16):
        many, few = (generate_batch(model, some, max_new_tokens=20, sampling=GREEDY) for some in (prompts, prompts[:8]))
    assert many[:8] == few


def test_what_is_not_finite_touches_nothing():
    learner = Learner("adamw", True)
    learner.learn(range(2))
    before, state = learner.weights(), copy.deepcopy(learner.updater.state_dict()["optimizers"])
    learner.updater.backward(learner.model.lm_head.weight.float().sum() * float("nan"), 1)
    assert learner.updater.update(1.0).skipped == "non-finite"
    assert_equal(learner.weights(), before)
    for one, other in zip(state, learner.updater.state_dict()["optimizers"]):
        for index, values in one["state"].items():
            assert_equal(values, other["state"][index])


def test_adapters_stay_float32_on_a_bfloat16_network():
    model = random_network(CONFIG)
    add_lora(model, Lora(4, 8.0))
    optimizers = build_optimizers(model, "adamw", 1e-3, 0.1)
    assert made_compact(optimizers, model, offload=False) is optimizers  # the exact ones
    types = {name: parameter.dtype for name, parameter in model.named_parameters()}
    assert types["model.layers.0.mlp.up_proj.weight"] == model.lm_head.weight.dtype == torch.bfloat16
    assert {types[name] for name in changing_state(model)} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16):
        assert model.model.embed_tokens(torch.tensor([[1]])).dtype == torch.float32


def test_it_is_refused_where_it_cannot_be():
    model, args = Transformer(CONFIG), SimpleNamespace(optimizer_memory="compact", offload_states=False, fit=None)
    cpu, apple = torch.device("cpu"), torch.device("mps")
    refuse(args, model, Device(cpu, torch.bfloat16, ""))
    with pytest.raises(UsageError, match="in float32: give --dtype bfloat16"):
        refuse(args, model, Device(cpu, torch.float32, ""))
    with pytest.raises(UsageError, match="Apple GPU"):
        refuse(args, model, Device(apple, torch.bfloat16, ""))
    model.config = ExpertsConfig.of(CONFIG)
    with pytest.raises(UsageError, match="experts"):
        refuse(args, model, Device(cpu, torch.bfloat16, ""))
    with pytest.raises(UsageError, match="--offload_states is for"):
        args.optimizer_memory, args.offload_states = None, True
        refuse(args, model, Device(cpu, torch.bfloat16, ""))


def test_muon_keeps_its_momentum_in_two_bytes():
    learner = Learner("muon", True)
    learner.learn(range(1))
    muon = learner.updater.optimizers[0]
    assert isinstance(muon, CompactMuon)
    assert {values["momentum"].dtype for p, values in muon.state.items() if p.numel() >= 4096} == {torch.bfloat16}


def test_offloaded_momenta_are_those_of_compact_matrices():
    """The others are updated where they are, so their momenta must be there."""
    learner = Learner("muon", True, offload=True)
    muon = learner.updater.optimizers[0]
    large, small = torch.zeros(64, 64, device="meta"), torch.zeros(8, 64, device="meta")
    muon._masters = {large}
    assert (muon._buffer(large).device.type, muon._buffer(small).device.type) == ("cpu", "meta")
