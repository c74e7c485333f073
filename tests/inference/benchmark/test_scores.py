"""What counts as right, confidence intervals against their definition, and overlap with training data."""

import json
import math
import statistics
from dataclasses import replace

import pytest

from inference.benchmark.outcomes import Outcome, score_task
from inference.benchmark.overlap import overlapping
from inference.benchmark.report import remarks, table
from inference.benchmark.scores import Score, chosen, passages, share, wilson
from inference.benchmark.tasks import read_tasks
from inference.benchmark.word_problems import WRITTEN

GRADES = {layout.name: layout.forms[0].grades for layout in WRITTEN}


@pytest.mark.parametrize(("right", "items"), [(0, 20), (7, 20), (20, 20), (500, 1000)])
def test_the_ends_of_an_interval_are_shares_1_96_standard_errors_away(right, items):
    for end in wilson(right, items):
        if 1e-12 < end < 1 - 1e-12:
            assert abs(right / items - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / items), rel=1e-6)
    low, high = wilson(right, items)
    assert low <= right / items <= high and (low == pytest.approx(0, abs=1e-12)) == (right == 0)


def test_no_interval_ends_outside_0_to_1():
    for items in range(1, 300):
        assert wilson(0, items)[0] >= 0 and wilson(items, items)[1] <= 1


def test_chance_is_said_where_the_interval_holds_it():
    assert share("acc", [True, False] * 50, 0.5).is_chance
    assert share("acc", [True, False] * 50, 0.25).is_chance is False
    assert share("strict", [False] * 50).is_chance is False
    held = [Score("acc", 9, 0.5, 0.3, 0.7, chance).is_chance for chance in (0.2, 0.3, 0.7, 0.8)]
    assert held == [False, True, True, False]


def test_metrics_divide_by_nothing_characters_or_bytes():
    likelihoods, choices = [-2.0, -3.0, -6.0], ["a", "bb", "天地玄"]
    assert [chosen(likelihoods, choices, metric) for metric in ("acc", "acc_norm", "acc_bytes")] == [0, 1, 2]
    assert chosen([-1.0, -1.0], ["a", "b"], "acc") == 0  # numpy's argmax takes the first as well


def test_one_text_has_no_interval():
    perplexity, bits = passages([2.0], [2], [4])
    assert (perplexity.value, perplexity.low) == (pytest.approx(math.e), None)
    assert bits.value == pytest.approx(0.5 / math.log(2))


def test_the_interval_of_texts_of_one_length_is_that_of_a_mean():
    nats, tokens = [9.0, 14.0, 11.0, 13.5], 4
    mean, error = statistics.mean(nats) / tokens, statistics.stdev(nats) / math.sqrt(4) / tokens
    perplexity, bits = passages(nats, [tokens] * 4, [2 * tokens] * 4)
    ends = [mean - 1.959964 * error, mean, mean + 1.959964 * error]
    assert [perplexity.low, perplexity.value, perplexity.high] == pytest.approx([math.exp(end) for end in ends])
    assert [bits.low, bits.value, bits.high] == pytest.approx([end / math.log(2) / 2 for end in ends])
    assert perplexity.items == bits.items == 4


def test_texts_of_one_rate_whatever_their_length_leave_no_doubt_and_nothing_is_more_than_certain():
    perplexity, _ = passages([2.0, 6.0, 20.0], [1, 3, 10], [1, 3, 10])
    assert perplexity.low == pytest.approx(perplexity.high) == pytest.approx(math.exp(2))
    perplexity, bits = passages([0.1, 9.0], [4, 4], [4, 4])
    assert (perplexity.low, bits.low) == (1.0, 0.0) and bits.high > 2
    assert passages([500.0], [1], [1])[0].value == math.exp(500)


def test_items_are_right_by_their_own_choice_and_guessing_is_rated_by_their_number_of_choices(tmp_path):
    file, records = tmp_path / "arc.jsonl", []
    for count, key in ((2, "B"), (4, "D"), (4, "A")):
        choices = {"text": [f"text {place}" for place in range(count)], "label": list("ABCD"[:count])}
        records.append({"question": "?", "choices": choices, "answerKey": key})
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    (task,) = read_tasks([str(file)])
    outcomes = [Outcome((-2.0, -1.0)), Outcome((-1.0, -1.0, -1.0, -3.0)), Outcome((-1.0, -2.0, -2.0, -2.0))]
    found = {score.metric: score for score in score_task(task, outcomes)}["acc"]
    assert (found.items, found.value, found.chance) == (3, pytest.approx(2 / 3), pytest.approx(1 / 3))
    found = score_task(task, outcomes, without={0})[0]
    assert (found.items, found.value, found.chance) == (2, 0.5, 0.25)
    assert score_task(task, outcomes, without={0, 1, 2}) == []


