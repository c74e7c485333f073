r"""The grader against a table of answers, with wrong ones that look right, and against texts made to break it."""

import random

import pytest

from inference.grading import final_answer, grade, is_marked_number, marked_answer, right_answer, same_answer

SAME = [
    *[
        (spelt, "18")
        for spelt in ("18", "18.0", "18.", "18.00", "+18", " 18 ", "018", "36/2", "１８", "$18$", "**18**")
    ],
    *[(spelt, "18") for spelt in ("$18", r"\$18", "$18.00", "18 dollars", "18 apples", "18 miles per hour", "18 km/h")],
    *[
        (spelt, "18")
        for spelt in ("18%", r"18\%", "18 percent", "18 cm^2", r"18\text{ cm}", r"18^\circ", "18元", "¥18")
    ],
    *[
        (spelt, "18")
        for spelt in ("十八", "十八个", "18个苹果", "拾捌", "一八", "x = 18", r"\(18\)", "1.8e1", r"1.8 \times 10^1")
    ],
    ("1,800", "1800"),
    ("1,800/100", "18"),
    ("1,234,567.50", "1234567.5"),
    (r"1{,}800", "1800"),
    (r"1\,800", "1800"),
    ("-5", "−5"),
    ("- 5", "-5"),
    ("-$5", "$-5"),
    ("负三", "-3"),
    ("负5", "-5"),
    ("minus 5", "-5"),
    ("零下5度", "-5"),
    ("零下五度", "-5"),
    ("1亿2000万", "120000000"),
    ("1亿2千万", "120000000"),
    ("3千5百万元", "35000000"),
    ("3千亿", "300000000000"),
    ("3万5千", "35000"),
    ("-3万500元", "-30500"),
    ("1/2", "0.5"),
    ("3/6", "1/2"),
    (".5", "0.5"),
    ("½", "1/2"),
    ("3½", "3.5"),
    ("3 1/2", "7/2"),
    (r"\frac{1}{2}", "0.5"),
    (r"\dfrac12", "1/2"),
    (r"-\frac{1}{2}", "-0.5"),
    (r"\frac{-1}{2}", "-0.5"),
    (r"3\frac{1}{2}", "3.5"),
    ("三分之一", "1/3"),
    ("一又二分之一", "1.5"),
    ("一半", "0.5"),
    ("一个半小时", "1.5小时"),
    ("2个半", "2.5"),
    ("三岁半", "3.5岁"),
    ("2 and a half million", "2500000"),
    ("百分之二十", "20%"),
    ("千分之五", "0.005"),
    ("三点一四", "3.14"),
    ("一千二百", "1200"),
    ("一千二", "1200"),
    ("一百五", "150"),
    ("一百零五", "105"),
    ("一万零三十", "10030"),
    ("两万三", "23000"),
    ("三亿五千万", "350000000"),
    ("二零二四年", "2024"),
    ("壹仟貳佰".replace("貳", "贰"), "1200"),
    ("3.5万", "35,000"),
    ("3千米", "3"),
    ("十五米", "15"),
    ("三百米", "300 米"),
    ("3万米", "30000"),
    ("3万 km", "30,000 km"),
    ("三万千米", "30000千米"),
    ("1万2千5百克", "12500"),
    ("三分之二米", "2/3"),
    ("60千米/时", "60"),
    ("3元 / 千克", "3元/千克"),
    ("18㎡", "18 m^2"),
    ("18 cm2", "18 cm²"),
    (r"18\text{ m}^{2}", "18 m^2"),
    ("x^{n}+1", "x^n + 1"),
    ("百分之百", "100%"),
    ("二○二四年", "2024"),
    ("三千克", "3 千克"),
    ("2 million", "2,000,000"),
    ("1.2E-3", "0.0012"),
    ("25%", "25"),
    ("18 dollars", "$18"),
    ("18 €", "€18"),
    (r"18\$", "$18"),
    ("1,800.50 £", "1800.5"),
    ("18块", "18元"),
    ("5 hours", "5 hour"),
    ("$5 per hour", "5"),
    ("$5/hour", "5 dollars per hour"),
    ("$60 a day", "60 bucks/day"),
    ("¥5/小时", "5元每小时"),
    ("$18 profit", "18 dollars profit"),
    ("3个小时", "3小时"),
    ("Paris", " paris. "),
    ("New  York", "new york"),
    (r"\text{(B)}", "B"),
    ("(1.0, 2.50)", "(1,2.5)"),
    ("(.5, 1)", "(0.5,1)"),
    (r"18\ cm", "18 cm"),
    (r"5\quad\text{hours}", "5 hours"),
    (r"\left( 1, 2 \right)", "(1,2)"),
    (r"\dfrac{x}{2}", r"\frac{x}{2}"),
    ("x^2 + 1", "x^2+1"),
    ("m²", "m^2"),
    ("x¹⁰", "x^10"),
    ("6.02 × 10²³", r"6.02 \times 10^{23}"),  # whose last number was 3
    ("3×10⁻⁸", "3e-8"),
    ("北京。", "北京"),
]

