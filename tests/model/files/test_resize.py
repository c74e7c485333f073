import json
import math

import pytest
import torch
import torch.nn.functional as F

from model.config import TransformerConfig
from model.errors import SproutError
from model.files.resize import resize_embeddings
from model.text.extend_bpe import extend
from model.text.tokenizer import Tokenizer
from model.transformer import Transformer
from tests.support import make_tokenizer

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
CHINESE = ["今天天气很好，我们去公园散步。", "公园里有很多人在散步。", "明天天气不好，我们不去公园。"] * 4


@pytest.fixture(scope="module")
def old():
    return make_tokenizer()


@pytest.fixture(scope="module")
def new(old):
    return extend(old, CHINESE, 20, 16)


def some_weights(rows: int, **others) -> dict:
    generator = torch.Generator().manual_seed(0)
    return {
        EMBEDDING: torch.randn(rows, 8, generator=generator),
        HEAD: torch.randn(rows, 8, generator=generator),
        **others,
    }


def test_old_rows_stay_and_new_rows_are_means_of_their_pieces(old, new):
    weights = some_weights(old.vocab_size, other=torch.ones(3))
    resized = resize_embeddings(weights, old, new)
    assert resized["other"] is weights["other"]
    for name in (EMBEDDING, HEAD):
        assert resized[name].shape == (new.vocab_size, 8)
        assert torch.equal(resized[name][: old.vocab_size], weights[name])
        for index in range(old.vocab_size, new.vocab_size):
            text = new.decode([index])
            if "\ufffd" in text:  # part of a character: no text of its own
                continue
            expected = weights[name][old.encode(text)].double().mean(dim=0)
            assert torch.allclose(resized[name][index].double(), expected, atol=1e-6)


def test_words_that_were_added_begin_as_the_mean_of_what_spelled_them(old):
    content, words = json.loads(old.files["tokenizer.json"]), ["公园", " park bench", "<|mine|>"]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    content["added_tokens"] += [flags | {"id": old.vocab_size + n, "content": word} for n, word in enumerate(words)]
    new = Tokenizer.from_files(old.files | {"tokenizer.json": json.dumps(content)})  # as add_tokens of transformers
    weights = some_weights(old.vocab_size)
    resized = resize_embeddings(weights, old, new)[EMBEDDING]
    for row, word in enumerate(words, old.vocab_size):
        assert torch.allclose(resized[row], weights[EMBEDDING][old.encode(word)].mean(dim=0), atol=1e-6)


def test_a_token_that_is_part_of_a_character_is_made_of_its_bytes(old):
    new = extend(old, ["中中丹丹"], 1, 16)  # e4 b8 ad, e4 b8 b9: the first two bytes become a token
    weights = some_weights(old.vocab_size)
    resized = resize_embeddings(weights, old, new)
    expected = weights[EMBEDDING][[old.vocab["ä"], old.vocab["¸"]]].mean(dim=0)
    assert torch.allclose(resized[EMBEDDING][-1], expected)


def test_a_new_token_made_of_new_tokens_is_made_of_old_pieces(old):
    new = extend(old, ["abcdabcd abcdabcd"], 3, 16)
    (token,) = (index for name, index in new.vocab.items() if name == "abcd")
    weights = some_weights(old.vocab_size)
    expected = weights[EMBEDDING][old.encode("abcd")].mean(dim=0)
    assert torch.allclose(resize_embeddings(weights, old, new)[EMBEDDING][token], expected)


def test_rows_beyond_the_tokenizer_give_way_to_new_tokens(old, new):
    plain = some_weights(old.vocab_size)
    padded = {name: torch.cat([rows, torch.full((50, 8), 9.0)]) for name, rows in plain.items()}
    for name, rows in resize_embeddings(padded, old, new).items():
        assert torch.equal(rows, resize_embeddings(plain, old, new)[name])
    # The same tokens: nothing to do, and nothing is dropped.
    assert torch.equal(resize_embeddings(padded, old, old)[EMBEDDING], padded[EMBEDDING])


def test_precision_is_kept(old, new):
    weights = {name: rows.bfloat16() for name, rows in some_weights(old.vocab_size).items()}
    assert resize_embeddings(weights, old, new)[HEAD].dtype == torch.bfloat16


def test_what_does_not_fit_together_is_refused(old, new):
    with pytest.raises(SproutError, match="nor an extension"):
        resize_embeddings(some_weights(6400), Tokenizer.load(), old)
    with pytest.raises(SproutError, match="nor an extension"):
        resize_embeddings(some_weights(new.vocab_size), new, old)
    with pytest.raises(SproutError, match="do not belong together"):
        resize_embeddings(some_weights(old.vocab_size - 1), old, new)


def changed(tokenizer: Tokenizer, change, **config) -> Tokenizer:
    """`tokenizer` with `change` made to its tokenizer.json, and `config` to its tokenizer_config.json."""
    content, settings = (json.loads(tokenizer.files[name]) for name in ("tokenizer.json", "tokenizer_config.json"))
    change(content)
    texts = {"tokenizer.json": json.dumps(content), "tokenizer_config.json": json.dumps(settings | config)}
    return Tokenizer.from_files(texts)


