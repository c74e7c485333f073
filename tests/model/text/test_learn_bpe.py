"""A new tokenizer from text; what train_tokenizer.py makes of it is tested in tests/stages."""

import json
import random
from collections import Counter

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from model.text.learn_bpe import MAX_TOKEN_BYTES, learn
from model.text.tokenizer import SPECIAL_TOKENS
from model.text.vocabulary import QWEN2_PATTERN
from model.text.words import count_words
from tests.fixtures import FIXTURES


def fixture(name: str) -> list[str]:
    return [json.loads(line)["text"] for line in (FIXTURES / f"pretrain_{name}.jsonl").open(encoding="utf-8")]


def test_what_occurs_once_is_no_token():
    tokenizer = learn(["seen again", "seen once"], 5000)
    assert "seen" in tokenizer.vocab and "once" not in tokenizer.vocab
    assert learn(["abc"], 5000).vocab_size == len(SPECIAL_TOKENS) + 256


def test_ordinary_text_is_learnt_from_as_the_library_does_it():
    texts = fixture("en") + fixture("zh")
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


def test_text_without_breaks_is_learnt_from_whole():
    text = "".join(random.Random(0).choices("们在天好", k=20_000))  # one word in the pattern's eyes, however long
    assert list(count_words([text])) == [text]
    assert learn([text], 320).vocab_size == 320


def test_words_are_those_of_the_library():
    split = pre_tokenizers.Split(tokenizers.Regex(QWEN2_PATTERN), behavior="isolated")
    texts = [text for name in ("en", "zh") for text in fixture(name)[:40]]
    texts += ["it's  \n\n a１２b²_ \t x\u3000y\u0301z\r\n", " ", "\n\n", "a\x1cb \x85 c\u2028d", "ǅе́ж①Ⅳ🙂👍🏽"]
    for text in texts:
        assert count_words([text]) == Counter(word for word, _ in split.pre_tokenize_str(text))
