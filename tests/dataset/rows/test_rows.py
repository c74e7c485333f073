"""Every token is a target exactly once an epoch; files are mixed; any position is found without state."""

import json
import pickle
import random
import re
from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from dataset.cache.arrays import token_dtype
from dataset.cache.token_cache import build_or_open
from dataset.records.reading import read_records
from dataset.rows.chats import CHATS
from dataset.rows.mixing import BLOCK, places_in_block
from dataset.rows.rows import Rows, ValidationRows
from dataset.rows.texts import TEXTS
from model.errors import SproutError, UsageError
from model.likelihood import IGNORE
from tests.dataset.support import random_documents, write_jsonl
from tests.fixtures import samples


def epoch_batches(rows: Rows, epoch: int = 0, batch_size: int = 7):
    for start in range(0, rows.rows_per_epoch, batch_size):
        yield rows.batch(epoch, range(start, min(start + batch_size, rows.rows_per_epoch)))


def brute_force_rows(documents: list[list[int]], length: int, bos: int, eos: int, pad: int):
    """The rows as lists, token by token: the definition written the slow way."""
    stream = [token for ids in documents for token in [bos, *ids, eos]][1:]
    rows = []
    for start in range(0, len(stream), length):
        targets = stream[start : start + length]
        tokens = [bos, *targets][: len(targets)]
        if targets[0] == bos:
            targets = [IGNORE, *targets[1:]]
        fill = length - len(targets)
        rows.append((tokens + [pad] * fill, targets + [IGNORE] * fill))
        if fill:  # the token after the last one is an input that predicts nothing
            rows[-1][0][length - fill] = stream[-1]
    return rows


@pytest.mark.parametrize("length", [1, 2, 3, 16, 64, 100_000])
@pytest.mark.parametrize("seed", range(3))
def test_rows_equal_the_brute_force_ones(cached, tokenizer, length, seed):
    documents = random_documents(40, seed=seed)
    rows = Rows(TEXTS, [(cached(documents), None)], length, seed=0)
    ids = [tokenizer.encode(text) for text in documents]
    expected = brute_force_rows(ids, length, tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id)
    assert rows.rows_per_epoch == len(expected)
    _, order = rows.order(0, range(len(expected)))
    for position, index in enumerate(order):
        (tokens, targets), row = expected[index], rows.batch(0, [position])
        assert row.tokens.tolist() == [tokens] and row.targets.tolist() == [targets]
        assert row.positions is None
        assert row.trained == sum(target != IGNORE for target in targets)
        assert row.tokens.dtype == row.targets.dtype == torch.int64


def check_every_token_is_a_target_once(rows: Rows, documents: list[list[int]], tokenizer):
    """Count the targets of a shuffled epoch by token. Returns the number of BOS that are first in a row."""
    expected = Counter(token for ids in documents for token in ids)
    expected[tokenizer.eos_id] += len(documents)
    expected[tokenizer.bos_id] += len(documents)
    seen, trained, first_in_row = Counter(), 0, 0
    for batch in epoch_batches(rows):
        targets = batch.targets.numpy()
        seen.update(targets[targets != IGNORE].tolist())
        trained += batch.trained
        assert torch.all(batch.tokens[:, 0] == tokenizer.bos_id)
        first_in_row += int(np.sum(targets[:, 0] == IGNORE))
    # A BOS is no target where it comes first in its row; the file's first BOS is that of the first row.
    missing = expected - seen
    assert not seen - expected
    assert set(missing) <= {tokenizer.bos_id}
    assert missing[tokenizer.bos_id] == first_in_row + 1
    assert trained == seen.total() == expected.total() - first_in_row - 1
    assert rows.tokens_per_epoch == expected.total() - 1
    return first_in_row


