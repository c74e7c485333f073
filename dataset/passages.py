"""Texts that stand in other texts: 13 words in a row that two have in common, 30 characters, or as much of both.

13 words are the measure of GPT-3 (https://arxiv.org/abs/2005.14165, appendix C). Chinese has no spaces between words,
so its characters are counted: one of them is a thirtieth of a passage, a word of another script a thirteenth. Case,
spaces, punctuation and compatibility forms (full-width letters, the ligatures of a PDF) do not count. A text that is
shorter than a passage has to stand there as a whole, and one of fewer than 5 words or 10 characters says too little to
tell.
"""

import re
import unicodedata
from collections.abc import Hashable, Iterator

import numpy as np

HAN = re.compile("[\u3400-\u9fff]")
_UNIT = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")
WORDS, CHARACTERS = 13, 30  # in a passage
PASSAGE = WORDS * CHARACTERS  # so much weighs one: a character of Chinese weighs 13, a word 30
LEAST = 10 * WORDS  # what ten characters weigh; five words weigh a little more


def is_chinese(text) -> bool:
    return isinstance(text, str) and HAN.search(text) is not None


class _Units:
    """The words and Chinese characters of a text, one behind the other in `joined`, with a space behind every word.

    starts: [units + 1], where each begins in `joined`, and the end. weights: [units + 1], of all units before each.
    """

    def __init__(self, text: str):
        units = _UNIT.findall(unicodedata.normalize("NFKC", text).lower())
        pieces = [unit if "\u3400" <= unit <= "\u9fff" else unit + " " for unit in units]
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        self.joined = "".join(pieces)
        self.starts = np.concatenate([[0], lengths.cumsum()])
        self.weights = np.concatenate([[0], np.where(lengths == 1, WORDS, CHARACTERS).cumsum()])

    @property
    def weight(self) -> int:
        return int(self.weights[-1])

    def runs(self, weight: int) -> Iterator[tuple[int, int]]:
        """From each unit on, the shortest run that weighs so much, as begin and end in `joined`."""
        ends = np.searchsorted(self.weights, self.weights[:-1] + weight)
        count = int(np.searchsorted(ends, len(self.weights)))  # behind it there are not enough
        return zip(self.starts[:count].tolist(), self.starts[ends[:count]].tolist())


def fills_a_passage(text: str) -> bool:
    """Whether a text is so long that a part of it is enough."""
    return _Units(text).weight >= PASSAGE


class Passages:
    """The passages of some texts, each with the names of the texts that it is of."""

    def __init__(self):
        self._by_beginning: dict[str, dict[str, set]] = {}  # the beginning weighs `LEAST`

    def add(self, text: str, name: Hashable) -> bool:
        """Returns whether the text is long enough to tell."""
        units = _Units(text)
        if units.weight < LEAST:
            return False
        beginnings = dict(units.runs(LEAST))
        for begin, end in units.runs(min(PASSAGE, units.weight)):
            passages = self._by_beginning.setdefault(units.joined[begin : beginnings[begin]], {})
            passages.setdefault(units.joined[begin:end], set()).add(name)
        return True

    def found_in(self, text: str) -> set:
        """The names of the texts of which a passage stands in `text`."""
        return set().union(*self._sets_in(text))

    def first_in(self, text: str):
        """The name of the first text of which a passage stands in `text`, the lowest of several; None without any."""
        return min(next(self._sets_in(text), ()), default=None)

    def _sets_in(self, text: str) -> Iterator[set]:
        units = _Units(text)
        for begin, end in units.runs(LEAST):
            passages = self._by_beginning.get(units.joined[begin:end])
            if passages:
                for passage, names in passages.items():
                    if units.joined.startswith(passage, begin):
                        yield names


def strings_in(value) -> Iterator[str]:
    """Every string in a record, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings_in(each)
