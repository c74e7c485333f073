"""Rounds of new instructions: what is asked, what is kept of the replies, and when a run ends."""

import re
from types import SimpleNamespace

import pytest

from inference.instruct import growing
from inference.instruct.growing import MOST_BARREN, Counts, Growing, Progress, Settings
from inference.instruct.prompts import instructions_in
from inference.instruct.requests import Journal, Reply
from model.errors import SproutError

SEEDS = [f"Name a {thing} today." for thing in "river lake tree bird fish stone star song road tool".split()]
STOP = "stop"
HALF = f"9. {SEEDS[0]}\n10. Name a coast today.\n11. Name a town today.\n12. Name a par"


class Scripted:
    """Gives these replies to requests for instructions, one after the other, and an answer to each instruction."""

    def __init__(self, new=(), answers=None):
        self.new, self.answers = iter(new), answers or {}
        self.asked, self.questions = [], []

    def replies(self, requests):
        for place, request in enumerate(requests):
            if request.message is None or "tasks. Write" in request.message or "请再写出" in request.message:
                self.asked.append(request)
                yield place, next(self.new, Reply("", STOP, 1, 1))
            else:
                self.questions.append(request)
                yield place, self.answers.get(request.message, Reply("It is here.", STOP, 20, 3))


@pytest.fixture
def grow(tmp_path):
    """A run; the one before it has ended."""
    journals, in_lines = [], [seed.replace(" a ", " a\n") for seed in SEEDS]

    def grow(model, way="self_instruct", languages=frozenset(), in_flight=2, resume=False, **more):
        settings = Settings(way, languages, in_flight, more.get("seed", 7), 1.0, 0.9, 64, novelty=0.95)
        for journal in journals:
            journal.close()
        journals.append(Journal(tmp_path / more.get("journal", "journal"), {"seeds": "x"}, resume))
        return Growing(model, journals[-1], in_lines, settings, more.get("note", lambda: None))

    yield grow
    journals[-1].close()


def script() -> Scripted:
    new = [
        Reply("9. Name a coast today.\n10. Name  a **hill** today.", STOP, 100, 10),
        Reply(HALF, "length", 100, 10),
        Reply("", "garbage"),
        Reply("No tasks.", STOP, 100, 10),
        Reply("9. Name a cave today.", STOP, 100, 10),
        Reply("9. Name a gate today.\n10. Name a door today.", "tool_calls", 100, 10),
    ]
    answers = {
        "Name a coast today.": Reply("<think>9. hm</think>\r\nThe west\r\ncoast.", STOP, 20, 3),
        "Name a hill today.": Reply("The hill", "length", 20, 3),
    }
    return Scripted(new, answers)


def test_each_round_keeps_what_is_new_and_answered(grow):
    model = script()
    run = grow(model)
    found = list(run.records())
    told = [tuple(turn["content"] for turn in one["conversations"]) for one in found]
    assert told == [
        ("Name a coast today.", "The west\ncoast."),
        ("Name a town today.", "It is here."),
        ("Name a cave today.", "It is here."),
    ]
    assert [(one["id"], one["request"], one["way"]) for one in found] == [
        (0, 0, "self_instruct"),
        (2, 1, "self_instruct"),
        (3, 4, "self_instruct"),
    ]
    rejected = dict(run.counts.rejected)
    assert rejected.pop("instruction: no numbered task") == 1 + 2 * MOST_BARREN
    assert rejected == {
        "instruction: not new": 2,
        "answer: not ended": 1,
        "instruction: reply not readable": 1,
        "instruction: not ended": 1,
    }
    new, questions = 6 + 2 * MOST_BARREN, 4
    assert run.barren and len(model.asked) == new and len(model.questions) == questions
    assert (run.counts.requests, run.counts.known) == (new + questions, 0)
    assert (run.counts.tokens_in, run.counts.tokens_out) == (5 * 100 + 4 * 20 + 40, 5 * 10 + 4 * 3 + 40)


def test_a_request_shows_the_instructions_that_its_record_names(grow):
    model, kept = script(), ["Name a coast today.", "Name a hill today.", "Name a town today.", "Name a cave today."]
    records, orders = list(grow(model).records()), []
    for number, request in enumerate(model.asked):
        assert request.message.startswith("Below are 8 tasks. Write 4 new tasks") and "from 9." in request.message
        shown = re.findall(r"^\d+\. (.*)$", request.message, re.MULTILINE)
        of_kept = [one for one in shown if one in kept]
        assert len(set(shown)) == 8 and len(of_kept) == (0 if number < 2 else 2)
        for record in records:
            if record["request"] == number:
                source = [SEEDS[i - 1] for i in record["seeds"]] + [kept[i] for i in record["examples"]]
                assert sorted(source) == sorted(shown)
        orders.append([SEEDS.index(one) for one in shown if one in SEEDS])
    assert any(order != sorted(order) for order in orders)
    seeds = [request.seed for request in (*model.asked, *model.questions)]
    assert len(set(seeds)) == len(seeds) and max(seeds) < 2**31


