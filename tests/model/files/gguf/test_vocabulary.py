"""A tokenizer that llama.cpp would follow otherwise is refused, with the reason."""

import json

import pytest
from tokenizers import Regex, normalizers, pre_tokenizers, processors

from model.errors import SproutError
from model.files.gguf.vocabulary import CONTROL, NORMAL, UNUSED, USER_DEFINED, keys_of
from model.text.learn_bpe import learn
from model.text.tokenizer import Tokenizer
from model.text.vocabulary import QWEN2_PATTERN


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return learn(["a small text of small words", "and an even smaller one"], 300)


def changed(tokenizer: Tokenizer, change) -> Tokenizer:
    """The tokenizer after `change(backend)`, and with what that returns in its tokenizer.json."""
    backend = type(tokenizer.backend).from_str(tokenizer.files["tokenizer.json"])
    extra = change(backend) or {}
    content = json.loads(backend.to_str()) | extra
    return Tokenizer.from_files(tokenizer.files | {"tokenizer.json": json.dumps(content)})


def sets(name: str, value):
    return lambda backend: setattr(backend, name, value)


def of_model(**settings):
    return lambda backend: {"model": json.loads(backend.to_str())["model"] | settings}


def of_token(**flags):
    def change(backend):
        added = json.loads(backend.to_str())["added_tokens"]
        return {"added_tokens": [added[0] | flags, *added[1:]]}

    return change


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
SPLIT = pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated")


def split_by(pattern: str):
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return sets("pre_tokenizer", pre_tokenizers.Sequence([split, BYTES]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (split_by(QWEN2_PATTERN.replace(r"\p{N}|", r"\p{N}{1,2}|")), "with an expression that is none of llama.cpp's"),
        (sets("pre_tokenizer", BYTES), "with an expression"),
        (sets("pre_tokenizer", pre_tokenizers.Sequence([SPLIT, pre_tokenizers.ByteLevel()])), "with an expression"),
        (sets("normalizer", normalizers.Lowercase()), "changes texts before it splits them .Lowercase."),
        (sets("normalizer", normalizers.NFKC()), "NFKC"),
        (of_model(ignore_merges=True), "ignore_merges true"),
        (of_model(byte_fallback=True), "setting byte_fallback"),
        (of_model(merges=[]), "has no merges"),
        (of_token(rstrip=True), "<|endoftext|> with rstrip".replace("|", "[|]")),
        (
            sets("post_processor", processors.TemplateProcessing("<|endoftext|> $A", None, [("<|endoftext|>", 0)])),
            "puts other tokens",
        ),
    ],
)
def test_a_tokenizer_that_gets_other_ids_is_refused(tokenizer, change, words):
    with pytest.raises(SproutError, match=words):
        keys_of(changed(tokenizer, change), 300)


def test_what_changes_rare_texts_only_is_a_warning(tokenizer):
    """Decomposed accents, and every Qwen2 has NFC; control characters that SmolLM2 has no tokens for."""
    _, warnings = keys_of(changed(tokenizer, sets("normalizer", normalizers.NFC())), 300)
    assert len(warnings) == 1 and "decomposed accents" in warnings[0]
    vocabulary = {token: index for token, index in tokenizer.backend.get_vocab(False).items() if token != "ă"}
    assert keys_of(changed(tokenizer, of_model(vocab=vocabulary)), 300)[1] == []  # both leave such a byte out
    _, warnings = keys_of(changed(tokenizer, of_model(vocab=vocabulary, unk_token="<|endoftext|>")), 300)
    assert len(warnings) == 1 and "no token for some bytes" in warnings[0]


def test_kinds_of_tokens(tokenizer):
    keys, _ = keys_of(tokenizer, tokenizer.vocab_size + 2)
    kinds = dict(zip(keys["ggml.tokens"], keys["ggml.token_type"], strict=True))
    assert kinds["<|im_start|>"] == CONTROL and kinds["<think>"] == USER_DEFINED and kinds["Ġ"] == NORMAL
    assert kinds[f"[PAD{tokenizer.vocab_size + 1}]"] == UNUSED and "[PAD0]" not in kinds
    assert (keys["ggml.pre"], keys["ggml.bos_token_id"], keys["ggml.eos_token_id"]) == ("qwen2", 1, 2)
