r"""The grader: is the final answer of a text right? No part of a text is ever run, and no answer is searched for in it.

What an answer is (`final_answer`), which of several counts, and which spellings are the same (`same_answer`) is a
convention in every benchmark. These are Sprout's; docs/rewards.md lists them:

    the last mark counts        \boxed{...}, \fbox{...} or #### ...: what comes later corrects what came before
    without a mark              the last number in digits; where there is none, the last one in Chinese numerals
    numbers are numbers         18 = 18.0 = $18 = 18 apples = 36/2 = 十八; there is no tolerance
    other texts are texts       equal after normalising the spelling, never a part of one another
"""

import math
import re
import unicodedata

from inference.quantities import last_number, read_quantity

# Only this many last characters of a text are looked at: a final answer stands at the end.
TAIL = 20_000

# --- where the answer is ----------------------------------------------------------------------------

_MARK = re.compile(r"(?<!#)####(?!#)[ \t]*([^\s#][^\n]*)")
_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)


def marked_answer(text: str) -> str | None:
    r"""What the last mark of a text marks: `\boxed{...}` and `\fbox{...}` with the braces counted, or the rest of a
    line behind `####`. Marks around nothing, and a box that never closes, are none. None where no mark is."""
    text = text[-TAIL:]
    marks = [(found.start(), found.group(1)) for found in _MARK.finditer(text)]
    marks += [(start, inside) for start, inside in _boxes(text) if inside.strip()]
    return max(marks)[1].strip() if marks else None


def _boxes(text: str):
    """Yields (place, content) of every box that closes."""
    opened: list[tuple[int, int] | None] = []  # where a box and its content begin; None for another brace
    for found in _BRACES.finditer(text):
        token = found.group()
        if token[-1] == "{" and token != r"\{":
            opened.append((found.start(), found.end()) if len(token) > 1 else None)
        elif token == "}" and opened and (box := opened.pop()):
            yield box[0], text[box[1] : found.start()]


def final_answer(text: str) -> str | None:
    """The answer that a text ends in: what its last mark marks, else its last number; None where it has neither."""
    marked = marked_answer(text)
    return last_number(plain(text[-TAIL:])) if marked is None else marked


# --- whether it is right ----------------------------------------------------------------------------


def grade(text: str, right) -> bool | None:
    """Whether a text, without its thought, gives the right answer.

    right: a number, or a text, of which the marked answer counts, else all of it. Against a number, the final answer
    of `text` is compared; against anything else, what is marked, else the whole text. None, which means not rated,
    if `right` is no answer: missing, blank, a truth value, a list, not finite.
    """
    wanted = right_answer(right)
    if wanted is None:
        return None
    if marked_answer(text) is None and read_quantity(plain(wanted)) is None:
        return same_answer(text, wanted)
    given = final_answer(text)
    return given is not None and same_answer(given, wanted)


def right_answer(right) -> str | None:
    """The answer in the field of a record, as a text; None for what is none."""
    if isinstance(right, bool) or not isinstance(right, str | int | float):
        return None
    try:
        text = str(right)
    except ValueError:  # an integer of thousands of digits
        return None
    if isinstance(right, float) and not math.isfinite(right):
        return None
    if (marked := marked_answer(text)) is None:
        empty = re.search(r"####\s*$|\\(?:boxed|fbox)\s*\{", text)
        return None if empty or len(text) > TAIL or not plain(text) else text.strip()
    return marked


def is_marked_number(right: str) -> bool:
    """Whether a right answer ends in a number behind `####`, as those of GSM8K do."""
    last = _MARK.search(right.rstrip().rpartition("\n")[2])
    return last is not None and read_quantity(plain(last.group(1))) is not None


def same_answer(given: str, right: str) -> bool:
    """Whether two answers say the same: as numbers if both are, else as normalised texts. It never raises."""
    if max(len(given), len(right)) > TAIL:
        return given == right
    given, right = plain(given), plain(right)
    if not given or not right:
        return False
    names = [_NAME.match(one) for one in (given, right)]  # x = 18 is 18, but no y = 18
    if all(names) and names[0][1] != names[1][1]:
        return False
    given, right = (one[name.end() :] if name else one for one, name in zip((given, right), names))
    numbers = read_quantity(given), read_quantity(right)
    if None in numbers:
        return numbers == (None, None) and normal_text(given) == normal_text(right)
    return numbers[0].same(numbers[1])


# --- spelling ---------------------------------------------------------------------------------------