def test_requests_are_asked_as_the_settings_say_and_each_reply_is_noted_once(grow):
    model, notes = script(), []
    list(grow(model, note=lambda: notes.append(1)).records())
    every = [*model.asked, *model.questions]
    assert {(one.temperature, one.top_p, one.max_tokens) for one in every} == {(1.0, 0.9, 64)}
    assert len(notes) == len(every)
    other = script()
    list(grow(other, seed=8, journal="other").records())
    assert not {one.seed for one in every} & {one.seed for one in (*other.asked, *other.questions)}
    assert model.asked[0].message != other.asked[0].message


def test_the_journal_gives_the_same_records_without_a_request(grow):
    records = list(grow(script()).records())
    again = grow(Scripted(), resume=True)
    assert list(again.records()) == records
    assert (again.counts.requests, again.counts.tokens_in, again.counts.known) == (0, 0, 10 + 2 * MOST_BARREN)


def test_only_rounds_without_a_record_that_follow_each_other_end_a_run(grow):
    nothing, good = Reply("", STOP), Reply("9. Name a coast today.", STOP)
    model = Scripted([*[nothing] * 5, good])
    assert len(list(grow(model, in_flight=1).records())) == 1 and len(model.asked) == 5 + 1 + MOST_BARREN


def test_what_is_refused_is_asked_again_by_the_next_run_and_nothing_accepted_is_an_error(grow):
    refused, good = Reply("", "refused"), Reply("9. Name a coast today.", STOP)
    with pytest.raises(SproutError, match="accepts none of these requests"):
        list(grow(Scripted([refused, refused])).records())
    # A filter may refuse all of a round, and the only answer of another: that is the end of neither run nor --resume.
    run = grow(Scripted([refused, good, refused, refused], {"Name a coast today.": refused}))
    assert list(run.records()) == []
    assert run.counts.rejected["instruction: request not accepted"] == 3
    assert run.counts.rejected["answer: request not accepted"] == 1
    model = Scripted([good])
    next(grow(model, resume=True).records())
    assert len(model.asked) == 1  # the first


def test_a_network_that_writes_the_users_turn_is_asked_nothing(grow):
    model = Scripted([Reply(" Name a coast today.\n", STOP), Reply("Name a gate today", "length")])
    (record,) = grow(model, way="magpie").records()
    assert record["conversations"][0]["content"] == "Name a coast today." and record["request"] == 0
    assert all(request.message is None for request in model.asked)


@pytest.mark.parametrize("languages, begins", [({"zh"}, "下面是8个任务。请再写出4个"), ({"zh", "en"}, "Below are 8")])
def test_it_asks_in_the_language_that_is_wanted(grow, languages, begins):
    model = Scripted()
    list(grow(model, languages=frozenset(languages)).records())
    assert model.asked[0].message.startswith(begins)


def test_it_keeps_what_is_in_the_language_that_is_wanted(grow):
    new = Reply("9. Name a coast today.\n10. 说出一条很长的河。\n11. 说出一座很高的山。", STOP)
    answers = {"说出一座很高的山。": Reply("It is the mountain that everybody here knows well.", STOP)}
    run = grow(Scripted([new], answers), languages=frozenset({"zh"}))
    assert [record["conversations"][0]["content"] for record in run.records()] == ["说出一条很长的河。"]
    assert run.counts.rejected["instruction: another language"] == run.counts.rejected["answer: another language"] == 1


def test_the_numbered_tasks_of_a_reply():
    reply = "<think>\n1. not this</think>Here:\n" + "\n".join(f"{n}. **Task** {n}\n of two lines" for n in range(9, 21))
    assert instructions_in(reply, True) == [f"Task {n} of two lines" for n in range(9, 17)]
    assert instructions_in("9. one\n10. two\n11. thr", False) == ["one", "two"]


def test_the_time_left_follows_from_what_was_asked_in_this_run(monkeypatch):
    """What the journal gave took no time."""
    clock, said = SimpleNamespace(now=0.0), []
    monkeypatch.setattr(growing.time, "monotonic", lambda: clock.now)
    progress = Progress(said.append, wanted=1000)
    for now, records, requests in ((1, 40, 0), (5, 40, 1), (65, 50, 9), (74, 51, 10)):
        clock.now = now
        progress.show(records, Counts(requests=requests))
    assert said == ["50 of 1,000 records, 9 requests, 0 tokens in, 0 out, about 95 min left"]