OTHER = [
    *[
        (wrong, "5")
        for wrong in ("59", "15", "-5", "0.5", "5.5", "5/2", "50%", "5 or 6", "5, 6", "5 and a half", "5x", "5i")
    ],
    *[
        (wrong, "5")
        for wrong in ("5 dozen", "5^2", "5²", "5!", r"5\pi", "5π", r"5\sqrt{2}", "5:00", "5-6", "5+0", "5万", "5e", "")
    ],
    *[
        (wrong, "5")
        for wrong in ("五十", "十五", "五万", "第五", "五分之一", "负五", "五或六", "五个半", "five", "5 hundred")
    ],
    ("3万5", "35000"),
    ("3万2万", "50000"),
    ("三千米", "3000"),
    ("十五米", "10"),
    ("3元/千克", "3元/克"),
    ("18㎡", "182"),
    ("25%", "0.25"),
    ("25%", "1/4"),
    ("1,80", "180"),
    ("1 000", "1000"),
    ("1,2", "12"),
    ("1.800", "1800"),
    ("0.33", "1/3"),
    ("3.14", "22/7"),
    ("18 cm", "18 m"),
    ("$18", "18元"),
    ("18 €", "$18"),
    ("$5 per hour", "5 euros per hour"),
    ("$5元", "5"),
    ("$5%", "5"),
    ("$5 or 6", "5"),
    ("1亿2千米", "120000000"),
    ("两个半", "2"),
    ("第一个半小时", "1.5"),
    ("$18€", "18"),
    ("31/2", "3 1/2"),
    ("1/0", "0"),
    ("1e999999999", "1"),
    ("y = 18", "x = 18"),
    ("Paris", "Parish"),
    ("not Paris", "Paris"),
    ("(1,2)", "(2,1)"),
    ("(A)", "B"),
    ("京", "北京"),
    ("x^2", "x"),
    ("x^{23}", "x^{2}3"),
]


def test_the_table_is_large():
    assert len(SAME) >= 60 and len(OTHER) >= 50


@pytest.mark.parametrize("given, right", SAME)
def test_the_same_answer(given, right):
    assert same_answer(given, right) and same_answer(right, given)


@pytest.mark.parametrize("given, right", OTHER)
def test_another_answer(given, right):
    assert not same_answer(given, right) and not same_answer(right, given)


