"""Learn a tokenizer: byte-level byte-pair encoding (BPE, https://arxiv.org/abs/1508.07909) on real text.

Text is cut into words by Qwen2's expression, a word begins as its UTF-8 bytes, and the most frequent pair of
neighbours becomes a new token, again and again, until the vocabulary is full. Nothing is normalised and every
byte is a token, so every text comes back exactly. Text records give their text, chat records the contents of
their turns; `FILE:0.1` takes a tenth of a file's documents, `FILE:2` counts each twice.

    python train_tokenizer.py --data_path my_text.jsonl my_chats.jsonl
    python train_tokenizer.py --data_path chinese.jsonl --extend SmolLM2-135M-Instruct.Q4_1.gguf --add 4000

The first writes out/tokenizer (for `--tokenizer_path`). The second gives the byte-level tokenizer of any weight
4000 more tokens, learnt on top of its own, every old id unchanged. See docs/tokenizer.md.
"""

import sys
from pathlib import Path

from dataset.command_line import positive_int
from dataset.unheard import to_its_end
from model.errors import UsageError, counted
from training.report.going_on import command_of
from training.stages.arguments import StageParser, run_main

VOCAB_SIZE = 6400
LARGEST_VOCAB_SIZE = 10**6
EXTEND_MB = 50  # of text that more tokens are learnt from
CHECK_MB = 50  # of text that is encoded and decoded again at the end


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data_path",
        nargs="+",
        metavar="FILE[:SHARE]",
        help="texts or chats: JSON lines, plain text, parquet, ..., each with an optional share (default: sample data)",
    )
    data.add_argument("--on_bad_line", choices=("stop", "skip"), default="stop", help="default %(default)s")
    data.add_argument(
        "--sample_mb",
        type=positive_int,
        metavar="MB",
        help="learn from no more text than this, spread over all files (default: from all whose different words fit"
        f" into 3 GB of memory; with --extend {EXTEND_MB})",
    )
    tokenizer = parser.add_argument_group("tokenizer")
    tokenizer.add_argument("--vocab_size", type=positive_int, help=f"special tokens included ({VOCAB_SIZE})")
    tokenizer.add_argument(
        "--extend",
        metavar="NAME|FILE|FOLDER",
        help="add tokens to the tokenizer of this weight (a name in out/, a .pth, a GGUF file or an HF folder)",
    )
    tokenizer.add_argument("--add", type=positive_int, metavar="N", help="how many, with --extend")
    tokenizer.add_argument(
        "--unchanged",
        nargs="+",
        metavar="FILE",
        help="with --extend: texts that keep the tokens they have, such as those the network was trained on",
    )
    tokenizer.add_argument("--out_dir", default="out/tokenizer", help="folder to write (%(default)s)")
    return parser.parse_args(argv)


def refuse_contradictions(args) -> None:
    """Raises `UsageError` for flags that mean nothing together, and for a vocabulary that cannot be."""
    from model.text.tokenizer import SPECIAL_TOKENS

    if (args.extend is None) != (args.add is None):
        raise UsageError("--extend WEIGHT and --add N belong together: which tokenizer, and how many tokens")
    if args.unchanged and not args.extend:
        raise UsageError("--unchanged FILE is for --extend, which is not given: a new tokenizer has no tokens to keep")
    if args.extend and args.vocab_size:
        raise UsageError("--vocab_size is for a new tokenizer; with --extend, --add N says how many tokens to add")
    vocab_size, smallest = args.vocab_size or VOCAB_SIZE, len(SPECIAL_TOKENS) + 256
    if vocab_size < smallest:
        raise UsageError(f"--vocab_size must be at least {smallest}: the 256 bytes and the special tokens")
    if max(vocab_size, args.add or 0) > LARGEST_VOCAB_SIZE:
        raise UsageError(f"--{'add' if args.add else 'vocab_size'} must be at most {LARGEST_VOCAB_SIZE:,}")


def main(argv=None):
    args = parse_arguments(argv)
    refuse_contradictions(args)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from model.files.tokenizer_of import is_tokenizer_alone, refuse_folder_of_network
    from model.files.writable import refuse_unwritable
    from model.text.replace import replace_tokenizer

    out_dir = Path(args.out_dir)
    refuse_unwritable(out_dir)
    refuse_folder_of_network(out_dir)
    weight, old = tokenizer_to_extend(args.extend, out_dir) if args.extend else (None, None)
    corpus = open_corpus(args, out_dir)
    new = learned(corpus, args) if old is None else extended(old, corpus, args, out_dir)
    if kept := replace_tokenizer(out_dir, new):
        print(f"kept the tokenizer that was in {out_dir} as {', '.join(path.name for path in kept)}")
    print(f"wrote {new.vocab_size:,} tokens to {out_dir}")
    report_quality(new, old, corpus)
    start = ("--from_weight", weight) if weight and not is_tokenizer_alone(weight) else ()
    print(f"next: {command_of('train_pretrain.py', *start, '--tokenizer_path', out_dir, '--data_path', 'FILE')}")


