import json

import pytest

from model.errors import SproutError
from model.text.extend_bpe import extend
from model.text.learn_merges import BOUNDARY, learn_merges
from model.text.tokenizer import Tokenizer
from model.text.vocabulary import encode_words
from tests.support import make_tokenizer

CHINESE = ["今天天气很好，我们去公园散步。", "公园里有很多人在散步。", "明天天气不好，我们不去公园。"] * 4
ENGLISH = ["The weather is good today, so we walk in the park.", "it's 42!\n\n"]


def test_old_ids_stay_and_new_text_gets_shorter():
    old = make_tokenizer()
    new = extend(old, CHINESE, 30, 16)
    assert new.vocab_size == old.vocab_size + 30
    assert {token: new.vocab[token] for token in old.vocab} == old.vocab
    assert (new.bos_id, new.eos_id, new.pad_id) == (old.bos_id, old.eos_id, old.pad_id)
    assert new.special_ids == old.special_ids
    for text in ENGLISH:
        assert new.encode(text) == old.encode(text)
    for text in CHINESE:
        assert new.decode(new.encode(text)) == text
        assert len(new.encode(text)) < 0.7 * len(old.encode(text))


def test_the_shipped_tokenizer_can_be_extended_and_extended_again():
    shipped = Tokenizer.load()
    text = "蒹葭苍苍，白露为霜。所谓伊人，在水一方。"
    once = extend(shipped, [text] * 3, 3, 16)
    twice = extend(once, [text] * 3, 3, 16)
    assert (once.vocab_size, twice.vocab_size) == (6403, 6406)
    assert len(shipped.encode(text)) > len(once.encode(text)) > len(twice.encode(text))
    assert twice.decode(twice.encode(text)) == text
    assert twice.encode("A plain text, 清晨的集市") == shipped.encode("A plain text, 清晨的集市")


def test_the_new_merges_apply_as_they_were_learnt():
    old = make_tokenizer()
    text = "aaaaaaa banana bananas " * 5
    new = extend(old, [text], 12, 8)
    with_boundaries = encode_words(new, [text], BOUNDARY)[0]
    assert learn_merges(with_boundaries, sorted(new.vocab, key=new.vocab.get), 1, 16) != []
    more = extend(old, [text], 13, 8)
    first = json.loads(new.files["tokenizer.json"])["model"]["merges"]
    assert json.loads(more.files["tokenizer.json"])["model"]["merges"][: len(first)] == first


def test_fewer_tokens_than_asked_where_nothing_repeats():
    old = make_tokenizer()
    assert extend(old, ["abcdefg"], 50, 16).vocab_size == old.vocab_size
    assert extend(old, [], 50, 16).vocab_size == old.vocab_size


@pytest.mark.parametrize("tokenizer_class", ["PreTrainedTokenizerFast", "Qwen2Tokenizer"])
@pytest.mark.parametrize("merges_as_strings", [False, True])
def test_transformers_opens_an_extended_qwen(tmp_path, tokenizer_class, merges_as_strings):
    """Qwen's files: control tokens outside the vocabulary, not all of them flagged, and a normalizer."""
    shipped = Tokenizer.load()
    content = json.loads(shipped.files["tokenizer.json"])
    content["normalizer"] = {"type": "NFC"}
    model = content["model"]
    names = [name for name in model["vocab"] if model["vocab"][name] not in shipped.special_ids]
    model["vocab"] = {name: i for i, name in enumerate(names)}
    if merges_as_strings:
        model["merges"] = [" ".join(merge) for merge in model["merges"]]
    template = content["added_tokens"][0]
    controls = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>")
    content["added_tokens"] = [
        {**template, "id": len(names) + i, "content": name, "special": i < 3} for i, name in enumerate(controls)
    ]
    config = {
        "tokenizer_class": tokenizer_class,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "added_tokens_decoder": {
            str(token["id"]): {k: v for k, v in token.items() if k != "id"} for token in content["added_tokens"]
        },
    }
    old = Tokenizer.from_files({"tokenizer.json": json.dumps(content), "tokenizer_config.json": json.dumps(config)})
    text = "蒹葭苍苍，白露为霜。"
    new = extend(old, [text] * 3, 4, 16)
    new.save(tmp_path)

    from transformers import AutoTokenizer

    auto = AutoTokenizer.from_pretrained(tmp_path)
    for each in (text, "A plain text, 清晨的集市 12"):
        assert auto(each)["input_ids"] == new.encode(each)
        assert auto.decode(new.encode(each)) == each
    assert auto.convert_tokens_to_ids(list(controls)) == [old.vocab[name] for name in controls]
    assert auto(f"{controls[1]}{text}{controls[3]}")["input_ids"] == [
        old.vocab[controls[1]],
        *new.encode(text),
        old.vocab[controls[3]],
    ]
    assert max(new.encode("蒹葭苍苍，白露为霜。")) >= old.vocab_size == len(names) + 4
    assert (auto.eos_token_id, auto.pad_token_id) == (old.eos_id, old.pad_id)


def test_another_kind_of_tokenizer_is_refused():
    from tokenizers import Tokenizer as Backend
    from tokenizers import models

    vocab = {"[UNK]": 0, "a": 1, "</s>": 2}
    for model in (models.WordPiece(vocab, unk_token="[UNK]"), models.BPE(vocab, [])):
        other = Tokenizer.from_files({"tokenizer.json": Backend(model).to_str()})
        with pytest.raises(SproutError, match="byte-level BPE"):
            extend(other, ["aa aa"], 1, 16)


@pytest.mark.parametrize(
    "ignore_merges", [False, True]
)  # True, as Llama 3: a whole word that is a token needs no merge
def test_texts_that_stay_unchanged_get_no_new_token(small_tokenizer, ignore_merges):
    content = json.loads(small_tokenizer.files["tokenizer.json"])
    content["model"]["ignore_merges"] = ignore_merges
    old = Tokenizer.from_files({**small_tokenizer.files, "tokenizer.json": json.dumps(content)})
    texts = ["用 JavaScript 写程序，Java 也写程序。"] * 8
    free = extend(old, texts, 40, 16)
    kept = extend(old, texts, 40, 16, unchanged=["She reads about JavaScript."])
    assert old.encode("JavaScript") != free.encode("JavaScript")
    for text in ("She reads about JavaScript.", "JavaScript"):
        assert kept.encode(text) == old.encode(text)
    assert len(kept.encode("写程序")) < len(old.encode("写程序"))
