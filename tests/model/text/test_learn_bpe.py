"""A new tokenizer from text; what train_tokenizer.py makes of it is tested in tests/stages."""

from model.text.learn_bpe import learn
from model.text.tokenizer import SPECIAL_TOKENS


def test_what_occurs_once_is_no_token():
    tokenizer = learn(["seen again", "seen once"], 5000)
    assert "seen" in tokenizer.vocab and "once" not in tokenizer.vocab
    assert learn(["abc"], 5000).vocab_size == len(SPECIAL_TOKENS) + 256