@pytest.mark.parametrize("length", [1, 5, 32, 999])
def test_every_token_of_random_documents_is_a_target_once(cached, tokenizer, length):
    documents = random_documents(300, longest=80, seed=length)
    rows = Rows(TEXTS, [(cached(documents), None)], length, seed=1)
    ids = [tokenizer.encode(text) for text in documents]
    assert check_every_token_is_a_target_once(rows, ids, tokenizer) > 0 or length > 500


@pytest.mark.parametrize("path", samples("pretrain_en.jsonl", "pretrain_zh.jsonl"))
def test_every_token_of_the_texts_of_a_file_is_a_target_once(cached, tokenizer, path):
    texts = [record.fields["text"] for record in islice(read_records(path), 400)]
    rows = Rows(TEXTS, [(cached(texts), None)], 512, seed=0)
    check_every_token_is_a_target_once(rows, [tokenizer.encode(text) for text in texts], tokenizer)


@pytest.mark.parametrize("kind, record", [(TEXTS, {"text": "a" * 30}), (CHATS, {"prompt": "a", "completion": "b"})])
def test_ids_outside_the_vocabulary_are_reported(tmp_path, build, kind, record):
    """Those of a cache of an early version, too, which has no checksums."""
    caches = []
    for name, count in (("good", 40), ("bad", 41)):
        (tmp_path / f"{name}.jsonl").write_text(count * f"{json.dumps(record)}\n")
        caches.append(build(tmp_path / f"{name}.jsonl", kind=kind, val_ratio=0))
    bad = caches[1]
    with open(bad.train.path, "r+b") as file:
        file.seek(21)  # the upper byte of an id
        file.write(b"\xff")
    size = replace(bad.train.size, **{name: None for name in ("seal", "seals") if hasattr(bad.train.size, name)})
    caches[1] = replace(bad, train=replace(bad.train, size=size))
    rows = Rows(kind, [(cache, None) for cache in caches], 32, seed=0)
    with pytest.raises(SproutError, match=rf"{re.escape(str(bad.folder))} is damaged: .* outside the vocabulary"):
        list(epoch_batches(rows))


def test_an_epoch_reads_back_as_the_documents(cached, tokenizer):
    documents = random_documents(200)
    rows = Rows(TEXTS, [(cached(documents), None)], 50, seed=3)
    _, order = rows.order(0, range(rows.rows_per_epoch))
    by_row = {}
    for batch, row in zip(epoch_batches(rows, batch_size=1), order, strict=True):
        target = batch.targets[0].numpy()
        target[0] = tokenizer.bos_id if target[0] == IGNORE else target[0]
        by_row[int(row)] = target[target != IGNORE].tolist()
    stream = [token for row in sorted(by_row) for token in by_row[row]]
    expected = [t for text in documents for t in [tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id]]
    assert stream == expected[1:]


def test_one_token_as_bos_and_eos(cached, one_separator):
    documents = random_documents(60)
    assert one_separator.bos_id == one_separator.eos_id
    rows = Rows(TEXTS, [(cached(documents, tokenizer=one_separator), None)], 13, seed=0)
    seen = Counter(t for batch in epoch_batches(rows) for t in batch.targets.flatten().tolist() if t != IGNORE)
    expected = Counter(token for text in documents for token in one_separator.encode(text))
    expected[one_separator.eos_id] += len(documents)  # every end is trained, once
    assert seen == expected


