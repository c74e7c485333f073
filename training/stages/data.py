"""The data a stage trains on and is validated on, from the flags to rows.

    rows, validation = open_data(CHATS, args, tokenizer, run.say)

The stage names its kind of data (`dataset.rows.rows.Kind`), so the code of the other kinds is not loaded.
"""

import re
from pathlib import Path

import numpy as np

from dataset.cache.token_cache import build_or_open, held_out_share
from dataset.command_line import parse_sources, refuse_same_file
from dataset.records.reading import bytes_of
from dataset.rows.rows import Kind, Rows, ValidationRows
from model.errors import UsageError
from training.engine import distributed
from training.report.description import OF_WORDS, few_held_out

SPELLED = re.compile(rb"<[^<>\s]{1,40}>|\[\w+\]")  # as control tokens are (`records.controls`), and HTML
MANY_COPIES = 0.05  # a larger share of the documents is worth a warning
FEW_BYTES, MANY_BYTES = 1.7, 50  # a token: English and Chinese have over 3 with a fitting tokenizer, else about 1


def open_data(kind: Kind, args, tokenizer, say) -> tuple[Rows, ValidationRows]:
    """Training rows and validation rows of the files in `--data_path`; <out_dir>/cache keeps their tokens.

    The validation rows are all of `--val_path`, or `--val_ratio` of the documents, about 2 MB at most.
    """
    if args.format:
        from training.stages.kinds import with_format

        kind = with_format(kind, args.format)
    if getattr(args, "markers", "keep") == "split":
        from dataset.rows.marked_texts import split_at_markers

        kind = split_at_markers(kind)
    if not (items := args.data_path):
        from dataset.sample.files import sample_file  # runs on files of their own do not load it

        items = [sample_file(kind.sample, args.out_dir)]
        say(f"no --data_path is given: this run takes the sample data in {items[0]}")
    sources, held_out = parse_sources(items), parse_sources(args.val_path or [])
    paths, val_paths = ([source.path for source in each] for each in (sources, held_out))
    refuse_same_file(paths + val_paths)  # validation on training data measures nothing
    if any(source.weight is not None for source in held_out):
        raise UsageError("--val_path takes no weight: everything in its files is scored once")
    val_ratio = 0.0 if val_paths else held_out_share(paths, args.val_ratio)
    how = {"cache_dir": Path(args.out_dir, "cache"), "progress": distributed.is_main() or None}

    def open_cache(path: Path, val_ratio: float):
        cache = build_or_open(path, tokenizer, kind.cache, val_ratio=val_ratio, on_bad_line=args.on_bad_line, **how)
        say(cache.summary())
        for warning in warnings_about(cache, tokenizer):
            say(f"warning: {warning}")
        return cache

    caches = [open_cache(path, val_ratio) for path in paths]
    rows = Rows(kind, list(zip(caches, [source.weight for source in sources])), args.max_seq_len, args.seed)
    held_out = [open_cache(path, 1.0) for path in val_paths]
    say(rows.summary())
    rows.held_out = validation = ValidationRows(kind, held_out or caches, args.max_seq_len)
    for warning in rows.packed.warnings():
        say(f"warning: {warning}")
    if validation.left_out:
        say(f"validation leaves out {validation.packed.said_of_left_out(kind.left_out)}")
    if not validation.documents:
        say("nothing is held out, so this run has no validation (--val_path, --val_ratio)")
    elif args.eval_interval == 0:  # they stay held out, so that --resume may score them after all
        instead = "" if val_paths else "; --val_ratio 0 would hold out nothing"
        say(f"what is held out is never scored, as --eval_interval 0 asks{instead}")
    elif few := few_held_out(kind.name, size_of(kind, validation)):
        more = "more records in --val_path" if val_paths else "a larger --val_ratio, or files of its own by --val_path"
        say(f"warning: what is held out has {few}, too few to judge by: give {more}")
    return rows, validation


def size_of(kind: Kind, validation: ValidationRows) -> int:
    """What is held out, in the number that decides whether a run can be judged by it."""
    return validation.tokens if kind.name in OF_WORDS else validation.documents


def warnings_about(cache, tokenizer) -> list[str]:
    """Warnings about a data file, to be seen before a long training run; see `dataset.cache.texts.Cache`."""
    copied = cache.copies > MANY_COPIES
    foreign = cache.bytes_per_token < FEW_BYTES
    lost = cache.bytes_per_token > MANY_BYTES
    lossy = tokenizer.lossy or tokenizer.unknown_id is not None
    if not (copied or foreign or lost or lossy or SPELLED.search(next(bytes_of(cache.source), b""))):
        return []
    from training.stages.odd_texts import warnings_about_texts  # many files do not need it

    return warnings_about_texts(cache, tokenizer, copied, foreign, lost)


def identity_of(rows: Rows, validation: ValidationRows, **settings: str) -> dict:
    """What a resumed run compares: the content, order and weights of the files, how many held-out rows are scored, and
    `settings` of the stage. The name of a cache identifies the content of its file."""
    return {"training": rows.identity, "validation": validation.identity, "scored_rows": len(validation), **settings}


def describe_rows(rows: Rows) -> dict:
    """What run.json says about the training data (`training.report.description.Description`)."""
    caches, targets = rows.caches, rows.packed.targets
    copies = sum(cache.copies * cache.tokens for cache in caches) / max(1, sum(cache.tokens for cache in caches))
    text_tokens = sum(cache.tokens - cache.framing for cache in caches)
    return {
        "kind": rows.kind.name,
        "bytes_per_token": sum(cache.text_bytes for cache in caches) / max(1, text_tokens),
        "tokens_per_epoch": rows.tokens_per_epoch,
        "held_out": size_of(rows.kind, rows.held_out),
        "different_tokens": round((1 - copies) * float(np.minimum(rows.passes, 1) @ targets)),
    }
