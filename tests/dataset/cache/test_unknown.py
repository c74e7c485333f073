"""Text that a tokenizer cannot spell: counted, said, refused; markers of a template in texts: said, or split at."""

import json

import pytest
import tokenizers

from dataset.cache.token_cache import build_or_open
from dataset.cache.unknown import known_bytes, warning_about_bytes, warning_about_unknown
from dataset.records.controls import warning_about_controls
from dataset.rows.chats import CHATS
from dataset.rows.marked_texts import SplitTextCache, warning_about_markers
from dataset.rows.texts import TEXTS
from model.errors import SproutError
from model.text.tokenizer import Tokenizer
from training.stages.data import warnings_about
from training.stages.kinds import with_format

WORDS = ["[UNK]", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "the", "river"]
EOS = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}


@pytest.fixture
def of_words() -> Tokenizer:
    """A tokenizer that knows two words."""
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(WORDS[:4])
    config = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    return Tokenizer({"tokenizer.json": backend.to_str(), "tokenizer_config.json": json.dumps(config)})


def cache_of(folder, texts, tokenizer, cache=TEXTS.cache):
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts))
    return build_or_open(path, tokenizer, cache, cache_dir=folder / "cache", progress=False, val_ratio=0)


def test_bytes_of_unknown_text_do_not_count(of_words, small_tokenizer):
    texts = ["the river", "the 河 river"]
    assert of_words.unknown_id == 0 and small_tokenizer.unknown_id is None
    assert known_bytes(of_words, texts, of_words.encode_batch(texts)) == [9, 13 - len("河".encode())]


def test_a_few_unknown_tokens_are_said_and_many_refused(tmp_path, of_words):
    cache = cache_of(tmp_path, ["the river " * 100, "the boat"], of_words)
    assert cache.bytes == 1000 + len("the ")
    assert "1 tokens of" in warning_about_unknown(cache, of_words.unknown_id)
    assert any("unknown to the tokenizer" in warning for warning in warnings_about(cache, of_words))
    cache = cache_of(tmp_path, ["the boat " * 10], of_words)
    with pytest.raises(SproutError, match="45% of the tokens .* are unknown"):
        warnings_about(cache, of_words)
    assert warning_about_unknown(cache_of(tmp_path, ["the river"], of_words), of_words.unknown_id) is None


def test_bytes_that_a_vocabulary_lacks_are_said(tmp_path):
    """`BpeTrainer` without `initial_alphabet` keeps the bytes that it saw; all others are left out of texts."""
    from tokenizers import decoders, models, pre_tokenizers, trainers

    def trained(**more) -> Tokenizer:
        backend = tokenizers.Tokenizer(models.BPE())
        backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        trainer = trainers.BpeTrainer(special_tokens=WORDS[1:4], show_progress=False, **more)
        backend.train_from_iterator(["a small river, 你好。"] * 9, trainer)
        return Tokenizer({"tokenizer.json": backend.to_str(), "tokenizer_config.json": json.dumps(EOS)})

    texts = ["a small river, 9 * 7"] * 20
    some, alphabet = trained(), pre_tokenizers.ByteLevel.alphabet()
    assert some.lossy and some.decode(some.encode(texts[0])) == "a small river,   "
    (warning,) = [said for said in warnings_about(cache_of(tmp_path, texts, some), some) if "no token for" in said]
    assert "of the bytes that texts are made of (!\"#$%&'()*+-./01 ...)" in warning
    whole = trained(initial_alphabet=alphabet)
    assert not whole.lossy
    # The bytes 0xC0 and 0xFF, which no text has, 0xF1 of an empty plane, and the character NUL.
    never = {"\u00c0", "\u00ff", "\u00f1", "\u0100"}
    nearly = trained(initial_alphabet=[name for name in alphabet if name not in never])
    assert nearly.lossy and warning_about_bytes(tmp_path, nearly) is None


