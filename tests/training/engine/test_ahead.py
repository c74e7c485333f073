"""A thread that works ahead: order, errors, its end."""

import random
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dataset.rows.chats import CHATS
from dataset.rows.texts import TEXTS
from tests.stages.table import STAGES
from tests.stages.workshop import Workshop
from tests.training.support import flags
from training.engine.ahead import Ahead
from training.engine.on_cuda import BatchesAhead
from training.engine.plan import make_plan
from training.stages.data import open_data


def threads() -> int:
    return sum(thread.name.startswith("ahead") for thread in threading.enumerate())


def test_results_come_in_order_and_so_many_ahead():
    made = []

    def call(number):
        return lambda: made.append(number) or number

    ahead = Ahead((call(number) for number in range(6)), depth=2)
    assert ahead.take() == 0
    ahead._made[-1].result()  # the last of those handed over
    assert made == [0, 1, 2]
    assert [ahead.take() for _ in range(5)] == [1, 2, 3, 4, 5]
    with pytest.raises(IndexError):
        ahead.take()
    ahead.close()
    assert not threads()


def test_an_error_is_raised_where_its_result_is_taken():
    def fails():
        raise ValueError("a damaged file")

    ahead = Ahead(iter([lambda: 0, fails, lambda: 2]), depth=3)
    assert ahead.take() == 0
    with pytest.raises(ValueError, match="a damaged file"):
        ahead.take()
    assert ahead.take() == 2
    ahead.close()


def test_it_closes_in_the_middle_of_its_work():
    begun = []

    def slow():
        begun.append(True)
        time.sleep(0.02)

    ahead = Ahead((slow for _ in range(10_000)), depth=1000)
    ahead.take()
    ahead.close()
    assert not threads() and len(begun) < 1000


class Rows:
    def __init__(self):
        self.asked, self.threads = [], set()

    def batch(self, epoch, places):
        self.asked.append((epoch, list(places)))
        self.threads.add(threading.current_thread().name)
        return SimpleNamespace(epoch=epoch, places=list(places))


def small_plan(*words):
    return make_plan(flags("--batch_size=2", *words), rows_per_epoch=9, row_length=8, world_size=1)


def test_steps_get_their_own_rows_in_the_order_of_the_plan():
    plan, rows = small_plan("--accumulation_steps=2", "--epochs=2"), Rows()
    ahead = BatchesAhead(plan, lambda batch: lambda: batch)
    found = [[(b.epoch, b.places) for b in ahead.of_step(step, rows)] for step in range(plan.steps)]
    one = [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8]]]
    assert found == [[(epoch, places) for places in step] for epoch in range(2) for step in one]
    assert len(rows.asked) == 10 and rows.threads == {"ahead_0"}  # every batch once
    ahead.close()


def test_it_begins_anew_at_another_step_and_after_one_that_was_left():
    plan, rows = small_plan("--accumulation_steps=2"), Rows()
    ahead = BatchesAhead(plan, lambda batch: lambda: batch)
    for batch in ahead.of_step(1, rows):  # of a run that was resumed
        assert batch.places == [4, 5]
        break
    assert [batch.places for batch in ahead.of_step(1, rows)] == [[4, 5], [6, 7]]
    assert [batch.places for batch in ahead.of_step(0, Rows())] == [[0, 1], [2, 3]]
    assert threads() == 1
    ahead.close()
    assert not threads()


def test_several_processes_share_the_micro_batches(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    plan = make_plan(flags("--batch_size=2", "--accumulation_steps=2"), rows_per_epoch=14, row_length=8, world_size=2)
    ahead = BatchesAhead(plan, lambda batch: lambda: batch)
    found = [[batch.places for batch in ahead.of_step(step, Rows())] for step in range(2)]
    ahead.close()
    assert found == [[[2, 3], [6, 7]], [[10, 11]]]


@pytest.mark.parametrize("stage, kind", [("pretrain", TEXTS), ("full_sft", CHATS)])
def test_rows_use_no_random_numbers_of_the_process(small_tokenizer, tmp_path, stage, kind):
    """They are made in another thread while the loop seeds and draws."""
    workshop = Workshop.create(tmp_path, stage)
    args = STAGES[stage].script.parse_arguments(workshop.command("out"))
    rows, _ = open_data(kind, args, small_tokenizer, say=lambda line: None)

    def states():
        return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().tolist()

    before = states()
    rows.batch(1, range(3))
    assert states() == before
