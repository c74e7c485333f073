"""What the rules measure of a text. Each measure is worked out when a rule asks for it.

A unit is what the rules count: a word where words stand apart, as in English, and a character where they do not, as in
Chinese. Blanks are no units; a punctuation mark is one of its own, as in the tokenizers that FineWeb counts with.
"""

import functools
import re

import numpy as np

from dataset.prepare.judging.language import codepoints, script
from dataset.prepare.judging.repetition import Grams

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]|_+")
# A colon ends a line that leads to code or a list.
_SENTENCE_END = re.compile(r"""[。！？…；：]|[.!?]["'”’)]?\s|[.!?:"'”’」』]$""")
_BULLETS = tuple("-*•‣▶◀◦■□▪▫–·●○◆◇①②③④⑤⑥⑦⑧⑨")
_ELLIPSES = ("...", "…", "。。。")
WITHOUT_SPACES = ("han", "kana", "thai")  # scripts whose words do not stand apart


class Measured:
    """One text.

    script: the script of most of it, by name. by_characters: whether a character is a unit, or a word.
    """

    def __init__(self, text: str):
        self.text, self.script = text, script(text)
        self.by_characters = self.script in WITHOUT_SPACES

    @functools.cached_property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.text.split("\n") if line.strip()]

    @functools.cached_property
    def words(self) -> list[str]:
        return _WORD.findall(self.text)

    @functools.cached_property
    def proper_words(self) -> list[str]:
        return [word for word in self.words if word[0].isalnum()]

    @functools.cached_property
    def characters(self) -> np.ndarray:
        """uint32 [N]: code points without blanks."""
        points = codepoints(self.text)
        return points[~_table("isspace")[points]]

    @functools.cached_property
    def grams(self) -> Grams:
        """Of letters and digits, or of words: a line of dashes repeats nothing that was said."""
        if self.by_characters:
            letters = self.characters[_table("isalnum")[self.characters]]
            return Grams(letters, np.ones(len(letters), np.int64))
        numbers: dict[str, int] = {}
        ids = [numbers.setdefault(word, len(numbers)) for word in self.proper_words]
        return Grams(np.array(ids, np.uint64), np.array([len(word) for word in self.proper_words], np.int64))

    @property
    def units(self) -> int:
        return len(self.characters if self.by_characters else self.words)

    def length(self) -> int:
        return len(self.characters) if self.by_characters else len(self.proper_words)

    def letters(self) -> float:
        """Characters that are letters, or words with a letter (between blanks, as Gopher counts them), of all."""
        if self.by_characters:
            return _share(_table("isalpha")[self.characters].sum(), self.units)
        words = self.text.split()
        return _share(sum(any(map(str.isalpha, word)) for word in words), len(words))

    def mean_word_length(self) -> float:
        return _share(sum(map(len, self.proper_words)), len(self.proper_words))

    def symbols(self) -> float:
        """Hash signs and ellipses, for each unit."""
        count = self.text.count("#") + self.text.count("...") + sum(map(len, re.findall("…+", self.text))) / 2
        return _share(count, self.units)

    def bullet_lines(self) -> float:
        return _share(sum(line.startswith(_BULLETS) for line in self.lines), len(self.lines))

    def ellipsis_lines(self) -> float:
        return _share(sum(line.endswith(_ELLIPSES) for line in self.lines), len(self.lines))

    def terminal_lines(self) -> float:
        """Lines that end like a sentence or hold the end of one: a paragraph that is cut has many.

        FineWeb asks for the last character only.
        """
        return _share(sum(map(bool, map(_SENTENCE_END.search, self.lines))), len(self.lines))

    def short_lines(self) -> float:
        """Lines of 30 characters or fewer."""
        return _share(sum(len(line) <= 30 for line in self.lines), len(self.lines))

    def newlines(self) -> float:
        """Newlines for each unit; those of blank lines do not count."""
        return _share(len(self.lines) - 1, self.units)

    @functools.cached_property
    def said_lines(self) -> list[str]:
        """Lines with a letter or a digit: a brace or a rule that comes often repeats nothing."""
        return [line for line in self.lines if any(map(str.isalnum, line))]

    def duplicate_lines(self) -> float:
        return _share(len(self.said_lines) - len(set(self.said_lines)), len(self.lines))

    def characters_of_duplicate_lines(self) -> float:
        repeated = sum(map(len, self.said_lines)) - sum(map(len, set(self.said_lines)))
        return _share(repeated, sum(map(len, self.lines)))

    def mean_line_length(self) -> float:
        return _share(sum(map(len, self.lines)), len(self.lines))

    def longest_line(self) -> int:
        return max(map(len, self.lines), default=0)

    def letters_and_digits(self) -> float:
        return _share(_table("isalnum")[self.characters].sum(), len(self.characters))

    def stop_words(self, of_scripts: dict[str, list[str]]) -> int | None:
        """How many different stop words of its script it has; None for a script without a list."""
        words = of_scripts.get(self.script)
        if words is None:
            return None
        if self.by_characters:
            return sum(word in self.text for word in words)
        return len(set(words).intersection(map(str.lower, self.proper_words)))


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


@functools.cache
def _table(name: str) -> np.ndarray:
    """bool [0x110000]: for each code point whether `str.isalpha`, say, is true of it."""
    is_one = getattr(str, name)
    table = np.zeros(0x110000, bool)
    table[:0x32400] = [is_one(chr(point)) for point in range(0x32400)]  # what is above are emoji, tags and private use
    return table
