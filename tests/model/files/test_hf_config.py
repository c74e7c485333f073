"""`config.json` as transformers reads it: every key that it acts upon is followed, or refused by name."""

import json
import os
import re
from pathlib import Path

import pytest
import torch

from model.attention import inverse_frequencies
from model.config import TransformerConfig
from model.errors import SproutError
from model.files.hf_config import config_from_hf
from model.files.hf_export import export_folder
from model.files.loading import load_model
from tests.support import random_network

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding  # noqa: E402

SIZES = {"vocab_size": 272, "hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 2}
SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SHORT = {key: value for key, value in YARN.items() if key != "original_max_position_embeddings"}
NO_LENGTH = {"max_position_embeddings": "absent"}


# Where the settings of rotary embeddings stand, in files of either generation and in those that people have edited.
ROPE = {
    "nothing": {},
    "theta beside": {"rope_theta": 5e5},
    "theta within": {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
    "both thetas": {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}, "rope_theta": 1e6},
    "yarn, old": {"rope_scaling": YARN, "rope_theta": 1e6},
    "yarn, older": {"rope_scaling": {"type": "yarn", "factor": 4.0}, "rope_theta": 1e6},
    "yarn, new": {"rope_parameters": YARN | {"rope_theta": 1e6}},
    "yarn, length of the network": {"rope_scaling": SHORT, "rope_theta": 1e6},
    "yarn, no length at all": {"rope_scaling": SHORT} | NO_LENGTH,
    "yarn, length beside": {"rope_scaling": SHORT, "rope_theta": 1e6, "original_max_position_embeddings": 32},
    "yarn, length beside and within": {"rope_scaling": YARN, "original_max_position_embeddings": 32},
    "yarn, truncate": {"rope_scaling": YARN | {"truncate": True}},
    "old after new": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "rope_scaling": YARN},
    "old with theta after new": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "rope_scaling": YARN | {"rope_theta": 5e5},
        "rope_theta": 2e6,
    },
    "no old after new": {"rope_parameters": YARN | {"rope_theta": 1e6}, "rope_scaling": None},
    "linear, old": {"rope_scaling": {"type": "linear", "factor": 2.0}},
    "linear, new": {"rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 1e6}},
    "llama3": {"rope_scaling": LLAMA3 | {"original_max_position_embeddings": 64}, "rope_theta": 5e5},
    "llama3, new": {"rope_parameters": LLAMA3 | {"original_max_position_embeddings": 64, "rope_theta": 5e5}},
    "llama3, length of the network": {"rope_scaling": LLAMA3},
    "llama3, no length at all": {"rope_scaling": LLAMA3} | NO_LENGTH,
    "llama3, length beside": {"rope_scaling": LLAMA3, "original_max_position_embeddings": 32},
}


