"""Documents that hold a passage of a benchmark are left out: what is measured must not be trained on."""

from collections.abc import Sequence

from dataset.passages import Passages, fills_a_passage, strings_in
from dataset.records.formats import BadLine
from dataset.records.odd_lines import refused
from dataset.records.reading import read_records
from model.errors import SproutError


def passages_of(paths: Sequence[str]) -> Passages:
    """The passages of all records in the files, by (file, line).

    Of each record the longest text counts, and every other text that is long enough for a whole passage: the choices of
    a question are often a few words that stand anywhere. Raises SproutError for a file that cannot be used.
    """
    passages = Passages()
    for path in paths:
        found = False
        for record in read_records(path):
            if isinstance(record, BadLine):  # what is not read could not be looked for
                raise refused(record, "correct the benchmark")
            texts = sorted(set(strings_in(record.fields)), key=lambda text: (-len(text), text))
            for number, text in enumerate(texts):
                if number == 0 or fills_a_passage(text):
                    found |= passages.add(text, (path, record.line))
        if not found:
            raise SproutError(f"{path} holds no text that is long enough to be looked for: name a benchmark's file")
    return passages
