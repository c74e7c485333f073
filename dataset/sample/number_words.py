"""Numbers as people write them in words: `forty-five`, 四十五."""

from dataclasses import dataclass

from dataset.sample.loader import Lines, read_wordings

LARGEST = 999


@dataclass(frozen=True)
class NumberWords:
    """Words of one language (wordings/<language>/numbers.yaml)."""

    small: Lines  # 0 to 19
    tens: Lines  # 20, 30, ... 90
    hundred: str


def in_words(language: str, number: int) -> str:
    """A whole number from 0 to 999 in words."""
    words = read_wordings("numbers", language, NumberWords)
    if number >= 100:
        return _hundreds(language, words, number)
    if number < 20:
        return words.small[number]
    tens, ones = divmod(number, 10)
    join = "-" if language == "en" else ""
    return words.tens[tens - 2] + (join + words.small[ones] if ones else "")


def _hundreds(language: str, words: NumberWords, number: int) -> str:
    hundreds, rest = divmod(number, 100)
    if language == "en":
        start = f"{words.small[hundreds]} {words.hundred}"
        return f"{start} and {in_words(language, rest)}" if rest else start
    start = words.small[hundreds] + words.hundred
    if not rest:
        return start
    if rest < 10:
        return start + words.small[0] + words.small[rest]
    return start + (words.small[1] if rest < 20 else "") + in_words(language, rest)