@pytest.mark.parametrize("name", ROPE)
def test_rotary_settings_are_found_where_transformers_finds_them(small_tokenizer, name):
    values = {key: value for key, value in (SIZES | ROPE[name]).items() if value != "absent"}
    for kind in ("llama", "qwen2", "qwen3", "mistral"):
        given = json.loads(json.dumps(values))  # transformers changes what it is given
        theirs = LlamaRotaryEmbedding(transformers.AutoConfig.for_model(kind, head_dim=16, **given))
        ours = config_from_hf(
            values | {"model_type": kind, "head_dim": 16, "sliding_window": None}, small_tokenizer, ""
        )
        frequencies, factor = inverse_frequencies(
            ours.head_dim, ours.rope_theta, ours.rope_scaling, ours.max_position_embeddings
        )
        assert torch.equal(frequencies, theirs.inv_freq)
        assert factor == theirs.attention_scaling


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3", "qwen3_moe"])
def test_absent_keys_mean_what_they_mean_to_transformers(small_tokenizer, kind):
    values = {"vocab_size": 272, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 32}
    values |= {} if kind == "qwen3_moe" else {"intermediate_size": 48}
    theirs = transformers.AutoConfig.for_model(kind, **values)
    ours = config_from_hf(values | {"model_type": kind, "sliding_window": None}, small_tokenizer, "")
    for name in ("num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.head_dim == (getattr(theirs, "head_dim", None) or 64 // 32)


@pytest.mark.parametrize(
    "changes",
    [
        {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 2},
        {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1},
        {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 0},
        {"use_sliding_window": True, "sliding_window": None, "max_window_layers": 0},
        {"use_sliding_window": True, "max_window_layers": 0},
        {"use_sliding_window": True},
        {"use_sliding_window": False, "sliding_window": 64, "max_window_layers": 0},
        {
            "use_sliding_window": True,
            "sliding_window": 64,
            "max_window_layers": 0,
            "layer_types": ["full_attention"] * 2,
        },
        {"use_sliding_window": True, "sliding_window": 64, "layer_types": ["full_attention", "sliding_attention"]},
    ],
)
@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
def test_a_window_is_refused_where_a_layer_has_one(small_tokenizer, kind, changes):
    theirs = transformers.AutoConfig.for_model(kind, **SIZES, **changes)
    values = SIZES | {"model_type": kind} | changes
    if "sliding_attention" in theirs.layer_types:
        with pytest.raises(SproutError, match=r"sliding window.*(use_sliding_window|layer_types)"):
            config_from_hf(values, small_tokenizer, "")
    else:
        config_from_hf(values, small_tokenizer, "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"is_causal": False}, "is_causal"),
        ({"per_layer_config": {"0": {"intermediate_size": 24}}}, "per_layer_config"),
        ({"model_type": "mistral"}, "sliding_window 4096"),  # transformers' default
        ({"model_type": "mistral", "sliding_window": 128}, "sliding_window 128"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "type dynamic"),
        ({"rope_scaling": {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [2.0]}}, "type longrope"),
        ({"rope_scaling": {"rope_type": "proportional", "factor": 2.0}}, "type proportional"),
        ({"rope_scaling": YARN | {"truncate": False}}, "with truncate"),
        ({"rope_scaling": YARN | {"truncate": None}}, "with truncate"),  # false to transformers
        ({"rope_scaling": YARN | {"mscale": 0.7, "mscale_all_dim": 1.0}}, "with mscale, mscale_all_dim"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "type llama3 without low_freq_factor"),
        ({"rope_scaling": {"rope_type": "linear"}}, "type linear without factor"),
        ({"rope_scaling": {"rope_type": ["linear"], "factor": 2.0}}, "type .*linear"),
        ({"rope_scaling": {"rope_type": "linear", "factor": True}}, "factor is True"),
        ({"rope_parameters": {"full_attention": YARN}}, "type default with full_attention"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor 0.5"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(small_tokenizer, changes, words):
    with pytest.raises(SproutError, match=words):
        config_from_hf(SIZES | {"model_type": "llama"} | changes, small_tokenizer, "folder")


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "linear", "factor": 4.0},
        LLAMA3 | {"original_max_position_embeddings": 64},
        YARN,
        SHORT,
    ],
)
def test_stretched_networks_travel_both_ways_with_the_same_logits(tmp_path, small_tokenizer, scaling):
    config = TransformerConfig(**SIZES, rope_theta=5e5, rope_scaling=scaling)
    network = random_network(config).eval()
    export_folder(tmp_path / "hf", network, small_tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    theirs.save_pretrained(tmp_path / "theirs")
    small_tokenizer.save(tmp_path / "theirs")
    tokens = torch.randint(3, 272, (1, 300))
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens).logits, network(tokens), rtol=0, atol=1e-5)
        for folder in ("hf", "theirs"):
            assert torch.equal(load_model(tmp_path / folder).model.eval()(tokens), network(tokens))


def rows_of_the_page() -> list:
    page = (Path(__file__).parents[3] / "docs" / "folders.md").read_text(encoding="utf-8")
    rows = re.findall(r'^\| `(\{"model_type".*\})` \| (opens|refused)', page, re.MULTILINE)
    assert len(rows) > 20
    return rows


@pytest.mark.parametrize(("said", "verdict"), rows_of_the_page())
def test_the_table_of_the_page_is_true(small_tokenizer, said, verdict):
    values = SIZES | json.loads(said)
    if verdict == "opens":
        config_from_hf(values, small_tokenizer, "folder")
        return
    named = [key for key in json.loads(said) if key != "model_type"] or [json.loads(said)["model_type"]]
    kinds = {"rope_scaling": "rotary", "quantization_config": "quantised"}
    with pytest.raises(SproutError, match="|".join(kinds.get(key, key) for key in named)):
        config_from_hf(values, small_tokenizer, "folder")


def test_mistral_without_a_window_is_a_llama(tmp_path, small_tokenizer):
    config = transformers.MistralConfig(**SIZES, sliding_window=None, head_dim=8)
    torch.manual_seed(0)
    theirs = transformers.MistralForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path)
    small_tokenizer.save(tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.model.config.model_type == "llama" and loaded.model.config.head_dim == 8
    tokens = torch.randint(3, 272, (2, 40))
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(tokens), theirs(tokens).logits, rtol=0, atol=1e-5)