def test_the_table_says_what_a_score_is_of_and_where_it_may_be_chance():
    rows = [
        ("piqa", Score("acc", 1234, 0.5, 0.2, 0.81234, 0.5)),
        ("gsm8k", Score("strict", 8, 0.0, 0.0, 0.3)),
        ("text", Score("perplexity", 2, 12.3456, 1.0, 20.0)),
        ("text", Score("bits_per_byte", 1, 1.23456)),
    ]
    assert [line.split() for line in table(rows)[1:]] == [
        ["piqa", "1,234", "acc", "50.0%", "20.0%", "to", "81.2%", "50.0%", "chance"],
        ["gsm8k", "8", "strict", "0.0%", "0.0%", "to", "30.0%", "-"],
        ["text", "2", "perplexity", "12.35", "1.00", "to", "20.00", "-"],
        ["text", "1", "bits_per_byte", "1.2346", "-", "-"],
    ]


def test_what_a_reader_should_know_of_the_items_is_said(tmp_path):
    paths = [tmp_path / f"{name}.jsonl" for name in ("asked", "shots")]
    for path, count in zip(paths, (3, 2)):
        path.write_text('{"question": "2+2?", "answer": "#### 4"}\n' * count)
    (task,) = read_tasks([str(paths[0])], [str(paths[1])])
    assert remarks(task, [Outcome(written="4", cut=cut) for cut in (True, False, True)]) == [
        "gsm8k: 3 items with fewer examples before them than the usual 5, the least 2, since --shots_path holds no more"
        " for them",
        "gsm8k: the network saw only the end of 2 items longer than its context",
        "gsm8k: counted 2 items again that stand earlier in the data, as published scores do",
    ]
    task.left_out, task.shots = 1, 2
    first = task.entries[0]
    task.entries[1:] = [replace(first, subject="another"), replace(first, item=replace(first.item, answer="#### 5"))]
    assert remarks(task, []) == ["gsm8k: left out 1 items, which cannot be asked so"]


@pytest.mark.parametrize(
    ("layout", "written", "right", "strict", "flexible"),
    [
        ("gsm8k", " so 1,000.\n#### 1,000", "way\n#### 1000", True, True),
        ("gsm8k", " it is $18.", "way\n#### 18", False, True),
        ("gsm8k", "#### 18\n#### 19", "#### 18", True, False),
        ("gsm8k", "18 and then 3", "#### 18", False, False),
        ("gsm8k", "none", "#### 18", False, False),
        ("gsm8k", "#### -3.5", "#### -3.5", True, True),
        ("gsm8k", "#### -18", "#### 18", False, False),
        ("gsm8k", "he lost -$18", "#### -18", False, True),
        ("gsm8k", "#### 1,234.5 and no more", "#### 1,234.5 \n", True, True),
        ("gsm8k", "7", "4 + 3 = 7.\n#### 7.", False, True),
        ("mgsm_zh", "答案是 18。", "18", True, True),
        ("mgsm_zh", "答案是 18", "18", False, True),
        ("mgsm_zh", "答案是 -3.5。", "-3.5", True, True),
        ("mgsm_zh", "答案是 -18，也就是 3。", "18", False, False),
        ("mgsm_en", "The answer is 18.", "18", True, True),
        ("mgsm_en", "The answer is $18.", "18", False, True),
        ("mgsm_en", "The answer is -1,800 of 7", "1800", True, False),
        ("mgsm_en", "it is -18.", "18", False, True),  # as in lm-eval, signs do not count
    ],
)
def test_written_numbers_are_graded_as_lm_eval_does(layout, written, right, strict, flexible):
    grades = GRADES[layout]
    assert (grades["strict"](written, right), grades["flexible"](written, right)) == (strict, flexible)


@pytest.mark.parametrize(
    ("written", "right", "found"),
    [(" Paris ", "Paris", True), ("我", " 我", True), ("It is Paris", "Paris", False), ("paris", "Paris", False)],
)
def test_a_short_answer_is_right_if_it_is_that_answer_and_nothing_else(written, right, found):
    assert GRADES["short_answers"]["exact_match"](written, right) is found


@pytest.mark.parametrize(
    ("layout", "goes_on"),
    [("gsm8k", "Question:"), ("mgsm_zh", "问题："), ("mgsm_en", "Question:"), ("short_answers", "\n")],
)
def test_a_written_answer_ends_where_lm_eval_ends_it(layout, goes_on):
    (form,) = next(one.forms for one in WRITTEN if one.name == layout)
    assert set(form.until) == {goes_on, "</s>", "<|im_end|>"}


def test_items_that_stand_in_training_data(tmp_path):
    words = " ".join(f"word{i}" for i in range(20))
    chinese = "".join(chr(0x4E00 + i) for i in range(40))
    texts = [
        f"Another beginning, then {words}",  # 13 words in a row
        words.replace("word9", "other"),  # 9 and 10 in a row
        "four words say nothing",
        "Five short words, all there!",
        f"别{chinese[5:36]}的",  # 31 characters
        f"{chinese[:29]}别{chinese[30:]}",  # 29
        "天地玄黄宇宙洪荒日月",
    ]
    content = [
        {"text": words.upper()},
        {"conversations": [{"role": "user", "content": f"{chinese}，天地玄黄 宇宙洪荒日月"}]},
    ]
    content.append({"prompt": ["and five short WORDS all there"]})
    file = tmp_path / "data.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in content) + "no JSON\n", encoding="utf-8")
    assert overlapping([texts, ["nothing of this stands there"]], [str(file)]) == [({0, 3, 4, 6}, 6), (set(), 1)]
