"""Import: what `transformers` saves opens with the same logits, and what is not exactly ours is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.config import TransformerConfig
from model.errors import SproutError, UsageError
from model.files.hf_config import config_from_hf
from model.files.hf_export import export_folder
from model.files.hf_import import import_folder
from model.files.loading import load_model
from tests.support import random_network

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")

ROOT = Path(__file__).parents[3]
SMALL = TransformerConfig(
    vocab_size=272, hidden_size=32, intermediate_size=48, num_hidden_layers=2, max_position_embeddings=256
)
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}


@pytest.fixture
def folder(tmp_path, small_tokenizer) -> Path:
    """An exported Llama, to be spoilt."""
    export_folder(tmp_path / "hf", random_network(SMALL), small_tokenizer)
    return tmp_path / "hf"


def edit_config(folder: Path, **changes) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | changes))


@pytest.mark.parametrize("shards", ["5GB", "20KB"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "Qwen3"])
def test_what_transformers_saves_opens_with_the_same_logits(tmp_path, small_tokenizer, kind, dtype, shards):
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=288,  # padded: more rows than tokens
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        eos_token_id=[2, 0],
    )
    torch.manual_seed(0)
    theirs = getattr(transformers, f"{kind}ForCausalLM")(config).to(dtype)
    for name, parameter in theirs.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    theirs.save_pretrained(tmp_path, max_shard_size=shards)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shards == "20KB")
    small_tokenizer.save(tmp_path)

    loaded = load_model(tmp_path)
    assert loaded.model.config.model_type == kind.lower()
    assert (loaded.model.config.vocab_size, loaded.model.config.eos_token_id) == (288, 2)
    assert (loaded.stage, loaded.stored_dtype) == ("imported", dtype)
    tokens = torch.randint(3, 272, (2, 40))
    with torch.no_grad():
        # Opened again, since .float() leaves its rotary frequencies rounded to bfloat16.
        expected = type(theirs).from_pretrained(tmp_path, dtype=torch.float32)(tokens).logits
        torch.testing.assert_close(loaded.model(tokens), expected, rtol=0, atol=1e-5)


# What is in the config.json of published models, written by transformers 4.
QWEN25 = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151643,
    "hidden_act": "silu",
    "hidden_size": 896,
    "initializer_range": 0.02,
    "intermediate_size": 4864,
    "max_position_embeddings": 32768,
    "max_window_layers": 24,
    "model_type": "qwen2",
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_mrope": False,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
QWEN3 = QWEN25 | {
    "model_type": "qwen3",
    "attention_bias": False,
    "head_dim": 128,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "rope_scaling": None,
    "sliding_window": None,
}
TINYLLAMA = {
    "attention_bias": False,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "max_position_embeddings": 2048,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 22,
    "num_key_value_heads": 4,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "vocab_size": 32000,
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (QWEN25, {"attention_bias": True, "head_dim": 64, "tie_word_embeddings": True, "rope_theta": 1e6}),
        (QWEN3, {"qk_norm": True, "head_dim": 128, "rms_norm_eps": 1e-6}),
        (TINYLLAMA, {"head_dim": 64, "tie_word_embeddings": False, "rope_theta": 1e4}),
        (
            QWEN25 | {"rope_scaling": {"type": "yarn", **{k: v for k, v in YARN.items() if k != "rope_type"}}},
            {"rope_scaling": YARN},
        ),
        (
            QWEN25 | {"rope_parameters": YARN | {"rope_theta": 5e5, "attention_factor": None}, "rope_theta": None},
            {"rope_scaling": YARN, "rope_theta": 5e5},
        ),
        (
            QWEN25 | {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
            {"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 32768}},
        ),
        (QWEN25 | {"layer_types": ["full_attention"] * 24}, {"attention_bias": True}),
        # Keys that transformers leaves out where they are its defaults.
        (
            {k: v for k, v in TINYLLAMA.items() if k not in ("rope_theta", "rms_norm_eps")},
            {"rms_norm_eps": 1e-6},
        ),
    ],
)
def test_published_configurations_are_understood(values, expected, small_tokenizer):
    config = config_from_hf(values, small_tokenizer, "folder")
    assert {name: getattr(config, name) for name in expected} == expected
    for name in ("hidden_size", "num_hidden_layers", "num_key_value_heads", "vocab_size"):
        assert getattr(config, name) == values[name]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "mistral"}, "model_type mistral"),
        ({"model_type": None}, "model_type None"),
        ({"auto_map": {"AutoModelForCausalLM": "evil.Model"}}, "code of its own"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised"),
        ({"hidden_act": "gelu"}, "hidden_act gelu"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"attention_bias": True}, "o_proj"),
        ({"model_type": "qwen3", "attention_bias": True}, "attention_bias"),
        ({"use_sliding_window": True, "sliding_window": 128}, "sliding window"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "sliding window"),
        ({"rope_scaling": YARN | {"mscale": 0.7}}, "with mscale"),
        ({"partial_rotary_factor": 0.5}, "part of each head"),
        ({"num_attention_heads": 5}, "not divisible"),
        ({"hidden_size": "32"}, "hidden_size is '32'"),
        ({"rope_scaling": None, "rope_parameters": {"full_attention": YARN}}, "type default with full_attention"),
        ({"rope_scaling": {"factor": 4.0}}, "type default with factor"),
    ],
)
def test_networks_that_are_not_ours_are_refused_in_a_sentence(folder, changes, words):
    edit_config(folder, **changes)
    with pytest.raises(SproutError, match=words) as error:
        import_folder(folder)
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


def test_a_configuration_that_is_not_whole_is_refused(folder):
    values = json.loads((folder / "config.json").read_text())
    del values["hidden_size"]
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(SproutError, match="has no hidden_size"):
        import_folder(folder)
    (folder / "config.json").write_text('{"model_type": "lla')
    with pytest.raises(SproutError, match="cannot be read"):
        import_folder(folder)
    (folder / "config.json").unlink()
    with pytest.raises(SproutError, match="not a Hugging Face folder"):
        import_folder(folder)


def test_weights_that_are_missing_or_damaged_are_refused(folder):
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SproutError, match="is damaged"):
        load_model(folder)
    weights.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(SproutError, match=r"no model\.safetensors \(pytorch_model\.bin could run code"):
        load_model(folder)
    for name, words in (
        ("model-1.safetensors", "lacks model-1"),
        ("../other.safetensors", "outside the folder"),
    ):
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(SproutError, match=words):
            load_model(folder)


def test_weights_of_another_shape_are_refused(folder):
    edit_config(folder, intermediate_size=50)
    with pytest.raises(SproutError, match=r"gate_proj.weight has shape \[48, 32\], not \[50, 32\]"):
        load_model(folder)
    edit_config(folder, intermediate_size=48, num_hidden_layers=3)
    with pytest.raises(SproutError, match=r"model\.layers\.2.* is missing.* and 6 more"):
        load_model(folder)


def test_adapters_beside_a_network_are_not_overlooked(folder):
    (folder / "adapter_config.json").write_text("{}")  # transformers would put them on
    with pytest.raises(SproutError, match="beside the network: move them into a folder of their own"):
        load_model(folder)


def test_flags_change_how_far_the_positions_reach_and_contradict_all_else(folder):
    assert load_model(folder, overrides={"max_position_embeddings": 99}).model.config.max_position_embeddings == 99
    with pytest.raises(UsageError, match="--hidden_size 64 contradicts"):
        load_model(folder, overrides={"hidden_size": 64})


def test_tables_that_old_programs_saved_are_left_out(folder):
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(2)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    load_model(folder)


def test_opening_a_folder_does_not_import_transformers(folder):
    code = """
import sys
from model.files.loading import load_model
load_model(sys.argv[1])
print("transformers" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr
