"""The network against `transformers`, which opens it through the real export.

Families, grouped and full attention, tied and untied heads, odd vocabularies, YaRN; logits, loss, gradients,
optimizer steps, padding, the cache, greedy text and bfloat16.
"""

import os
import random
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from model.attention import KVCache
from model.config import PRESETS, TransformerConfig
from model.errors import UsageError
from model.files.hf_export import export_folder
from model.transformer import Transformer, initialize
from tests.support import random_network

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")

SMALL = TransformerConfig(
    vocab_size=272, hidden_size=64, intermediate_size=112, num_hidden_layers=2, max_position_embeddings=512
)
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
CASES = {
    "llama, 1 of 8": SMALL.replace(num_key_value_heads=1),
    "llama, 2 of 8, untied": SMALL.replace(num_key_value_heads=2, tie_word_embeddings=False, vocab_size=277),
    "llama, 8 of 8, yarn": SMALL.replace(num_key_value_heads=8, rope_scaling=YARN, rope_theta=1e4),
    "qwen2, 4 of 8": SMALL.replace(num_key_value_heads=4, attention_bias=True, vocab_size=301),
    "qwen2, 8 of 8, untied": SMALL.replace(
        num_key_value_heads=8, attention_bias=True, tie_word_embeddings=False, rms_norm_eps=1e-6
    ),
    "qwen2, 2 of 8, yarn": SMALL.replace(attention_bias=True, rope_scaling=YARN | {"beta_fast": 8.0}),
    "qwen3, 2 of 8": SMALL.replace(qk_norm=True, head_dim=16, vocab_size=999),
    "qwen3, 1 of 3, odd sizes": SMALL.replace(
        qk_norm=True, hidden_size=50, num_attention_heads=3, num_key_value_heads=1, head_dim=10
    ),
    "qwen3, 8 of 8, untied, yarn": SMALL.replace(
        qk_norm=True, num_key_value_heads=8, tie_word_embeddings=False, rope_scaling=YARN
    ),
}


def random_config(seed: int) -> TransformerConfig:
    """Any small network that exists."""
    r = random.Random(seed)
    heads = r.choice([1, 2, 4, 8])
    bias, qk_norm = r.choice([(False, False), (True, False), (False, True)])
    return TransformerConfig(
        vocab_size=r.randrange(272, 600),
        hidden_size=heads * 2 * r.randrange(2, 9),
        intermediate_size=r.randrange(3, 130),
        num_hidden_layers=r.randrange(1, 4),
        num_attention_heads=heads,
        num_key_value_heads=r.choice([k for k in (1, 2, 4, 8) if heads % k == 0]),
        head_dim=r.choice([None, 6, 32]),
        rope_theta=r.choice([1e4, 1e6]),
        rope_scaling=r.choice([None, YARN]),
        rms_norm_eps=r.choice([1e-5, 1e-6]),
        tie_word_embeddings=r.random() < 0.5,
        attention_bias=bias,
        qk_norm=qk_norm,
    )


CASES |= {f"random {seed}": random_config(seed) for seed in range(6)}


