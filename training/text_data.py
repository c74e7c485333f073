"""The texts a language model trains on and is validated on, from the flags to rows."""

from pathlib import Path

from dataset.cache import TokenCache, build_or_open
from dataset.rows import TextRows, ValidationRows
from dataset.sources import parse_sources
from model.errors import UsageError
from training import distributed


def open_texts(args, tokenizer, say) -> tuple[TextRows, ValidationRows]:
    """Training rows and validation rows of `--data_path`, tokenised into <out_dir>/cache unless they are there already.

    Validation comes from `--val_path`, or is `--val_ratio` of the documents. `say` prints what was found.
    """
    if not args.data_path:
        raise UsageError("give --data_path FILE ...: texts in .jsonl, .jsonl.gz, .parquet or .txt")
    sources = parse_sources(args.data_path)
    val_ratio = 0.0 if args.val_path else args.val_ratio
    caches = [_open(args, source.path, tokenizer, val_ratio, say) for source in sources]
    rows = TextRows(list(zip(caches, [source.weight for source in sources])), args.max_seq_len, args.seed)
    held_out = [_open(args, source.path, tokenizer, 1.0, say) for source in parse_sources(args.val_path or [])]
    say(rows.summary())
    return rows, ValidationRows(held_out or caches, args.max_seq_len)


def identity_of(rows: TextRows, validation: ValidationRows) -> dict:
    """What a resumed run compares: the content of the files (the name of a cache covers it), order and weights."""
    return {"training": rows.identity, "validation": validation.identity}


def _open(args, path: Path, tokenizer, val_ratio: float, say) -> TokenCache:
    cache = build_or_open(
        path,
        tokenizer,
        val_ratio=val_ratio,
        on_bad_line=args.on_bad_line,
        cache_dir=Path(args.out_dir) / "cache",
        progress=distributed.is_main(),
    )
    say(cache.summary())
    return cache
