"""The kind of data in the files of `--data_path`, for stages that read two kinds.

The first record of the first file decides for all files.
"""

from dataclasses import replace

from dataset.command_line import parse_sources
from dataset.records.formats import BadLine
from dataset.records.kinds import only
from dataset.records.measured import kind_of_file
from dataset.records.reading import read_records
from dataset.records.scored import SCORED
from dataset.rows.chats import CHATS
from dataset.rows.judged import JUDGED_PAIRS, SCORED_ANSWERS
from dataset.rows.rows import Kind
from dataset.rows.texts import TEXTS


def texts_or_chats(args) -> Kind:
    """Texts or conversations; conversations where no file is given. Raises SproutError for what is neither."""
    if not args.data_path:
        return CHATS
    kind, _ = kind_of_file(parse_sources(args.data_path)[0].path, ("text", "chat"), args.format)
    return TEXTS if kind.name == "text" else CHATS


def with_format(kind: Kind, name: str) -> Kind:
    """The kind of data with records of one format, as --format asks."""
    cache = type(kind.cache.__name__, (kind.cache,), {"RECORDS": only(kind.cache.RECORDS, name)})
    return replace(kind, cache=cache)


def pairs_or_scores(args) -> Kind:
    """Scored answers, or else preference pairs, whatever the first record may be."""
    records = read_records(parse_sources(args.data_path)[0].path) if args.data_path else ()
    first = next((item for item in records if not isinstance(item, BadLine)), None)
    return JUDGED_PAIRS if first is None or SCORED.find_format(first.fields) is None else SCORED_ANSWERS
