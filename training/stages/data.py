"""The data a stage trains on and is validated on, from the flags to rows."""

from pathlib import Path

import numpy as np

from dataset.cache.token_cache import build_or_open
from dataset.cache.tokenising import held_out_share
from dataset.records.fields import BadRecord
from dataset.records.formats import FORMATS, detect_format
from dataset.records.reading import BadLine, read_records
from dataset.records.sources import Source, parse_sources, refuse_same_file
from dataset.rows.answers import AnswerRows, AnswerValidationRows
from dataset.rows.chats import ChatRows, ChatValidationRows
from dataset.rows.pairs import PairRows, PairValidationRows
from dataset.rows.rows import Rows, RowsInOrder, TextRows, ValidationRows
from dataset.sample import sample_file
from inference.chat_evaluation import file_format
from model.errors import UsageError
from training.engine import distributed
from training.stages import advice


def open_texts(args, tokenizer, say) -> tuple[TextRows, ValidationRows]:
    """Training rows and validation rows of the texts in `--data_path`, tokenised into <out_dir>/cache unless they are
    there already.

    Validation is all of `--val_path`, or `--val_ratio` of the documents, about 2 MB at most. `say` prints what was
    found.
    """
    return _open_rows(args, tokenizer, say, "text", TextRows, ValidationRows, sample="pretrain")


def open_chats(args, tokenizer, say, sample: str = "sft") -> tuple[ChatRows, ChatValidationRows]:
    """The same for conversations; `sample` is the file of the sample data that is taken where none is given."""
    rows, validation = _open_rows(args, tokenizer, say, "chat", ChatRows, ChatValidationRows, sample)
    for source, kept, stream in rows.packed.files():
        for warning in advice.about_chats(kept, source, int(stream.lengths().max())):
            say(f"warning: {warning}")
    if validation.left_out:
        say(
            f"validation leaves out {validation.left_out:,} conversations, whose first answer begins beyond"
            " --max_seq_len"
        )
    return rows, validation


def open_preferences(args, tokenizer, say) -> tuple[PairRows, PairValidationRows]:
    """The same for preference pairs; rows are twice --max_seq_len long."""
    rows, validation = _open_rows(args, tokenizer, say, "preference", PairRows, PairValidationRows, sample="preference")
    if validation.left_out:
        say(f"validation leaves out {validation.left_out:,} pairs, of which an answer begins beyond --max_seq_len")
    return rows, validation


def open_answers(args, tokenizer, say) -> tuple[AnswerRows, AnswerValidationRows, str]:
    """The same for answers that are judged, and which they are: "preference" (rows of pairs) or "scored".

    The first record of the first file decides, and all files are read as that.
    """
    kind = judged_kind(parse_sources(args.data_path)[0].path) if args.data_path else "preference"
    rows, validation = _open_rows(args, tokenizer, say, kind, AnswerRows, AnswerValidationRows, sample="preference")
    if validation.left_out:
        say(f"validation leaves out {validation.left_out:,} records that are longer than --max_seq_len")
    return rows, validation, kind


def judged_kind(path: Path) -> str:
    """What the first record of a file is: "scored", or else "preference", whatever it may be."""
    for item in read_records(path):
        if not isinstance(item, BadLine):
            try:
                detect_format(item.fields, "scored")
                return "scored"
            except BadRecord:
                return "preference"
    return "preference"


def open_texts_or_chats(args, tokenizer, say) -> tuple[Rows, RowsInOrder]:
    """`open_texts` where the first file of --data_path holds texts, else `open_chats`."""
    first = parse_sources(args.data_path)[0].path if args.data_path else None
    texts = first is not None and file_format(first) == FORMATS["text"][0]
    return (open_texts if texts else open_chats)(args, tokenizer, say)


def _open_rows(args, tokenizer, say, kind: str, rows_type, validation_type, sample: str):
    if args.data_path:
        sources = parse_sources(args.data_path)
    else:
        sources = [Source(_sample_data(sample, args.out_dir, say))]
    paths, val_paths = [source.path for source in sources], _validation_paths(args.val_path or [])
    refuse_same_file(paths + val_paths)  # what is trained on says nothing about anything else
    val_ratio = 0.0 if val_paths else held_out_share(paths, args.val_ratio)

    def open_cache(path: Path, val_ratio: float):
        cache = build_or_open(
            path,
            tokenizer,
            kind=kind,
            val_ratio=val_ratio,
            on_bad_line=args.on_bad_line,
            cache_dir=Path(args.out_dir) / "cache",
            progress=distributed.is_main(),
        )
        say(cache.summary())
        for warning in advice.about_cache(cache):
            say(f"warning: {warning}")
        return cache

    caches = [open_cache(path, val_ratio) for path in paths]
    rows = rows_type(list(zip(caches, [source.weight for source in sources])), args.max_seq_len, args.seed)
    held_out = [open_cache(path, 1.0) for path in val_paths]
    say(rows.summary())
    return rows, validation_type(held_out or caches, args.max_seq_len)


def _sample_data(name: str, out_dir: str, say) -> Path:
    """The file of our own sample data that a stage takes when it is given none."""
    path = sample_file(name, out_dir)
    say(f"no --data_path is given: this run takes the sample data in {path}")
    return path


def _validation_paths(items: list[str]) -> list[Path]:
    sources = parse_sources(items)
    for source in sources:
        if source.weight is not None:
            raise UsageError(f"--val_path {source.path} takes no weight: everything in it is scored once")
    return [source.path for source in sources]


def identity_of(rows, validation, **settings: str) -> dict:
    """What a resumed run compares: the content of the files (the name of a cache covers it), order and weights; and
    `settings` of the stage, such as its loss.
    """
    return {"training": rows.identity, "validation": validation.identity, **settings}


KINDS = {TextRows: "text", ChatRows: "chat", PairRows: "preference", AnswerRows: "reward"}


def facts_of(rows) -> dict:
    """What run.json says of the training data (`training.report.facts.Facts`)."""
    caches, targets = rows.caches, rows.packed.targets
    copies = sum(cache.copies * cache.tokens for cache in caches) / max(1, sum(cache.tokens for cache in caches))
    text_tokens = sum(cache.tokens - cache.framing for cache in caches)
    return {
        "kind": KINDS[type(rows)],
        "bytes_per_token": sum(cache.text_bytes for cache in caches) / max(1, text_tokens),
        "tokens_per_epoch": rows.tokens_per_epoch,
        "different_tokens": round((1 - copies) * float(np.minimum(rows.passes, 1) @ targets)),
    }
