"""Packed rows of preference pairs: every kept pair once an epoch, each conversation as if it were alone."""

import json

import numpy as np
import pytest
import torch

from dataset.records.preferences import from_pair
from dataset.rendering import ChatRenderer
from dataset.rows.answers import ANSWERS
from dataset.rows.judged import JUDGED_PAIRS
from dataset.rows.pairs import PAIRS
from dataset.rows.rows import Rows, ValidationRows
from model.config import TransformerConfig
from model.errors import SproutError
from model.likelihood import IGNORE
from model.log_probabilities import sequence_sums, token_log_probabilities
from tests.dataset.chats import kept_by_hand
from tests.support import random_network


def preferences(count=30, seed=0) -> list[dict]:
    rng = np.random.default_rng(seed)
    words = ["a", "bc", "新", "d e"]

    def text(longest):
        return "".join(rng.choice(words, size=rng.integers(1, longest)))

    return [
        {"prompt": f"{i} {text(12)}", "chosen": text(9) + "1", "rejected": text(9) + "2", "margin": i / 8}
        for i in range(count)
    ]


@pytest.fixture
def cached_pairs(tmp_path, build):
    def build_pairs(records, val_ratio=0.0, name="a"):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return build(path, kind=PAIRS, val_ratio=val_ratio)

    return build_pairs


def by_hand(records, tokenizer, max_seq_len) -> dict[int, tuple]:
    """(inputs, targets) of both conversations of each pair of which both keep something, not the same, by number."""
    renderer, found = ChatRenderer(tokenizer), {}
    for number, record in enumerate(records):
        sides = []
        for one in renderer.render(from_pair(record).conversations):
            ids, trained = one.ids.tolist(), one.trained.tolist()
            n = kept_by_hand(ids, trained, max_seq_len + 1, renderer.end_id)
            targets = [token if flag else IGNORE for token, flag in zip(ids[1:n], trained[1:n])]
            sides.append((ids[: n - 1], targets) if n else None)
        if all(sides) and sides[0] != sides[1]:
            found[number] = tuple(sides)
    return found


def pairs_in(batch) -> dict[int, tuple]:
    """The same, taken out of a batch; what no pair owns has to be padding."""
    found, owned = {}, torch.zeros_like(batch.tokens, dtype=torch.bool)
    for place, number in enumerate(batch.numbers.tolist()):
        sides = []
        for sequence in (place, batch.records + place):
            row = int(torch.nonzero((batch.sequences == sequence) & (batch.targets != IGNORE))[0, 0])
            here = batch.sequences[row] == sequence
            if sequence == 0:  # padding has this number too
                end = int(torch.nonzero(here & (batch.targets[row] != IGNORE))[-1]) + 1
                here[end:] = False
            owned[row] |= here
            assert batch.positions[row][here].tolist() == list(range(int(here.sum())))
            sides.append((batch.tokens[row][here].tolist(), batch.targets[row][here].tolist()))
        found[number] = tuple(sides)
    assert (batch.targets[~owned] == IGNORE).all() and (batch.positions[~owned] == 0).all()
    return found


@pytest.mark.parametrize("max_seq_len", [40, 55, 200])
def test_every_pair_once_an_epoch_as_made_by_hand(cached_pairs, tokenizer, max_seq_len):
    records = preferences()
    rows = Rows(PAIRS, [(cached_pairs(records), None)], max_seq_len, seed=0)
    found, trained = {}, 0
    for start in range(0, rows.rows_per_epoch, 3):
        batch = rows.batch(1, range(start, min(start + 3, rows.rows_per_epoch)))
        here = pairs_in(batch)
        assert not here.keys() & found.keys()
        found |= here
        trained += batch.trained
        assert batch.labels.tolist() == [records[number]["margin"] for number in batch.numbers]
        assert batch.trained == int((batch.targets != IGNORE).sum())
    expected = by_hand(records, tokenizer, max_seq_len)
    assert found == expected and len(expected) == rows.packed.records_kept
    assert rows.packed.left_out == len(records) - len(expected)
    assert trained == rows.tokens_per_epoch
    taken = sum(len(inputs) for sides in expected.values() for inputs, _ in sides)
    assert f" {1 - taken / (rows.rows_per_epoch * 2 * max_seq_len):.1%} of the positions empty" in rows.summary()
    if max_seq_len == 40:
        assert 0 < len(expected) < len(records)


def test_log_probabilities_are_those_of_each_conversation_alone(cached_pairs, tokenizer):
    records = preferences(12)
    rows = Rows(PAIRS, [(cached_pairs(records), None)], 60, seed=0)
    model = random_network(
        TransformerConfig(vocab_size=tokenizer.vocab_size, hidden_size=16, num_hidden_layers=2, intermediate_size=32)
    )
    batch = rows.batch(0, range(rows.rows_per_epoch))
    with torch.no_grad():
        features = model.features(batch.tokens, batch.positions)
        tokens, _ = token_log_probabilities(features, model.lm_head.weight, batch.targets)
        sums = sequence_sums(tokens, batch.sequences, 2 * batch.records).view(2, -1)
        alone = by_hand(records, tokenizer, 60)
        for place, number in enumerate(batch.numbers.tolist()):
            for side, (inputs, targets) in enumerate(alone[number]):
                logits = model(torch.tensor([inputs]))[0].log_softmax(-1)
                expected = sum(logits[t, target].item() for t, target in enumerate(targets) if target != IGNORE)
                assert sums[side, place].item() == pytest.approx(expected, abs=1e-4)


