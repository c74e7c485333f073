"""Packed rows of labelled answers, and their copy in which answers stand behind other prompts."""

import json

import numpy as np
import pytest

from dataset.records.conversations import from_completion
from dataset.rendering import ChatRenderer
from dataset.rows.answers import ANSWERS
from dataset.rows.rows import Rows
from model.likelihood import IGNORE


def labelled() -> list[dict]:
    """Long prompts have short answers, so that some become too long where answers change places."""
    sizes = [(chr(ord("a") + i), 1 + 7 * i % 24) for i in range(25)]
    return [{"prompt": c * n, "completion": c * (26 - n), "label": n % 3 > 0} for c, n in sizes]


@pytest.fixture
def rows_of(tmp_path, build):
    def make(records, max_seq_len) -> Rows:
        path = tmp_path / "a.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return Rows(ANSWERS, [(build(path, kind=ANSWERS, val_ratio=0), None)], max_seq_len, seed=0)

    return make


def taken(tokens, targets, positions, sequences, number) -> tuple[list, list]:
    """Inputs and targets of one answer; it begins at position 0 and ends with its last target."""
    row, last = (index[-1] for index in np.nonzero((sequences == number) & (targets != IGNORE)))
    here = slice(last - int(positions[row, last]), last + 1)
    assert (sequences[row, here] == number).all()
    return tokens[row, here].tolist(), targets[row, here].tolist()


def in_copies(batch, number) -> list[tuple[list, list]]:
    """An answer in the rows, and the one behind the same prompt in their copy."""
    copies = (batch, batch.mixed)
    return [taken(*(getattr(b, n).numpy() for n in FIELDS), number) for b in copies]


FIELDS = ("tokens", "targets", "positions", "sequences")


@pytest.mark.parametrize("limit", [200, 45])
def test_every_prompt_has_the_answer_of_another_one_in_its_row(rows_of, tokenizer, limit):
    records = labelled()
    rows, renderer = rows_of(records, limit), ChatRenderer(tokenizer)
    assert rows.row_length == 2 * limit
    parts = []
    for record in records:
        (one,) = renderer.render([from_completion({**record, "label": None})])
        first, last = np.flatnonzero(one.trained)[[0, -1]]
        parts.append((one.ids[:first].tolist(), one.ids[first : last + 1].tolist()))
    assert max(len(prompt + answer) for prompt, answer in parts) <= limit + 1
    seen, cut, alone = [], 0, 0
    for place in range(rows.rows_per_epoch):
        batch, used = rows.batch(0, [place]), []
        numbers = batch.numbers.tolist()
        seen += numbers
        for record, number in enumerate(numbers):
            prompt, answer = parts[number]
            assert batch.labels[record].item() == records[number]["label"]
            if len(numbers) == 1:
                alone += 1
                assert (batch.mixed.targets == IGNORE).all()
                continue
            (own, own_targets), (mixed, mixed_targets) = in_copies(batch, record)
            assert own == [*prompt, *answer][:-1] and own_targets == [IGNORE] * (len(prompt) - 1) + answer
            (other,) = (n for n in numbers if parts[n][1][0] == mixed_targets[len(prompt) - 1])
            whole = parts[other][1]
            cut += len(prompt + whole) > limit + 1
            assert mixed == [*prompt, *whole[:-1]][:limit]
            assert mixed_targets == ([IGNORE] * (len(prompt) - 1) + whole)[:limit]
            used.append(other)
        assert sorted(used) == sorted(numbers) or len(numbers) == 1
    assert sorted(seen) == list(range(len(records))) and alone <= 1 and (cut > 0) == (limit == 45)


@pytest.mark.parametrize("longer", [0, 9])
def test_answers_to_the_same_prompt_do_not_stand_in_for_one_another(rows_of, longer):
    """Both answers of a pair, say: beside each other, the longest first, or in turn with those of another prompt."""
    records = [
        {"prompt": p, "chosen": p * (3 + more), "rejected": p * (4 + more)} for p, more in (("a", longer), ("b", 0))
    ]
    (batch,) = (rows_of(records, 100).batch(0, [0]),)
    assert batch.records == 4 and sorted(batch.labels.tolist()) == [0, 0, 1, 1]
    for record in range(4):
        (own, _), (mixed, targets) = in_copies(batch, record)
        assert mixed != own and any(target != IGNORE for target in targets)
    alone = rows_of(records[:1], 100).batch(0, [0])
    assert (alone.mixed.targets == IGNORE).all() and (alone.targets != IGNORE).any()


def test_only_answers_that_are_in_the_rows_are_counted(rows_of):
    """Of these, the first begins too late."""
    records = [
        {"prompt": "a" * n, "completion": "b", "label": label} for n, label in ((80, True), (4, True), (5, False))
    ]
    packed = rows_of(records, 40).packed
    assert packed.left_out == 1 and (packed.count(good=True), packed.count(good=False)) == ([1], [1])
