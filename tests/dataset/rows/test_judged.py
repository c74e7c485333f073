"""Rows of judged answers: every record that fits once an epoch, whole, each conversation as if it were alone."""

import json

import numpy as np
import pytest
import torch

from dataset.records.documents import detect_format
from dataset.rendering import ChatRenderer
from dataset.rows.judged import JUDGED_PAIRS, SCORED_ANSWERS
from dataset.rows.rows import Rows, ValidationRows
from model.config import TransformerConfig
from model.errors import SproutError
from model.reward import RewardModel, rewards
from tests.support import random_network

KINDS = [JUDGED_PAIRS, SCORED_ANSWERS]


def records(kind, count=30, seed=0) -> list[dict]:
    rng = np.random.default_rng(seed)

    def text(longest):
        return "".join(rng.choice(["a", "bc", "新", "d e"], size=rng.integers(1, longest)))

    if kind is SCORED_ANSWERS:
        return [{"input": f"{i} {text(12)}", "output": text(9), "score": i / 8 - 1} for i in range(count)]
    return [
        {"prompt": f"{i} {text(12)}", "chosen": text(9) + "1", "rejected": text(9) + "2", "margin": i / 8}
        for i in range(count)
    ]


@pytest.fixture
def cached(tmp_path, build):
    def build_one(values, kind, val_ratio=0.0, name="a", **more):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
        return build(path, kind=kind, val_ratio=val_ratio, **more)

    return build_one


def by_hand(values, kind, tokenizer, max_seq_len) -> dict[int, list[list[int]]]:
    """The ids of each record's conversations up to the end of the answer, of those that fit, by number."""
    renderer, found = ChatRenderer(tokenizer), {}
    for number, value in enumerate(values):
        rendered = renderer.render(detect_format(value, kind.cache.RECORDS).read(value).conversations)
        ids = [one.ids[: np.flatnonzero(one.trained)[-1] + 1].tolist() for one in rendered]
        if max(map(len, ids)) <= max_seq_len:
            found[number] = ids
    return found


def conversations_in(batch) -> dict[int, list[list[int]]]:
    """The same, taken out of a batch: from each end back to where positions begin."""
    found, tokens, positions = {}, batch.tokens.flatten(), batch.positions.flatten()
    for ends in batch.ends.view(-1, batch.records):
        for number, end in zip(batch.numbers.tolist(), ends.tolist()):
            start = end - int(positions[end])
            assert positions[start : end + 1].tolist() == list(range(end + 1 - start))
            found.setdefault(number, []).append(tokens[start : end + 1].tolist())
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_seq_len", [50, 60, 200])
def test_every_record_that_fits_once_an_epoch_and_whole(cached, tokenizer, kind, max_seq_len):
    values = records(kind)
    rows = Rows(kind, [(cached(values, kind), None)], max_seq_len, seed=0)
    found, read = {}, 0
    for start in range(0, rows.rows_per_epoch, 3):
        batch = rows.batch(1, range(start, min(start + 3, rows.rows_per_epoch)))
        here = conversations_in(batch)
        assert len(here) == batch.records and not here.keys() & found.keys()
        found |= here
        read += batch.trained
        label = "score" if kind is SCORED_ANSWERS else "margin"
        assert batch.labels.tolist() == [values[number][label] for number in batch.numbers]
    expected = by_hand(values, kind, tokenizer, max_seq_len)
    assert found == expected and len(expected) == rows.packed.records_kept
    assert rows.packed.left_out == len(values) - len(expected)
    assert read == rows.tokens_per_epoch == sum(len(ids) for each in expected.values() for ids in each)
    if max_seq_len == 50:
        assert 0 < len(expected) < len(values)
    assert f"{len(values) - len(expected):,} left out as longer than {max_seq_len} tokens" in rows.summary()


def test_rewards_are_those_of_each_conversation_alone(cached, tokenizer):
    values = records(JUDGED_PAIRS, 12)
    rows = Rows(JUDGED_PAIRS, [(cached(values, JUDGED_PAIRS), None)], 80, seed=0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32}
    model = RewardModel.of(random_network(TransformerConfig(vocab_size=tokenizer.vocab_size, **sizes)))
    torch.nn.init.normal_(model.score.weight)
    batch, alone = rows.batch(0, range(rows.rows_per_epoch)), by_hand(values, JUDGED_PAIRS, tokenizer, 80)
    with torch.no_grad():
        found = rewards(model, batch.tokens, batch.positions, batch.ends).view(2, -1)
        for place, number in enumerate(batch.numbers.tolist()):
            expected = [model(torch.tensor([ids]))[0, -1].item() for ids in alone[number]]
            assert found[:, place].tolist() == pytest.approx(expected, abs=1e-4)


def test_held_out_records_are_not_trained_on(cached):
    cache = cached(records(SCORED_ANSWERS, 60), SCORED_ANSWERS, val_ratio=0.2)
    held, rows = ValidationRows(SCORED_ANSWERS, [cache], 200), Rows(SCORED_ANSWERS, [(cache, None)], 200, seed=0)
    assert 0 < held.documents < 30 and held.documents + rows.packed.records_kept == 60
    assert sum(batch.records for batch in held.batches(2)) == held.documents


def test_files_of_weights_share_no_rows(cached):
    caches = [cached(records(SCORED_ANSWERS, 12, seed), SCORED_ANSWERS, name=str(seed)) for seed in (1, 2)]
    rows = Rows(SCORED_ANSWERS, list(zip(caches, (0.7, 0.3))), 200, seed=0)
    assert len(rows.packed.rows) == 2 and rows.passes[0] > rows.passes[1]


def test_rows_too_short_for_any_record_are_refused(cached):
    with pytest.raises(SproutError, match="no record has at most 3 tokens in each conversation"):
        Rows(SCORED_ANSWERS, [(cached(records(SCORED_ANSWERS, 5), SCORED_ANSWERS), None)], 3, seed=0)
