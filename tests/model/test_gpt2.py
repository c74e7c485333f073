"""A GPT-2 folder that transformers saved computes, learns, writes and returns as in transformers."""

import json
import os

import pytest
import torch

from model.decoding import rearranged
from model.errors import SproutError, UsageError
from model.files.checkpoint import save_weights
from model.files.gguf.writing import write_gguf
from model.files.gpt2 import tokenizer_of_gpt2, weights_from_hf, weights_to_hf
from model.files.hf_export import export_folder
from model.files.hf_import import import_folder
from model.files.loading import load_model
from model.files.peft import refuse_peft_folder
from model.generation import generate_batch
from model.lora import Lora, add_lora, merge_lora
from model.reward import RewardModel
from model.sampling import Sampling
from model.text.tokenizer import Tokenizer
from training.engine.optimizers import parameter_groups
from training.stages.changes import freeze_layers

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")
TOKENS = torch.randint(1, 250, (2, 32), generator=torch.Generator().manual_seed(1))


def write_tokenizer(folder) -> None:
    """vocab.json and merges.txt as OpenAI has them: the bytes, a few merges, <|endoftext|> last."""
    from tokenizers import pre_tokenizers

    names = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "th", "Ġth", "<|endoftext|>"]
    folder.joinpath("vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    folder.joinpath("merges.txt").write_text("#version: 0.2\nt h\nĠ th\n")


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied, padded"])
def peer(request, tmp_path_factory):
    """The network of transformers in float64, every parameter drawn, and the folder it saved."""
    folder = tmp_path_factory.mktemp("gpt2")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=259 if request.param else 288,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=32,
        n_inner=None if request.param else 80,
        layer_norm_epsilon=1e-5 if request.param else 1e-3,
        tie_word_embeddings=request.param,
        bos_token_id=258,
        eos_token_id=258,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = transformers.GPT2LMHeadModel(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    if request.param:  # as in folders that say nothing of what is usual
        values = json.loads((folder / "config.json").read_text())
        usual = ("tie_word_embeddings", "layer_norm_epsilon", "n_inner")
        (folder / "config.json").write_text(json.dumps({key: values[key] for key in values if key not in usual}))
    write_tokenizer(folder)
    return model.double().eval(), folder


@pytest.fixture
def network(peer):
    return load_model(peer[1]).model.double()


def test_logits_and_gradients_are_those_of_transformers(peer, network):
    theirs, _ = peer
    assert network.config.num_parameters() == theirs.num_parameters() == sum(p.numel() for p in network.parameters())
    expected = theirs(TOKENS).logits
    found = network(TOKENS)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    weights = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    theirs.zero_grad()
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    gradients = weights_to_hf({name: parameter.grad for name, parameter in network.named_parameters()})
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(network.float()(TOKENS), expected.float(), rtol=1e-4, atol=1e-4)


def test_packed_documents_are_as_alone_and_recomputed_layers_change_nothing(network):
    first, second = TOKENS[:1, :9], TOKENS[1:, :15]
    positions = torch.cat([torch.arange(9), torch.arange(15)])[None]
    packed = network(torch.cat([first, second], dim=1), positions)
    torch.testing.assert_close(packed, torch.cat([network(first), network(second)], dim=1))
    network.recomputes_layers = True
    torch.testing.assert_close(network(TOKENS), network(TOKENS).detach())


def test_what_lies_below_the_layers_that_learn_is_frozen_with_its_positions(network):
    freeze_layers(network, 1)
    learns = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    above = ("model.layers.1.", "model.norm.", "lm_head.")  # a tied head is listed once, under the embedding's name
    assert learns == {name for name, _ in network.named_parameters() if name.startswith(above)}


@pytest.mark.parametrize("prepared", [False, True], ids=["as it is", "rearranged"])
def test_it_writes_what_transformers_writes(peer, network, prepared):
    theirs, _ = peer
    model = rearranged(network.float(), torch.float32) if prepared else network
    prompts = [TOKENS[0, :3].tolist(), TOKENS[1, :7].tolist()]
    written = generate_batch(model, prompts, max_new_tokens=12, sampling=Sampling(0.0))
    for prompt, answer in zip(prompts, written, strict=True):
        settings = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        expected = theirs.generate(torch.tensor([prompt]), **settings)[0, len(prompt) :]
        assert answer == expected.tolist()
    # The positions end: 32, of which the prompt has 30.
    assert len(generate_batch(model, [TOKENS.flatten()[:30].tolist()], max_new_tokens=12)[0]) == 2


def test_the_folder_comes_back_and_a_weight_reopens(peer, network, tmp_path):
    theirs, folder = peer
    _, _, tokenizer = import_folder(folder)
    model = load_model(folder).model
    export_folder(tmp_path / "hf", model, tokenizer)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name].float()), name
    assert again.config.n_positions == 32 and again.config.eos_token_id == tokenizer.eos_id
    assert again.config.layer_norm_epsilon == theirs.config.layer_norm_epsilon
    text = "the <|endoftext|> then 新芽 12"
    opened = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert opened("the then 新芽")["input_ids"] == tokenizer.encode("the then 新芽")
    assert tokenizer.decode(tokenizer.encode("the then 新芽")) == "the then 新芽"
    assert tokenizer.special_ids == {258} and 258 not in tokenizer.encode(text) and tokenizer.decode([256]) == "th"
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (258, 258, 258)

    save_weights(tmp_path / "w.pth", model, tokenizer, stage="imported")
    loaded = load_model(tmp_path / "w.pth")
    assert loaded.model.config == model.config and torch.equal(loaded.model(TOKENS), model(TOKENS))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"add_prefix_space": True},
        {"eos_token": "th"},
        {"bos_token": "th", "eos_token": "th"},
        {"bos_token": "th", "eos_token": "th", "unk_token": "th"},
    ],
)
def test_the_tokenizer_of_an_old_folder_has_the_roles_that_its_settings_name(tmp_path, settings):
    write_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    vocab, merges = json.loads((tmp_path / "vocab.json").read_text()), [("t", "h"), ("Ġ", "th")]
    theirs, ours = transformers.GPT2Tokenizer(vocab=vocab, merges=merges, **settings), tokenizer_of_gpt2(tmp_path)
    assert ours.special_ids == set(theirs.all_special_ids)
    assert (ours.bos_id, ours.eos_id) == (theirs.bos_token_id, theirs.eos_token_id)
    assert ours.encode("hate 新") == theirs("hate 新")["input_ids"]


