"""A new tokenizer from text; what train_tokenizer.py makes of it is tested in tests/stages."""

import json
import random

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from model.text.learn_bpe import MAX_TOKEN_BYTES, MAX_WORD, QWEN2_PATTERN, learn
from model.text.tokenizer import SPECIAL_TOKENS
from tests.fixtures import FIXTURES


def test_what_occurs_once_is_no_token():
    tokenizer = learn(["seen again", "seen once"], 5000)
    assert "seen" in tokenizer.vocab and "once" not in tokenizer.vocab
    assert learn(["abc"], 5000).vocab_size == len(SPECIAL_TOKENS) + 256


def test_ordinary_text_is_learnt_from_as_the_library_does_it():
    texts = [json.loads(line)["text"] for name in ("en", "zh") for line in (FIXTURES / f"pretrain_{name}.jsonl").open()]
    peer = tokenizers.Tokenizer(models.BPE())
    words = pre_tokenizers.Split(tokenizers.Regex(QWEN2_PATTERN), behavior="isolated")
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    peer.pre_tokenizer, peer.decoder = pre_tokenizers.Sequence([words, in_bytes]), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=MAX_TOKEN_BYTES,
    )
    peer.train_from_iterator(texts, trainer)
    ours, theirs = json.loads(learn(texts, 1000).files["tokenizer.json"]), json.loads(peer.to_str())
    assert len(theirs["model"]["merges"]) > 500
    assert {**ours, "added_tokens": None} == {**theirs, "added_tokens": None}


def test_text_without_breaks_is_learnt_from_in_pieces():
    for letters in ("abcd", "们在天好", "-="):  # a word in the pattern's eyes, however long
        text = "".join(random.Random(0).choices(letters, k=2 * MAX_WORD + 500))
        pieces = [text[start : start + MAX_WORD] for start in range(0, len(text), MAX_WORD)]
        assert learn([text], 320).files == learn(pieces, 320).files
        assert learn([text], 320).vocab_size == 320
