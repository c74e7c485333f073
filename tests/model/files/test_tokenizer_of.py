"""The tokenizer of a weight alone is that with which the whole weight opens."""

import pytest
import torch

from model.config import TransformerConfig
from model.errors import SproutError
from model.files.checkpoint import save_weights
from model.files.hf_export import export_folder
from model.files.loading import load_model
from model.files.tokenizer_of import is_tokenizer_alone, tokenizer_of_weight
from model.reward import RewardModel
from model.text.learn_bpe import learn
from model.text.tokenizer import Tokenizer
from tests.support import random_network

SMALL = TransformerConfig(
    vocab_size=280, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return learn(["a small text of small words", "of even smaller words"] * 2, 280)


@pytest.fixture(scope="module")
def weights(tmp_path_factory, tokenizer):
    """A weight of every kind, by name."""
    folder, network = tmp_path_factory.mktemp("weights"), random_network(SMALL)
    save_weights(folder / "ours.pth", network, tokenizer, stage="pretrain")
    save_weights(folder / "reward.pth", RewardModel(SMALL), tokenizer, stage="reward")
    export_folder(folder / "hf", network, tokenizer)
    (folder / "minimind").mkdir()
    torch.save({**network.state_dict()}, folder / "minimind" / "bare.pth")
    early = {"tok_embeddings.weight": network.state_dict()["model.embed_tokens.weight"]}
    torch.save(early, folder / "minimind" / "early.pth")
    tokenizer.save(folder / "minimind")
    return folder


@pytest.mark.parametrize("name", ["ours.pth", "hf", "minimind/bare.pth"])
def test_it_is_that_of_the_whole_weight(name, weights):
    whole = load_model(weights / name, overrides={"num_attention_heads": 2, "num_key_value_heads": 2}).tokenizer
    assert tokenizer_of_weight(weights / name).files == whole.files


@pytest.mark.parametrize("name", ["reward.pth", "minimind/early.pth", "minimind", "minimind/tokenizer.json"])
def test_other_files_have_one_too(name, weights, tokenizer):
    assert tokenizer_of_weight(weights / name).fingerprint == tokenizer.fingerprint
    assert is_tokenizer_alone(weights / name) == (".pth" not in name)


def test_a_gguf_file(tmp_path, tokenizer):
    pytest.importorskip("gguf", reason="gguf is not installed (pip install -e '.[gguf]')")
    from model.files.gguf.writing import write_gguf

    write_gguf(tmp_path / "m.gguf", random_network(SMALL), tokenizer, "f32")
    assert tokenizer_of_weight(tmp_path / "m.gguf").files == load_model(tmp_path / "m.gguf").tokenizer.files
    whole = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "part.gguf").write_bytes(whole[:1000])
    with pytest.raises(SproutError, match="damaged or not a GGUF file"):
        tokenizer_of_weight(tmp_path / "part.gguf")


def test_what_has_none_is_refused_in_a_sentence(tmp_path):
    torch.save({"head.weight": torch.zeros(2, 2)}, tmp_path / "strange.pth")
    with pytest.raises(SproutError, match="holds no embedding"):
        tokenizer_of_weight(tmp_path / "strange.pth")
    with pytest.raises(SproutError, match="no tokenizer at"):
        tokenizer_of_weight(tmp_path)