@pytest.mark.parametrize(
    "text, answer",
    [
        (r"so \boxed{5}, no: \boxed{\frac{1}{2}} it is", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{5} and \boxed{6", "5"),
        (r"\fbox{7}", "7"),
        (r"put it into \boxed{}: 5 + 4 = 9", "9"),
        ("#### 18\n#### 19", "19"),
        ("#### 18 dollars\nI hope that helps, all 5 of you", "18 dollars"),
        ("####18", "18"),
        (r"\boxed{5} #### 6", "6"),
        (r"\boxed{5}, not \boxed{ }", "5"),
        (r"#### 6 or \boxed{5}", "5"),
        ("##### 3\n 4 apples", "4"),
        ("3 + 4 = 7, so the answer is 7.", "7"),
        ("7-5", "5"),
        ("it is -5.", "-5"),
        ("that makes $1,234.50.", "1,234.50"),
        ("he lost -$5.", "-$5"),
        ("it is $5$ cm", "5"),
        ("1, 2, 3", "3"),
        ("1,2,3", "3"),
        ("hm...18", "18"),
        ("No.5", "5"),
        ("it is .5", ".5"),
        (r"it is $-\frac{1}{2}$", "-1/2"),
        ("这个半径很大", None),
        ("需要一个半小时。", "一点五"),
        ("用了3年半才完成", "3.5"),
        ("it takes 2 and a half hours.", "2.5"),
        ("一共3小时30分", None),
        ("一共一小时三十分钟", None),
        ("一共3元5角。", None),
        ("it takes 2 hours and 30 minutes.", None),
        ("从8点到8点30分，一共30分钟", "30"),
        ("2 hours, then 30 minutes", "30"),
        ("一天24小时", "24"),
        ("x = -½", "-1/2"),
        ("答案是-5", "-5"),
        ("答案是负5。", "负5"),
        ("答案是负五。", "负五"),
        ("it is Negative 5.", "Negative 5"),
        ("10 minus 5", "5"),
        ("气温零下5度", "零下5"),
        ("共1亿2000万元", "1亿2000万"),
        ("about 5 × 10^3 of them", "5 × 10^3"),
        ("约3万人", "3万"),
        ("1,2345", "2345"),
        ("f(3)-5", "5"),
        ("[3]-5", "5"),
        ("it is 3 1/2", "3 1/2"),
        ("it grew by 25%.", "25%"),
        ("先有三个，后来有八个", "八"),
        ("大约有几十个", None),
        ("他是第三个到的，价格统一", None),
        ("长3万米", "3万"),
        ("绳子长十五米。", "十五"),
        ("共三百米", "三百"),
        ("重三千克", "三"),
        ("面积是18 cm²", "18"),
        (r"it is 18\text{ m}^{3}.", "18"),
        ("面积是18㎡。", "18"),
        ("it is 2^10", None),
        (r"the $18^{\text{th}}$ of them", "18"),
        ("答案是十八，填入○。", "十八"),
        ("一九○○年", "一九零零"),
        (r"it is \frac{1}{2}.", "1/2"),
        ("一共有18个，每人一半", "18"),
        ("答案是十八。", "十八"),
        ("答案是十八，我们一起看", "十八"),
        ("大约有二十几个", None),
        ("有几十个，其中三千米", "三"),
        ("no number at all", None),
        ("", None),
    ],
)
def test_where_the_answer_is(text, answer):
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    "text, right, found",
    [
        ("He has 5 + 13 = 18 eggs.\n#### 18", "5 + 13 = <<5+13=18>>18\n#### 18", True),
        ("He has 18.", "#### 18", True),
        ("He has 18 of 59.", "#### 18", False),
        ("18 then 19", 18, False),
        ("so 18.0", 18, True),
        ("Paris", "Paris", True),
        ("It is Paris.", "Paris", False),
        (r"It is \boxed{Paris}.", "Paris", True),
        ("nothing", "18", False),
        *[("18", right, None) for right in (None, "", "  ", True, ["18"], float("nan"), float("inf"), "x\n#### ")],
        ("18", r"\boxed{18", None),
        ("18", "a" * 30_000, None),
    ],
)
def test_what_is_rated(text, right, found):
    assert grade(text, right) is found


def test_of_a_long_text_the_end_is_read():
    much = "so " * 10_000
    assert marked_answer(f"{much}#### 18") == final_answer(f"{much}#### 18") == "18"
    assert marked_answer(f"#### 17 {much}") is None and final_answer(f"17 {much}") is None
    assert same_answer(much, much) and not same_answer(much, much + " ")  # too long to be brought into one spelling


def test_a_mark_counts_for_the_way_to_a_number_where_it_is_in_the_last_line():
    assert is_marked_number("3 + 15\n= 18\n#### 18\n") and is_marked_number("#### 1,800")
    assert not any(map(is_marked_number, ("a\n#### 18\nb", "#### Paris", "18", "")))


def test_what_is_nothing_but_spelling_is_no_answer():
    assert not any(same_answer(*pair) for pair in (("", ""), ("**", "."), ("18", ""), ("", "18")))


ALPHABET = [
    *"0123456789.,-+/%$ eExX={}\\^#\n()¥½²５负一二十百千万亿点分之又半个元",
    r"\boxed{",
    r"\frac",
    "####",
    r"\text{",
    "\ud800",
    "\x00",
    "🙂",
]


def test_it_never_raises():
    assert grade("18", 10**5000) is None
    rng = random.Random(0)
    for _ in range(4000):
        text, right = ("".join(rng.choices(ALPHABET, k=rng.randint(0, 12))) for _ in range(2))
        assert grade(text, right) in (True, False, None)
        assert isinstance(same_answer(text, right), bool)
        assert marked_answer(text) is None or marked_answer(text).strip()
        assert right_answer(right) is None or right_answer(right).strip()


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "1,",
        "1 ",
        "1/",
        "{",
        "\\boxed{",
        "\\frac{",
        "\\text{",
        "#### ",
        "一",
        "一几",
        "点一",
        "九万",
        "½",
        "1个半",
        "1小时 ",
        "- ",
        "1e9",
        "x",
    ],
)
def test_a_text_made_to_take_for_ever_is_graded(unit):
    text = unit * (10_000_000 // len(unit))
    assert grade(text, "5") in (True, False)
    assert grade(text, text) is None
    assert grade(text[:19_999], text[:19_999]) in (True, False, None)