def test_reference_log_probabilities_come_with_their_pairs(cached_pairs):
    rows = Rows(PAIRS, [(cached_pairs(preferences()), None)], 60, seed=0)
    assert rows.batch(0, [0]).reference is None
    rows.packed.reference = np.arange(2 * rows.packed.records, dtype=np.float32).reshape(-1, 2)
    batch = rows.batch(0, range(min(4, rows.rows_per_epoch)))
    assert batch.reference.view(2, -1).T.tolist() == [[2.0 * n, 2.0 * n + 1] for n in batch.numbers]


def test_held_out_pairs_are_not_trained_on(cached_pairs):
    cache = cached_pairs(preferences(60), val_ratio=0.2)
    held = ValidationRows(PAIRS, [cache], 200)
    rows = Rows(PAIRS, [(cache, None)], 200, seed=0)
    assert 0 < held.documents < 30 and held.documents + rows.packed.records_kept == 60
    assert sum(batch.records for batch in held.batches(2)) == held.documents


@pytest.mark.parametrize("kind", [PAIRS, JUDGED_PAIRS], ids=["dpo", "reward"])
def test_pairs_that_nothing_tells_apart_are_left_out_and_counted(cached_pairs, kind):
    """Their answers differ only beyond the row, or in a way that the tokens do not show."""
    long = [{"prompt": str(i), "chosen": "ab" * 20 + "1", "rejected": "ab" * 20 + "2"} for i in range(4)]
    thought, hidden = {"reasoning_content": "a", "content": "b"}, {"content": "<think>\na\n</think>\n\nb"}
    sides = ({"role": "assistant"} | side for side in (thought, hidden))
    same = dict(zip(("chosen", "rejected"), ([side] for side in sides)), prompt=[{"role": "user", "content": "x"}])
    cache = cached_pairs([*long, same, *preferences(3)])
    found = {n: Rows(kind, [(cache, None)], n, seed=0) for n in (45, 200)}
    assert found[200].packed.records_kept == 7 and found[200].packed.kept[0].alike == 1
    assert ", 1 as their answers are alike in that length" in found[200].summary()
    # A run that was begun while such pairs were still trained cannot be resumed with other rows.
    assert found[200].identity == [f"{cache.folder.name}:", "pairs left out as alike: 1"]
    if kind is PAIRS:
        assert found[45].packed.kept[0].alike == 5 and found[45].packed.records_kept == 3
    for rows in found.values():
        batch = rows.batch(0, range(rows.rows_per_epoch))
        assert batch.trained == rows.tokens_per_epoch and set(batch.numbers.tolist()) <= {0, 1, 2, 3, 5, 6, 7}


def test_a_file_of_such_pairs_is_refused(cached_pairs):
    records = [{"prompt": str(i), "chosen": "ab" * 20 + "1", "rejected": "ab" * 20 + "2"} for i in range(4)]
    with pytest.raises(SproutError, match="the answers of 4 pairs are alike in their first 41 tokens"):
        Rows(PAIRS, [(cached_pairs(records), None)], 40, seed=0)


def test_rows_too_short_for_any_answer_are_refused(cached_pairs):
    with pytest.raises(SproutError, match="no pair has two answers that begin within 4 tokens"):
        Rows(PAIRS, [(cached_pairs(preferences(5)), None)], 3, seed=0)


@pytest.mark.parametrize("kind", [PAIRS, JUDGED_PAIRS, ANSWERS])
def test_a_count_of_what_is_left_out_gives_the_true_reason(tmp_path, build, kind):
    """One pair too long, two with a marked answer, one with a mark beside its turns, one that stays."""
    answer = {"role": "assistant", "content": "good"}
    records = [
        {"prompt": "a?", "chosen": [answer], "rejected": "bad"},
        {"prompt": "b?", "chosen": [answer | {"weight": 0}], "rejected": "bad"},
        {"prompt": "c?", "chosen": [answer], "rejected": "bad", "train": False},
        {"prompt": "d?", "chosen": [answer], "rejected": [answer | {"content": "bad", "weight": 0}]},
        {"prompt": "long " * 60, "chosen": [answer], "rejected": "bad"},
    ]
    path = tmp_path / "marked.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    rows = Rows(kind, [(build(path, kind=kind), None)], 50, seed=0)
    one, excluded = (1, 3) if kind is not ANSWERS else (2, 4)  # apart, the other answers to b? and d? are to learn from
    batch, found = rows.batch(0, range(rows.rows_per_epoch)), rows.packed.kept[0]
    assert batch.trained == rows.tokens_per_epoch and batch.records == (4 if kind is ANSWERS else 1)
    assert (found.too_long, found.excluded, found.left_out) == (one, excluded, one + excluded)
    assert f"{one} " in rows.summary() and f", {excluded} as their own marks exclude them" in rows.summary()
    (warning,) = rows.packed.warnings_about_marks()
    assert warning.startswith(f"left out {excluded} {rows.packed.NAMES} of {path}: a mark")
    said = rows.packed.said_of_left_out(kind.left_out)
    assert said == f"{one} {kind.left_out} and {excluded} {rows.packed.NAMES} that their own marks exclude"


def test_a_file_of_excluded_pairs_says_so(cached_pairs):
    excluded = {"prompt": "a?", "chosen": "b", "rejected": "c", "train": False}
    long = {"prompt": "long " * 60, "chosen": "b", "rejected": "c"}
    for records, why in (
        ([excluded], "all 1 pairs are excluded by their own marks: give other data"),
        ([excluded, long], "no pair has two answers that begin within 51 tokens"),
    ):
        with pytest.raises(SproutError, match=why):
            Rows(PAIRS, [(cached_pairs(records), None)], 50, seed=0)
