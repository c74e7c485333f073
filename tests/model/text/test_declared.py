"""Added tokens are those that transformers has, wherever a folder declares them."""

import json
import os

import pytest

from model.errors import SproutError
from model.text.exported import files_for
from model.text.tokenizer import Tokenizer

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")


def token(content: str, special: bool = True, **flags) -> dict:
    names = ("lstrip", "rstrip", "single_word", "normalized")
    return {"content": content, "special": special} | {name: flags.get(name, False) for name in names}


CONTROLS = {str(272 + i): token(name) for i, name in enumerate(("<|im_start|>", "<|im_end|>", "<tool_call>"))}
END = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
CASES = {
    "by id in the configuration": {"tokenizer_config.json": END | {"added_tokens_decoder": CONTROLS}},
    "a gap in the ids": {"tokenizer_config.json": END | {"added_tokens_decoder": {"300": token("<|x|>", rstrip=True)}}},
    "another token under a known id": {
        "tokenizer_config.json": END | {"added_tokens_decoder": {"0": token("<|y|>"), "272": token("<|z|>", False)}}
    },
    "other flags than those of tokenizer.json": {
        "tokenizer_config.json": END | {"added_tokens_decoder": {"0": token("<|endoftext|>", rstrip=True, lstrip=True)}}
    },
    "a word of the vocabulary": {"tokenizer_config.json": END | {"added_tokens_decoder": {"40": token("a", False)}}},
    "a role for a word of the vocabulary": {"tokenizer_config.json": END | {"eos_token": "!", "unk_token": "a"}},
    "extra": {"tokenizer_config.json": END | {"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]}},
    "roles come before extra tokens, in an order of their own": {
        "tokenizer_config.json": {"pad_token": "<|pad|>", "unk_token": "<unk>", "eos_token": "<|im_end|>"}
        | {"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]}
    },
    "roles of the network's own": {"tokenizer_config.json": END | {"extra_special_tokens": {"audio_token": "<|x|>"}}},
    "additional": {"tokenizer_config.json": END | {"additional_special_tokens": ["<|im_start|>", "!"]}},
    "roles in their file": {
        "tokenizer_config.json": END,
        "special_tokens_map.json": {"eos_token": "!", "additional_special_tokens": ["<|im_end|>"]},
    },
    "a list of added tokens": {
        "tokenizer_config.json": END | {"additional_special_tokens": ["<|im_end|>"]},
        "added_tokens.json": {"<|im_end|>": 273, "new word": 272},
    },
    "files of the past": {
        "tokenizer_config.json": END | {"added_tokens_decoder": CONTROLS},
        "special_tokens_map.json": {"eos_token": "<|im_end|>"},
        "added_tokens.json": {"<|im_end|>": 272},
    },
}


def folder_of(files: dict, tmp_path, small_tokenizer):
    """The small tokenizer, of whose added tokens tokenizer.json knows only the first."""
    content = json.loads(small_tokenizer.files["tokenizer.json"])
    content["added_tokens"] = content["added_tokens"][:1]
    names = {token: i for token, i in content["model"]["vocab"].items() if i == 0 or not token.startswith("<")}
    content["model"]["vocab"] = {token: i for i, token in enumerate(names)}
    for number in range(272 - len(names)):
        content["model"]["vocab"][f"word {number}"] = len(names) + number
    for name, values in (files | {"tokenizer.json": content}).items():
        (tmp_path / name).write_text(json.dumps(values), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", CASES)
def test_declared_tokens_are_those_of_transformers(tmp_path, small_tokenizer, name):
    folder = folder_of(CASES[name], tmp_path, small_tokenizer)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    ours = Tokenizer.load(folder)
    described = {i: repr(token) for i, token in ours.backend.get_added_tokens_decoder().items()}
    as_special = {
        i: repr(token).replace("special=False", "special=True") for i, token in theirs.added_tokens_decoder.items()
    }
    for index, token in theirs.added_tokens_decoder.items():
        assert described.pop(index) in (repr(token), as_special[index])  # ours holds controls back whatever the flag
    assert not described
    assert ours.vocab == theirs.get_vocab() and ours.vocab_size == len(theirs)
    assert (ours.eos_id, ours.pad_id) == (theirs.eos_token_id, theirs.pad_token_id)
    again = Tokenizer.from_files(ours.files)  # as a checkpoint keeps it
    assert again.vocab == ours.vocab and again.fingerprint == ours.fingerprint


@pytest.mark.parametrize("token", ["[PAD]", {"content": "[PAD]", "lstrip": False}])
def test_padding_that_stands_in_no_vocabulary_is_not_needed(small_tokenizer, token):
    """To transformers it has an id behind the vocabulary. An exported folder pads with a token that networks have."""
    config = small_tokenizer.config | {"pad_token": token}
    ours = Tokenizer.from_files(small_tokenizer.files | {"tokenizer_config.json": json.dumps(config)})
    assert ours.fingerprint == small_tokenizer.fingerprint and ours.pad_id == ours.vocab["<|endoftext|>"]
    assert json.loads(files_for(ours, "llama")["tokenizer_config.json"])["pad_token"] == "<|endoftext|>"


def test_declarations_that_cannot_be_read_are_refused(tmp_path, small_tokenizer):
    for decoder in ([1], {"x": {"content": "a"}}, {"272": {"lstrip": True}}):
        folder = folder_of(
            {"tokenizer_config.json": END | {"added_tokens_decoder": decoder}}, tmp_path, small_tokenizer
        )
        with pytest.raises(SproutError, match="tokens that tokenizer_config.json declares"):
            Tokenizer.load(folder)
