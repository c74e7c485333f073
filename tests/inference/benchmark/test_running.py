"""How a task is asked: what of an item the network reads, what room its answer has, and how an interruption ends."""

import copy
import json
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from inference.benchmark import running
from inference.benchmark.running import Settings, prepare, run_in_parts, run_task
from inference.benchmark.tasks import read_tasks
from inference.growing_file import GrowingFile
from inference.writer import prepare_for_decoding
from model.config import TransformerConfig
from model.errors import SproutError, UsageError
from model.generation import generate_batch
from model.sampling import GREEDY
from tests.support import make_tokenizer, random_network

SETTINGS = Settings(positions=32, batch_size=3, max_new_tokens=8, bos=True, precision=nullcontext)


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()  # one token a byte


def tasks_of(tmp_path, **files):
    paths = []
    for name, records in files.items():
        paths.append(tmp_path / f"{name}.jsonl")
        paths[-1].write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_tasks([str(path) for path in paths])


def piqa(goal: str, *choices: str, label: int = 0) -> dict:
    return {"goal": goal, "sol1": choices[0], "sol2": choices[1], "label": label}


def arc(count: int, question: str) -> dict:
    labels = [str(place) for place in range(1, count + 1)]
    choices = {"text": [f"{question}{label}" for label in labels], "label": labels}
    return {"question": question, "choices": choices, "answerKey": "1"}


def test_what_is_asked_of_each_choice(tmp_path, tokenizer, monkeypatch):
    """Its delimiter is part of it, BOS leads where that is wanted, and what the flags name is used."""
    asked, entered = [], []

    def likelihoods(model, requests, positions, *, autocast, batch_size, show):
        with autocast():
            asked.append((positions, batch_size))
        show(1)
        show(len(requests) - 1)
        return [-float(len(one.continuation)) for one in requests]

    @contextmanager
    def precision():
        entered.append(True)
        yield

    monkeypatch.setattr(running, "log_likelihoods", likelihoods)
    (task,) = tasks_of(tmp_path, piqa=[piqa("x", "a", "bcd"), piqa("yy", "efgh", "i", label=1)])
    for bos in (True, False):
        settings, shares = replace(SETTINGS, bos=bos, precision=precision), []
        requests = prepare(task, tokenizer, settings)
        context = [f"Question: {goal}\nAnswer:" for goal in ("x", "x", "yy", "yy")]
        assert [tokenizer.decode(list(one.continuation)) for one in requests] == [" a", " bcd", " efgh", " i"]
        expected = [[tokenizer.bos_id] * bos + tokenizer.encode(text) for text in context]
        assert [list(one.context) for one in requests] == expected
        for given in (requests, None):
            found = run_task(task, None, tokenizer, settings, given, shares.append)
            assert [one.likelihoods for one in found] == [(-2.0, -4.0), (-5.0, -2.0)]
        assert shares == [0.25, 1.0] * 2
    assert asked == [(32, 3)] * 4 and len(entered) == 4


@pytest.mark.parametrize("longest, is_cut", [(9, False), (10, True)])
def test_an_item_is_cut_where_any_choice_leaves_its_context_too_little_room(
    tmp_path, tokenizer, monkeypatch, longest, is_cut
):
    """A network of 32 positions reads BOS, 22 bytes of context, a space, and of the choice all but the last byte."""
    monkeypatch.setattr(running, "log_likelihoods", lambda model, requests, *rest, **how: [0.0] * len(requests))
    (task,) = tasks_of(tmp_path, piqa=[piqa("1234", "b", "a" * longest), piqa("1", "a", "b")])
    assert [one.cut for one in run_task(task, None, tokenizer, SETTINGS)] == [is_cut, False]


def test_a_choice_may_fill_the_network_and_no_more(tmp_path, tokenizer):
    (task,) = tasks_of(tmp_path, piqa=[piqa("x", "a", "b" * 31)])
    assert max(len(one.continuation) for one in prepare(task, tokenizer, SETTINGS)) == 32
    with pytest.raises(SproutError, match=r"piqa.jsonl:1: a choice has 32 tokens, more than the 31"):
        prepare(task, tokenizer, replace(SETTINGS, positions=31))


class WithEnds:
    """A tokenizer that says which tokens end a text."""

    def __init__(self, tokenizer, end_ids):
        self.bos_id, self.encode_batch, self.decode = tokenizer.bos_id, tokenizer.encode_batch, tokenizer.decode
        self.end_ids = end_ids


