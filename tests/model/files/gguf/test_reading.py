"""A GGUF file is what was written, and opens as a network; what is damaged or of another kind is refused."""

import numpy as np
import pytest
import torch

from model.config import TransformerConfig
from model.errors import SproutError
from model.files.gguf.reading import import_gguf
from model.files.gguf.settings import config_of, settings_of
from model.files.gguf.tensors import name_in_gguf
from model.files.gguf.vocabulary import keys_of, tokenizer_of
from model.files.gguf.writing import write_gguf
from model.files.loading import load_model
from model.text.chat_template import template_of
from model.text.learn_bpe import learn
from model.text.tokenizer import Tokenizer
from tests.support import random_network

gguf = pytest.importorskip("gguf", reason="gguf is not installed (pip install -e '.[gguf]')")
SMALL = TransformerConfig(
    vocab_size=320, hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return learn(["a small text of small words", "and an even smaller one"], 300)


@pytest.fixture(scope="module")
def keys(tokenizer) -> dict:
    """All keys of a file, as they are read."""
    settings, _ = settings_of(SMALL)
    vocabulary, _ = keys_of(tokenizer, SMALL.vocab_size)
    named = {f"llama.{key}": value for key, value in settings.items()}
    named |= {f"tokenizer.{key}": value for key, value in vocabulary.items()}
    return {"general.architecture": "llama"} | named


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0"])
@pytest.mark.parametrize("family", [{}, {"attention_bias": True}, {"qk_norm": True, "tie_word_embeddings": False}])
def test_every_tensor_is_there(kind, family, tmp_path, tokenizer):
    network = random_network(SMALL.replace(**family))
    written = write_gguf(tmp_path / "m.gguf", network, tokenizer, kind)
    assert written.size == (tmp_path / "m.gguf").stat().st_size and written.warnings == ()
    reader = gguf.GGUFReader(tmp_path / "m.gguf")
    found = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    opened = load_model(tmp_path / "m.gguf").model.state_dict()
    source = network.state_dict()
    if network.config.tie_word_embeddings:
        del source["lm_head.weight"]
    assert {name_in_gguf(name) for name in source} == set(found)
    for name, tensor in source.items():
        theirs = torch.from_numpy(np.array(found[name_in_gguf(name)], np.float32))
        if network.config.model_type == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            # Neighbours (2i, 2i + 1) of a head of 16 rows there are (i, i + 8) here.
            theirs = theirs.unflatten(0, (-1, 8, 2)).transpose(1, 2).flatten(0, 2)
        assert torch.equal(opened[name], theirs)
        exact = kind == "f32" or tensor.dim() == 1
        closeness = 0 if exact else {"f16": 5e-4, "bf16": 4e-3, "q8_0": 8e-3}[kind]
        assert (theirs - tensor).abs().max() <= closeness * tensor.abs().max()


def test_the_tokenizer_is_the_same(keys, tokenizer):
    again = tokenizer_of(keys, "m.gguf")
    assert again.fingerprint == tokenizer.fingerprint and again.special_ids == tokenizer.special_ids
    assert (again.bos_id, again.eos_id, again.pad_id) == (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id)
    assert template_of(again) == keys["tokenizer.chat_template"]
    assert "generation %}" not in template_of(again)  # which older programs do not know


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"general.architecture": "gemma"}, "is a gemma"),
        ({"llama.attention.sliding_window": 64}, "llama.attention.sliding_window"),
        ({"llama.rope.dimension_count": 8}, "several sizes"),
        ({"llama.expert_count": 8}, "llama.expert_count"),
        ({"llama.embedding_length": None}, "lacks llama.embedding_length"),
        ({"llama.rope.scaling.type": "longrope"}, "of type longrope"),
        ({"llama.attention.head_count": 5}, "not divisible"),
        ({"llama.attention.head_count_kv": [4, 2]}, "num_key_value_heads"),
        ({"llama.attention.layer_norm_rms_epsilon": "x"}, "could not convert"),
    ],
)
def test_another_network_is_refused(keys, change, words):
    changed = {key: value for key, value in (keys | change).items() if value is not None}
    with pytest.raises(SproutError, match=words):
        config_of(changed, SMALL.vocab_size, "m.gguf", True, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "llama"}, "byte-level BPE"),
        ({"pre": "deepseek-coder"}, "deepseek-coder"),
        ({"merges": ["a"]}, "cannot be read"),
        ({"merges": ["no token"]}, "cannot be read"),
        ({"merges": None}, "cannot be read"),
        ({"token_type": [1]}, "cannot be read"),
        ({"eos_token_id": 10**6}, "cannot be read"),
    ],
)
def test_another_tokenizer_is_refused(keys, change, words):
    changed = keys | {f"tokenizer.ggml.{key}": value for key, value in change.items()}
    with pytest.raises(SproutError, match=words):
        tokenizer_of({key: value for key, value in changed.items() if value is not None}, "m.gguf")


def test_llama3_settings_are_found_by_the_divisors_they_make():
    scaling = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling["original_max_position_embeddings"] = 8192
    config = SMALL.replace(head_dim=64, rope_theta=500000.0, rope_scaling=scaling)
    settings, divisors = settings_of(config)
    keys = {"general.architecture": "llama"} | {f"llama.{key}": value for key, value in settings.items()}
    assert config_of(keys, SMALL.vocab_size, "m.gguf", True, divisors) == config
    with pytest.raises(SproutError, match="unlike Llama 3.1"):
        config_of(keys, SMALL.vocab_size, "m.gguf", True, divisors * 1.1)


def test_a_damaged_file_is_refused_in_a_sentence(tmp_path, tokenizer):
    path = tmp_path / "m.gguf"
    write_gguf(path, random_network(SMALL), tokenizer, "f16")
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for length in (0, 3, 4, 20, 200, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:length])
        with pytest.raises(SproutError, match="m.gguf"):
            import_gguf(path)
    path.write_bytes(whole.replace(b"head_count", b"head_fount"))
    with pytest.raises(SproutError, match="llama.attention.head_fount"):
        import_gguf(path)
    for _ in range(20):  # in the keys and the list of tensors: a number that is another may still be one
        flipped = bytearray(whole)
        flipped[random.integers(0, 400)] ^= 1 << random.integers(8)
        path.write_bytes(flipped)
        try:
            load_model(path)
        except SproutError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("scaling", "family", "words"),
    [
        ({"rope_type": "yarn", "factor": 2.0, "beta_fast": 16.0}, {}, "beta_fast 32"),
        (
            {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
            | {"original_max_position_embeddings": 64},
            {"qk_norm": True},
            "as Llama 3.1 does in a qwen3",
        ),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_not_written(scaling, family, words, tmp_path, tokenizer):
    network = random_network(SMALL.replace(rope_scaling=scaling, **family))
    with pytest.raises(SproutError, match=words):
        write_gguf(tmp_path / "m.gguf", network, tokenizer, "f32")
    assert not list(tmp_path.iterdir())