def test_a_tokenizer_that_makes_no_tokens_is_refused(tmp_path):
    """transformers 5.24 writes such a file for `GPT2TokenizerFast(vocab_file=..., merges_file=...)`."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.add_special_tokens(WORDS[1:2])
    empty = Tokenizer({"tokenizer.json": backend.to_str(), "tokenizer_config.json": json.dumps(EOS)})
    with pytest.raises(SproutError, match="makes no token of any text in .*a.jsonl: its vocabulary is empty"):
        warnings_about(cache_of(tmp_path, ["the river " * 100], empty), empty)


MARKED = ["<|im_start|>Once upon a time.<|im_end|> <|im_start|>The end.<|im_end|>", "no marker"] * 20


def test_markers_in_texts_are_said(tmp_path):
    tokenizer = Tokenizer.load()
    cache = cache_of(tmp_path, MARKED, tokenizer)
    (warning,) = [one for one in warnings_about(cache, tokenizer) if "--markers split" in one]
    spelled = sum(len(tokenizer.encode(marker)) for marker in ("<|im_start|>", "<|im_end|>")) * 2
    share = spelled / sum(map(len, tokenizer.encode_batch(MARKED[:2])))
    assert warning.startswith(f"{share:.0%} of the tokens") and "<|im_end|>, <|im_start|>" in warning
    assert warning_about_markers(cache_of(tmp_path, ["2 < 3 and so on"], tokenizer).source, tokenizer) is None


def test_markers_are_said_where_the_format_is_asked_for(tmp_path):
    tokenizer = Tokenizer.load()
    cache = cache_of(tmp_path, MARKED, tokenizer, with_format(TEXTS, "text").cache)
    assert any("--markers split" in one for one in warnings_about(cache, tokenizer))


@pytest.mark.parametrize("kind", [TEXTS, CHATS])
def test_tokens_of_ones_own_that_stay_text_are_said(tmp_path, kind):
    """A control token in a text is text, so one that was added for texts would never be learned."""
    content = json.loads(Tokenizer.load().files["tokenizer.json"])
    for number, (token, special) in enumerate([("<|city|>", False), ("[SPEAKER]", True), ("<city>", False)], 6400):
        content["added_tokens"].append(
            content["added_tokens"][0] | {"id": number, "content": token, "special": special}
        )
    tokenizer = Tokenizer(Tokenizer.load().files | {"tokenizer.json": json.dumps(content)})
    assert len(tokenizer.encode("<city>")) == 1 and len(tokenizer.encode("<|city|>")) > 1
    said = "[SPEAKER] lives in <|city|>, or <city>. <think>" + "<|im_end|>" * (kind is CHATS)
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": said}]
    (path := tmp_path / "a.jsonl").write_text(json.dumps({"text": said} if kind is TEXTS else {"messages": turns}))
    cache = build_or_open(path, tokenizer, kind.cache, val_ratio=0.0, on_bad_line="stop", cache_dir=tmp_path / "cache")
    (warning,) = [one for one in warnings_about(cache, tokenizer) if "control tokens" in one]
    assert "(<|city|>, [SPEAKER]), which are text here" in warning
    cache = build_or_open(path, Tokenizer.load(), kind.cache, val_ratio=0.0, on_bad_line="stop", cache_dir=tmp_path)
    assert not any("control tokens" in one for one in warnings_about(cache, Tokenizer.load()))


def test_a_control_token_is_looked_for_as_it_is_spelled(tmp_path):
    """The decoder of a vocabulary such as Llama's reads ▁ as a space, or as nothing."""
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "</s>": 1}, unk_token="a"))
    backend.add_special_tokens(["</s>", "<｜begin▁of▁text｜>", "▁"])
    backend.decoder = tokenizers.decoders.Metaspace()
    tokenizer = Tokenizer({"tokenizer.json": backend.to_str(), "tokenizer_config.json": '{"eos_token": "</s>"}'})
    (path := tmp_path / "a.jsonl").write_text(json.dumps({"text": "no token"}))
    assert warning_about_controls(path, tokenizer) is None
    path.write_text(json.dumps({"text": "<｜begin▁of▁text｜> once"}, ensure_ascii=False), encoding="utf-8")
    assert "(<｜begin▁of▁text｜>, ▁), which are text here" in warning_about_controls(path, tokenizer)


def test_records_are_read_for_markers_only_where_some_are_near(tmp_path, monkeypatch):
    """The first records of a file of books are hundreds of megabytes, and HTML is no marker."""
    tokenizer = Tokenizer.load()
    cache = cache_of(tmp_path, ["<b>once</b> [upon] a time"] * 20, tokenizer)
    monkeypatch.setattr("dataset.rows.marked_texts.read_records", lambda path: pytest.fail("it was read"))
    assert not any("--markers" in one for one in warnings_about(cache, tokenizer))


def test_documents_end_where_markers_stand(tmp_path):
    tokenizer = Tokenizer.load()
    cache = cache_of(tmp_path, MARKED, tokenizer, SplitTextCache)
    ids = cache.train.map().tolist()
    documents = [tokenizer.decode(ids[i:j]) for i, j in _documents(ids, tokenizer)]
    assert documents == ["Once upon a time.", "The end.", "no marker"] * 20
    assert not any("--markers" in warning for warning in warnings_about(cache, tokenizer))
    assert cache.folder != cache_of(tmp_path, MARKED, tokenizer).folder


def _documents(ids, tokenizer):
    begins = [place for place, token in enumerate(ids) if token == tokenizer.bos_id]
    return list(zip(begins, [*begins[1:], len(ids)]))
