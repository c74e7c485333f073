"""What counts as right, confidence intervals against their definition, and overlap with training data."""

import json
import math

import pytest

from inference.benchmark.overlap import overlapping
from inference.benchmark.scores import chosen, passages, share, wilson
from inference.benchmark.word_problems import WRITTEN

GRADES = {layout.name: layout.forms[0].grades for layout in WRITTEN}


@pytest.mark.parametrize(("right", "items"), [(0, 20), (7, 20), (20, 20), (500, 1000)])
def test_the_ends_of_an_interval_are_shares_1_96_standard_errors_away(right, items):
    for end in wilson(right, items):
        if 1e-12 < end < 1 - 1e-12:
            assert abs(right / items - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / items), rel=1e-6)
    low, high = wilson(right, items)
    assert low <= right / items <= high and (low == pytest.approx(0, abs=1e-12)) == (right == 0)


def test_chance_is_said_where_the_interval_holds_it():
    assert share("acc", [True, False] * 50, 0.5).is_chance
    assert share("acc", [True, False] * 50, 0.25).is_chance is False
    assert share("strict", [False] * 50).is_chance is False


def test_metrics_divide_by_nothing_characters_or_bytes():
    likelihoods, choices = [-2.0, -3.0, -6.0], ["a", "bb", "天地玄"]
    assert [chosen(likelihoods, choices, metric) for metric in ("acc", "acc_norm", "acc_bytes")] == [0, 1, 2]
    assert chosen([-1.0, -1.0], ["a", "b"], "acc") == 0  # numpy's argmax takes the first as well


def test_one_text_has_no_interval():
    perplexity, bits = passages([2.0], [2], [4])
    assert (perplexity.value, perplexity.low) == (pytest.approx(math.e), None)
    assert bits.value == pytest.approx(0.5 / math.log(2))


@pytest.mark.parametrize(
    ("layout", "written", "right", "strict", "flexible"),
    [
        ("gsm8k", " so 1,000.\n#### 1,000", "way\n#### 1000", True, True),
        ("gsm8k", " it is $18.", "way\n#### 18", False, True),
        ("gsm8k", "#### 18\n#### 19", "#### 18", True, False),
        ("gsm8k", "18 and then 3", "#### 18", False, False),
        ("gsm8k", "none", "#### 18", False, False),
        ("mgsm_zh", "答案是 18。", "18", True, True),
        ("mgsm_zh", "答案是 18", "18", False, True),
        ("mgsm_en", "The answer is 18.", "18", True, True),
        ("mgsm_en", "it is -18.", "18", False, True),  # as in lm-eval, signs do not count
    ],
)
def test_written_numbers_are_graded_as_lm_eval_does(layout, written, right, strict, flexible):
    grades = GRADES[layout]
    assert (grades["strict"](written, right), grades["flexible"](written, right)) == (strict, flexible)


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
