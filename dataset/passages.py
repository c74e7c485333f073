"""Texts that stand in other texts: 13 words in a row that two have in common, or 30 characters.

13 words are the measure of GPT-3 (https://arxiv.org/abs/2005.14165, appendix C). Chinese has no spaces between words,
so characters are counted there. Case, spaces and punctuation do not count. A text that is shorter has to stand there
as a whole, and one of fewer than 5 words or 10 characters says too little to tell.
"""

import re
from collections.abc import Hashable, Iterator

HAN = re.compile("[\u3400-\u9fff]")
WORDS, CHARACTERS = 13, 30
LEAST_WORDS, LEAST_CHARACTERS = 5, 10


def is_chinese(text) -> bool:
    return isinstance(text, str) and HAN.search(text) is not None


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def characters_of(text: str) -> str:
    return "".join(words_of(text))


class Passages:
    """The passages of some texts, each with the names of the texts that it is of."""

    def __init__(self):
        # By its beginning: passages (a tuple of words, or a string), with the names of their texts.
        self._words: dict[tuple, dict[tuple, set]] = {}
        self._characters: dict[str, dict[str, set]] = {}

    def add(self, text: str, name: Hashable) -> bool:
        """Returns whether the text is long enough to tell."""
        if is_chinese(text):
            index, least, size, units = self._characters, LEAST_CHARACTERS, CHARACTERS, characters_of(text)
        else:
            index, least, size, units = self._words, LEAST_WORDS, WORDS, tuple(words_of(text))
        if len(units) < least:
            return False
        for start in range(max(1, len(units) - size + 1)):
            passage = units[start : start + size]
            index.setdefault(passage[:least], {}).setdefault(passage, set()).add(name)
        return True

    def found_in(self, text: str) -> set:
        """The names of the texts of which a passage stands in `text`."""
        return set().union(*self._sets_in(text))

    def first_in(self, text: str):
        """The name of the first text of which a passage stands in `text`, the lowest of several; None without any."""
        return min(next(self._sets_in(text), ()), default=None)

    def _sets_in(self, text: str) -> Iterator[set]:
        if self._characters and is_chinese(text):
            yield from _search(characters_of(text), self._characters, LEAST_CHARACTERS)
        if self._words:
            yield from _search(tuple(words_of(text)), self._words, LEAST_WORDS)


def _search(units, index: dict, least: int) -> Iterator[set]:
    for start in range(len(units) - least + 1):
        passages = index.get(units[start : start + least])
        if passages:
            for passage, names in passages.items():
                if units[start : start + len(passage)] == passage:
                    yield names


def strings_in(value) -> Iterator[str]:
    """Every string in a record, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings_in(each)
