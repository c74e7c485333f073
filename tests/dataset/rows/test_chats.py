"""Packed rows of conversations: every trained token once, each example as if it were alone, any row without state."""

import pickle
import random
import re
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dataset.records.conversations import from_conversations
from dataset.records.reading import read_records
from dataset.rendering import ChatRenderer
from dataset.rows.chats import CHATS
from dataset.rows.mixing import BLOCK
from dataset.rows.rows import Rows, ValidationRows
from model.config import TransformerConfig
from model.errors import SproutError, UsageError
from model.likelihood import IGNORE
from model.text.tokenizer import Tokenizer
from tests.dataset.chats import kept_by_hand, random_chats, turn, write_chats
from tests.fixtures import FIXTURES, FOLDERS, samples
from tests.support import random_network


@pytest.fixture
def cached_chats(tmp_path, build):
    """Builds the cache of a list of conversations."""

    def build_chats(chats, val_ratio=0.0, name="a", **settings):
        path = write_chats(tmp_path / f"{name}.jsonl", chats)
        return build(path, kind=CHATS, val_ratio=val_ratio, **settings)

    return build_chats


def kept_examples(chats, tokenizer, row_length: int) -> list[tuple[tuple, tuple]]:
    """(inputs, targets) of what rows of this length keep of each conversation, made by hand; () of what they do not."""
    renderer, examples = ChatRenderer(tokenizer), []
    for one in renderer.render([from_conversations({"conversations": turns}) for turns in chats]):
        ids, trained = one.ids.tolist(), one.trained.tolist()
        n = kept_by_hand(ids, trained, row_length + 1, renderer.end_id)
        targets = [token if flag else IGNORE for token, flag in zip(ids[1:n], trained[1:n])]
        examples.append((tuple(ids[: max(n - 1, 0)]), tuple(targets)))
    return examples


def epoch_batches(rows: Rows, epoch: int = 0, batch_size: int = 7):
    for start in range(0, rows.rows_per_epoch, batch_size):
        yield rows.batch(epoch, range(start, min(start + batch_size, rows.rows_per_epoch)))


def examples_in(batches, pad_id: int) -> Counter:
    """The (inputs, targets) that the rows hold, taken apart where positions restart; checks padding on the way."""
    found = Counter()
    for batch in batches:
        for tokens, targets, positions in zip(batch.tokens, batch.targets, batch.positions):
            starts = torch.nonzero(positions == 0).flatten().tolist()
            for start, end in zip(starts, [*starts[1:], len(positions)]):
                assert positions[start:end].tolist() == list(range(end - start))
                part = tuple(tokens[start:end].tolist()), tuple(targets[start:end].tolist())
                if part != ((pad_id,), (IGNORE,)):
                    found[part] += 1
        assert batch.trained == int((batch.targets != IGNORE).sum())
        assert batch.tokens.dtype == batch.targets.dtype == batch.positions.dtype == torch.int64
    return found


@pytest.mark.parametrize("length", [2, 30, 60, 100, 1000])
def test_an_epoch_holds_every_example_once_and_nothing_else(cached_chats, tokenizer, length):
    chats = random_chats(150, seed=length)
    expected = Counter(part for part in kept_examples(chats, tokenizer, length) if part[0])
    if not expected:
        with pytest.raises(SproutError):
            Rows(CHATS, [(cached_chats(chats), None)], length, seed=0)
        return
    rows = Rows(CHATS, [(cached_chats(chats), None)], length, seed=0)
    for epoch in (0, 1):
        assert examples_in(epoch_batches(rows, epoch), tokenizer.pad_id) == expected
    trained = sum(token != IGNORE for part in expected.elements() for token in part[1])
    assert rows.tokens_per_epoch == trained == sum(batch.trained for batch in epoch_batches(rows))


CONFIG = TransformerConfig(
    vocab_size=272,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)


