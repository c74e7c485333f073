"""Loss by position: against a loop over single tokens, on the same texts everywhere, in ranges that cover all."""

import json

import pytest
import torch

from inference.positions import buckets, long_texts, loss_by_position, mean_by_bucket
from model.device import choose_device
from model.errors import SproutError
from tests.support import random_network
from tests.training.support import SMALL

CPU = choose_device("cpu", "float32")


@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_losses_are_those_of_one_token_after_another(batch_size):
    network = random_network(SMALL)
    rows = torch.randint(3, SMALL.vocab_size, (3, 9), generator=torch.Generator().manual_seed(0)).tolist()
    found = loss_by_position(network, rows, CPU, batch_size)
    for position in range(8):
        nats = 0.0
        for row in rows:
            logits = network(torch.tensor([row[: position + 1]]))[0, -1].double()
            nats -= logits.log_softmax(-1)[row[position + 1]].item()
        assert found[position].item() == pytest.approx(nats / 3, rel=1e-5)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 100, 512, 2048])
def test_ranges_hold_every_position_once(length):
    ranges = buckets(length)
    assert [place for first, last in ranges for place in range(first, last + 1)] == list(range(1, length + 1))
    losses = torch.arange(1, length + 1, dtype=torch.float64)
    assert mean_by_bucket(losses) == [(first + last) / 2 for first, last in ranges]


def test_there_are_two_ranges_in_each_octave():
    assert buckets(100) == [(1, 16), (17, 23), (24, 32), (33, 45), (46, 64), (65, 91), (92, 100)]


def test_a_document_of_just_so_many_tokens_is_long_enough(tmp_path, small_tokenizer):
    path, text = tmp_path / "texts.jsonl", "abcdefghijkl"
    path.write_text(json.dumps({"text": text}) + "\n")
    ids = small_tokenizer.encode(text)
    found = long_texts(path, small_tokenizer, len(ids), most=1)
    assert found.rows == [[small_tokenizer.bos_id, *ids]] and found.shorter == 0


def test_only_documents_that_are_long_enough_count(tmp_path, small_tokenizer):
    path = tmp_path / "texts.jsonl"
    texts = ["ab", "abcdefghijkl" * 3, "c", "mnopqrstuvwx" * 3, "xyxyxyxyxyxy" * 3]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    found = long_texts(path, small_tokenizer, 10, most=2)
    ids = [small_tokenizer.encode(texts[place])[:10] for place in (1, 3)]
    assert found.rows == [[small_tokenizer.bos_id, *each] for each in ids]
    assert [long_texts(path, small_tokenizer, 10, most).shorter for most in (1, 2, 5)] == [1, 2, 2]
    with pytest.raises(SproutError, match=r"has 1,000 tokens, the longest has \d+: give a smaller --max_seq_len"):
        long_texts(path, small_tokenizer, 1000, most=2)
