"""A network that was edited stays here: other programs would compute something else with its weights."""

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoModelForCausalLM

from model import transformer
from model.config import TransformerConfig
from model.errors import UsageError
from model.experts import Experts, ExpertsConfig
from model.files.edited import published_features, refuse_edited
from model.files.gguf.writing import write_gguf
from model.files.hf_config import hf_config
from model.files.hf_export import export_folder
from model.files.minimind import write_bare
from model.gpt2 import GPT2, GPT2MLP, GPT2Backbone, GPT2Config
from model.lora import Lora, add_lora
from model.reward import RewardModel
from model.transformer import MLP, Attention, Backbone, DecoderLayer, RMSNorm
from tests.support import random_network

SMALL = TransformerConfig(vocab_size=272, hidden_size=32, intermediate_size=48, num_hidden_layers=3)
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
FAMILIES = {
    "llama": SMALL,
    "qwen2": SMALL.replace(attention_bias=True),
    "qwen3, yarn": SMALL.replace(qk_norm=True, head_dim=16, rope_scaling=YARN),
}


def gpt2():
    network = GPT2(GPT2Config(**SMALL.replace(num_key_value_heads=8).to_dict()), initialize_weights=False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_what_is_published_is_what_transformers_computes(config, small_tokenizer):
    network = random_network(config).eval()
    values = hf_config(config, small_tokenizer, torch.float32)
    theirs = AutoModelForCausalLM.from_config(AutoConfig.for_model(**values)).eval()
    theirs.load_state_dict(network.state_dict())
    tokens = torch.arange(60).view(2, 30)
    with torch.no_grad():
        expected = theirs.model(tokens).last_hidden_state
        torch.testing.assert_close(published_features(network, tokens), expected, atol=2e-5, rtol=2e-5)


def with_adapters(network):
    add_lora(network, Lora(4, 8.0, dropout=0.5))
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    return network


@pytest.mark.parametrize(
    "made",
    [
        *(lambda config=config: random_network(config) for config in FAMILIES.values()),
        lambda: random_network(ExpertsConfig.of(SMALL)),
        lambda: random_network(ExpertsConfig.of(SMALL).replace(num_experts_per_tok=1, norm_topk_prob=False)),
        lambda: random_network(SMALL.replace(num_hidden_layers=24, max_position_embeddings=100)),
        gpt2,
        lambda: RewardModel.of(random_network(SMALL)),
        lambda: with_adapters(random_network(SMALL)),
        lambda: random_network(SMALL).bfloat16(),
    ],
)
def test_a_network_as_it_ships_is_not_refused(made):
    network = made()
    refuse_edited(network)
    assert network.training


def another_activation(monkeypatch):
    monkeypatch.setattr(transformer, "activated", lambda gate, up: F.gelu(gate) * up)


def another_place_of_the_norms(monkeypatch):
    def forward(self, x, rotary, mask, cache):
        x = self.input_layernorm(x + self.self_attn(x, rotary, mask, cache))
        return self.post_attention_layernorm(x + self.mlp(x))

    monkeypatch.setattr(DecoderLayer, "forward", forward)


def one_layer_without_positions(monkeypatch):
    forward = Attention.forward

    def edited(self, x, rotary, mask, cache):
        still = torch.ones_like(rotary[0]), torch.zeros_like(rotary[1])
        return forward(self, x, still if self.layer == 1 else rotary, mask, cache)

    monkeypatch.setattr(Attention, "forward", edited)


def a_scaled_embedding(monkeypatch):
    monkeypatch.setattr(Backbone, "embed", lambda self, tokens, positions: 2 * self.embed_tokens(tokens))


def one_norm_for_both(monkeypatch):
    made = DecoderLayer.__init__

    def init(self, *sizes):
        made(self, *sizes)
        del self.post_attention_layernorm

    def forward(self, x, rotary, mask, cache):
        y = self.input_layernorm(x)
        return x + self.self_attn(y, rotary, mask, cache) + self.mlp(y)

    monkeypatch.setattr(DecoderLayer, "__init__", init)
    monkeypatch.setattr(DecoderLayer, "forward", forward)


def a_gate_of_another_width(monkeypatch):
    made = MLP.__init__

    def init(self, config):
        made(self, config)
        self.gate_proj = torch.nn.Linear(config.hidden_size, 1, bias=False)
        self.up_proj = torch.nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)

    def forward(self, x):
        return self.down_proj(self.gate_proj(x).sigmoid() * self.up_proj(x).unflatten(-1, (2, -1)).amax(-2))

    monkeypatch.setattr(MLP, "__init__", init)
    monkeypatch.setattr(MLP, "forward", forward)


