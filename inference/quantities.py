"""Reads a number with its unit: 1,200 · -3.5 · 3 1/2 · $18 · 25% · 1.2e3 · 2 million · 18 km/h · 3万 · 负三 · 三分之一.

Nothing is evaluated: a sum or a power is no number here. The numbers are exact (`Fraction`), and both the length of a
number and the size of its exponent are limited, so that no text can make reading it slow. The texts are in the
spelling of `inference.grading.plain`.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

LONGEST = 200  # characters of a number with its unit
LARGEST_EXPONENT = 400  # of scientific notation

_WHOLE = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
_DECIMAL = rf"(?:{_WHOLE}(?:\.[0-9]+)?|\.[0-9]+)"
_POWER = r"(?:e(?P<exponent>[-+]?[0-9]{1,4})(?![0-9])| ?[×x*] ?10\^\{?(?P<ten>[-+]?[0-9]{1,4})\}?(?![0-9]))"
_CURRENCY = "[$¥€£₹]"
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SCALES |= {"百": 100, "千": 10**3, "万": 10**4, "百万": 10**6, "千万": 10**7}
_SCALES |= {"亿": 10**8, "百亿": 10**10, "千亿": 10**11, "万亿": 10**12}
_NO_KILO = "(?!(?<=千)[米克瓦卡])"  # 千 belongs to the unit: 3千米 is 3 km
_SCALE = rf"(?: ?(?P<scale>{'|'.join(sorted(_SCALES, key=len, reverse=True))}){_NO_KILO}(?!(?<=[a-z])[a-z]))"
_MINUS = "(?:minus |negative |负|零下)"
_NUMBER = re.compile(
    rf"(?P<sign>{_MINUS}|[-+]?) ?(?P<currency>{_CURRENCY}?) ?(?P<inner>[-+]?)"
    rf"(?:(?:(?P<mixed>[0-9]+) )?(?P<over>{_WHOLE}) ?/ ?(?P<under>{_WHOLE})|(?P<decimal>{_DECIMAL}){_POWER}?){_SCALE}?",
    re.IGNORECASE,
)
# Digits and Chinese scales by turns: 1亿2000万, 1亿2千万, 3万5千, 3万500; but no 3万5, whose 5 may be thousands.
_PART = r"[0-9]+(?:\.[0-9]+)?(?:[百千万]亿|[百千]万|[百千万亿])"
_REST = r"[0-9]{3,4}(?![0-9.])"
_PARTS = rf"(?:(?:{_PART}){{2,}}(?:{_REST}|{_NO_KILO}(?![0-9]))|{_PART}{_REST})"
_PARTED = re.compile(rf"(?P<minus>{_MINUS}|-)?(?P<parts>{_PARTS})")
# In running text a sign belongs to a number only if nothing stands before it: 7-5 is no -5. A $ may be that of LaTeX.
_IN_TEXT = re.compile(
    rf"(?:(?<![A-Za-z0-9.)\]])-{_CURRENCY}?|(?<![A-Za-z0-9])(?<![0-9] ){_MINUS})?(?:[0-9]+ (?=[0-9]+/[0-9]))?"
    rf"(?:{_PARTS}|{_WHOLE}/{_WHOLE}|(?:{_WHOLE}(?:\.[0-9]+)?|(?<![\w.])\.[0-9]+)"
    r"(?:e[-+]?[0-9]+| ?[×x*] ?10\^\{?[-+]?[0-9]{1,4}\}?(?![0-9]))?)"
    rf"{_SCALE.replace('?P<scale>', '?:')}?%?",
    re.IGNORECASE,
)
_EXPONENT = re.compile(r"\^[{(]?[-+]?(?:[0-9]|[A-Za-z](?![A-Za-z]))")  # but 18^{th} is 18

# --- units ------------------------------------------------------------------------------------------

_WORD = r"(?:[A-Za-z]{2,20}|[mgshlLWVJNK])(?:\^[23])?"  # other single letters are variables: 3x is no 3
_WORD_ZH = "[\u4e00-\u9fff]{1,6}"
_PER = re.compile(" ?[/每] ?| per ")
_A = re.compile("^(dollars?|bucks?|yuan|euros?|pounds?|cents?|miles?|km) an? ", re.IGNORECASE)  # $5 an hour
_OF = rf" (?:per )?{_WORD}| ?[/每] ?(?:{_WORD}|{_WORD_ZH})"
_UNIT = re.compile(rf"(?:{_WORD}|{_WORD_ZH})(?:{_OF}){{0,2}}|%|°[CF]?|{_CURRENCY}")
# Words that make another number, or several, of the one before them.
_NO_UNIT = frozenset("and or to not plus minus half third quarter dozen squared cubed factorial pi sqrt point".split())
_NO_UNIT_ZH = re.compile("[零一二三四五六七八九十百千万亿半几多余又和或到至不]")
_KILO = re.compile("千(?=[米克瓦卡])")
_SAME_UNIT = {
    "dollar": ("$", "usd", "buck", "美元"),
    "yuan": ("¥", "rmb", "cny", "元", "块", "块钱", "元钱", "人民币"),
    "euro": ("€", "eur", "欧元"),
    "pound": ("£", "gbp", "英镑"),
    "%": ("percent", "per cent"),
    "degree": ("°", "度"),
}
_UNIT_NAMES = {other: name for name, others in _SAME_UNIT.items() for other in others}
# The units of one kind, the larger one first: 3小时30分 and 5 feet 3 inches are one amount each.
_UNITS_BY_SIZE = [
    names.split()
    for names in (
        "小时 钟头 时 点 分钟 分 秒钟 秒",
        "元 块 角 毛 分",
        "千米 公里 米 分米 厘米 毫米",
        "吨 千克 公斤 克",
        "hour hours minute minutes second seconds",
        "dollar dollars cent cents",
        "foot feet inch inches",
        "pound pounds ounce ounces",
    )
]
_NAMES = "|".join(sorted({name for line in _UNITS_BY_SIZE for name in line}, key=len, reverse=True))
_SMALLER = re.compile(rf" ?(?P<unit>{_NAMES})(?![a-z])", re.IGNORECASE)
_LARGER = re.compile(rf"[0-9一二三四五六七八九十百] ?个?(?P<unit>{_NAMES}) ?(?:and |又|零)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Quantity:
    value: Fraction
    unit: str = ""  # empty: none was named

    def same(self, other: "Quantity") -> bool:
        """Equal in value; units count only where both name one, and are compared as words: none is converted."""
        return self.value == other.value and (not self.unit or not other.unit or self.unit == other.unit)


def read_quantity(text: str) -> Quantity | None:
    """The number that a text is, and nothing beside it but a unit; None for any other text."""
    if len(text) > LONGEST:
        return None
    if parted := _PARTED.match(text):
        value, unit = _value_of_parts(parted["parts"]), _unit(text[parted.end() :].strip())
        return None if None in (value, unit) else Quantity(-value if parted["minus"] else value, unit)
    if not (found := _NUMBER.match(text)):
        return _chinese_quantity(text)
    value = _value(found)
    currency = _unit_name(found["currency"])
    unit = _unit(f"{currency} {text[found.end() :].strip()}".strip())  # $5 per hour are 5 dollars per hour
    return None if None in (value, unit) else Quantity(value, unit)


def last_number(text: str) -> str | None:
    """The last number in running text; one in Chinese numerals only where there is none in digits. Neither part of a
    power is one: the exponent of 18 cm^2 says nothing of how many there are. None, too, if the last number is a part of
    an amount in two units: 3小时30分 is no 30, and nothing is converted."""
    places = [one.span() for one in _IN_TEXT.finditer(text) if not _is_of_a_power(text, *one.span())]
    if not places:
        # 十几 and 几十 are no certain numbers. The match must not look for 几 itself: that would take very long.
        numerals = [one.span() for one in _CHINESE_IN_TEXT.finditer(text) if len(one.group()) <= LONGEST]
        sure = [(i, j) for i, j in numerals if "几" not in (text[i - 1 : i], text[j : j + 1])]
        places = [(i, j) for i, j in sure if _chinese(text[i:j]) is not None]
    if not places or _is_of_two_units(text, *places[-1]):
        return None
    return text[slice(*places[-1])]


def _is_of_two_units(text: str, start: int, end: int) -> bool:
    """Whether a smaller unit stands behind the number, and before it an amount of a larger one."""
    larger, smaller = _LARGER.search(text[max(0, start - LONGEST) : start]), _SMALLER.match(text, end)
    if not larger or not smaller:
        return False
    names = [found["unit"].lower() for found in (larger, smaller)]
    return any(set(names) <= set(units) and units.index(names[0]) < units.index(names[1]) for units in _UNITS_BY_SIZE)


def _is_of_a_power(text: str, start: int, end: int) -> bool:
    return text[max(0, start - 2) : start].endswith(("^", "^{")) or bool(_EXPONENT.match(text, end))


def _value(found: re.Match) -> Fraction | None:
    if found["sign"] and found["inner"]:
        return None
    if found["over"]:
        under = _plain_number(found["under"])
        if under == 0:
            return None
        value = _plain_number(found["mixed"] or "0") + _plain_number(found["over"]) / under
    else:
        exponent = int(found["exponent"] or found["ten"] or 0)
        if abs(exponent) > LARGEST_EXPONENT:
            return None
        value = _plain_number(found["decimal"]) * Fraction(10) ** exponent
    value *= _SCALES[found["scale"].lower()] if found["scale"] else 1
    return value if (found["sign"] or found["inner"]) in ("", "+") else -value


def _value_of_parts(text: str) -> Fraction | None:
    for scale in "亿万千百":  # 3千5百万 are 3500万
        high, found, low = text.rpartition(scale)
        if found:
            values = None if scale in high else _value_of_parts(high), _value_of_parts(low or "0")
            if None in values or values[1] >= _SCALES[scale]:
                return None  # 3万2万
            return values[0] * _SCALES[scale] + values[1]
    return Fraction(text)


def _plain_number(digits: str) -> Fraction:
    return Fraction(digits.replace(",", ""))


def _unit(text: str) -> str | None:
    """The name of a unit; empty for none, None for what is no unit."""
    if not text:
        return ""
    text = _A.sub(r"\1/", text)
    if (
        not _UNIT.fullmatch(text)
        or _NO_UNIT & set(re.split("[ /]+", text.lower()))
        or _NO_UNIT_ZH.search(_KILO.sub("", text))
    ):
        return None
    return _unit_name(text)


def _unit_name(text: str) -> str:
    return "/".join(map(_unit_of, _PER.split(text.lower())))


def _unit_of(words: str) -> str:
    if words not in _UNIT_NAMES and " " in words:
        return " ".join(map(_unit_of, words.split(" ")))
    if words not in _UNIT_NAMES and len(words) > 3:
        words = words.removesuffix("s")
    return _UNIT_NAMES.get(words, words.removeprefix("个") or words)  # 3个小时 are 3小时


# --- Chinese numerals -------------------------------------------------------------------------------

_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")}
_D, _NUMERALS = "[零一二三四五六七八九]", "零一二三四五六七八九十百千万亿"
_CHINESE = rf"(?:负|零下)?(?:(?:分之|又|点(?={_D}))?(?:[{_NUMERALS}]|半(?!径)){_NO_KILO})+"
_CHINESE_START = re.compile(_CHINESE)
# 一 is also the beginning of words that are no numbers: 一共, 一起, ...
_CHINESE_IN_TEXT = re.compile(rf"(?!一[共起样定般直些切])(?<![统第唯每]){_CHINESE}")
_ONE_OF = {"百": "一百", "千": "一千", "万": "一万"}
_SECTION = re.compile(rf"(?:({_D})千)?零?(?:({_D})百)?零?(?:({_D}?)十)?零?({_D})?")


def _chinese_quantity(text: str) -> Quantity | None:
    found = _CHINESE_START.match(text)
    value = _chinese(found.group()) if found else None
    unit = _unit(text[found.end() :]) if found else None
    if value is None or unit is None:
        return None
    if found.group().removeprefix("负").removeprefix("零下").startswith("百分之") and not unit:
        return Quantity(value * 100, "%")
    return Quantity(value, unit)


def _chinese(text: str) -> Fraction | None:
    """The value of 十八, 一千二百零五, 负三, 三点一四, 三分之一, 一又二分之一, 二零二四, 一半; None for no number."""
    if minus := re.match("负|零下", text):
        value = _chinese(text[minus.end() :])
        return None if value is None else -value
    if text in ("半", "一半"):
        return Fraction(1, 2)
    whole, _, part = text.rpartition("又")
    under, has_under, over = part.partition("分之")
    if has_under:
        under, over = (_ONE_OF.get(part, part) for part in (under, over))  # 百分之百
        values = [_chinese_decimal(whole) if whole else Fraction(0), _chinese_decimal(over), _chinese_decimal(under)]
        return None if None in values or values[2] == 0 else values[0] + values[1] / values[2]
    return None if whole else _chinese_decimal(text)


def _chinese_decimal(text: str) -> Fraction | None:
    scale = 1
    if "点" in text and text[-1] in "万亿":
        text, scale = text[:-1], {"万": 10**4, "亿": 10**8}[text[-1]]
    whole, point, digits = text.partition("点")
    value = _chinese_whole(whole)
    if value is None or (point and not re.fullmatch(rf"{_D}+", digits)):
        return None
    places = "".join(str(_DIGITS[digit]) for digit in digits)
    return (value + Fraction(f"0.{places or 0}")) * scale


def _chinese_whole(text: str) -> int | None:
    if re.fullmatch(rf"{_D}+", text):  # digit by digit, as years are
        return int("".join(str(_DIGITS[digit]) for digit in text))
    for name, scale, lower in (("亿", 10**8, 10**7), ("万", 10**4, 10**3)):
        before, found, after = text.rpartition(name)
        if found:
            high = _chinese_whole(before)
            if after in _DIGITS:  # 一万二 is 12000
                low = _DIGITS[after] * lower
            else:
                low = _chinese_whole(after) if after else 0
            return None if high is None or low is None or low >= scale else high * scale + low
    found = _SECTION.fullmatch(text)
    if not text or not found:
        return None
    thousands, hundreds, tens, ones = found.groups()
    value = 1000 * _DIGITS.get(thousands, 0) + 100 * _DIGITS.get(hundreds, 0)
    if tens is not None:
        value += 10 * (_DIGITS[tens] if tens else 1)
    short = {"千": 100, "百": 10}.get(text[-2:-1], 1) if ones else 1  # 一百五 is 150
    return value + short * _DIGITS.get(ones, 0)