@pytest.fixture(scope="module", params=CASES, ids=str)
def pair(request, tmp_path_factory, small_tokenizer):
    """The same weights in our network and in that of `transformers`."""
    ours = random_network(CASES[request.param]).eval()
    folder = tmp_path_factory.mktemp("export") / "model"
    export_folder(folder, ours, small_tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    assert theirs.config.model_type == ours.config.model_type
    return SimpleNamespace(ours=ours, theirs=theirs, folder=folder, config=ours.config)


def random_tokens(config: TransformerConfig, *shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(3, config.vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def relative_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm().clamp_min(1e-30)).item()


def next_token_loss(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


@torch.no_grad()
def test_logits_also_past_the_original_length_of_yarn(pair):
    tokens = random_tokens(pair.config, 2, 100)
    torch.testing.assert_close(pair.ours(tokens), pair.theirs(tokens).logits, rtol=0, atol=1e-5)


def test_loss_and_every_gradient(pair):
    tokens = random_tokens(pair.config, 3, 40)
    pair.ours.zero_grad()
    pair.theirs.zero_grad()
    our_loss = next_token_loss(pair.ours(tokens), tokens)
    their_loss = pair.theirs(tokens, labels=tokens).loss
    assert our_loss.item() == pytest.approx(their_loss.item(), rel=1e-5)
    our_loss.backward()
    their_loss.backward()
    theirs = dict(pair.theirs.named_parameters())
    ours = dict(pair.ours.named_parameters())
    assert ours.keys() == theirs.keys()
    for name, parameter in ours.items():
        assert relative_difference(parameter.grad, theirs[name].grad) < 1e-5, name


def test_five_optimizer_steps(pair):
    networks = [Transformer(pair.config), transformers.AutoModelForCausalLM.from_pretrained(pair.folder)]
    networks[0].load_state_dict(pair.ours.state_dict())
    # Not the usual eps of 1e-8: the gradient of a key's bias is nearly zero (softmax ignores what all keys
    # share), and AdamW would make steps of full size out of its rounding.
    optimizers = [torch.optim.AdamW(n.parameters(), lr=1e-3, eps=1e-5, weight_decay=0.1) for n in networks]
    for step in range(5):
        tokens = random_tokens(pair.config, 4, 32, seed=step)
        losses = []
        for network, optimizer in zip(networks, optimizers, strict=True):
            out = network(tokens)
            loss = next_token_loss(getattr(out, "logits", out), tokens)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-5), step
    theirs = dict(networks[1].named_parameters())
    for name, parameter in networks[0].named_parameters():
        assert relative_difference(parameter.data, theirs[name].data) < 1e-5, name


@torch.no_grad()
def test_padding_on_the_left(pair):
    lengths, width = [5, 17, 30], 30
    tokens = random_tokens(pair.config, 3, width)
    columns = torch.arange(width)
    starts = torch.tensor([width - n for n in lengths])[:, None]
    real = columns >= starts
    positions = torch.where(real, columns - starts, columns)  # the pads are a document of their own
    ours = pair.ours(tokens, positions)
    theirs = pair.theirs(tokens, attention_mask=real.long(), position_ids=(columns - starts).clamp_min(0)).logits
    torch.testing.assert_close(ours[real], theirs[real], rtol=0, atol=1e-5)
    assert ours.isfinite().all()


@torch.no_grad()
def test_padding_on_the_right_needs_nothing(pair):
    tokens = random_tokens(pair.config, 3, 30)
    real = torch.arange(30) < torch.tensor([5, 17, 30])[:, None]
    theirs = pair.theirs(tokens, attention_mask=real.long()).logits
    torch.testing.assert_close(pair.ours(tokens)[real], theirs[real], rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_cache_gives_the_logits_of_the_whole_text_and_of_transformers(pair):
    tokens = random_tokens(pair.config, 2, 60)
    whole = pair.ours(tokens)
    cache, past, theirs = KVCache(pair.config, 2, 60), None, []
    ours = []
    for chunk in tokens.split([20, 7, 1, 1, 1, 30], dim=1):  # a prompt, another piece of it, single tokens, a piece
        ours.append(pair.ours(chunk, cache=cache))
        out = pair.theirs(chunk, past_key_values=past, use_cache=True)
        past = out.past_key_values
        theirs.append(out.logits)
    torch.testing.assert_close(torch.cat(ours, 1), whole, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.cat(ours, 1), torch.cat(theirs, 1), rtol=0, atol=1e-5)


@torch.no_grad()
def test_greedy_text_of_64_tokens(pair):
    prompt = random_tokens(pair.config, 1, 9)
    cache = KVCache(pair.config, 1, 9 + 64)
    text, newest = prompt, prompt
    for _ in range(64):
        newest = pair.ours(newest, cache=cache)[:, -1].argmax(-1, keepdim=True)
        text = torch.cat((text, newest), dim=1)
    expected = pair.theirs.generate(
        prompt, do_sample=False, min_new_tokens=64, max_new_tokens=64, eos_token_id=None, pad_token_id=0
    )
    assert text.tolist() == expected.tolist()


@torch.no_grad()
def test_bfloat16(pair):
    tokens = random_tokens(pair.config, 2, 48)
    exact = pair.ours(tokens)
    ours = Transformer(pair.config)
    ours.load_state_dict(pair.ours.state_dict())
    ours = ours.bfloat16()(tokens)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(pair.folder, dtype=torch.bfloat16)
    theirs = theirs(tokens).logits
    assert ours.dtype == theirs.dtype == torch.bfloat16
    assert relative_difference(ours.float(), theirs.float()) < 2e-2
    # What is lost to rounding is no more than what transformers loses.
    assert relative_difference(ours.float(), exact) < 1.1 * relative_difference(theirs.float(), exact)


def test_every_parameter_has_a_deliberate_beginning():
    for config in CASES.values():
        network = Transformer(config, initialize_weights=False)
        for parameter in network.parameters():
            parameter.data.fill_(torch.nan)
        initialize(network)
        assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_a_parameter_without_a_beginning_is_an_error():
    network = Transformer(SMALL)
    network.model.layers[0].mlp.extra = torch.nn.Parameter(torch.zeros(3))
    with pytest.raises(ValueError, match=r"mlp\.extra"):
        initialize(network)


@pytest.mark.parametrize("name", PRESETS)
def test_the_loss_of_a_new_network_is_that_of_guessing(name):
    config = PRESETS[name]
    config = config.replace(num_hidden_layers=2, intermediate_size=64, vocab_size=min(config.vocab_size, 20000))
    torch.manual_seed(0)
    network = Transformer(config)
    tokens = random_tokens(config, 2, 64)
    with torch.no_grad():
        loss = next_token_loss(network(tokens), tokens)
    expected = torch.log(torch.tensor(float(config.vocab_size)))
    assert abs(loss - expected) < 0.1


def test_the_default_has_25_830_million_parameters():
    assert f"{PRESETS['26m'].num_parameters() / 1e6:.3f} M" == "25.830 M"
    for name, config in PRESETS.items():
        with torch.device("meta"):
            network = Transformer(config, initialize_weights=False)
        assert config.num_parameters() == sum(p.numel() for p in network.parameters()), name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_attention_heads": 7}, "not divisible"),
        ({"num_key_value_heads": 3}, "not divisible"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"hidden_size": -64}, "hidden_size is -64"),
        ({"head_dim": 7}, "even"),
        ({"attention_bias": True, "qk_norm": True}, "choose one"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "yarn"),
    ],
)
def test_a_shape_that_cannot_exist_is_refused_in_a_sentence(changes, words):
    with pytest.raises(UsageError, match=words):
        SMALL.replace(**changes)
