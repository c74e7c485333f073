"""Bare state dicts: each year's MiniMind computes the same with its file, and its scripts load ours."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import TransformerConfig
from model.errors import SproutError
from model.files.loading import load_model
from model.files.minimind import write_bare
from model.text.tokenizer import Tokenizer
from model.transformer import Transformer
from scripts.export_hf import main
from tests.support import make_tokenizer, random_network

SMALL = TransformerConfig(vocab_size=272, hidden_size=32, intermediate_size=48, num_hidden_layers=2)
PRESENT = SMALL.replace(qk_norm=True, rms_norm_eps=1e-6, num_key_value_heads=4)


def small_embeddings(config: TransformerConfig) -> Transformer:
    """A network whose first norm has little to divide by, so that its eps matters."""
    network = random_network(config).eval()
    with torch.no_grad():
        network.model.embed_tokens.weight *= 0.01
    return network


def half(network: Transformer) -> dict[str, Tensor]:
    return {name: tensor.half() for name, tensor in network.state_dict().items()}


def logits_of_early_2025(weights: dict[str, Tensor], tokens: Tensor, heads: int, theta: float) -> Tensor:
    """The network under Llama's own names, written out in float64: pairs (2i, 2i + 1) are complex numbers that turn."""
    weights = {name: tensor.double() for name, tensor in weights.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        return weights[name + ".weight"] * x * (x.pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt()

    def turned(x: Tensor) -> Tensor:  # [T, heads, h]
        h = x.shape[-1]
        angles = torch.outer(torch.arange(len(x)).double(), theta ** (-torch.arange(0, h, 2).double() / h))
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)[:, None]).flatten(-2)

    x = weights["tok_embeddings.weight"][tokens]
    layer = 0
    while (begin := f"layers.{layer}.") + "attention.wq.weight" in weights:
        y = norm(x, begin + "attention_norm")
        q, k, v = (y @ weights[f"{begin}attention.w{part}.weight"].T for part in "qkv")
        h = q.shape[-1] // heads
        q, k, v = turned(q.unflatten(-1, (-1, h))), turned(k.unflatten(-1, (-1, h))), v.unflatten(-1, (-1, h))
        k, v = (part.repeat_interleave(heads // part.shape[1], dim=1) for part in (k, v))
        seen = F.scaled_dot_product_attention(*(part.transpose(0, 1) for part in (q, k, v)), is_causal=True)
        x = x + seen.transpose(0, 1).flatten(1) @ weights[begin + "attention.wo.weight"].T
        y = norm(x, begin + "ffn_norm")
        w1, w2, w3 = (weights[f"{begin}feed_forward.w{i}.weight"] for i in (1, 2, 3))
        x = x + (F.silu(y @ w1.T) * (y @ w3.T)) @ w2.T
        layer += 1
    return norm(x, "norm") @ weights["output.weight"].T


def early(network: Transformer) -> dict[str, Tensor]:
    """Random weights of the sizes of a network, under the names of early 2025."""
    generator = torch.Generator().manual_seed(0)
    d, inner, kv = network.config.hidden_size, network.config.intermediate_size, network.config.num_key_value_heads * 4
    shapes = {"tok_embeddings": (272, d), "norm": (d,)}
    for layer in range(2):
        shapes |= {f"layers.{layer}.{name}": (d,) for name in ("attention_norm", "ffn_norm")}
        sizes = {"wq": (d, d), "wk": (kv, d), "wv": (kv, d), "wo": (d, d)}
        shapes |= {f"layers.{layer}.attention.{name}": size for name, size in sizes.items()}
        sizes = {"w1": (inner, d), "w2": (d, inner), "w3": (inner, d)}
        shapes |= {f"layers.{layer}.feed_forward.{name}": size for name, size in sizes.items()}
    weights = {f"{name}.weight": torch.randn(size, generator=generator).half() * 0.2 for name, size in shapes.items()}
    tables = {"pos_cis": torch.zeros(4, dtype=torch.cfloat), "freqs_cis": torch.zeros(4, dtype=torch.cfloat)}
    tables |= {"rope.freqs": torch.zeros(4), "layers.0.attention.mask": torch.zeros(1, 1, 4, 4)}  # not all in one file
    return weights | {"output.weight": weights["tok_embeddings.weight"]} | tables


@pytest.mark.parametrize("flags", [{}, {"rope_theta": 1e4, "num_attention_heads": 4, "head_dim": 8}])
def test_names_and_pairs_of_early_2025(tmp_path, small_tokenizer, capsys, flags):
    config = SMALL.replace(num_key_value_heads=2) if not flags else SMALL.replace(num_key_value_heads=1, **flags)
    heads, theta = config.num_attention_heads, config.rope_theta
    weights = early(Transformer(config))
    if flags:
        for layer in range(2):
            for name in ("wk", "wv"):
                key = f"layers.{layer}.attention.{name}.weight"
                weights[key] = weights[key].repeat(2, 1)
    torch.save(weights, tmp_path / "rlhf_32.pth")
    small_tokenizer.save(tmp_path / "model" / "minimind_tokenizer")
    wanted = {name: value for name, value in flags.items() if name != "head_dim"}
    loaded = load_model(tmp_path / "rlhf_32.pth", overrides=wanted)
    assert (loaded.model.config.rms_norm_eps, loaded.model.config.rope_theta) == (1e-5, theta)
    tokens = torch.randint(3, 272, (40,))
    expected = logits_of_early_2025(weights, tokens, heads, theta)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(tokens[None])[0].double(), expected, rtol=0, atol=1e-4)
    said = capsys.readouterr().err
    assert "before April 2025" in said and "is used" in said


def test_a_network_with_q_norm_is_of_the_present_with_its_eps(tmp_path, small_tokenizer):
    network = small_embeddings(PRESENT)
    torch.save(half(network), tmp_path / "pretrain_32.pth")
    small_tokenizer.save(tmp_path)
    loaded = load_model(tmp_path / "pretrain_32.pth")
    assert loaded.model.config == PRESENT
    tokens = torch.randint(3, 272, (1, 40))
    rounded = Transformer(PRESENT)
    rounded.load_state_dict({name: tensor.float() for name, tensor in half(network).items()})
    with torch.no_grad():
        assert torch.equal(loaded.model(tokens), rounded(tokens))
        other = load_model(tmp_path / "pretrain_32.pth", overrides={"rms_norm_eps": 1e-5}).model
        assert (other(tokens) - rounded(tokens)).abs().max() > 1e-3


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_understood(tmp_path, small_tokenizer, prefix):
    network = random_network(PRESENT)
    torch.save({prefix + name: tensor for name, tensor in half(network).items()}, tmp_path / "a.pth")
    small_tokenizer.save(tmp_path / "tokenizer")
    assert load_model(tmp_path / "a.pth").model.config == PRESENT
    inside = {name.replace(".self_attn", "._orig_mod.self_attn"): tensor for name, tensor in half(network).items()}
    torch.save(inside, tmp_path / "b.pth")  # of layers that were compiled each for itself
    assert load_model(tmp_path / "b.pth").model.config == PRESENT
    torch.save(half(network) | {"module.lm_head.weight": torch.zeros(272, 32)}, tmp_path / "c.pth")
    with pytest.raises(SproutError, match=r"lm_head.weight twice"):
        load_model(tmp_path / "c.pth")


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict", "module"])
def test_weights_beside_the_state_of_their_training_are_opened(tmp_path, small_tokenizer, key, prefix):
    network = random_network(PRESENT)
    weights = {prefix + name: tensor for name, tensor in half(network).items()}
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
    torch.save({key: weights, "optimizer": optimizer, "epoch": 1, "step": 20}, tmp_path / "a.pth")
    small_tokenizer.save(tmp_path)
    opened = load_model(tmp_path / "a.pth").model
    assert all(torch.equal(tensor.half(), half(network)[name]) for name, tensor in opened.state_dict().items())


@pytest.mark.parametrize(
    "contents, found",
    [
        ({"model": {"transformer.wte.weight": torch.zeros(2, 2)}, "step": 1}, "found transformer.wte.weight, ..."),
        ({"model": {"a": 1}, "step": 1}, "its keys are model, step"),
        ({"identity": {}, "model": {"a": torch.zeros(2)}}, "its keys are identity, model"),  # ours, to resume from
    ],
)
def test_what_else_a_checkpoint_holds_is_named(tmp_path, contents, found):
    torch.save(contents, tmp_path / "a.pth")
    with pytest.raises(SproutError) as caught:
        load_model(tmp_path / "a.pth")
    assert found in str(caught.value)


def test_a_tokenizer_is_never_guessed(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    torch.save(half(random_network(PRESENT.replace(vocab_size=6400))), tmp_path / "out" / "a.pth")
    with pytest.raises(SproutError, match=r"none with 6,400 tokens lies beside it.*--tokenizer_path"):
        load_model(tmp_path / "out" / "a.pth")
    make_tokenizer().save(tmp_path / "out")  # of another size
    with pytest.raises(SproutError, match="none with 6,400 tokens"):
        load_model(tmp_path / "out" / "a.pth")
    Tokenizer.load().save(tmp_path / "model")  # as in a checkout of MiniMind
    assert load_model(tmp_path / "out" / "a.pth").tokenizer.vocab_size == 6400
    assert f"the one in {tmp_path / 'model'} is used" in capsys.readouterr().err


def test_what_is_written_is_what_minimind_loads(tmp_path, small_tokenizer):
    network = random_network(PRESENT)
    files, needed = write_bare(tmp_path, network, small_tokenizer, "full_sft_32")
    assert [path.name for path in files] == ["full_sft_32.pth", "tokenizer.json", "tokenizer_config.json"]
    assert needed == ["vocab_size=272", "intermediate_size=48"]
    contents = torch.load(tmp_path / "full_sft_32.pth")
    assert {tensor.dtype for tensor in contents.values()} == {torch.float16}
    assert list(contents) == list(network.state_dict())  # a tied head, too, and no tables
    again = load_model(tmp_path / "full_sft_32.pth")
    assert again.model.config == PRESENT and again.tokenizer.fingerprint == small_tokenizer.fingerprint
    assert write_bare(tmp_path, random_network(SMALL), small_tokenizer, "b")[1] == [
        "vocab_size=272",
        "intermediate_size=48",
    ]
    assert (
        "rms_norm_eps=1e-05"
        in write_bare(tmp_path, random_network(SMALL.replace(qk_norm=True)), small_tokenizer, "c")[1]
    )
    write_bare(tmp_path, network, small_tokenizer, "exact", torch.float32)
    assert {tensor.dtype for tensor in torch.load(tmp_path / "exact_32.pth").values()} == {torch.float32}
    others = make_tokenizer(("he",))
    for tokenizer, name, found in ((small_tokenizer, "full_sft", "full_sft_32.pth"), (others, "d", "tokenizer.json")):
        with pytest.raises(SproutError, match=f"{found} is there already"):
            write_bare(tmp_path, network, tokenizer, name)
    for changes in ({"attention_bias": True}, {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}):
        with pytest.raises(SproutError, match="MiniMind's network has no"):
            write_bare(tmp_path, random_network(SMALL.replace(**changes)), small_tokenizer, "d")


@pytest.mark.parametrize(
    "changes, needed",
    [
        ({}, []),
        ({"qk_norm": False, "rms_norm_eps": 1e-5, "num_key_value_heads": 2, "intermediate_size": 192}, []),
        ({"num_attention_heads": 4}, ["num_attention_heads=4"]),
        ({"tie_word_embeddings": False}, ["tie_word_embeddings=False"]),
    ],
)
def test_what_minimind_has_by_default_need_not_be_given(tmp_path, changes, needed):
    sizes = {"vocab_size": 6400, "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 1}
    present = {"qk_norm": True, "rms_norm_eps": 1e-6, "num_key_value_heads": 4}
    network = random_network(TransformerConfig(**sizes | present | changes))
    assert write_bare(tmp_path, network, Tokenizer.load(), "a")[1] == needed


def test_export_for_minimind(tmp_path, small_tokenizer, capsys):
    torch.save(half(random_network(PRESENT)), tmp_path / "full_sft_32.pth")
    small_tokenizer.save(tmp_path)
    source, folder = tmp_path / "full_sft_32.pth", tmp_path / "new"
    main(["--weight_path", str(source), "--save_dir", str(folder), "--minimind"])
    said = capsys.readouterr()
    assert "MiniMindConfig(hidden_size=32, num_hidden_layers=2, vocab_size=272, intermediate_size=48)" in said.out
    assert "warning: MiniMind's scripts" in said.err
    before, after = torch.load(source), torch.load(folder / "full_sft_32.pth")
    assert all(torch.equal(before[name], after[name]) for name in before) and before.keys() == after.keys()
    assert json.loads((folder / "tokenizer_config.json").read_text())["eos_token"] == "<|im_end|>"
