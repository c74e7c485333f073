"""Weights open with no flags, strictly, with their own tokenizer or one that extends it; so do MiniMind's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.config import TransformerConfig
from model.errors import SproutError, UsageError
from model.files.checkpoint import save_checkpoint, save_weights
from model.files.loading import load_model
from model.files.reading import read_checkpoint
from model.reward import RewardModel
from model.text.tokenizer import Tokenizer
from model.transformer import Transformer
from tests.support import make_tokenizer, random_network

SMALL = TransformerConfig(vocab_size=272, hidden_size=32, intermediate_size=48, num_hidden_layers=2)


# --- weights ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": False}, {"attention_bias": True}, {"qk_norm": True}])
def test_a_weight_opens_with_no_flags(tmp_path, small_tokenizer, changes):
    network = random_network(SMALL.replace(**changes))
    path = tmp_path / "pretrain_32.pth"
    save_weights(path, network, small_tokenizer, stage="pretrain", facts={"step": 7, "tokens": 123})
    loaded = load_model(path)
    assert loaded.model.config == network.config
    assert (loaded.stage, loaded.facts["step"], loaded.source) == ("pretrain", 7, str(path))
    assert loaded.tokenizer.fingerprint == small_tokenizer.fingerprint
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)
    tied = network.config.tie_word_embeddings
    assert (loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight) == tied
    assert ("lm_head.weight" in read_checkpoint(path)["model"]) != tied
    assert all(parameter.requires_grad for parameter in loaded.model.parameters())


def test_the_ids_of_its_configuration_are_those_of_the_tokenizer_in_use(tmp_path, small_tokenizer):
    """The ids in a bare state dict may have any roles, and `config.pad_token_id` fills rows."""
    torch.save(random_network(SMALL).state_dict(), tmp_path / "pretrain_32.pth")
    roles = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|im_end|>"}
    other = Tokenizer.from_files(small_tokenizer.files | {"tokenizer_config.json": json.dumps(roles)})
    other.save(tmp_path / "other")
    config = load_model(tmp_path / "pretrain_32.pth", tokenizer_path=tmp_path / "other").model.config
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (0, 0, 2)


OPENS = """
import sys, torch
from model.decoding import rearranged
from model.files.loading import load_model
from model.files.reward import load_reward
from model.rope_scaling import extended
extended(load_model(sys.argv[1]).model, 4, 8, "it")
rearranged(load_model(sys.argv[1]).model, torch.float32)
load_reward(sys.argv[2])
print("torch._dynamo" in sys.modules)
"""


def test_torch_does_not_import_its_compiler_to_open_one(tmp_path, small_tokenizer):
    """That takes a second."""
    network, paths = random_network(SMALL), [tmp_path / "full_sft_32.pth", tmp_path / "reward_32.pth"]
    for path, each in zip(paths, (network, RewardModel.of(network)), strict=True):
        save_weights(path, each, small_tokenizer, stage=path.stem.removesuffix("_32"))
    command, root = [sys.executable, "-c", OPENS, *map(str, paths)], Path(__file__).parents[3]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"


def test_a_tied_head_a_view_and_a_transposed_matrix_are_stored_once_and_small(tmp_path, small_tokenizer):
    network = random_network(SMALL)
    big = torch.randn(1000, 32)
    network.model.norm.weight.data = big[7]
    up = network.model.layers[0].mlp.up_proj.weight
    up.data = up.data.t().contiguous().t()
    path = tmp_path / "pretrain_32.pth"
    save_weights(path, network, small_tokenizer, stage="pretrain")
    weights = read_checkpoint(path)["model"]
    assert weights["model.norm.weight"].untyped_storage().nbytes() == 32 * 4
    assert weights["model.layers.0.mlp.up_proj.weight"].is_contiguous()
    loaded = load_model(path).model
    assert torch.equal(loaded.model.norm.weight, big[7])
    assert torch.equal(loaded.model.layers[0].mlp.up_proj.weight, up)


def test_weights_keep_their_dtype_in_the_file_and_open_in_float32(tmp_path, small_tokenizer):
    network = random_network(SMALL).bfloat16()
    path = tmp_path / "pretrain_32.pth"
    save_weights(path, network, small_tokenizer, stage="pretrain")
    assert {tensor.dtype for tensor in read_checkpoint(path)["model"].values()} == {torch.bfloat16}
    loaded = load_model(path)
    assert loaded.stored_dtype == torch.bfloat16
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert torch.equal(loaded.model.model.norm.weight, network.model.norm.weight.float())


@pytest.mark.parametrize(("number", "dtype"), [(1.0001, torch.float32), (1.5, torch.bfloat16)])
def test_the_dtype_of_a_file_with_several_rounds_no_weight(tmp_path, small_tokenizer, number, dtype):
    """GGUF keeps norms in float32, beside matrices of 16 bits."""
    network = random_network(SMALL).bfloat16()
    network.model.norm.weight.data = torch.full((32,), number)
    save_weights(tmp_path / "pretrain_32.pth", network, small_tokenizer, stage="pretrain")
    assert load_model(tmp_path / "pretrain_32.pth").stored_dtype == dtype


@pytest.mark.filterwarnings("ignore:.*torch.jit")  # torch.compile imports what torch itself deprecates
def test_a_wrapped_network_is_saved_under_its_own_names(tmp_path, small_tokenizer):
    network = random_network(SMALL)
    wrapped = torch.nn.Module()
    wrapped.module = torch.compile(network)  # as DistributedDataParallel holds it
    save_weights(tmp_path / "a.pth", wrapped, small_tokenizer, stage="pretrain")
    assert torch.equal(load_model(tmp_path / "a.pth").model.model.norm.weight, network.model.norm.weight)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("model.norm.weight"), "model.norm.weight is missing"),
        (lambda w: w.update({"model.extra": torch.zeros(2)}), "model.extra is unknown"),
        (
            lambda w: w.update({"model.norm.weight": torch.zeros(31)}),
            r"model.norm.weight has shape \[31\], not \[32\]",
        ),
        (
            lambda w: w.update({"model.norm.weight": torch.zeros(32, dtype=torch.int32)}),
            "not a tensor of floating point numbers",
        ),
        (lambda w: w.update({"lm_head.weight": torch.zeros(272, 32)}), "tied, but holds two different ones"),
        (lambda w: [w.pop(name) for name in list(w)[1:9]], "and 5 more"),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_a_sentence(tmp_path, small_tokenizer, change, words):
    path = tmp_path / "pretrain_32.pth"
    save_weights(path, random_network(SMALL), small_tokenizer, stage="pretrain")
    found = read_checkpoint(path)
    change(found["model"])
    save_checkpoint(path, found)
    with pytest.raises(SproutError, match=words):
        load_model(path)


def test_flags_that_contradict_a_weight_are_refused_and_others_are_not(tmp_path, small_tokenizer):
    path = tmp_path / "pretrain_32.pth"
    save_weights(path, random_network(SMALL), small_tokenizer, stage="pretrain")
    with pytest.raises(UsageError, match=r"--hidden_size 768 contradicts .*pretrain_32\.pth, which has 32"):
        load_model(path, overrides={"hidden_size": 768})
    with pytest.raises(
        UsageError, match=r"--no_tie_word_embeddings contradicts .*pretrain_32\.pth, which has it: leave"
    ):
        load_model(path, overrides={"tie_word_embeddings": False})
    with pytest.raises(UsageError, match=r"--qk_norm contradicts .*pretrain_32\.pth, which goes without: leave the fl"):
        load_model(path, overrides={"qk_norm": True})
    scaling = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 32768}
    wanted = {
        "hidden_size": 32,
        "num_hidden_layers": None,
        "max_position_embeddings": 65536,
        "rope_scaling": scaling,
    }
    config = load_model(path, overrides=wanted).model.config
    assert config == SMALL.replace(max_position_embeddings=65536, rope_scaling=scaling)


@pytest.mark.parametrize("flag", [{"rope_theta": 1e4}, {"rms_norm_eps": 1e-6}, {"num_attention_heads": 4}])
def test_what_the_shapes_of_a_weight_do_not_tell_is_not_changed_by_a_flag(tmp_path, small_tokenizer, flag):
    save_weights(tmp_path / "a.pth", random_network(SMALL), small_tokenizer, stage="pretrain")
    with pytest.raises(UsageError, match=f"--{next(iter(flag))} .* contradicts"):
        load_model(tmp_path / "a.pth", overrides=flag)


@pytest.mark.parametrize(
    ("stage", "facts", "is_base", "read"),
    [
        ("pretrain", {}, True, 256),  # nothing is said: all positions
        ("full_sft", {"arguments": {"max_seq_len": 48}}, False, 48),
        ("distill", {"arguments": {"max_seq_len": 48}, "trained_on": "texts", "imported": True}, True, 256),
        ("full_sft", {"arguments": {"max_seq_len": 999}}, False, 256),
        ("full_sft", {"arguments": {"max_seq_len": 0}}, False, 256),
    ],
)
def test_a_weight_tells_what_it_was_trained_on(tmp_path, small_tokenizer, stage, facts, is_base, read):
    network = random_network(SMALL.replace(max_position_embeddings=256))
    save_weights(tmp_path / "a.pth", network, small_tokenizer, stage=stage, facts=facts)
    loaded = load_model(tmp_path / "a.pth")
    assert (loaded.is_base, loaded.trained_positions, loaded.imported) == (is_base, read, "imported" in facts)


def test_files_that_are_not_weights_of_ours_are_refused(tmp_path):
    path = tmp_path / "resume.pth"
    save_checkpoint(path, {"format": "sprout-resume", "step": 3})
    with pytest.raises(SproutError, match="not a weight of Sprout"):
        load_model(path)
    save_checkpoint(path, {"format": "sprout", "version": 99, "model": {}})
    with pytest.raises(SproutError, match="newer Sprout"):
        load_model(path)
    torch.save([torch.zeros(3)], path)
    with pytest.raises(SproutError, match="holds a list"):
        load_model(path)


# --- tokenizers -------------------------------------------------------------------------------------


def test_a_part_of_a_folder_and_a_folder_of_adapters_are_named_as_what_they_are(tmp_path):
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(SproutError, match=f"give the whole folder, {tmp_path}$"):
        load_model(tmp_path / "adapter_model.safetensors")
    with pytest.raises(SproutError, match="holds adapters without their network: give it with --lora"):
        load_model(tmp_path)


def test_a_vocabulary_may_be_padded_but_not_short(tmp_path, small_tokenizer):
    path = tmp_path / "pretrain_32.pth"
    save_weights(path, random_network(SMALL.replace(vocab_size=320)), small_tokenizer, stage="pretrain")
    assert load_model(path).model.config.vocab_size == 320
    save_weights(path, random_network(SMALL.replace(vocab_size=271)), small_tokenizer, stage="pretrain")
    with pytest.raises(SproutError, match="embeddings for 271 tokens, but the tokenizer has 272"):
        load_model(path)


def test_the_same_tokenizer_by_path_changes_nothing(tmp_path, small_tokenizer):
    network = random_network(SMALL)
    save_weights(tmp_path / "a.pth", network, small_tokenizer, stage="pretrain")
    small_tokenizer.save(tmp_path / "tokenizer")
    loaded = load_model(tmp_path / "a.pth", tokenizer_path=tmp_path / "tokenizer")
    assert torch.equal(loaded.model.lm_head.weight, network.lm_head.weight)


def test_a_tokenizer_that_extends_the_old_one_gets_new_rows(tmp_path, small_tokenizer):
    network = random_network(SMALL.replace(tie_word_embeddings=False))
    save_weights(tmp_path / "a.pth", network, small_tokenizer, stage="pretrain")
    make_tokenizer(("he", "ll")).save(tmp_path / "tokenizer")
    loaded = load_model(tmp_path / "a.pth", tokenizer_path=tmp_path / "tokenizer")
    assert loaded.model.config.vocab_size == loaded.tokenizer.vocab_size == 274
    assert loaded.new_tokens == 2 and loaded.writable == 272
    h, e = small_tokenizer.encode("he")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        old, new = network.state_dict()[name], loaded.model.state_dict()[name]
        assert torch.equal(new[:272], old)
        torch.testing.assert_close(new[272], (old[h] + old[e]) / 2)


def test_a_tokenizer_with_other_ids_is_refused(tmp_path, small_tokenizer):
    extended = make_tokenizer(("he", "ll"))
    save_weights(tmp_path / "a.pth", random_network(SMALL.replace(vocab_size=274)), extended, stage="pretrain")
    make_tokenizer(("ll", "he")).save(tmp_path / "tokenizer")
    with pytest.raises(SproutError, match="nor an extension of it: 2 of 274 tokens have another id"):
        load_model(tmp_path / "a.pth", tokenizer_path=tmp_path / "tokenizer")


# --- bare state dicts, as MiniMind saves them -------------------------------------------------------


def minimind(path: Path, config: TransformerConfig) -> Transformer:
    """A file as MiniMind writes it: fp16, the head although it is tied, and rotary tables."""
    network = random_network(config)
    weights = {name: tensor.half() for name, tensor in network.state_dict().items()}
    weights |= {"model.freqs_cos": torch.zeros(32768, 2), "model.freqs_sin": torch.zeros(32768, 2)}
    torch.save(weights, path)
    return network


@pytest.mark.parametrize("changes", [{}, {"qk_norm": True, "num_attention_heads": 4}, {"attention_bias": True}])
def test_a_minimind_weight_opens(tmp_path, small_tokenizer, changes, capsys):
    network = minimind(tmp_path / "pretrain_32.pth", SMALL.replace(**changes))
    small_tokenizer.save(tmp_path / "tokenizer")
    loaded = load_model(tmp_path / "pretrain_32.pth", tokenizer_path=tmp_path / "tokenizer")
    eps = 1e-6 if "qk_norm" in changes else 1e-5  # of the years that had such networks
    assert loaded.model.config == network.config.replace(rms_norm_eps=eps)
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor.half().float())
    assert ("8 are assumed" in capsys.readouterr().err) == ("qk_norm" not in changes)


def test_flags_tell_what_shapes_do_not(tmp_path, small_tokenizer, capsys):
    config = SMALL.replace(num_attention_heads=4, num_key_value_heads=1, rope_theta=1e4)
    minimind(tmp_path / "a.pth", config)
    small_tokenizer.save(tmp_path / "tokenizer")
    wanted = {"num_attention_heads": 4, "rope_theta": 1e4}
    loaded = load_model(tmp_path / "a.pth", tokenizer_path=tmp_path / "tokenizer", overrides=wanted)
    assert loaded.model.config == config
    assert capsys.readouterr().err == ""
    for wanted in ({"hidden_size": 64}, {"num_attention_heads": 5}, {"num_key_value_heads": 8}):
        with pytest.raises(UsageError):
            load_model(tmp_path / "a.pth", tokenizer_path=tmp_path / "tokenizer", overrides=wanted)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"model.layers.0.mlp.experts.0.gate_proj.weight": torch.zeros(2, 2)}, "mixture of experts"),
        ({"embed.weight": torch.zeros(2, 2)}, "model.embed_tokens.weight is missing"),
        ({"tok_embeddings.weight": torch.zeros(2, 2)}, "self_attn.q_proj.weight is missing"),
        ({"layers.0.feed_forward.experts.0.w1.weight": torch.zeros(2, 2)}, "mixture of experts"),
    ],
)
def test_other_networks_are_refused_in_a_sentence(tmp_path, weights, words):
    torch.save(weights, tmp_path / "a.pth")
    with pytest.raises(SproutError, match=words):
        load_model(tmp_path / "a.pth")
