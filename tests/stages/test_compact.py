"""`--optimizer_memory compact` where a stage compares with a reference: at the start both compute the same."""

import math

import pytest

from tests.stages.workshop import Workshop

RUN = ("--optimizer_memory=compact", "--dtype=bfloat16", "--max_steps=1", "--eval_interval=0", "--batch_size=1")


@pytest.mark.parametrize(
    "stage, words, name, expected",
    [
        ("dpo", (), "loss", math.log(2)),
        ("dpo", ("--no_precompute_ref",), "loss", math.log(2)),
        ("dpo", ("--lora", "--lora_rank=4"), "loss", math.log(2)),
        ("grpo", ("--kl_coef=0.1", "--mini_batches=1"), "kl", 0.0),
        ("ppo", ("--mini_batches=1",), "objective/kl", 0.0),
    ],
)
def test_the_reference_is_the_compact_network(tmp_path, stage, words, name, expected):
    """Its embedding is a bfloat16; one in float32 would compute other probabilities."""
    result = Workshop.create(tmp_path, stage).train("first", *RUN, *words)
    assert result.metrics[0][name] == pytest.approx(expected, abs=1e-6)
    assert "warning: the first loss" not in result.said
