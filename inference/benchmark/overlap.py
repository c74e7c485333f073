"""Which items of a benchmark stand in training data: those that share 13 words in a row with it, or 30 characters.

13 words are the measure of GPT-3 (https://arxiv.org/abs/2005.14165, appendix C). Chinese has no spaces between words,
so characters are counted there. Case, spaces and punctuation do not count. An item that is shorter has to stand there
as a whole, and one of fewer than 5 words or 10 characters says too little to tell.
"""

import re
from collections.abc import Iterator, Sequence

from dataset.records.formats import BadLine
from dataset.records.reading import bar_over, read_records, size_of
from inference.benchmark.items import is_chinese

WORDS, CHARACTERS = 13, 30
LEAST_WORDS, LEAST_CHARACTERS = 5, 10


def overlapping(tasks: Sequence[Sequence[str]], paths: Sequence[str]) -> list[tuple[set[int], int]]:
    """For the texts of each task: the numbers of those that stand in the files, and how many are long enough to tell.

    Shows a progress bar. Raises `SproutError` for a file that cannot be read; a bad line in it is none of the data.
    """
    # By its beginning: windows of texts (a tuple of words, or a string), with the texts that they are of.
    words: dict[tuple, dict[tuple, set]] = {}
    characters: dict[str, dict[str, set]] = {}
    judged = []
    for task, texts in enumerate(tasks):
        long_enough = 0
        for number, text in enumerate(texts):
            index, least, size = (
                (characters, LEAST_CHARACTERS, CHARACTERS) if is_chinese(text) else (words, LEAST_WORDS, WORDS)
            )
            units = characters_of(text) if index is characters else tuple(words_of(text))
            if len(units) < least:
                continue
            long_enough += 1
            for start in range(max(1, len(units) - size + 1)):
                window = units[start : start + size]
                index.setdefault(window[:least], {}).setdefault(window, set()).add((task, number))
        judged.append(long_enough)
    seen: set[tuple[int, int]] = set()
    for text in _texts_in(paths):
        if characters and is_chinese(text):
            _search(characters_of(text), characters, LEAST_CHARACTERS, seen)
        if words:
            _search(tuple(words_of(text)), words, LEAST_WORDS, seen)
    return [({number for which, number in seen if which == task}, count) for task, count in enumerate(judged)]


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def characters_of(text: str) -> str:
    return "".join(words_of(text))


def _search(units, index: dict, least: int, seen: set) -> None:
    """Adds to `seen` the items of all windows that stand in `units`."""
    for start in range(len(units) - least + 1):
        windows = index.get(units[start : start + least])
        if windows:
            for window, items in windows.items():
                if units[start : start + len(window)] == window:
                    seen |= items


def _texts_in(paths: Sequence[str]) -> Iterator[str]:
    """Every string in the records of the files, whatever their format."""
    for path in paths:
        with bar_over(size_of(path), f"looking for items in {path}") as bar:
            for record in read_records(path, lambda position: bar.update(position - bar.n)):
                if not isinstance(record, BadLine):
                    yield from _strings(record.fields)


def _strings(value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)