@pytest.mark.parametrize("bos", [True, False])
def test_answers_are_those_of_plain_decoding_behind_the_last_tokens_that_leave_room(tmp_path, tokenizer, bos):
    """Prompts of one token less than there is room for, as many, and one more, which loses its first."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
    sizes |= {"vocab_size": 272, "num_key_value_heads": 2, "max_position_embeddings": 64}
    model = random_network(TransformerConfig(tie_word_embeddings=False, **sizes), seed=1)
    settings = replace(SETTINGS, positions=64, bos=bos, vocabulary=200, batch_size=None)
    room = 64 - settings.max_new_tokens
    asked = [room - len("Question: \nAnswer:") - bos + more for more in (-1, 0, 1)]
    (task,) = tasks_of(tmp_path, gsm8k=[{"question": "x" * size, "answer": "#### 4"} for size in asked])
    prompts = [[tokenizer.bos_id] * bos + tokenizer.encode(entry.context) for entry in task.entries]
    greedy = replace(GREEDY, vocabulary=settings.vocabulary)
    expected = generate_batch(model, [ids[-room:] for ids in prompts], max_new_tokens=8, sampling=greedy)
    assert [len(ids) for ids in prompts] == [room - 1, room, room + 1] and max(max(ids) for ids in expected) < 200
    model = copy.deepcopy(model)
    prepare_for_decoding(model)
    whole = run_task(task, model, WithEnds(tokenizer, ()), settings)
    assert [one.written for one in whole] == [tokenizer.decode(ids) for ids in expected]
    assert [one.cut for one in whole] == [False, False, True]
    end = expected[0][3]
    for ids, one in zip(expected, run_task(task, model, WithEnds(tokenizer, {end}), settings), strict=True):
        assert one.written == tokenizer.decode(ids[: ids.index(end)] if end in ids else ids)
    stop = whole[0].written[2:4]
    stopped = replace(task, form=replace(task.form, until=(stop,)))
    for one, cut in zip(whole, run_task(stopped, model, WithEnds(tokenizer, ()), settings), strict=True):
        assert cut.written == one.written.split(stop)[0]


def test_an_answer_leaves_room_for_at_least_one_token_of_its_question(tmp_path, tokenizer):
    (task,) = tasks_of(tmp_path, gsm8k=[{"question": "x", "answer": "#### 4"}])
    assert prepare(task, tokenizer, replace(SETTINGS, max_new_tokens=31)) == []
    with pytest.raises(UsageError, match="--max_new_tokens 32 leave no room for a question: the network sees 32"):
        prepare(task, tokenizer, replace(SETTINGS, max_new_tokens=32))


def two_tasks(tmp_path):
    """Of three and five items, with different numbers of choices."""
    pairs = [piqa(f"q{i}", "a" * (i + 1), "b" * (4 - i), label=i % 2) for i in range(3)]
    return tasks_of(
        tmp_path, piqa=pairs, arc=[arc(count, "abcde"[place]) for place, count in enumerate((2, 4, 3, 5, 2))]
    )


class Scorer:
    """Rates each choice by its own bytes; a run is killed at its call with this number."""

    def __init__(self, fails_at=None):
        self.fails_at, self.sizes = fails_at, []

    def __call__(self, model, requests, positions, *, show, **how):
        if len(self.sizes) == self.fails_at:
            raise KeyboardInterrupt
        self.sizes.append(len(requests))
        show(len(requests))
        return [float(-sum(one.continuation) * len(one.context)) for one in requests]


def run_both(tasks, tokenizer, path, resume=False):
    with GrowingFile(str(path), {}, resume, replaces=True) as file:
        earlier, done = file.earlier(), file.done
        settings = replace(SETTINGS, positions=64)
        every = [
            run_in_parts(task, None, tokenizer, settings, prepare(task, tokenizer, settings), file, earlier)
            for task in tasks
        ]
    return every, done


@pytest.mark.parametrize("fails_at, done", [(0, 0), (1, 2), (2, 3), (3, 5), (4, 7)])
def test_an_interrupted_run_asks_what_is_left_and_finds_the_same(tmp_path, tokenizer, monkeypatch, fails_at, done):
    monkeypatch.setattr(running, "ITEMS_AT_ONCE", 2)
    tasks, scorer = two_tasks(tmp_path), Scorer()
    monkeypatch.setattr(running, "log_likelihoods", scorer)
    expected, _ = run_both(tasks, tokenizer, tmp_path / "whole.jsonl")
    assert scorer.sizes == [4, 2, 6, 8, 2]  # choices: of two pairs, of the third, then 2 + 4, 3 + 5, 2
    assert [[len(one.likelihoods) for one in found] for found in expected] == [[2, 2, 2], [2, 4, 3, 5, 2]]
    monkeypatch.setattr(running, "log_likelihoods", Scorer(fails_at))
    with pytest.raises(KeyboardInterrupt):
        run_both(tasks, tokenizer, tmp_path / "killed.jsonl")
    again = Scorer()
    monkeypatch.setattr(running, "log_likelihoods", again)
    assert run_both(tasks, tokenizer, tmp_path / "killed.jsonl", resume=done > 0) == (expected, done)
    assert again.sizes == scorer.sizes[fails_at:]
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("line", ["[]", "no JSON", '{"other": 1}', '{"likelihoods": 3}', '{"likelihoods": [1.0]}'])
def test_outcomes_that_are_those_of_no_item_are_damage(tmp_path, tokenizer, monkeypatch, line):
    monkeypatch.setattr(running, "ITEMS_AT_ONCE", 2)
    tasks, path = two_tasks(tmp_path), tmp_path / "a.jsonl"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(running, "log_likelihoods", Scorer(fails_at=1))
        run_both(tasks, tokenizer, path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([line.ljust(len(lines[0])), *lines[1:]]) + "\n")
    with pytest.raises(
        SproutError, match="a.jsonl is not as its run left it: remove it and .*progress, and begin anew"
    ):
        run_both(tasks, tokenizer, path, resume=True)


def test_progress_goes_from_the_items_of_earlier_parts_to_all(tmp_path, tokenizer, monkeypatch):
    bars = []

    @contextmanager
    def bar_over(total, *rest):
        bar = SimpleNamespace(n=0, total=total, shown=[])
        bar.update = lambda more: (setattr(bar, "n", bar.n + more), bar.shown.append(bar.n))
        bars.append(bar)
        yield bar

    monkeypatch.setattr(running, "bar_over", bar_over)
    monkeypatch.setattr(running, "ITEMS_AT_ONCE", 2)
    monkeypatch.setattr(running, "log_likelihoods", Scorer())
    run_both(two_tasks(tmp_path), tokenizer, tmp_path / "a.jsonl")
    assert [(bar.total, sorted(set(bar.shown))) for bar in bars] == [(3, [2, 3]), (5, [2, 4, 5])]