@pytest.mark.parametrize(
    ("settings", "roles"),
    [({}, {}), ({"pad_token": "<|pad|>"}, {}), ({}, {"pad_token": "<|pad|>"})],
    ids=["no role", "in the settings", "in special_tokens_map.json"],
)
def test_an_old_folder_has_the_tokens_that_were_added_to_it(tmp_path, settings, roles):
    write_tokenizer(tmp_path)
    contents = {"tokenizer_config": {"tokenizer_class": "GPT2Tokenizer"} | settings, "special_tokens_map": roles}
    for name, content in (contents | {"added_tokens": {"<|user|>": 260, "<|pad|>": 259}}).items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    theirs, ours = transformers.AutoTokenizer.from_pretrained(tmp_path), tokenizer_of_gpt2(tmp_path)
    assert ours.vocab == theirs.get_vocab() and ours.vocab_size == 261
    assert ours.pad_id == (theirs.pad_token_id or ours.eos_id)
    assert ours.decode([260, 220, 258]) == theirs.decode([260, 220, 258], skip_special_tokens=True)


@pytest.mark.parametrize("name", ["tokenizer_config", "added_tokens", "special_tokens_map"])
@pytest.mark.parametrize("content", ["[]", "{"])
def test_a_damaged_file_of_an_old_folder_is_refused_in_a_sentence(tmp_path, name, content):
    write_tokenizer(tmp_path)
    (tmp_path / f"{name}.json").write_text(content)
    with pytest.raises(SproutError, match=f"the vocabulary of .* cannot be read|{name}.json is not"):
        tokenizer_of_gpt2(tmp_path)


def test_an_old_folder_that_names_no_end_says_what_to_do(tmp_path):
    write_tokenizer(tmp_path)
    vocab = json.loads((tmp_path / "vocab.json").read_text())
    del vocab["<|endoftext|>"]
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    with pytest.raises(SproutError, match="name one as eos_token in tokenizer_config.json"):
        tokenizer_of_gpt2(tmp_path)


def test_weights_as_openai_named_them_open(peer):
    _, folder = peer
    _, weights, _ = import_folder(folder)
    old = {name.removeprefix("transformer."): tensor for name, tensor in weights_to_hf(weights).items()}
    old |= {"h.0.attn.bias": torch.ones(1, 1, 32, 32), "h.0.attn.masked_bias": torch.tensor(-1e4)}
    assert {n: t.tolist() for n, t in weights_from_hf(old, "x").items()} == {n: t.tolist() for n, t in weights.items()}


def test_adapters_merge_and_every_parameter_has_an_optimizer(network):
    assert sum(map(len, parameter_groups(network).values())) == len(list(network.parameters()))
    network.float()
    before = network(TOKENS)
    add_lora(network, Lora(rank=2, alpha=4.0))
    assert network.lora.targets == ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj")
    torch.testing.assert_close(network(TOKENS), before)
    for name, parameter in network.named_parameters():
        if name.endswith("lora_B.weight"):
            torch.nn.init.normal_(parameter, std=0.1)
    adapted = network(TOKENS)
    assert (adapted - before).abs().max() > 0.01
    merge_lora(network)
    torch.testing.assert_close(network(TOKENS), adapted, rtol=1e-4, atol=1e-4)
    with pytest.raises(UsageError, match="none of those named"):
        add_lora(network, Lora(rank=2, alpha=4.0, targets=("gate_proj",)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"activation_function": "relu"}, "activation_function relu"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ({"n_embd": "wide"}, "config.json"),
        ({"n_layer": 3}, "does not hold its gpt2 network"),
    ],
)
def test_what_is_no_plain_gpt2_is_refused(peer, tmp_path, changes, words):
    for file in peer[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | changes))
    with pytest.raises(SproutError, match=words):
        load_model(tmp_path)


def test_what_a_gpt2_cannot_do_is_refused(peer, tmp_path):
    loaded = load_model(peer[1])
    with pytest.raises(UsageError, match="max_position_embeddings 64 contradicts"):
        load_model(peer[1], overrides={"max_position_embeddings": 64})
    with pytest.raises(UsageError, match="are learned"):
        loaded.model.config.replace(rope_scaling={"rope_type": "yarn", "factor": 2.0})
    with pytest.raises(UsageError, match="no reward model"):
        RewardModel.of(loaded.model)
    with pytest.raises(SproutError, match="merge the adapters, and export the whole"):
        refuse_peft_folder(tmp_path / "peft", loaded.model)
    with pytest.raises(SproutError, match="no GGUF"):
        write_gguf(tmp_path / "m.gguf", loaded.model, loaded.tokenizer, "f16")
    assert isinstance(loaded.tokenizer, Tokenizer)
