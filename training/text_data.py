"""The texts a language model trains on and is validated on, from the flags to rows."""

from pathlib import Path

from dataset.cache import TokenCache, build_or_open
from dataset.rows import TextRows, ValidationRows
from dataset.sources import parse_sources, refuse_same_file
from dataset.tokenising import held_out_share
from model.errors import UsageError
from training import distributed


def open_texts(args, tokenizer, say) -> tuple[TextRows, ValidationRows]:
    """Training rows and validation rows of `--data_path`, tokenised into <out_dir>/cache unless they are there already.

    Validation is all of `--val_path`, or `--val_ratio` of the documents, about 2 MB at most. `say` prints what was
    found.
    """
    if not args.data_path:
        raise UsageError("give --data_path FILE ...: texts in .jsonl, .jsonl.gz, .parquet or .txt")
    sources = parse_sources(args.data_path)
    paths, val_paths = [source.path for source in sources], _validation_paths(args.val_path or [])
    refuse_same_file(paths + val_paths)  # what is trained on says nothing about new text
    val_ratio = 0.0 if val_paths else held_out_share(paths, args.val_ratio)
    caches = [_open(args, path, tokenizer, val_ratio, say) for path in paths]
    rows = TextRows(list(zip(caches, [source.weight for source in sources])), args.max_seq_len, args.seed)
    held_out = [_open(args, path, tokenizer, 1.0, say) for path in val_paths]
    say(rows.summary())
    return rows, ValidationRows(held_out or caches, args.max_seq_len)


def _validation_paths(items: list[str]) -> list[Path]:
    sources = parse_sources(items)
    for source in sources:
        if source.weight is not None:
            raise UsageError(f"--val_path {source.path} takes no weight: every document of it is scored once")
    return [source.path for source in sources]


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
