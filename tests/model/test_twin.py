"""What writes and what trains are compared in a tiny network of the same code: an edit of one of them is refused."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method

from model.decoding import rearranged
from model.errors import UsageError
from model.experts import ExpertsConfig
from model.files.edited import refuse_edited
from model.lora import Lora, LoRALinear, add_lora
from model.transformer import MLP, Attention, DecoderLayer, RMSNorm
from tests.model.small_decoding import SMALL
from tests.support import random_network


def squared_relu(self, x):
    return self.down_proj(F.relu(self.gate_proj(x)).square() * self.up_proj(x))


def gelu(self, x):
    return self.down_proj(F.gelu(self.gate_proj(x)) * self.up_proj(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("edited", [squared_relu, gelu])
def test_a_network_that_was_edited_writes_with_its_own_layers_or_not_at_all(dtype, edited, monkeypatch):
    network, before = random_network(SMALL), torch.get_rng_state()
    rearranged(network, dtype)
    monkeypatch.setattr(MLP, "forward", edited)
    with pytest.raises(UsageError, match="model/decoding.py writes with other layers than model/transformer.py trains"):
        rearranged(network, dtype)
    assert network.training and torch.equal(torch.get_rng_state(), before)


class Halved(MLP):
    def forward(self, x):
        return super().forward(x) / 2


def another_part(network):
    network.model.layers[1].mlp = Halved(network.config)


def another_forward(network):
    network.model.layers[1].self_attn.forward = lambda x, *more: x


def another_embedding(network):
    network.model.embed = lambda tokens, positions: 2 * network.model.embed_tokens(tokens)


class Capped(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x).tanh()


def another_head(network):
    network.lm_head = Capped(32, 61, bias=False)


def other_features(network):
    made = network.features
    network.features = functools.wraps(made)(lambda *given, **more: 2 * made(*given, **more))


def spread(network):
    """As `fully_shard` does, and --shard after it, but for the processes."""
    kind = type(network)
    network.__class__ = type(f"FSDP{kind.__name__}", (FSDPModule, kind), {"__module__": FSDPModule.__module__})
    register_fsdp_forward_method(network, "features")


def other_features_spread(network):
    other_features(network)
    spread(network)


EXCHANGES = [another_part, another_forward, another_embedding, another_head, other_features, other_features_spread]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_network_that_a_script_changed_when_it_was_made_is_refused(exchange):
    network = random_network(SMALL)
    exchange(network)
    with pytest.raises(UsageError, match="a part of the network was exchanged"):
        rearranged(network, torch.float32)


def test_what_fsdp_wraps_is_no_exchange():
    network = random_network(SMALL)
    spread(network)
    rearranged(network, torch.float32)
    refuse_edited(network)


def test_an_mlp_of_two_matrices_is_refused_in_a_sentence(monkeypatch):
    made = MLP.__init__

    def init(self, config):
        made(self, config)
        del self.gate_proj

    monkeypatch.setattr(MLP, "__init__", init)
    monkeypatch.setattr(MLP, "forward", lambda self, x: self.down_proj(self.up_proj(x).relu()))
    with pytest.raises(UsageError, match="writes with other layers"):
        rearranged(random_network(SMALL), torch.float32)


def test_a_norm_that_takes_off_the_mean_is_another_at_every_width(monkeypatch):
    def layer_norm(self, x):
        return F.layer_norm(x, x.shape[-1:], self.weight, eps=self.eps)

    monkeypatch.setattr(RMSNorm, "forward", layer_norm)
    with pytest.raises(UsageError, match="writes with other layers"):
        rearranged(random_network(SMALL.replace(hidden_size=512)), torch.float32)


@pytest.mark.parametrize("number", range(4))
def test_an_edit_of_one_layer_alone_is_refused(number, monkeypatch):
    network, forward = random_network(SMALL.replace(num_hidden_layers=4)), DecoderLayer.forward

    def edited(self, x, *more):
        return forward(self, x, *more) + (x if self.self_attn.layer == number else 0)

    monkeypatch.setattr(DecoderLayer, "forward", edited)
    with pytest.raises(UsageError, match="writes with other layers"):
        rearranged(network, torch.float32)


def test_layers_that_write_are_compared_at_small_widths(monkeypatch):
    """Those of a billion parameters would take seconds."""
    network, forward, widths = random_network(SMALL.replace(hidden_size=64)), MLP.forward, []
    monkeypatch.setattr(MLP, "forward", lambda self, x: widths.append(x.shape[-1]) or forward(self, x))
    rearranged(network, torch.bfloat16)
    assert widths == [16] * SMALL.num_hidden_layers


def twice_the_values(monkeypatch):
    forward = Attention.forward
    monkeypatch.setattr(Attention, "forward", lambda self, *more: 2 * forward(self, *more))


def added_to(self, x):
    return self.down_proj(self.gate_proj(x) + torch.ones(48))


def asserted_in(self, x):
    assert x.shape[-1] == 32
    return self.down_proj(self.gate_proj(x))


@pytest.mark.parametrize("edited", [added_to, asserted_in])
def test_a_layer_of_one_size_alone_is_refused_in_a_sentence(edited, monkeypatch):
    monkeypatch.setattr(MLP, "forward", edited)
    with pytest.raises(UsageError, match="cannot be made smaller .*: take all sizes in its code and hooks from"):
        rearranged(random_network(SMALL), torch.float32)


def test_a_network_made_in_one_size_alone_is_refused_in_a_sentence(monkeypatch):
    made = MLP.__init__

    def init(self, config):
        made(self, config)
        assert config.intermediate_size == 48, "kernels of 48"

    monkeypatch.setattr(MLP, "__init__", init)
    for refuses in (lambda network: rearranged(network, torch.float32), refuse_edited):
        with pytest.raises(UsageError, match=r"cannot be made smaller \(AssertionError\('kernels of 48"):
            refuses(random_network(SMALL))


def test_what_hooks_make_of_a_layer_counts_and_what_they_see_does_not():
    network, seen = random_network(SMALL), []
    network.model.layers[0].mlp.register_forward_hook(lambda part, inputs, output: seen.append(output))
    network.model.layers[1].register_forward_pre_hook(lambda part, inputs, named: None, with_kwargs=True)
    rearranged(network, torch.float32)
    refuse_edited(network)
    network.model.layers[1].self_attn.register_forward_hook(lambda part, inputs, output: output / 2)
    with pytest.raises(UsageError, match="writes with other layers"):
        rearranged(network, torch.float32)
    with pytest.raises(UsageError, match="was edited"):
        refuse_edited(network)


def test_positions_and_norms_that_a_script_changed_are_those_that_write():
    network, tokens = random_network(SMALL), torch.arange(12)[None]
    network.rotary_factor, network.model.layers[0].input_layernorm.eps = 2.0, 0.3
    network.rotary_frequencies *= 0.5
    with torch.no_grad():
        torch.testing.assert_close(rearranged(network, torch.float32)(tokens), network(tokens))


def test_a_hook_on_the_head_writes():
    network, tokens = random_network(SMALL), torch.arange(12)[None]
    network.lm_head.register_forward_hook(lambda head, inputs, logits: logits.tanh())
    with torch.no_grad():
        torch.testing.assert_close(rearranged(network, torch.float32)(tokens), network(tokens))


def test_another_eps_is_another_norm(monkeypatch):
    monkeypatch.setattr(RMSNorm, "forward", lambda self, x: F.rms_norm(x, x.shape[-1:], self.weight))
    with pytest.raises(UsageError, match="writes with other layers"):
        rearranged(random_network(SMALL), torch.float32)


@pytest.mark.parametrize(
    "config",
    [SMALL.replace(qk_norm=True, head_dim=2, num_key_value_heads=1), SMALL.replace(hidden_size=64, head_dim=64)],
    ids=["smaller than the compared", "larger"],
)
def test_networks_of_any_sizes_are_compared(config, monkeypatch):
    network = random_network(config)
    rearranged(network, torch.float32)
    twice_the_values(monkeypatch)
    with pytest.raises(UsageError, match="writes with other layers"):
        rearranged(network, torch.float32)


def test_an_edit_beside_experts_is_refused(monkeypatch):
    network = random_network(ExpertsConfig.of(SMALL))
    rearranged(network, torch.float32)
    twice_the_values(monkeypatch)
    with pytest.raises(UsageError, match="writes with other layers"):
        rearranged(network, torch.float32)


def test_an_edit_of_adapters_is_refused(monkeypatch):
    network, forward = random_network(SMALL), LoRALinear.forward
    add_lora(network, Lora(rank=16, alpha=4.0))
    rearranged(network, torch.float32)
    monkeypatch.setattr(LoRALinear, "forward", lambda self, x: forward(self, x) + self.lora_B(self.lora_A(x)))
    with pytest.raises(UsageError, match="writes with other layers"):
        rearranged(network, torch.float32)