def test_loss_and_gradients_are_those_of_the_examples_alone(cached_chats, tokenizer):
    chats = random_chats(12)
    network = random_network(CONFIG)

    def loss_of(tokens, targets, positions=None):
        loss = F.cross_entropy(network(tokens, positions).flatten(0, 1), targets.flatten(), reduction="sum")
        loss.backward()
        return loss.item()

    def summed(parts):
        network.zero_grad()
        loss = sum(loss_of(*part) for part in parts)
        return loss, {name: parameter.grad.clone() for name, parameter in network.named_parameters()}

    alone = [
        (torch.tensor([inputs]), torch.tensor([targets]))
        for inputs, targets in kept_examples(chats, tokenizer, 512)
        if inputs
    ]
    rows = Rows(CHATS, [(cached_chats(chats), None)], 512, seed=0)
    batches = list(epoch_batches(rows, batch_size=2))
    assert len(alone) > 2 * rows.rows_per_epoch > 4  # several share a row
    trained = sum(batch.trained for batch in batches)
    assert trained == sum(int((targets != IGNORE).sum()) for _, targets in alone)
    loss, gradients = summed((batch.tokens, batch.targets, batch.positions) for batch in batches)
    expected_loss, expected = summed(alone)
    assert loss / trained == pytest.approx(expected_loss / trained, abs=1e-5)
    for name, gradient in gradients.items():
        assert (gradient - expected[name]).norm() < 1e-5 * expected[name].norm(), name


@torch.no_grad()
def test_examples_of_a_row_do_not_see_each_other(cached_chats):
    network = random_network(CONFIG)
    rows = Rows(CHATS, [(cached_chats(random_chats(12, longest=10)), None)], 512, seed=0)
    batch = rows.batch(0, [0])
    second, third, fourth = torch.nonzero(batch.positions[0] == 0).flatten().tolist()[1:4]
    assert min(second, third - second, fourth - third) > 20
    before = network(batch.tokens, batch.positions)
    tokens = batch.tokens.clone()
    tokens[0, second] += 1
    changed = (network(tokens, batch.positions) != before).any(-1)[0]
    assert changed[second:third].all() and not changed[:second].any() and not changed[third:].any()


# Conversations longer than a row


def exchange(question: int, answer: int) -> list[dict]:
    """A turn of the user and one of the assistant with so many characters, which are as many tokens."""
    return [turn("user", "q" * question), turn("assistant", "a" * answer)]


def test_long_conversations_are_cut_after_a_turn_where_that_is_possible(cached_chats, tokenizer):
    chats = [exchange(5, 5), exchange(5, 5) * 2, exchange(5, 90), exchange(90, 5)]
    rows = Rows(CHATS, [(cached_chats(chats), None)], 50, seed=0)
    cut = examples_in(epoch_batches(rows), tokenizer.pad_id)
    whole = kept_examples(chats, tokenizer, 1000)
    assert cut[whole[0]] == 2  # the first as it is, and the second up to the end of its first answer
    (inside,) = cut - Counter({whole[0]: 2})
    assert inside == (whole[2][0][:50], whole[2][1][:50])
    assert (
        "4 conversations, 1 cut after a turn, 1 cut inside a turn, 1 left out as nothing trained is left"
        in rows.summary()
    )


def test_a_file_of_conversations_that_are_all_too_long_is_trained_on(cached_chats, tokenizer):
    chats = [exchange(5, 100 + i) for i in range(20)]
    rows = Rows(CHATS, [(cached_chats(chats), None)], 40, seed=0)
    assert rows.rows_per_epoch == 20 and rows.batch(0, range(20)).trained > 0
    assert "20 conversations, 0 cut after a turn, 20 cut inside a turn, 0 left out" in rows.summary()


