"""Which items of a benchmark stand in training data: those that share a passage with it (`dataset/passages.py`)."""

from collections.abc import Iterator, Sequence

from dataset.passages import Passages, strings_in
from dataset.records.formats import BadLine
from dataset.records.reading import bar_over, read_records, size_of


def overlapping(tasks: Sequence[Sequence[str]], paths: Sequence[str]) -> list[tuple[set[int], int]]:
    """For the texts of each task: the numbers of those that stand in the files, and how many are long enough to tell.

    Shows a progress bar. Raises `SproutError` for a file that cannot be read; a bad line in it is none of the data.
    """
    passages = Passages()
    judged = [
        sum(passages.add(text, (task, number)) for number, text in enumerate(texts)) for task, texts in enumerate(tasks)
    ]
    seen: set[tuple[int, int]] = set()
    for text in _texts_in(paths):
        seen |= passages.found_in(text)
    return [({number for which, number in seen if which == task}, count) for task, count in enumerate(judged)]


def _texts_in(paths: Sequence[str]) -> Iterator[str]:
    """Every string in the records of the files, whatever their format."""
    for path in paths:
        with bar_over(size_of(path), f"looking for items in {path}") as bar:
            for record in read_records(path, lambda position: bar.update(position - bar.n)):
                if not isinstance(record, BadLine):
                    yield from strings_in(record.fields)
