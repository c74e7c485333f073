import json
import time
from pathlib import Path

import pytest

from dataset.prepare.judging.judging import Verdict, judge, thresholds, without_code
from dataset.prepare.judging.measures import Measured

REAL = Path(__file__).parents[4].parent / "shared" / "data"

SIMPLIFIED = (
    "清晨的阳光照进院子里，奶奶正在给花浇水。小明背着书包走出门，看见邻居家的猫趴在墙头上打盹。他轻轻叫了一声，猫睁开"
    "眼睛看了看他，又闭上了。路上的人渐渐多起来，卖早点的摊子冒着热气，空气中有豆浆和油条的香味。"
)
TRADITIONAL = (
    "清晨的陽光照進院子裡，奶奶正在給花澆水。小明背著書包走出門，看見鄰居家的貓趴在牆頭上打盹。他輕輕叫了一聲，貓睜開"
    "眼睛看了看他，又閉上了。路上的人漸漸多起來，賣早點的攤子冒著熱氣，空氣中有豆漿和油條的香味。"
)
ENGLISH = (
    "The morning sun came into the yard while grandmother was watering her flowers. A boy left the house with his "
    "bag and saw that the cat of the neighbours was asleep on the wall. He called it softly, and it opened one eye to "
    "look at him. Soon there were more people in the street, and it smelled of fresh bread from the shop at the corner."
)
GERMAN = (
    "Die Morgensonne schien in den Hof, und die Großmutter goss ihre Blumen. Ein Junge verließ das Haus mit seiner "
    "Tasche und sah, dass die Katze der Nachbarn auf der Mauer schlief. Er rief sie leise, und sie öffnete ein Auge. "
    "Bald waren mehr Leute auf der Straße, und es roch nach frischem Brot, das viele Kunden im Laden kauften."
)


@pytest.mark.parametrize("text", [SIMPLIFIED, TRADITIONAL, ENGLISH, GERMAN])
def test_prose_is_kept(text):
    assert judge(text) == Verdict(None)


@pytest.mark.parametrize(
    "text, rule",
    [
        (SIMPLIFIED[:40], "length"),
        ("首页 新闻 体育 娱乐 财经 科技 汽车 房产 教育 健康\n" * 4, "stop words"),
        ("商品的名称是" + "，好手机" * 20 + "。", "top of 3 grams"),
        (SIMPLIFIED + SIMPLIFIED[40:], "duplicated of 8 grams"),
        ("\n".join("- " + SIMPLIFIED[i : i + 12] for i in range(0, 90, 12)), "bullet lines"),
        (SIMPLIFIED + "12:30 $%^&* 3.14159 | 0x0f | " * 8, "letters"),
        ("他的\n" + "\n".join(chr(0x4E00 + i) + "名单表格数据" for i in range(20)), "terminal lines"),
        (SIMPLIFIED + "\n版权所有。" * 3, "duplicate lines"),
        ("The cat is here.", "length"),
        ("of the " + "Incomprehensibilities notwithstanding, " * 30, "mean word length"),
        ("Buy cheap shoes now online " * 12, "stop words"),
        (ENGLISH + " #tag" * 12, "symbols"),
        ("the and\n" + "\n".join(f"Category number {i} of shop articles" for i in range(15)), "terminal lines"),
        (ENGLISH + ("\n" + ENGLISH[:100]) * 3, "duplicate lines"),
        (ENGLISH + "".join(f"\nLine {word}." for word in ("one", "two", "three")), "short lines"),
        (ENGLISH + " 1234" * 30, "letters"),
        ("and then that was it for the day. " * 9, "top of 2 grams"),
    ],
)
def test_each_rule_drops_what_it_is_for(text, rule):
    verdict = judge(text)
    assert verdict.rule == rule
    limits = thresholds()["prose_in_characters" if Measured(text).by_characters else "prose_in_words"]
    assert verdict.threshold in limits[rule.replace(" ", "_")].values()


def test_code_is_judged_as_code():
    code = "def add(a, b):\n    return a + b\n\n\nfor i in range(10):\n    print(add(i, 1))\n"
    assert judge(code).rule == "length" and judge(code, "code").rule is None
    assert judge("var a=" + "1," * 600, "code").rule == "mean line length"
    assert judge("x = 1\n" * 50 + "a" * 1001, "code").rule == "longest line"
    assert judge("{}[]();,\n" * 20, "code").rule == "letters and digits"
    assert judge("", "none").rule is None
    assert judge(ENGLISH + "\n```python\n" + "x = 1\n" * 50 + "```\nThis is the end.").rule is None


def test_fences_that_nothing_closes_are_text_and_take_no_time():
    opened = "```python x\n\n" * 30_000
    begun = time.process_time()
    assert judge(opened) == judge(opened.replace("`", "~")) and judge(opened).rule
    assert time.process_time() - begun < 20  # it took minutes while each fence was looked for to the end
    assert without_code("a\n~~~\n```\nb\n~~~ x\n~~~ \nc\n```\nd") == "a\nc\n```\nd"


def test_measures_by_hand():
    words = Measured("It's a well-known fact: 3.5 of 10 #tags...\n\n- second line…\nThird")
    assert words.proper_words == "It's a well-known fact 3 5 of 10 tags second line Third".split()
    assert words.length() == 12
    assert words.symbols() * words.units == 3 - 0.5  # a hash sign, three dots, and one character of an ellipsis
    assert words.ellipsis_lines() == pytest.approx(2 / 3)
    assert words.bullet_lines() == pytest.approx(1 / 3)
    assert words.letters() == pytest.approx(9 / 12)  # not "3.5", "10" and "-"
    characters = Measured("第一行，有 标点。\n第二行")
    assert characters.length() == 11 and characters.letters() == pytest.approx(9 / 11)
    assert characters.terminal_lines() == 0.5 and characters.newlines() == pytest.approx(1 / 11)
    assert Measured("a\n}\n}\n}\na").duplicate_lines() == pytest.approx(1 / 5)  # braces repeat nothing


@pytest.mark.parametrize("name, every", [("pretrain_zh.jsonl", 20), ("pretrain_zh_stories.jsonl", 8)])
def test_real_chinese_is_kept(name, every):
    if not (REAL / name).exists():
        pytest.skip("the real data is not here")
    with open(REAL / name, encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for number, line in enumerate(file) if number % every == 0]
    assert sum(judge(text).rule is None for text in texts) >= 0.95 * len(texts)
