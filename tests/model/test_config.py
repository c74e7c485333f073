"""A shape that cannot exist is a usage error in a sentence; one that can is kept as given."""

import math

import pytest

from model.config import TransformerConfig
from model.errors import UsageError

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, "1e-5", None, True])
@pytest.mark.parametrize("name", ["rms_norm_eps", "rope_theta"])
def test_numbers_are_finite_and_above_zero(name, value):
    with pytest.raises(UsageError, match=f"{name} is .*finite number above"):
        TransformerConfig(**{name: value})


@pytest.mark.parametrize("value", ["8", 0, -2, 7, math.inf, [8]])
def test_a_head_has_an_even_number_of_dimensions(value):
    with pytest.raises(UsageError, match="attention head has"):
        TransformerConfig(head_dim=value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"factor": math.inf}, "finite factor of at least 1"),
        ({"factor": math.nan}, "finite factor of at least 1"),
        ({"factor": "4"}, "finite factor of at least 1"),
        ({"factor": 0.5}, "finite factor of at least 1"),
        ({"factor": True}, "finite factor of at least 1"),
        ({"rope_type": "dynamic"}, "give rope_type 'yarn', 'llama3' or 'linear'"),
        ({"rope_type": "llama3"}, "low_freq_factor of rope_scaling is None"),
        ({"rope_type": "llama3", "low_freq_factor": 4.0, "high_freq_factor": 4.0}, "must be below its high_freq"),
        ({"original_max_position_embeddings": 0}, "original_max_position_embeddings of rope_scaling is 0"),
        ({"beta_fast": -1.0}, "beta_fast of rope_scaling is -1.0"),
        ({"attention_factor": "x"}, "attention_factor of rope_scaling is 'x'"),
    ],
)
def test_stretching_that_cannot_be_computed(changes, words):
    with pytest.raises(UsageError, match=words):
        TransformerConfig(rope_scaling=YARN | changes)
    TransformerConfig(rope_scaling=YARN | {"beta_fast": None, "attention_factor": 1.25})
    TransformerConfig(rope_scaling={"type": "linear", "factor": 1})  # as older files have it
