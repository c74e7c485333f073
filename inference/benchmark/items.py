"""What a benchmark asks: an item, the forms in which a layout asks it, and the layout that a file's keys reveal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Item:
    """One thing that is asked. What the network reads is `context`; an answer follows after `delimiter`.

    choices: the answers among which the likelihood chooses; empty where the network writes the answer itself.
    right: the place of the right choice. answer: what the right answer is.
    shown: how an example of it (a shot) shows its answer; empty: as `answer`.
    own: the text of the item without the words that all items share; overlap with training data is judged by it.
    """

    context: str
    answer: str
    own: str
    choices: tuple[str, ...] = ()
    right: int = 0
    delimiter: str = " "
    shown: str = ""


@dataclass(frozen=True)
class Form:
    """A way to ask the items of a layout.

    name: "" where there is only one. read: from the fields of a record to its item; None where a record cannot be
        asked so. Raises `BadRecord`.
    metrics: names of what is counted. until: strings that end a written answer.
    grades: (written answer, right answer) -> whether it is right, by the name of the metric.
    """

    name: str
    read: Callable[[dict], Item | None]
    metrics: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    grades: Mapping[str, Callable[[str, str], bool]] = field(default_factory=dict)
    describe: Callable[[str | None], str] = lambda subject: ""  # what stands once before all, by subject


@dataclass(frozen=True)
class Layout:
    """How the records of a benchmark look. fits: whether a record, its keys in lower case, is one.

    shape: the keys, for somebody whose file is none. shots: how many examples its authors put before an item.
    subject_key: the key whose value names the part of the benchmark that an item belongs to; else the file's name does.
    """

    name: str
    shape: str
    fits: Callable[[dict], bool]
    forms: tuple[Form, ...]
    shots: int = 5
    subject_key: str | None = None
    subjects: Mapping[str, str] = field(default_factory=dict)  # those that a file may be named after


def has(*keys: str) -> Callable[[dict], bool]:
    """Whether a record has all of these keys."""
    return lambda fields: set(keys) <= fields.keys()
