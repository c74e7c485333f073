"""A teacher and its cache: each row gets what was said of it, and whatever changes that changes the key."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dataset.rows.rows import Batch, locate
from model.likelihood import IGNORE
from tests.support import random_network
from tests.training.support import SMALL
from training.losses.distillation import Divergence, Whole
from training.stages import teacher_cache
from training.stages.teacher import Teacher
from training.stages.teacher_cache import cached_lessons

ROWS, LENGTH, TOKENS = np.array([3, 2]), 4, 12  # rows of two files


def gather(parts, numbers) -> Batch:
    """Row r of file p holds 6p + r, and has r + 1 targets."""
    tokens = torch.tensor([[6 * part + number] * LENGTH for part, number in zip(parts, numbers)])
    targets = torch.where(torch.arange(LENGTH) <= torch.tensor(numbers)[:, None], tokens, IGNORE)
    return Batch(tokens, targets, tokens + 1, int((targets != IGNORE).sum()))


def lessons(folder, *, name="t", data="d", length=LENGTH, dtype=torch.float32, k=3, temperature=1.0, outcomes=TOKENS):
    """Lessons of a teacher whose prediction is a row of a table: that of the token it reads."""
    table = torch.randn(TOKENS, TOKENS, generator=torch.Generator().manual_seed(0))
    head = torch.zeros(max(outcomes, TOKENS), TOKENS)
    head[-TOKENS:] = torch.eye(TOKENS)
    autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)
    starts = np.concatenate([[0], np.cumsum(ROWS)])

    def order(epoch, places):
        return locate(starts, (np.asarray(places) + epoch) % starts[-1])

    def said(batch, count=outcomes) -> Whole:
        return Whole(table[batch.tokens[batch.targets != IGNORE]], head[:count])

    packed = SimpleNamespace(rows=ROWS, row_length=length, gather=gather)
    rows = SimpleNamespace(packed=packed, identity=[data], order=order)
    teacher = SimpleNamespace(name=name, source=name, of=said)
    choice = SimpleNamespace(dtype=dtype)
    machine = SimpleNamespace(choice=choice, autocast=autocast, move=lambda batch: batch, say=lambda text: None)
    divergence = Divergence(temperature=temperature)
    found = cached_lessons(teacher, rows, k, divergence, outcomes, machine, str(folder), batch_size=2)

    def asked(batch):
        with autocast():
            return said(batch).top(k, divergence)

    return found, asked


@pytest.mark.parametrize("epoch", [0, 3])
@pytest.mark.parametrize(
    "more", [{}, {"dtype": torch.bfloat16}, {"temperature": 2.0}, {"outcomes": 70_000}, {"outcomes": 9}], ids=str
)
def test_each_row_has_what_the_teacher_says_of_it(tmp_path, epoch, more):
    """In the precision of the run, softened; ids may take more than two bytes."""
    found, asked = lessons(tmp_path, **more)
    batch = found.batch(epoch, [4, 0, 3, 1])
    assert batch.tokens[:, 0].tolist() == {0: [7, 0, 6, 1], 3: [2, 6, 1, 7]}[epoch]
    assert torch.equal(batch.positions, batch.tokens + 1) and batch.trained == (batch.targets != IGNORE).sum()
    expected, cached = asked(batch), found.taught(batch)
    assert torch.equal(cached.ids, expected.ids)
    assert torch.equal(cached.log_probabilities, expected.log_probabilities)
    assert found.tokens == 1 + 2 + 3 + 1 + 2


@pytest.mark.parametrize("name", ["ids", "logs", "offsets"])
def test_what_is_damaged_is_asked_again(tmp_path, name, capsys):
    found, asked = lessons(tmp_path)
    (file,) = (tmp_path / "cache" / "teacher" / found.name).glob(f"{name}.bin")
    whole = file.read_bytes()
    for damaged in (None, whole[:-1], whole[:9] + bytes([whole[9] ^ 1]) + whole[10:]):
        file.unlink() if damaged is None else file.write_bytes(damaged)
        again, _ = lessons(tmp_path)
        assert "the teacher's cache" in capsys.readouterr().err and file.read_bytes() == whole
        batch = again.batch(0, [4, 0])
        assert torch.equal(again.taught(batch).ids, asked(batch).ids)


def test_whatever_changes_the_predictions_changes_the_key(tmp_path, monkeypatch):
    others = (
        {"name": "u"},
        {"data": "e"},
        {"length": 5},
        {"dtype": torch.bfloat16},
        {"k": 4},
        {"temperature": 2.0},
        {"outcomes": 11},
    )
    names = {lessons(tmp_path, **each)[0].name for each in ({}, {}, *others)}
    monkeypatch.setattr(teacher_cache, "VERSION", 1000)
    assert len(names | {lessons(tmp_path)[0].name}) == 2 + len(others)


@pytest.mark.parametrize("outcomes", [None, 11])
def test_a_teacher_says_of_each_trained_token_what_its_network_predicts(outcomes):
    """Packed documents do not see each other, nothing is dropped, and the network does not learn."""
    config = SMALL.replace(vocab_size=TOKENS)
    network = random_network(config)
    teacher = Teacher(random_network(config).train(), "somewhere")
    tokens = torch.tensor([[3, 7, 1, 4, 9, 2], [5, 5, 8, 0, 0, 0]])
    targets = torch.tensor([[7, IGNORE, 4, 9, 2, IGNORE], [IGNORE, 8, 6, IGNORE, IGNORE, IGNORE]])
    positions = torch.tensor([[0, 1, 0, 1, 2, 3], [0, 1, 2, 0, 0, 0]])
    said = teacher.of(Batch(tokens, targets, positions, 6), outcomes)
    predictions, _, likeliest = said.predictions(slice(None), torch.empty(0), Divergence(temperature=2.0))
    with torch.no_grad():
        logits = [network(each[None])[0] for each in (tokens[0, :2], tokens[0, 2:], tokens[1])]
    places = torch.stack([logits[0][0], *logits[1][:3], *logits[2][1:3]])[:, :outcomes]
    torch.testing.assert_close(predictions, (places / 2).log_softmax(-1))
    assert torch.equal(likeliest, places.argmax(-1))
    assert not teacher.model.training and not any(p.requires_grad for p in teacher.model.parameters())
    assert teacher.outcomes(random_network(SMALL.replace(vocab_size=20))) == TOKENS
    assert teacher.outcomes(random_network(SMALL.replace(vocab_size=9))) == 9