@pytest.mark.parametrize(
    ("change", "config", "words"),
    [
        (lambda c: c["model"]["merges"].reverse(), {}, "another order of merges"),
        (lambda c: c["model"]["merges"].pop(), {}, "another order of merges"),
        (lambda c: c["model"].update(ignore_merges=True), {}, r"another model \(ignore_merges\)"),
        (lambda c: c.update(normalizer={"type": "Lowercase"}), {}, "another normalizer"),
        (lambda c: c.update(pre_tokenizer={"type": "Whitespace"}), {}, "another pre_tokenizer"),
        (lambda c: c.update(decoder={"type": "Fuse"}), {}, "another decoder"),
        (lambda c: c["added_tokens"][3].update(normalized=True), {}, "another kind of added tokens"),
        (lambda c: None, {"eos_token": "<|endoftext|>"}, "another begin or end"),
        (lambda c: None, {"bos_token": "<|endoftext|>"}, "another begin or end"),
    ],
)
def test_a_tokenizer_that_differs_without_moving_an_id_is_refused(new, change, config, words):
    with pytest.raises(SproutError, match=words):
        resize_embeddings(some_weights(new.vocab_size), new, changed(new, change, **config))


def test_a_token_put_into_a_gap_of_the_ids_is_refused(old):
    def gap(content):
        content["model"]["vocab"]["ab"] = old.vocab_size + 1

    def filled(content):
        gap(content)
        content["model"]["vocab"]["cd"] = old.vocab_size

    with pytest.raises(SproutError, match=f"'cd' has id {old.vocab_size}, among the ids"):
        resize_embeddings(some_weights(old.vocab_size + 2), changed(old, gap), changed(old, filled))


def test_an_id_without_a_token_begins_as_the_mean_of_all_rows(old):
    def gap(content):
        content["model"]["vocab"]["ab"] = old.vocab_size + 1

    for dtype in (torch.float32, torch.bfloat16):
        weights = {name: rows.to(dtype) for name, rows in some_weights(old.vocab_size).items()}
        for name, rows in resize_embeddings(weights, old, changed(old, gap)).items():
            expected = weights[name].double().mean(dim=0)
            assert rows.shape[0] == old.vocab_size + 2
            torch.testing.assert_close(rows[old.vocab_size], expected.to(dtype))


def test_more_tokens_are_for_byte_level_tokenizers_alone(old):
    def of_words(content):
        content.update(pre_tokenizer={"type": "Whitespace"}, decoder=None)

    def with_another(content):
        of_words(content)
        content["model"]["vocab"]["ab"] = old.vocab_size

    of_words, with_another = changed(old, of_words), changed(old, with_another)
    weights = some_weights(old.vocab_size)
    assert torch.equal(resize_embeddings(weights, of_words, of_words)[HEAD], weights[HEAD])
    with pytest.raises(SproutError, match="only networks with a byte-level tokenizer"):
        resize_embeddings(weights, of_words, with_another)


def test_the_same_tokenizer_written_another_way_is_accepted(new):
    def as_older_programs_write(content):
        content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
        del content["model"]["ignore_merges"], content["model"]["dropout"]

    other = changed(new, as_older_programs_write)
    assert other.fingerprint != new.fingerprint
    weights = some_weights(new.vocab_size)
    assert torch.equal(resize_embeddings(weights, new, other)[EMBEDDING], weights[EMBEDDING])


ENGLISH = [
    f"The {animal} saw a {colour} {thing} and {verb} it. "
    for animal in ("fox", "crow", "lion")
    for colour in ("red", "green")
    for thing in ("grape", "stone", "cheese")
    for verb in ("took", "left", "liked")
]


def bits_per_byte(model, tokenizer, text: str) -> float:
    ids = torch.tensor([tokenizer.bos_id, *tokenizer.encode(text)])
    with torch.no_grad():
        loss = F.cross_entropy(model(ids[None, :-1])[0], ids[1:], reduction="sum")
    return loss.item() / math.log(2) / len(text.encode("utf-8"))


@pytest.mark.parametrize("tied", [True, False])
def test_a_trained_network_is_as_good_right_after_resizing(old, new, tied):
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size=old.vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=tied,
    )
    model = Transformer(config)
    texts = ENGLISH + CHINESE
    stream = torch.tensor([i for n in torch.randperm(len(texts)) for i in old.encode(texts[n])] * 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(120):
        starts = torch.randint(len(stream) - 65, (8,))
        rows = torch.stack([stream[start : start + 65] for start in starts])
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    resized = Transformer(config.replace(vocab_size=new.vocab_size), initialize_weights=False)
    resized.load_state_dict(resize_embeddings(model.state_dict(), old, new))
    text = "".join(ENGLISH[::5])
    assert new.encode(text) == old.encode(text)
    before, after = bits_per_byte(model, old, text), bits_per_byte(resized, new, text)
    assert before < 3  # it did learn: a byte drawn at random has 8
    assert after == pytest.approx(before, rel=0.05)