def tokenizer_to_extend(name: str, out_dir: Path):
    """The path of the weight that --extend names, and its tokenizer."""
    from inference.weights import find_weight
    from model.files.tokenizer_of import refuse_folder_of_network, tokenizer_of_weight
    from model.text.extend_bpe import refuse_other_kinds

    weight = find_weight(name, "out", chosen_by="a path", say=print)
    refuse_folder_of_network(out_dir, weight)
    old = tokenizer_of_weight(weight)
    refuse_other_kinds(old)  # before all data are read
    print(f"extending the {old.vocab_size:,} tokens of {weight}")
    return weight, old


def open_corpus(args, out_dir: Path):
    """The texts of --data_path; says how many there are."""
    from dataset.command_line import parse_sources
    from dataset.corpus import Corpus
    from dataset.sample.files import sample_file

    paths = args.data_path
    if paths is None:
        paths = [sample_file("pretrain"), sample_file("sft")]
        print(f"no --data_path is given: this run takes the sample data, {paths[0]} and {paths[1]}")
    corpus = Corpus(parse_sources(paths), args.on_bad_line, out_dir / "bad_lines.jsonl")
    for source, documents, size in zip(corpus.sources, corpus.documents, corpus.bytes):
        print(counted(f"{source.path}: {documents:,} documents, {size / 1e6:,.1f} MB of text"))
    if corpus.bad_lines:
        print(corpus.left_out())
    return corpus


def learned(corpus, args):
    """A new tokenizer of --vocab_size tokens."""
    from dataset.words import count_corpus
    from model.text.learn_bpe import learn_from_words

    wanted = args.vocab_size or VOCAB_SIZE
    asked = args.sample_mb * 10**6 if args.sample_mb else sys.maxsize
    words, max_bytes = count_corpus(corpus, asked)
    print(f"learning from {len(words):,} different words, {words.total():,} in all")
    new = learn_from_words(words, wanted)
    why = "more with --sample_mb" if max_bytes == asked else "the different words of more do not fit into 3 GB"
    say_what_is_missing(new, wanted, corpus.taken(max_bytes), why)
    return new


def extended(old, corpus, args, out_dir: Path):
    """The tokenizer `old` with --add more tokens, none of which changes the tokens of the texts in --unchanged."""
    from dataset.corpus import Corpus, whole_sources
    from model.text.extend_bpe import extend
    from model.text.learn_bpe import MAX_TOKEN_BYTES

    unchanged = ()
    if args.unchanged:
        bad_lines_path = out_dir / "bad_lines_unchanged.jsonl"
        unchanged = Corpus(whole_sources("--unchanged", args.unchanged), args.on_bad_line, bad_lines_path)
        unchanged = unchanged.texts("keeping")
    max_bytes = (args.sample_mb or EXTEND_MB) * 10**6
    new = extend(old, corpus.sample(max_bytes), args.add, MAX_TOKEN_BYTES, unchanged)
    say_what_is_missing(new, old.vocab_size + args.add, corpus.taken(max_bytes), "more with --sample_mb")
    return new


def say_what_is_missing(new, wanted: int, share: float, why: str) -> None:
    """Says so if only a share of the documents was learnt from, and why, or if there are fewer tokens than wanted."""
    if share < 1:
        print(f"learnt from {share:.1%} of the documents (times their share): {why}")
    if new.vocab_size < wanted:
        why = "the texts have no more pairs that occur twice and are short enough for a token"
        print(f"only {new.vocab_size:,} tokens, not {wanted:,}: {why}")


def report_quality(new, old, corpus) -> None:
    """Compares the new tokenizer with the one that it extends and the shipped one, and encodes the data and back."""
    from model.text.quality import comparison, effect_on_english, round_trip
    from model.text.tokenizer import Tokenizer

    before = {} if old is None else {"before": old}
    print(comparison({"new": new, **before, "shipped": Tokenizer.load()}))
    if old is not None:
        print(effect_on_english(old, new))
    back = round_trip(new, corpus.texts("round trip of", CHECK_MB * 10**6))
    part = f"{back.bytes / 1e6:,.1f} MB of the data, evenly spread"
    what = "all data" if sum(corpus.bytes) <= CHECK_MB * 10**6 else part
    print(f"{what}: {back.bytes / back.tokens:.3f} bytes per token, {back.tokens:,} tokens")
    if not back.changed:
        one = "the only text comes back exactly from its tokens"
        print(one if back.texts == 1 else f"all {back.texts:,} texts come back exactly from their tokens")
    else:  # with --extend, where the old tokenizer normalises: Qwen's NFC rewrites a few characters
        first = back.first_changed[:80]
        print(f"warning: {back.changed:,} of {back.texts:,} texts come back changed, the first: {first!r}")


if __name__ == "__main__":
    run_main(to_its_end(main))