def test_a_file_of_which_nothing_is_left_says_what_would_do(cached_chats, tokenizer):
    caches = [cached_chats([exchange(100, 50), exchange(60, 5)]), cached_chats([exchange(5, 5)], name="b")]
    sources = [(cache, None) for cache in caches]
    with pytest.raises(SproutError, match=r"a.jsonl: no conversation has .* first 17 tokens: --max_seq_len") as caught:
        Rows(CHATS, sources, 16, seed=0)
    least, whole = map(int, re.findall(r"(\d+) would", str(caught.value)))
    lengths = [len(inputs) for inputs, _ in kept_examples([exchange(100, 50), exchange(60, 5)], tokenizer, 10**6)]
    assert whole == max(lengths)
    with pytest.raises(SproutError):
        Rows(CHATS, sources, least - 1, seed=0)
    assert "1 cut inside a turn, 1 left out" in Rows(CHATS, sources, least, seed=0).summary()
    assert (
        "2 conversations, 0 cut after a turn, 0 cut inside a turn, 0 left" in Rows(CHATS, sources, whole, 0).summary()
    )


# Conversations of files

FILES = ("sft_en.jsonl", "sft_zh.jsonl")


def chats_of(path, every: int = 1) -> list[list[dict]]:
    """One of so many conversations of a file; all, if it is ours."""
    every = 1 if path.is_relative_to(FIXTURES) else every
    return [record.fields["conversations"] for record in islice(read_records(path), 0, None, every)]


@pytest.mark.parametrize("path", samples(*FILES))
def test_every_trained_token_of_the_conversations_of_a_file_is_a_target_once(cached_chats, path):
    tokenizer, chats = Tokenizer.load(), chats_of(path, every=25)
    length = 64 if path.is_relative_to(FIXTURES) else 512
    rows = Rows(CHATS, [(cached_chats(chats, tokenizer=tokenizer), None)], length, seed=0)
    found = examples_in(epoch_batches(rows), tokenizer.pad_id)
    assert found == Counter(part for part in kept_examples(chats, tokenizer, length) if part[0])
    whole = Counter(part for part in kept_examples(chats, tokenizer, 10**6) if len(part[0]) <= length)
    assert whole <= found  # those that are not cut, with all their trained tokens
    assert len(chats) / 2 < whole.total() < len(chats)