# Small letters, Latin and Cyrillic: blanks stand between their words. Not Greek, which stands in formulas.
LETTERS = "a-z\u00df-\u00f6\u00f8-\u024f\u0400-\u052f\u1e00-\u1eff"
_BLANKS = re.compile(f"(?<![{LETTERS}]) +| +(?![{LETTERS}])")
_NAME = re.compile(r"([A-Za-z]) ?= ?(?=[^ =])")
_CHARACTERS = str.maketrans("−–—﹣〇两兩負點萬億壹贰叁肆伍陆柒捌玖拾佰仟", "----零二二负点万亿一二三四五六七八九十百千")
_DIGITS = "一二三四五六七八九十百"
# 两个半小时, 3小时半, 2 and a half; but 两个半圆 are two things, and 三点半 is a time.
_AND_A_HALF = (
    r"(?: and a half(?![a-z])| ?(个|个?小时|个?钟头|分钟|年|天|岁|周|元|块|公里|斤|公斤|倍|度)半"
    r"(?=小时|钟头|月(?![亮形牙])|世纪|[后前内左右以的之了才就来]|[^\u4e00-\u9fff]|$))"
)
_RULES = [  # each takes time in proportion to the text
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|displaystyle|limits)(?![A-Za-z])", ""),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\[,!;:]", ""),
        (r"\{,\}", ","),
        (r"\\[ ]|~|\\q?quad(?![A-Za-z])", " "),
        (r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s{0,9}\{([^{}]*)\}", r"\1"),
        (r"(?<=[0-9])\s?(?=\\frac(?![A-Za-z]))", " "),
        (r"\\frac\s{0,9}\{\s{0,9}(-?)([0-9]+)\s{0,9}\}\s{0,9}\{\s{0,9}([0-9]+)\s{0,9}\}", r"\1\2/\3"),
        (r"\\frac\s{0,9}([0-9])\s{0,9}([0-9])(?![0-9])", r"\1/\2"),
        (r"\\([$%])", r"\1"),
        (r"\^\{?\\circ(?![A-Za-z])\}?", "°"),
        (r"\\(?:times|cdot)(?![A-Za-z])", "×"),
        (r"\\[()\[\]]", ""),
        (r"\u2044", "/"),
        (r"\s+", " "),
        (r"\^\{([0-9A-Za-z])\}", r"^\1"),
        (r"(?<![A-Za-z])([cdkm]?m)([23])(?![A-Za-z0-9])", r"\1^\2"),  # 18 m2, and ㎡ in NFKC
        (rf"(?<![0-9.,/])([0-9]+){_AND_A_HALF}", r"\1.5\2"),
        (rf"(?<![第{_DIGITS}])([{_DIGITS}]+){_AND_A_HALF}", r"\1点五\2"),
        (r"(?<=[一二三四五六七八九百千万亿])○+", lambda circles: "零" * len(circles[0])),  # alone it is a blank to fill
    )
]


def plain(text: str) -> str:
    """A text in one spelling: of LaTeX, of full-width and other forms of a character, of blanks and of what surrounds
    an answer (`$...$`, `**...**`, the full stop behind it)."""
    if not text.isascii():
        text = "".join(map(_character, " " + text, text))
    text = unicodedata.normalize("NFKC", text.translate(_CHARACTERS)).translate(_CHARACTERS)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    text = text.strip(" *`").rstrip(".。 *`")
    dollars = len(text) - len(text.lstrip("$"))
    if dollars and len(text) > 2 * dollars and text.endswith("$" * dollars):
        text = text[dollars:-dollars].strip().rstrip(".。 ")
    return text


def _character(before: str, character: str) -> str:
    """½ as 1/2, behind a digit as " 1/2", so that 3½ is no 31/2; ² as ^2, ⁻²³ as ^-23."""
    form = unicodedata.decomposition(character)
    if form.startswith("<fraction>"):
        space = " " if before.isdecimal() else ""
        return space + unicodedata.normalize("NFKC", character)
    if form.startswith("<super>"):
        goes_on = unicodedata.decomposition(before).startswith("<super>")
        sign = "" if goes_on else "^"
        return sign + unicodedata.normalize("NFKC", character)
    return character


def normal_text(text: str) -> str:
    """A plain text for comparison: without case, without blanks but those between two words of letters, without the
    zeros at the end of decimals, and without the brackets around a single letter, which is a choice: (B)."""
    text = _BLANKS.sub("", text.casefold())
    text = re.sub(r"(?<![0-9.])(?=\.[0-9])", "0", text)
    text = re.sub(r"(\.[0-9]*[1-9])0+(?![0-9])|\.0+(?![0-9])", r"\1", text)
    return re.sub(r"^\(([a-z])\)$", r"\1", text)
