"""Folders of Qwen3-MoE that are not exactly what Sprout runs are refused, with the reason."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen3MoeConfig

from model.errors import SproutError, UsageError
from model.experts import ExpertsConfig
from model.files.experts import sizes_of_experts, stacked, unstacked
from model.files.gguf.settings import settings_of
from model.files.hf_export import export_folder
from model.files.loading import load_model
from model.files.minimind import write_bare
from model.reward import RewardModel
from tests.support import random_network

CONFIG = ExpertsConfig(
    vocab_size=272, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_experts=3
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, small_tokenizer):
    folder = tmp_path_factory.mktemp("experts") / "hf"
    export_folder(folder, random_network(CONFIG), small_tokenizer)
    return folder


@pytest.fixture
def folder(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "hf")


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"decoder_sparse_step": 2}, "layers without experts"),
        ({"mlp_only_layers": [0]}, "layers without experts"),
        ({"shared_expert_intermediate_size": 64}, "that every token takes"),
        ({"num_experts": 4}, "holds 3 experts in model.layers.0.mlp.experts.down_proj.weight, not the 4"),
        ({"num_experts": "3"}, "num_experts is '3'"),
        ({"norm_topk_prob": 1}, "norm_topk_prob is 1"),
        ({"num_experts_per_tok": 1, "moe_intermediate_size": 16}, "no gradient reaches the router"),
        ({"moe_intermediate_size": 8}, "has shape"),
    ],
)
def test_what_differs_is_refused(folder, changes, reason):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | changes))
    with pytest.raises(SproutError, match=reason):
        load_model(folder)


def test_keys_of_transformers_are_understood(folder):
    """It may call the number of experts otherwise; what is absent has its defaults; a dense width means nothing."""
    values = json.loads((folder / "config.json").read_text())
    values |= {"num_local_experts": values.pop("num_experts"), "intermediate_size": 999, "mlp_only_layers": None}
    for key in ("norm_topk_prob", "router_aux_loss_coef", "decoder_sparse_step"):
        del values[key]
    (folder / "config.json").write_text(json.dumps(values))
    expected = CONFIG.replace(norm_topk_prob=False, router_aux_loss_coef=0.001)
    assert load_model(folder).model.config == expected


def test_sizes_that_are_absent_are_those_of_transformers():
    theirs, (_, sizes) = Qwen3MoeConfig(), sizes_of_experts({}, pytest.fail, "folder")
    for name in ("num_experts", "num_experts_per_tok", "moe_intermediate_size", "norm_topk_prob"):
        assert sizes[name] == getattr(theirs, name), name
    assert sizes["router_aux_loss_coef"] == theirs.router_aux_loss_coef


def test_experts_are_stacked_by_their_numbers_in_whatever_order_they_come():
    """By name, the tenth comes before the second."""
    stack = {"model.layers.0.mlp.experts.up_proj.weight": torch.arange(24.0).view(12, 2, 1), "other": torch.ones(1)}
    apart = unstacked(stack)
    assert torch.equal(apart["model.layers.0.mlp.experts.10.up_proj.weight"], torch.tensor([[20.0], [21.0]]))
    again = stacked({name: apart[name] for name in sorted(apart)}, 12, "folder")
    assert again.keys() == stack.keys() and all(torch.equal(again[name], stack[name]) for name in stack)


def test_an_expert_that_is_missing_or_misshapen_is_named(folder):
    weights = load_file(folder / "model.safetensors")
    name = "model.layers.0.mlp.experts.1.up_proj.weight"
    misshapen, missing = weights | {name: torch.zeros(3, 32)}, {k: v for k, v in weights.items() if k != name}
    for changed in (misshapen, missing):
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(SproutError, match=r"experts of different shapes|holds 2 experts in .*up_proj"):
            load_model(folder)


def test_flags_may_change_the_coefficient_and_nothing_else(folder):
    assert load_model(folder, overrides={"router_aux_loss_coef": 0.5}).model.config.router_aux_loss_coef == 0.5
    with pytest.raises(UsageError, match="--num_experts 8 contradicts"):
        load_model(folder, overrides={"num_experts": 8})


def test_other_ways_out(tmp_path, small_tokenizer):
    network = random_network(CONFIG)
    with pytest.raises(SproutError, match="runs no Qwen3-MoE"):
        write_bare(tmp_path, network, small_tokenizer, "moe")
    with pytest.raises(SproutError, match="norm_topk_prob false"):
        settings_of(CONFIG.replace(norm_topk_prob=False))
    reward = RewardModel.of(network)
    assert reward(torch.tensor([[1, 2, 3]])).shape == (1, 3)
