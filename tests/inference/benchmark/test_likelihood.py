"""Log-likelihoods against whole passes in float64, one choice at a time; answers against plain greedy decoding."""

import math

import pytest
import torch

from inference.benchmark.answers import written_answers
from inference.benchmark.likelihood import Request, log_likelihoods, requests_for
from inference.writer import prepare_for_decoding
from model.config import TransformerConfig
from model.errors import SproutError
from model.generation import generate_batch
from model.gpt2 import GPT2, GPT2Config
from model.sampling import GREEDY
from tests.support import make_tokenizer, random_network

POSITIONS = 128


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(("Ġa",))  # a merge of a space and the letter behind it


def network():
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return random_network(
        TransformerConfig(vocab_size=273, num_key_value_heads=2, max_position_embeddings=POSITIONS, **sizes)
    )


PAIRS = [
    *(("A context that is long enough to be shared by all choices:", f" {choice}") for choice in ("a", "bb", "a c")),
    *(("Letters of one token each differ only in what is looked up.", choice) for choice in "ABCD"),
    ("", "no context"),
    ("ends in a space ", "a"),
    ("x" * 200, "what is too long loses its beginning"),
]


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("batch_size", [None, 1])
def test_equal_whole_passes_in_float64(tokenizer, bos, batch_size):
    model, exact = network(), network().double()
    expected = []
    for context, continuation in PAIRS:
        if context.endswith(" "):
            context, continuation = context[:-1], " " + continuation
        before, whole = tokenizer.encode(context), tokenizer.encode(context + continuation)
        count = len(whole) - len(before)
        whole = [tokenizer.bos_id, *whole] if bos or not context else whole
        ids = torch.tensor([whole[-POSITIONS - 1 :]])
        with torch.no_grad():
            told = exact(ids[:, :-1]).log_softmax(-1).gather(2, ids[:, 1:, None])[0, -count:]
        expected.append(told.sum().item())
    shown = []
    found = log_likelihoods(
        model, requests_for(tokenizer, PAIRS, bos), POSITIONS, batch_size=batch_size, show=shown.append
    )
    assert found == pytest.approx(expected, abs=2e-5)
    assert sum(shown) == len(PAIRS)


def test_choices_of_different_lengths_need_no_positions_that_there_are_not():
    """A short choice behind a long context is padded to the long choice behind a short one."""
    config = GPT2Config(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    model = GPT2(config, initialize_weights=False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    long, short = (1,) * 59, (2,) * 40
    asked = [Request(long, (3, 4)), Request(long, (5, 6)), Request(short, (7,) * 20), Request(short, (8,) * 20)]
    together = log_likelihoods(model, asked, 64, batch_size=2)
    assert together == pytest.approx(log_likelihoods(model, asked, 64, batch_size=1), abs=1e-4)


def test_ids_take_little_memory(tokenizer, monkeypatch):
    """The choices of an item have one context, and only a few pairs are read by the tokenizer at a time."""
    together = requests_for(tokenizer, PAIRS)
    assert together[0].context is together[2].context and together[3].context is together[6].context
    read, encode = [], type(tokenizer).encode_batch
    monkeypatch.setattr(
        type(tokenizer), "encode_batch", lambda self, texts: read.append(len(texts)) or encode(self, texts)
    )
    monkeypatch.setattr("inference.benchmark.likelihood.PAIRS_AT_ONCE", 4)
    assert requests_for(tokenizer, PAIRS) == together and max(read) == 4 and len(PAIRS) > 4


def test_ids_are_the_rest_of_the_whole(tokenizer):
    (request,) = requests_for(tokenizer, [("b ", "a")])
    assert request.continuation == (tokenizer.vocab["Ġa"],)
    with pytest.raises(SproutError, match="has no token of its own"):
        requests_for(tokenizer, [("b", "")])
    with pytest.raises(SproutError, match="more than the 4 that the network sees"):
        log_likelihoods(network(), [Request((1,), (1, 2, 3, 4, 5))], 4)


def test_answers_of_a_running_batch_end_as_they_should(tokenizer):
    model, prompts = network(), [tokenizer.encode("go on " * n) for n in (1, 5, 3, 2)]
    with torch.no_grad():
        expected = generate_batch(model, prompts, max_new_tokens=12, sampling=GREEDY)
    texts = [tokenizer.decode(ids) for ids in expected]
    stop = texts[0][2:4]
    end = expected[1][5]
    prepare_for_decoding(model)
    how = {"decode": tokenizer.decode, "max_new_tokens": 12, "slots": 3}
    assert written_answers(model, prompts, end_ids=(), stops=(), **how) == texts
    cut = written_answers(model, prompts, end_ids={end}, stops=(stop,), **how)
    for ids, text in zip(expected, cut, strict=True):
        whole = tokenizer.decode(ids[: ids.index(end)] if end in ids else ids)
        assert text == whole.split(stop)[0]


@pytest.mark.parametrize("bos", [True, False])
def test_passages_are_scored_in_windows_side_by_side_and_the_last_begins_earlier(tokenizer, tmp_path, bos):
    from inference.benchmark.outcomes import score_task
    from inference.benchmark.running import Settings, run_task
    from inference.benchmark.tasks import read_tasks

    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "A text of some length, é."}\n{"text": "Short."}\n', encoding="utf-8")
    (task,), model = read_tasks([str(file)]), network()
    settings = Settings(10, None, 0, bos, torch.no_grad)
    outcomes = run_task(task, model, tokenizer, settings)
    nats = tokens = 0
    for entry, outcome in zip(task.entries, outcomes, strict=True):
        ids, own = [tokenizer.bos_id, *tokenizer.encode(entry.item.answer)], 0.0
        for start in range(0, len(ids) - 1, 10):
            window = torch.tensor([ids[: start + 11][-11:]])
            with torch.no_grad():
                told = network().double()(window[:, :-1]).log_softmax(-1).gather(2, window[:, 1:, None])
            own -= told[0, start - len(ids) + 1 :][:10].sum().item()
        assert (outcome.nats, outcome.tokens) == (pytest.approx(own, abs=1e-4), len(ids) - 1)
        nats, tokens = nats + own, tokens + len(ids) - 1
    perplexity, bits = score_task(task, outcomes)
    size = len("A text of some length, é.Short.".encode())
    assert perplexity.value == pytest.approx(math.exp(nats / tokens))
    assert bits.value == pytest.approx(nats / math.log(2) / size) and bits.low < bits.value < bits.high
