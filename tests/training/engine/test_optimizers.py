"""Which parameter is updated, by what, and what decays."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from model.experts import ExpertsConfig
from model.reward import RewardModel
from model.transformer import Transformer
from tests.training.support import SMALL
from training.engine.optimizers import (
    EMBEDDING_TIMES_MUON,
    NORM_TIMES_MUON,
    OTHERS_TIMES_MUON,
    build_optimizers,
    optimizers_for,
    parameter_groups,
)
from training.stages.changes import freeze_layers

NETWORKS = {
    "tied": SMALL,
    "untied": replace(SMALL, tie_word_embeddings=False),
    "bias": replace(SMALL, attention_bias=True),
    "qk_norm": replace(SMALL, qk_norm=True, tie_word_embeddings=False),
}
MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def names_of(model, parameters) -> list[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for parameter in parameters]


@pytest.fixture(params=NETWORKS, name="model")
def network(request) -> Transformer:
    return Transformer(NETWORKS[request.param])


def test_every_parameter_is_in_exactly_one_group(model):
    groups = parameter_groups(model)
    names = names_of(model, [p for group in groups.values() for p in group])
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_every_parameter_is_in_exactly_one_optimizer(model, optimizer):
    optimizers = build_optimizers(model, optimizer, 0.02, 0.1)
    names = names_of(model, [p for each in optimizers for group in each.param_groups for p in group["params"]])
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_only_matrices_of_the_blocks_and_an_untied_head_decay(model, optimizer):
    for each in build_optimizers(model, optimizer, 0.02, 0.1):
        for group in each.param_groups:
            for name in names_of(model, group["params"]):
                kind = name.split(".")[-2]
                decays = name == "lm_head.weight" or (kind in MATRICES and name.endswith(".weight"))
                assert group["weight_decay"] == (0.1 if decays else 0.0), name


def test_muon_has_the_matrices_of_the_blocks_and_nothing_else(model):
    muon, adamw = build_optimizers(model, "muon", 0.02, 0.1)
    names = names_of(model, muon.param_groups[0]["params"])
    assert len(names) == 7 * SMALL.num_hidden_layers
    assert all(name.split(".")[-2] in MATRICES and name.endswith(".weight") for name in names)
    assert muon.param_groups[0]["peak_lr"] == 0.02
    for group in adamw.param_groups:
        names = names_of(model, group["params"])
        if names == ["model.embed_tokens.weight"]:
            assert group["peak_lr"] == 0.02 * EMBEDDING_TIMES_MUON
        elif all(name.endswith("norm.weight") for name in names):
            assert group["peak_lr"] == 0.02 * NORM_TIMES_MUON
        else:
            assert all(name == "lm_head.weight" or name.endswith(".bias") for name in names)
            assert group["peak_lr"] == 0.02 * OTHERS_TIMES_MUON


@pytest.mark.parametrize(
    "kind, config, heads",
    [
        (RewardModel, SMALL, ["score.weight"]),
        (Transformer, ExpertsConfig.of(SMALL), [f"model.layers.{i}.mlp.gate.weight" for i in range(2)]),
    ],
    ids=["reward model", "experts"],
)
def test_a_scalar_head_and_routers_learn_as_a_head_and_experts_as_matrices(kind, config, heads):
    network = kind(config)
    muon, adamw = build_optimizers(network, "muon", 0.02, 0.1)
    assert len(muon.param_groups[0]["params"]) == 7 * SMALL.num_hidden_layers
    (head,) = (group for group in adamw.param_groups if group["weight_decay"])
    assert names_of(network, head["params"]) == heads and head["peak_lr"] == 0.02 * OTHERS_TIMES_MUON


def test_embeddings_of_wide_networks_take_proportionally_less():
    rates = []
    for width in (256, 512):
        model = Transformer(replace(SMALL, hidden_size=width, head_dim=None))
        groups = build_optimizers(model, "muon", 0.02, 0.1)[1].param_groups
        rates += [group["peak_lr"] for group in groups if group["params"][0] is model.model.embed_tokens.weight]
    assert rates == [0.03, 0.015]


def test_adamw_is_set_as_documented():
    (adamw,) = build_optimizers(Transformer(SMALL), "adamw", 3e-4, 0.1)
    for group in adamw.param_groups:
        assert (group["betas"], group["eps"], group["peak_lr"]) == ((0.9, 0.95), 1e-8, 3e-4)


@pytest.mark.parametrize("dtype, of_muon", [("bfloat16", "bfloat16"), ("float16", "float32"), ("float32", "float32")])
def test_the_flags_and_the_precision_of_the_run_reach_the_optimizers(dtype, of_muon):
    choice = SimpleNamespace(dtype=getattr(torch, dtype))
    machine = SimpleNamespace(choice=choice, device=torch.device("cpu"), shards=None)
    args = SimpleNamespace(optimizer="muon", weight_decay=0.3, adam_beta2=0.8, optimizer_memory="exact")
    muon, adamw = optimizers_for(Transformer(NETWORKS["untied"]), args, 0.02, machine)
    assert muon.compute_dtype == getattr(torch, of_muon) and muon.param_groups[0]["weight_decay"] == 0.3
    assert {group["betas"] for group in adamw.param_groups} == {(0.9, 0.8)}
    assert {group["weight_decay"] for group in adamw.param_groups} == {0.3, 0.0}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_frozen_parameters_are_in_no_group_and_do_not_change(model, optimizer):
    freeze_layers(model, 1)
    optimizers = build_optimizers(model, optimizer, 0.02, 0.1)
    names = names_of(model, [p for each in optimizers for group in each.param_groups for p in group["params"]])
    assert not [name for name in names if name.startswith(("model.layers.0.", "model.embed_tokens"))]
    assert "model.layers.1.self_attn.q_proj.weight" in names

    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for _ in range(2):  # the output projections begin at zero: the first step lets no gradient past them
        model(torch.tensor([[1, 2, 3, 4]])).square().sum().backward()
        for each in optimizers:
            each.step()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    biases = {name for name in names if name.endswith("k_proj.bias")}  # softmax does not see a bias of all keys
    assert set(names) - biases <= changed <= set(names)