def test_an_epoch_is_a_shuffle_of_all_rows_of_all_files(cached):
    a, b = cached(random_documents(150), name="a"), cached(random_documents(90, seed=5), name="b")
    rows = Rows(TEXTS, [(a, None), (b, None)], 16, seed=0)
    orders = []
    for epoch in (0, 1):
        files, order = rows.order(epoch, range(rows.rows_per_epoch))
        assert len(set(zip(files.tolist(), order.tolist(), strict=True))) == rows.rows_per_epoch
        assert 0.2 < np.mean(files[: len(files) // 4] == 1) / np.mean(files == 1) < 1.8  # mixed, not in turn
        orders.append(order.tolist())
    assert orders[0] != orders[1]
    assert "2 passes" not in rows.summary() and "1.00 passes" in rows.summary()


@pytest.mark.parametrize("weights", [(None, None), (0.8, 0.2)])
def test_a_position_needs_no_replay(cached, weights):
    caches = [cached(random_documents(150), name="a"), cached(random_documents(20, seed=5), name="b")]
    sources = list(zip(caches, weights, strict=True))
    rows = Rows(TEXTS, sources, 16, seed=9)
    whole = torch.cat([batch.tokens for batch in epoch_batches(rows, epoch=2)])
    again = pickle.loads(pickle.dumps(Rows(TEXTS, sources, 16, seed=9)))
    for positions in ([0], [5, 3, 3], range(40, 60), [rows.rows_per_epoch - 1]):
        assert torch.equal(again.batch(2, positions).tokens, whole[list(positions)])
    assert not torch.equal(Rows(TEXTS, sources, 16, seed=8).batch(2, range(20)).tokens, whole[:20])
    for outside in (-1, rows.rows_per_epoch):
        with pytest.raises(IndexError):
            rows.batch(0, [outside])


def test_weights_mix_by_rows_and_pass_over_files_in_full(cached):
    small = cached(["the fox " * 60, "the dog " * 45], name="small")
    large = cached(random_documents(2500), name="large")
    rows = Rows(TEXTS, [(small, 0.251), (large, 0.749)], 16, seed=0)
    n = rows.rows_per_epoch
    assert n > 2 * BLOCK
    orders = [rows.order(epoch, range(n)) for epoch in range(4)]
    whole_blocks = 4 * n // BLOCK * BLOCK  # blocks go on over the end of an epoch
    files = np.concatenate([files for files, _ in orders])[:whole_blocks]
    order = np.concatenate([order for _, order in orders])[:whole_blocks]
    assert np.all(np.sum(files.reshape(-1, BLOCK) == 0, axis=1) == 251)
    assert 0.15 < np.mean(files[:200] == 0) < 0.35  # spread within the block
    for file in (0, 1):  # all rows have been seen equally often, the last pass but in part
        taken = np.bincount(order[files == file])
        assert taken.max() - taken.min() <= 1
    small_rows = len(set(order[files == 0].tolist()))
    assert rows.shares.tolist() == [0.251, 0.749]
    assert rows.passes[0] == pytest.approx(0.251 * n / small_rows)
    assert f"{rows.passes[0]:.2f} passes" in rows.summary() and "25.1%" in rows.summary()


def test_a_file_taken_in_part_is_gone_through_before_it_repeats(cached):
    a, b = cached(random_documents(800), name="a"), cached(random_documents(800, seed=1), name="b")
    rows = Rows(TEXTS, [(a, 1), (b, 1)], 16, seed=0)
    n, in_b = rows.rows_per_epoch, -(-(b.train.size.tokens - 1) // 16)
    seen = []
    for epoch in range(4):
        files, order = rows.order(epoch, range(n))
        seen += order[files == 1].tolist()
    whole_blocks = (in_b // 500) * 500
    assert whole_blocks > 0 and len(set(seen[:whole_blocks])) == whole_blocks
    assert set(seen) == set(range(in_b))


def test_places_in_a_block_are_exact():
    assert places_in_block([0.7, 0.3]).tolist() == [700, 300]
    assert places_in_block([1, 1, 1]).tolist() == [334, 333, 333]
    rng = random.Random(0)
    for _ in range(50):
        weights = [rng.random() for _ in range(rng.randint(1, 9))]
        places = places_in_block(weights)
        assert places.sum() == BLOCK
        assert np.all(np.abs(places - np.array(weights) / sum(weights) * BLOCK) < 1)


def test_sources_that_cannot_be_mixed(cached, one_separator):
    a, b = cached(random_documents(50), name="a"), cached(random_documents(50, seed=1), name="b")
    with pytest.raises(UsageError, match="would never be seen"):
        Rows(TEXTS, [(a, 1e-4), (b, 1)], 16, seed=0)
    other = cached(random_documents(50), name="c", tokenizer=one_separator)
    with pytest.raises(SproutError, match="different tokenizers"):
        Rows(TEXTS, [(a, None), (other, None)], 16, seed=0)
    with pytest.raises(SproutError, match="all are held out"):
        Rows(TEXTS, [(cached(random_documents(9), val_ratio=1, name="d"), None)], 16, seed=0)


def test_validation_rows_hold_every_held_out_token_once(cached, tokenizer):
    texts = {name: random_documents(400, seed=len(name)) for name in ("a", "bb")}
    caches = [cached(documents, val_ratio=0.2, name=name) for name, documents in texts.items()]
    rows = ValidationRows(TEXTS, caches, 16)
    assert 80 < rows.documents < 240
    batches = list(rows.batches(9))
    assert sum(len(batch.tokens) for batch in batches) == len(rows)
    assert [len(batch.tokens) for batch in batches[:-1]] == [9] * (len(batches) - 1)
    trained = sum(batch.trained for batch in batches)
    assert rows.tokens - len(rows) < trained <= rows.tokens
    ends = sum(int((batch.targets == tokenizer.eos_id).sum()) for batch in batches)
    assert ends == rows.documents == sum(cache.validation.size.documents for cache in caches)
    assert torch.equal(rows.batch([3, 0]).tokens, batches[0].tokens[[3, 0]])


def test_bytes_for_bits_per_byte_are_those_of_the_raw_text(cached):
    documents = ["新芽", "a<|im_end|>", "🌱\n"]
    rows = ValidationRows(TEXTS, [cached(documents, val_ratio=1)], 8)
    assert rows.bytes == sum(len(text.encode("utf-8")) for text in documents)
    assert rows.documents == 3


def test_held_out_rows_are_shared_by_processes_and_those_kept_are_spread(cached):
    rows = ValidationRows(TEXTS, [cached(random_documents(100), val_ratio=1)], 16)
    every, count = rows.batch(range(len(rows))).tokens, len(rows)
    assert rows.documents == 100 and rows.bytes_of(9) == rows.bytes
    second_of_three = torch.cat([batch.tokens for batch in rows.batches(4, first=1, every=3)])
    assert torch.equal(second_of_three, torch.cat(every.split(4)[1::3]))
    rows.keep(count // 4)
    assert torch.equal(rows.batch(range(len(rows))).tokens, every[torch.arange(count // 4) * count // (count // 4)])
    assert rows.documents == round(100 * (count // 4) / count)
    assert rows.bytes_of(rows.tokens // 2) == round(rows.bytes * (rows.tokens // 2) / rows.tokens)


def test_nothing_held_out(cached):
    rows = ValidationRows(TEXTS, [cached(["one document"], val_ratio=0)], 8)
    assert len(rows) == 0 and rows.bytes == 0 and list(rows.batches(4)) == []


def test_large_vocabularies_take_four_bytes(tmp_path, tokenizer):
    class Large:
        vocab_size, bos_id, eos_id, pad_id, fingerprint = 151_936, 151_643, 151_645, 151_643, "large"
        unknown_id = None

        def encode_batch(self, texts):
            return [[151_000 + ord(character) for character in text] for text in texts]

    path = write_jsonl(tmp_path / "a.jsonl", ["ab", "c"])
    cache = build_or_open(path, Large(), TEXTS.cache, val_ratio=0, cache_dir=tmp_path, progress=False)
    batch = Rows(TEXTS, [(cache, None)], 10, seed=0).batch(0, [0])
    assert batch.targets[0].tolist() == [151_097, 151_098, 151_645, 151_643, 151_099, 151_645] + [IGNORE] * 4
    assert json.loads((cache.folder / "meta.json").read_text())["dtype"] == "<u4"
    assert [token_dtype(size) for size in (2**16, 2**16 + 1)] == ["<u2", "<u4"]  # ids begin at 0
