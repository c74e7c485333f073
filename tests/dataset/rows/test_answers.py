"""Rows of judged answers: every record that fits once an epoch, whole, each conversation as if it were alone."""

import json

import numpy as np
import pytest
import torch

from dataset.records.fields import BadRecord
from dataset.records.formats import detect_format
from dataset.rendering import ChatRenderer
from dataset.rows.answers import AnswerRows, AnswerValidationRows
from model.config import TransformerConfig
from model.errors import SproutError
from model.reward import RewardModel, rewards
from tests.support import random_network

USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}


def records(kind: str, count=30, seed=0) -> list[dict]:
    rng = np.random.default_rng(seed)

    def text(longest):
        return "".join(rng.choice(["a", "bc", "新", "d e"], size=rng.integers(1, longest)))

    if kind == "scored":
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
        rendered = renderer.render(detect_format(value, kind).read(value).conversations)
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


@pytest.mark.parametrize("kind", ["preference", "scored"])
@pytest.mark.parametrize("max_seq_len", [50, 60, 200])
def test_every_record_that_fits_once_an_epoch_and_whole(cached, tokenizer, kind, max_seq_len):
    values = records(kind)
    rows = AnswerRows([(cached(values, kind), None)], max_seq_len, seed=0)
    found, read = {}, 0
    for start in range(0, rows.rows_per_epoch, 3):
        batch = rows.batch(1, range(start, min(start + 3, rows.rows_per_epoch)))
        here = conversations_in(batch)
        assert len(here) == batch.records and not here.keys() & found.keys()
        found |= here
        read += batch.read
        label = "score" if kind == "scored" else "margin"
        assert batch.labels.tolist() == [values[number][label] for number in batch.numbers]
    expected = by_hand(values, kind, tokenizer, max_seq_len)
    assert found == expected and len(expected) == rows.packed.records_kept
    assert sum(rows.packed.left_out) == len(values) - len(expected)
    assert read == rows.tokens_per_epoch == sum(len(ids) for each in expected.values() for ids in each)
    if max_seq_len == 50:
        assert 0 < len(expected) < len(values)
    assert f"{len(values) - len(expected):,} left out as longer than {max_seq_len} tokens" in rows.summary()


def test_rewards_are_those_of_each_conversation_alone(cached, tokenizer):
    values = records("preference", 12)
    rows = AnswerRows([(cached(values, "preference"), None)], 80, seed=0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32}
    model = RewardModel.of(random_network(TransformerConfig(vocab_size=tokenizer.vocab_size, **sizes)))
    torch.nn.init.normal_(model.score.weight)
    batch, alone = rows.batch(0, range(rows.rows_per_epoch)), by_hand(values, "preference", tokenizer, 80)
    with torch.no_grad():
        found = rewards(model, batch.tokens, batch.positions, batch.ends).view(2, -1)
        for place, number in enumerate(batch.numbers.tolist()):
            expected = [model(torch.tensor([ids]))[0, -1].item() for ids in alone[number]]
            assert found[:, place].tolist() == pytest.approx(expected, abs=1e-4)


def test_held_out_records_are_not_trained_on(cached):
    cache = cached(records("scored", 60), "scored", val_ratio=0.2)
    held, rows = AnswerValidationRows([cache], 200), AnswerRows([(cache, None)], 200, seed=0)
    assert 0 < held.documents < 30 and held.documents + rows.packed.records_kept == 60
    assert sum(batch.records for batch in held.batches(2)) == held.documents


def test_files_of_weights_share_no_rows(cached):
    caches = [cached(records("scored", 12, seed), "scored", name=str(seed)) for seed in (1, 2)]
    rows = AnswerRows(list(zip(caches, (0.7, 0.3))), 200, seed=0)
    assert len(rows.packed.rows) == 2 and rows.passes[0] > rows.passes[1]


def test_rows_too_short_for_any_record_are_refused(cached):
    with pytest.raises(SproutError, match="no record has at most 3 tokens in each conversation"):
        AnswerRows([(cached(records("scored", 5), "scored"), None)], 3, seed=0)


# --- scored records ---------------------------------------------------------------------------------


def read(record):
    return detect_format(record, "scored").read(record)


@pytest.mark.parametrize(
    "record",
    [
        {"input": "Hi", "output": "Hello!", "score": 4.5},
        {"input": [USER], "output": [ANSWER], "score": 4.5},
        {"input": [USER], "output": "Hello!", "score": 4.5, "id": 7},
    ],
)
def test_a_scored_record_is_a_conversation_and_a_number(record):
    answer = read(record)
    assert answer.conversation.messages == (USER, ANSWER) and answer.score == 4.5
    assert read({**record, "system": "Be brief."}).conversation.messages[0]["role"] == "system"


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"score": None}, '"score" is not a number'),
        ({"score": "4"}, '"score" is not a number'),
        ({"score": True}, '"score" is not a number'),
        ({"score": float("nan")}, '"score" is not a finite number'),
        ({"score": 10**400}, '"score" is not a finite number'),
        ({"score": -1e7}, '"score" is beyond 1,000,000'),
        ({"input": " "}, '"input" is empty'),
        ({"output": ""}, '"output" is empty'),
        ({"output": 3}, '"output" is not a string'),
        ({"output": [ANSWER, USER]}, "the last turn is not the assistant's"),
        ({"input": [], "output": [ANSWER]}, "the conversation is empty"),
    ],
)
def test_what_is_no_scored_record_has_a_reason(change, reason):
    with pytest.raises(BadRecord, match=reason):
        read({"input": "Hi", "output": "Hello!", "score": 4.5} | change)


def test_other_kinds_are_told_apart_from_scored_records():
    scored = {"input": "Hi", "output": "Hello!", "score": 1}
    with pytest.raises(BadRecord) as error:
        detect_format(scored, "preference")
    assert "this is an answer with a score, which train_reward.py learns from" in error.value.detail
    with pytest.raises(BadRecord):
        detect_format({"instruction": "Hi", "output": "Hello!"}, "scored")
