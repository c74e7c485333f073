import random

import numpy as np
import pytest

from dataset.prepare.duplicates.repeated_lines import RepeatedLines
from tests.dataset.prepare.duplicates.texts import random_text

MENU = "首页 | 关于我们 | 联系方式"
LICENCE = "Licensed under CC BY-SA 4.0."


def paragraphs(rng: random.Random) -> list[str]:
    return [random_text(rng, 60), random_text(rng, 80)]


def counted(texts: list[str], bits: int = 16) -> RepeatedLines:
    lines = RepeatedLines(bits)
    lines.count(texts)
    return lines


def test_lines_of_more_than_six_documents_are_removed():
    rng = random.Random(0)
    own = [paragraphs(rng) for _ in range(7)]
    texts = [f"{MENU}\n\n{one}\n\n  {LICENCE.upper()} \n\n{other}" for one, other in own]
    lines = counted(texts[:6])
    assert lines.remove(texts[0]) == (texts[0], [], False), "six are not enough"
    lines.count(texts[6:])
    for text, (one, other) in zip(texts, own):
        without, removed, _ = lines.remove(text)
        assert without == f"{one}\n\n{other}" and removed == [MENU, f"  {LICENCE.upper()} "]
        assert lines.remove(without) == (without, [], False)
    assert lines.remove(texts[0], more_than=7) == (texts[0], [], False)


def test_a_line_counts_once_a_document():
    text = "\n".join([LICENCE] * 20 + ["and a paragraph of its own that is longer than all of the rest" * 20])
    assert counted([text]).remove(text) == (text, [], False)


@pytest.mark.parametrize(
    "line",
    [
        "}",
        "谢谢你",
        "Yes, sir.",
        "KING RICHARD:",
        "作者简介：",
        "    return result",
        "```python\nimport numpy as np\n```",
    ],
)
def test_what_stays_however_often_it_recurs(line):
    rng = random.Random(1)
    texts = ["\n".join([line, *paragraphs(rng)]) for _ in range(10)]
    assert counted(texts).remove(texts[0]) == (texts[0], [], False)


def test_after_a_fence_lines_count_again():
    rng = random.Random(2)
    texts = ["\n".join(["~~~\n```\n" + LICENCE + "\n~~~", LICENCE, *paragraphs(rng)]) for _ in range(10)]
    without, removed, _ = counted(texts).remove(texts[0])
    assert removed == [LICENCE] and without.count(LICENCE) == 1


def test_versions_of_one_document_are_left_to_minhash():
    rng = random.Random(3)
    article = [random_text(rng, 50) for _ in range(8)]
    texts = ["\n".join([*article, f"第 {number} 版，有一些改动"]) for number in range(10)]
    assert counted(texts).remove(texts[0]) == (texts[0], [], True)


def test_two_counts_merged_are_one_count():
    rng = random.Random(4)
    common = [random_text(rng, 12) for _ in range(30)]
    texts = ["\n".join(rng.sample(common, 12)) for _ in range(600)]
    whole, one, other = counted(texts, bits=10), counted(texts[:251], bits=10), counted(texts[251:], bits=10)
    one.merge(other)
    assert (one.counts == whole.counts).all()
    assert whole.counts.max() > 200
    for _ in range(2):
        whole.merge(one)
    assert whole.counts.max() == 255, "it stops there"


def test_the_sketch_never_counts_too_few_and_rarely_too_many():
    rng = random.Random(5)
    often = [random_text(rng, 10) for _ in range(200)]
    texts = ["\n".join([random_text(rng, 30) for _ in range(9)] + rng.sample(often, 1)) for _ in range(2000)]
    lines = counted(texts, bits=14)  # 18,000 lines in 16,384 entries
    times = {line: sum(line in text for text in texts) for line in often}
    wrong = 0
    for text in texts:
        _, removed, _ = lines.remove(text)
        line = text.split("\n")[-1]
        assert (line in removed) >= (times[line] > 6)
        wrong += len(removed) - (line in removed)
    assert wrong <= 2
    assert lines.counts.shape == (4, 2**14) and lines.counts.dtype == np.uint8
