"""A network with experts in the stages after pretraining: each trains it for two steps, and balances its experts."""

import pytest

from model.experts import ExpertsConfig
from model.files.checkpoint import save_weights
from tests.stages.table import SHAPE
from tests.stages.workshop import Workshop
from tests.support import make_tokenizer, random_network

BEGINS = ("--from_weight={folder}/experts.pth",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, tokenizer = tmp_path_factory.mktemp("experts"), make_tokenizer()
    Workshop.create(folder)
    config = ExpertsConfig(vocab_size=tokenizer.vocab_size, max_position_embeddings=64, num_experts=4, **SHAPE)
    save_weights(folder / "experts.pth", random_network(config), tokenizer, stage="pretrain")
    return folder


@pytest.mark.parametrize(
    "stage, flags",
    [
        ("full_sft", ("--router_aux_loss_coef=0.3", "--activation_checkpointing")),
        ("lora", ("--lora_rank=2", "--sample_interval=1")),
        ("dpo", ("--no_precompute_ref",)),
        ("reward", ()),
        ("distill", ("--teacher_weight={folder}/experts.pth",)),
        ("grpo", ("--mini_batches=2", "--kl_coef=0.1")),
    ],
)
def test_a_stage_trains_experts(folder, stage, flags):
    result = Workshop(folder, stage).train(f"out_{stage}", "--max_steps=2", "--eval_interval=0", *flags, begins=BEGINS)
    (first, second), router = result.metrics, "model.layers.1.mlp.gate.weight"
    assert second["loss"] is not None and second["experts/router_entropy"] > 0
    assert 1 <= second["experts/load_max"] <= 2 and 0 <= second["experts/dead"] < 8
    assert 1 <= first["experts/aux_loss"] <= 4
    if stage == "lora":
        assert not any("experts" in name for name in result.weights)
    else:
        assert router in result.weights
        assert "M active for a token" in result.said