def long_chats(path) -> list[list[dict]]:
    """Conversations that are about as long as real ones: each goes on with others of the same file."""
    rng, chats = random.Random(0), chats_of(path)
    return [[turn for one in rng.choices(chats, k=rng.randint(1, 9)) for turn in one] for _ in range(400)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_few_positions_of_rows_are_empty(cached_chats, folder):
    tokenizer, caches = Tokenizer.load(), []
    for name in FILES:
        chats = long_chats(folder / name) if folder == FIXTURES else chats_of(folder / name, every=5)
        caches.append(cached_chats(chats, tokenizer=tokenizer, name=name.removesuffix(".jsonl")))
    rows = Rows(CHATS, [(cache, None) for cache in caches], 512, seed=0)
    empty = total = 0
    for batch in epoch_batches(rows, batch_size=64):
        padding = (batch.tokens == tokenizer.pad_id) & (batch.targets == IGNORE) & (batch.positions == 0)
        empty, total = empty + int(padding.sum()), total + padding.numel()
    assert 0 < empty < 0.05 * total
    assert rows.tokens_per_epoch > 0.9 * sum(cache.train.size.trained for cache in caches)


# Shuffling and mixing


def test_a_position_needs_no_replay(cached_chats):
    caches = [cached_chats(random_chats(150)), cached_chats(random_chats(40, seed=5), name="b")]
    for weights in ((None, None), (0.8, 0.2)):
        sources = list(zip(caches, weights))
        rows = Rows(CHATS, sources, 128, seed=9)
        whole = list(epoch_batches(rows, epoch=2, batch_size=1))
        again = pickle.loads(pickle.dumps(Rows(CHATS, sources, 128, seed=9)))
        for positions in ([0], [5, 3, 3], range(10, 20), [rows.rows_per_epoch - 1]):
            batch = again.batch(2, positions)
            for name in ("tokens", "targets", "positions"):
                expected = torch.cat([getattr(whole[position], name) for position in positions])
                assert torch.equal(getattr(batch, name), expected)
            assert batch.trained == sum(whole[position].trained for position in positions)
        assert not torch.equal(rows.batch(3, range(20)).tokens, rows.batch(2, range(20)).tokens)
        with pytest.raises(IndexError):
            rows.batch(0, [rows.rows_per_epoch])


def test_files_without_weights_share_rows(cached_chats, tokenizer):
    long = [exchange(5, 60 + i % 7) for i in range(40)]
    short = [exchange(1, 1 + i % 5) for i in range(80)]
    caches = [cached_chats(long), cached_chats(short, name="b")]
    row_length = 150
    rows = Rows(CHATS, [(cache, None) for cache in caches], row_length, seed=0)
    both = [part for part in kept_examples([*long, *short], tokenizer, row_length) if part[0]]
    assert examples_in(epoch_batches(rows), tokenizer.pad_id) == Counter(both)
    apart = [Rows(CHATS, [(cache, None)], row_length, seed=0) for cache in caches]
    assert rows.rows_per_epoch < 0.9 * sum(alone.rows_per_epoch for alone in apart)
    assert rows.tokens_per_epoch == sum(alone.tokens_per_epoch for alone in apart)
    summary = rows.summary()
    assert "these files share rows" in summary and summary.count("1.00 passes over the file") == 2
    assert "a.jsonl" in summary and "b.jsonl" in summary


def test_weights_mix_by_rows(cached_chats):
    small = cached_chats(random_chats(20), name="small")
    large = cached_chats(random_chats(1500, seed=1), name="large")
    rows = Rows(CHATS, [(small, 0.25), (large, 0.75)], 64, seed=0)
    assert rows.rows_per_epoch > BLOCK
    files, order = rows.order(0, range(BLOCK))
    assert np.sum(files == 0) == 250
    taken = np.bincount(order[files == 0])
    assert taken.max() - taken.min() <= 1  # as often over each of its rows
    assert rows.shares.tolist() == [0.25, 0.75] and "25.0% of the rows" in rows.summary()
    per_row = [sum(batch.trained for batch in epoch_batches(Rows(CHATS, [(c, None)], 64, 0))) for c in (small, large)]
    assert rows.tokens_per_epoch == pytest.approx(np.dot(rows.passes, per_row), rel=1e-3)
    assert rows.identity == [f"{small.folder.name}:0.25", f"{large.folder.name}:0.75"]
    with pytest.raises(UsageError, match="would never be seen"):
        Rows(CHATS, [(small, 1e-4), (large, 1)], 64, seed=0)


def test_all_held_out(cached_chats):
    with pytest.raises(SproutError, match="all are held out"):
        Rows(CHATS, [(cached_chats(random_chats(9), val_ratio=1), None)], 64, seed=0)


# Validation


def test_validation_rows_hold_every_held_out_example_once(cached_chats, tokenizer):
    chats = {name: random_chats(200, seed=len(name)) for name in ("a", "bb")}
    caches = [cached_chats(some, val_ratio=0.2, name=name) for name, some in chats.items()]
    rows = ValidationRows(CHATS, caches, 100)
    batches = list(rows.batches(9))
    held_out = examples_in(batches, tokenizer.pad_id)
    trained_on = examples_in(epoch_batches(Rows(CHATS, [(c, None) for c in caches], 100, 0)), tokenizer.pad_id)
    both = [part for some in chats.values() for part in kept_examples(some, tokenizer, 100) if part[0]]
    assert held_out + trained_on == Counter(both)
    assert 40 < rows.documents == held_out.total() < 120
    assert 0 < rows.left_out == sum(cache.validation.size.documents for cache in caches) - rows.documents
    assert sum(len(batch.tokens) for batch in batches) == len(rows)
    assert [len(batch.tokens) for batch in batches[:-1]] == [9] * (len(batches) - 1)
    assert rows.tokens == sum(batch.trained for batch in batches)
    assert torch.equal(rows.batch([3, 0]).positions, batches[0].positions[[3, 0]])
    assert rows.identity == [cache.folder.name for cache in caches]


def test_nothing_held_out(cached_chats):
    rows = ValidationRows(CHATS, [cached_chats(random_chats(5))], 64)
    assert len(rows) == rows.tokens == rows.documents == 0 and list(rows.batches(4)) == []