def a_window(monkeypatch):
    def attend(q, k, v, mask):
        order = torch.arange(q.shape[2])
        seen = (order <= order[:, None]) & (order[:, None] - order < 512)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)

    monkeypatch.setattr(transformer, "attend", attend)


def slower_positions(monkeypatch):
    inverse = transformer.inverse_frequencies

    def edited(*shape):
        frequencies, factor = inverse(*shape)
        return frequencies / 2, factor

    monkeypatch.setattr(transformer, "inverse_frequencies", edited)


def another_eps(monkeypatch):
    monkeypatch.setattr(RMSNorm, "forward", lambda self, x: F.rms_norm(x, x.shape[-1:], self.weight))


def an_assertion(monkeypatch):
    def forward(self, x):
        assert x.shape[-1] == 32
        return self.down_proj(self.up_proj(x))

    monkeypatch.setattr(MLP, "forward", forward)


EDITS = (
    another_eps,
    an_assertion,
    a_window,
    slower_positions,
    another_activation,
    another_place_of_the_norms,
    one_layer_without_positions,
    a_scaled_embedding,
    one_norm_for_both,
    a_gate_of_another_width,
)


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_network_is_noticed(edit, monkeypatch):
    edit(monkeypatch)
    with pytest.raises(UsageError, match="this network is no llama: model/transformer.py or .* was edited"):
        refuse_edited(random_network(SMALL))


def test_an_edited_network_is_not_exported(monkeypatch, tmp_path, small_tokenizer):
    another_activation(monkeypatch)
    network = random_network(SMALL)
    for write in (
        lambda: export_folder(tmp_path / "hf", network, small_tokenizer),
        lambda: write_gguf(tmp_path / "a.gguf", network, small_tokenizer, "f32"),
        lambda: write_bare(tmp_path, network, small_tokenizer, "a"),
    ):
        with pytest.raises(UsageError, match="this network is no llama"):
            write()
    assert not [*tmp_path.iterdir()] and network.training


def test_edited_experts_are_not_exported(monkeypatch):
    forward = Experts.probabilities
    monkeypatch.setattr(Experts, "probabilities", lambda self, rows: forward(self, rows).sqrt())
    with pytest.raises(UsageError, match="this network is no qwen3_moe: .*model/experts.py was edited"):
        refuse_edited(random_network(ExpertsConfig.of(SMALL)))


@pytest.mark.parametrize(
    "kind, edited",
    [
        (GPT2MLP, lambda self, x: self.down_proj(self.up_proj(x).relu())),
        (GPT2Backbone, lambda self, x, _: self.embed_tokens(x)),
    ],
)
def test_an_edited_gpt2_is_not_exported(kind, edited, monkeypatch):
    monkeypatch.setattr(kind, "embed" if kind is GPT2Backbone else "forward", edited)
    with pytest.raises(UsageError, match="this network is no gpt2: model/gpt2.py was edited"):
        refuse_edited(gpt2())


def test_a_network_with_a_part_of_another_class_is_not_exported():
    network = random_network(SMALL)
    network.model.layers[1].self_attn.q_norm = torch.nn.Tanh()
    with pytest.raises(UsageError, match="this network is no llama: a part of it was exchanged"):
        refuse_edited(network)


class Sharper(Experts):
    def probabilities(self, rows):
        return super().probabilities(rows).square()


def test_a_part_that_differs_in_one_method_alone_is_another():
    network = random_network(ExpertsConfig.of(SMALL))
    network.model.layers[1].mlp = Sharper(network.config)
    with pytest.raises(UsageError, match="this network is no qwen3_moe: a part of it was exchanged"):
        refuse_edited(network)


def another_eps_of_one(network):
    network.model.layers[2].input_layernorm.eps = 1e-3


def slower(network):
    network.rotary_frequencies *= 0.5


def longer(network):
    network.rotary_factor = 1.1


@pytest.mark.parametrize("change", [another_eps_of_one, slower, longer])
def test_numbers_that_a_script_changed_and_the_config_does_not_name_are_not_exported(change):
    network = random_network(SMALL)
    change(network)
    with pytest.raises(UsageError, match="no llama: the eps of a norm or the angles of its heads are not those of its"):
        refuse_edited(network)
