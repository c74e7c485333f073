"""The kind of data in the files of `--data_path`, for stages that read two kinds.

The first record of the first file decides for all files.
"""

from dataclasses import replace

from dataset.command_line import parse_sources
from dataset.records.chat_formats import CHAT
from dataset.records.formats import BadLine, BadRecord
from dataset.records.kinds import only
from dataset.records.measured import kind_of_file
from dataset.records.prompts import PROMPT_OR_CHAT
from dataset.records.reading import read_records
from dataset.records.scored import SCORED
from dataset.rows.chats import CHATS
from dataset.rows.judged import JUDGED_PAIRS, SCORED_ANSWERS
from dataset.rows.rows import Kind
from dataset.rows.texts import TEXTS
from model.errors import UsageError


def texts_or_chats(args) -> Kind:
    """Texts or conversations; conversations if no file is given. Raises SproutError for a file of neither kind.

    With --on_policy 1 no answer of the data is learned, so prompts suffice; then there is no validation.
    """
    if not args.data_path:
        return CHATS
    if args.on_policy == 1 and (kind := _prompts(args)):
        if args.val_path:
            raise UsageError("--val_path needs answers, and --data_path holds prompts without any: leave it out")
        args.val_ratio = 0.0
        return kind
    kind, _ = kind_of_file(parse_sources(args.data_path)[0].path, ("text", "chat"), args.format)
    return TEXTS if kind.name == "text" else CHATS


def _prompts(args) -> Kind | None:
    """The kind of prompts without answers, if the first record of the first file is one."""
    from dataset.rows.unanswered import UNANSWERED

    fields = _first_record(args)
    chat = CHAT.find_format(fields)
    try:
        is_answered = chat is not None and bool(chat.read(fields))
    except BadRecord:
        is_answered = False
    return None if is_answered or PROMPT_OR_CHAT.find_format(fields) is None else UNANSWERED


def _first_record(args) -> dict:
    """What the first good record of the first file says; nothing where there is none."""
    records = read_records(parse_sources(args.data_path)[0].path) if args.data_path else ()
    return next((item.fields for item in records if not isinstance(item, BadLine)), {})


def with_format(kind: Kind, name: str) -> Kind:
    """The kind of data with records of one format, as --format asks."""
    cache = type(kind.cache.__name__, (kind.cache,), {"RECORDS": only(kind.cache.RECORDS, name)})
    return replace(kind, cache=cache)


def pairs_or_scores(args) -> Kind:
    """Scored answers, or else preference pairs, whatever the first record may be."""
    return JUDGED_PAIRS if SCORED.find_format(_first_record(args)) is None else SCORED_ANSWERS
