"""Files that grow are read on, not again; whatever is in them."""

import json
import os
from itertools import pairwise

import pytest

from training.watch.following import RECENT, SPARSE, WHOLE, Following, last_line


def line(step: int, **more) -> str:
    return json.dumps({"step": step, "loss": 4.0, "lr": 0.1, "time/seconds": 2.0} | more) + "\n"


@pytest.fixture
def following(tmp_path):
    return Following(tmp_path / "metrics.jsonl")


def append(following: Following, text: str) -> bool:
    with open(following.path, "a") as file:
        file.write(text)
    return following.look()


def test_a_line_is_read_when_it_is_whole(following):
    assert append(following, line(1) + line(2)[:20]) and following.last["step"] == 1
    assert not following.look()
    assert append(following, line(2)[20:]) and following.last["step"] == 2 and not following.damaged


def test_what_is_no_number_is_counted_and_not_drawn(following):
    append(following, line(1) + line(2, loss=None, skipped="non-finite") + line(3, loss=float("nan"), val_loss=None))
    append(following, line(4, loss=None, skipped="overflow") + line(5, loss=3.5, val_loss=3.0))
    assert (following.curve, following.not_finite) == ([(1, 4.0), (5, 3.5)], 2)
    assert following.validations == [(5, 3.0)] and following.validated["step"] == 5


def test_lines_of_something_else_are_passed_over_and_counted(following):
    odd = ["no JSON", "[]", '{"step": "1"}', '{"step": true}', '{"step": 3, "time": 1}', "\udcff", "[" * 100_000]
    with open(following.path, "w", errors="surrogateescape") as file:
        file.write("\n".join([line(1).strip(), *odd, "", line(4)]))
    assert following.look() and following.damaged == len(odd)
    assert [step for step, _ in following.curve] == [1, 4]


def test_a_run_that_is_resumed_or_begun_anew_is_read_anew(following):
    append(following, "".join(line(step) for step in range(1, 9)))
    new = following.path.with_suffix(".new")
    new.write_text("".join(line(step, loss=2.0) for step in range(1, 6)))
    os.replace(new, following.path)
    assert following.look() and following.last["step"] == 5 and {loss for _, loss in following.curve} == {2.0}
    os.truncate(following.path, len(line(1, loss=2.0)))
    assert following.look() and following.last["step"] == 1
    following.path.unlink()
    assert following.look() and not following.last and not following.look()


def test_of_a_long_file_a_part_is_read_and_then_what_is_added(following, monkeypatch):
    filler, read = "x" * 400, []
    count = 5 * WHOLE // 400
    with open(following.path, "w") as file:
        for step in range(1, count):
            file.write(line(step, filler=filler, **{"val_loss": 3.0} if step == count // 7 else {}))
    honest = following._add
    monkeypatch.setattr(following, "_add", lambda text: (read.append(len(text)), honest(text)))
    following.look()
    assert following.last["step"] == count - 1 and sum(read) < WHOLE + 2 * SPARSE * len(line(1, filler=filler))
    steps = [step for step, _ in following.curve]
    assert steps[0] == 1 and steps == sorted(steps) and max(b - a for a, b in pairwise(steps)) < count / 100
    assert following.validated["step"] == count // 7  # the last, though none of the lines that were read
    read.clear()
    append(following, line(count))
    assert read == [len(line(count)) - 1] and following.last["step"] == count


def test_the_line_over_the_edge_of_what_is_read_is_looked_at_for_its_validation(following, monkeypatch):
    monkeypatch.setattr("training.watch.following.WHOLE", 100)
    monkeypatch.setattr("training.watch.following.SPARSE", 1)
    append(following, line(1) + line(2, note="x" * 40, val_loss=3.0) + line(3))  # the edge is in the note
    assert following.validations == [(2, 3.0)] and following.last["step"] == 3


def test_a_curve_of_very_many_steps_is_thinned_out(following):
    for first in range(1, 30_000, 10_000):
        append(following, "".join(line(step) for step in range(first, first + 10_000)))
    steps = [step for step, _ in following.curve]
    assert 4_000 < len(steps) < 9_000 and steps[0] == 1 and steps[-1] > 29_990
    assert len({b - a for a, b in pairwise(steps)}) == 1  # evenly
    assert following.last["step"] == 30_000 and len(following.recent) == RECENT
    assert following.usual("time/seconds") == 2.0


def test_what_learns_from_rewards_is_followed_by_its_reward(following):
    append(following, line(1, reward=0.2) + line(2, reward=0.3, val_reward=0.4))
    assert (following.name, following.curve, following.validations) == ("reward", [(1, 0.2), (2, 0.3)], [(2, 0.4)])


@pytest.mark.parametrize(
    ("text", "found"), [('{"a": 1}\n{"a": 2}\n{"a"', {"a": 2}), ('{"a": 1}', None), ("", None), ("[]\n", None)]
)
def test_the_last_line_is_the_last_whole_one(tmp_path, text, found):
    (tmp_path / "samples.jsonl").write_text(text)
    assert last_line(tmp_path / "samples.jsonl") == found
