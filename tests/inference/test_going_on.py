"""A text that goes on with its prompt keeps the space between two words, whatever a decoder drops at a beginning."""

import json

import httpx
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers

from inference.dialogue import continue_text
from inference.text_stream import decode_behind
from inference.texts import Texts
from inference.writer import Writer
from model.config import TransformerConfig
from model.files.checkpoint import save_weights
from model.sampling import GREEDY
from model.text.tokenizer import Tokenizer
from tests.inference.server.conftest import CPU, running
from tests.support import random_network


@pytest.fixture(scope="module")
def llama():
    """A tokenizer in the manner of Llama 2, whose decoder drops the space at the beginning of a text."""
    names = ["<s>", "</s>", "\u2581", "a", "\u2581a", *(f"<0x{i:02X}>" for i in range(256))]
    backend = Backend(models.BPE({name: i for i, name in enumerate(names)}, [("\u2581", "a")], byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(parts)
    backend.add_special_tokens(["<s>", "</s>"])
    config = {"bos_token": "<s>", "eos_token": "</s>"}
    return Tokenizer.from_files({"tokenizer.json": backend.to_str(), "tokenizer_config.json": json.dumps(config)})


@pytest.fixture(scope="module")
def network(llama):
    """One that writes "\u2581a" behind "a"."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "max_position_embeddings": 64}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": False}
    network = random_network(TransformerConfig(vocab_size=llama.vocab_size, **sizes, **heads))
    with torch.no_grad():
        features = network.features(torch.tensor([[llama.bos_id, *llama.encode("a")]]))[0, -1]
        network.lm_head.weight.zero_()
        network.lm_head.weight[llama.vocab["\u2581a"]] = features
    return network


def test_words_are_not_joined(llama, network, tmp_path, capsys):
    path = tmp_path / "full_sft_32.pth"
    save_weights(path, network, llama, stage="pretrain")
    with running(tmp_path) as url, httpx.Client(base_url=url, timeout=30) as client:
        body = {"prompt": "a", "max_tokens": 1, "temperature": 0}
        assert client.post("/v1/completions", json=body).json()["choices"][0]["text"] == " a"
        assert client.post("/v1/completions", json=body | {"echo": True}).json()["choices"][0]["text"] == "a a"
    writer, texts = Writer(network, llama, CPU, end_ids=set(), sampling=GREEDY, max_new_tokens=1), Texts()
    continue_text(writer, llama, "a", texts)
    assert capsys.readouterr().out == "a a\n\n"
    texts.save(tmp_path / "texts.jsonl")
    assert json.loads((tmp_path / "texts.jsonl").read_text()) == {"text": "a a"}


def test_a_text_of_its_own_begins_as_before(llama):
    behind = llama.encode("a")
    for prompt, text in (([], "a"), ([llama.bos_id], "a"), (behind, " a"), ([*behind, llama.vocab["<0xE4>"]], " a")):
        assert decode_behind(llama, prompt)(behind) == text
