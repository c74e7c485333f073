"""Learn a tokenizer: byte-level byte-pair encoding (BPE, https://arxiv.org/abs/1508.07909) on real text.

Text is cut into words by Qwen2's expression, a word begins as its UTF-8 bytes, and the most frequent pair of
neighbours becomes a new token, again and again, until the vocabulary is full. Nothing is normalised and every
byte is a token, so every text comes back exactly. Text records give their text, chat records the contents of
their turns; `FILE:0.1` takes a tenth of a file's documents, `FILE:2` counts each twice.

    python train_tokenizer.py --data_path ../shared/data/pretrain_en.jsonl ../shared/data/pretrain_zh.jsonl
    python train_tokenizer.py --data_path ../shared/data/pretrain_zh.jsonl --extend path/to/SmolLM2 --add 4000

The first writes out/tokenizer (for `--tokenizer_path`). The second gives an existing byte-level tokenizer
4000 more tokens, learnt on top of its own, every old id unchanged. See docs/tokenizer.md.
"""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from training.stages.arguments import StageParser, positive_int, run_main

# The expression of Qwen2: contractions, letters, each digit alone, punctuation, line ends, spaces. llama.cpp
# has it built in (tokenizer.ggml.pre = qwen2); a tokenizer with any other would not run there.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

VOCAB_SIZE = 6400
LARGEST_VOCAB_SIZE = 10**6  # the library sets memory aside for all of it before it begins

# A longer token is hardly a word: it is a stock phrase of one corpus, and takes the place of two words.
MAX_TOKEN_BYTES = 16

# Short texts of our own, in no training data, to compare tokenizers by.
SAMPLES = {
    "Chinese": "清晨的集市刚刚热闹起来，卖豆腐的老人把摊子支在桥头，一边招呼客人，一边和邻居谈论昨夜的大雨。"
    "河水涨了不少，孩子们趴在栏杆上，数着漂过的树叶。有人说，今年的收成应该不错；也有人担心，要是雨再这样下"
    "下去，山路就不好走了。科学家们发现，这种植物能够在缺水的环境中生存很长时间，因为它的根可以伸到地下十米。",
    "English": "The market had only just woken when the old man set up his stall at the end of the bridge. "
    "He greeted his customers and talked with his neighbours about last night's rain. The river had risen, "
    "and children leaned over the rail to count the leaves that drifted by. Scientists have found that this "
    "plant survives for a long time without water, because its roots reach ten metres into the ground.",
    "code": "def moving_average(values, width):\n    if width < 1:\n        raise ValueError('too narrow')\n"
    "    total, result = 0.0, []\n    for index, value in enumerate(values):\n        total += value\n"
    "        if index >= width:\n            total -= values[index - width]\n"
    "        result.append(total / min(index + 1, width))\n    return result\n",
    "digits": "3.14159, 2.71828 and 1.41421; on 2024-05-17 at 08:30 there were 1,048,576 rows, 99.97% of "
    "them valid; 12 * 34 = 408, 7/8 = 0.875, +49 151 2345678",
}


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data_path",
        nargs="+",
        metavar="FILE[:SHARE]",
        help="texts or chats: .jsonl, .jsonl.gz, .parquet, .txt, each with an optional share (default: sample data)",
    )
    data.add_argument("--on_bad_line", choices=("stop", "skip"), default="stop", help="default %(default)s")
    data.add_argument(
        "--sample_mb",
        type=positive_int,
        default=50,
        metavar="MB",
        help="learn from no more text than this, spread over all files (%(default)s); takes 5 (English) to 80"
        " (Chinese) times as much memory, whatever the size of the files",
    )
    tokenizer = parser.add_argument_group("tokenizer")
    tokenizer.add_argument("--vocab_size", type=positive_int, help=f"special tokens included ({VOCAB_SIZE})")
    tokenizer.add_argument("--extend", metavar="HF_FOLDER", help="add tokens to this byte-level BPE tokenizer")
    tokenizer.add_argument("--add", type=positive_int, metavar="N", help="how many, with --extend")
    tokenizer.add_argument("--out_dir", default="out/tokenizer", help="folder to write (%(default)s)")
    return parser.parse_args(argv)


def learn(texts: Iterable[str], vocab_size: int):
    """A new `Tokenizer` of at most `vocab_size` tokens; the same texts give the same files, byte for byte."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    from model.text.chat_template import CHAT_TEMPLATE
    from model.text.extend_bpe import MIN_COUNT
    from model.text.tokenizer import END_OF_TEXT, IM_END, IM_START, SPECIAL_TOKENS, THINK_AND_TOOLS, Tokenizer

    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(QWEN2_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=MIN_COUNT,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),  # all 256 bytes, seen or not
        max_token_length=MAX_TOKEN_BYTES,
        show_progress=sys.stderr.isatty(),
    )
    backend.train_from_iterator(texts, trainer)

    content = json.loads(backend.to_str())
    for token in content["added_tokens"]:
        token["special"] = token["content"] not in THINK_AND_TOOLS
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": IM_START,
        "eos_token": IM_END,
        "pad_token": END_OF_TEXT,
        "model_max_length": 32768,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "add_eos_token": False,
        "chat_template": CHAT_TEMPLATE,
    }
    return Tokenizer.from_files(
        {
            "tokenizer.json": json.dumps(content, ensure_ascii=False, indent=1) + "\n",
            "tokenizer_config.json": json.dumps(config, ensure_ascii=False, indent=2) + "\n",
        }
    )


def bytes_per_token(tokenizer, text: str) -> float:
    return len(text.encode("utf-8")) / len(tokenizer.encode(text))


def comparison(tokenizers: dict) -> str:
    """A table of `bytes_per_token`: a line for each of `SAMPLES`, a column for each tokenizer by name."""
    lines = [f"{'bytes per token':<16}" + "".join(f"{name:>10}" for name in tokenizers)]
    for sample, text in SAMPLES.items():
        numbers = "".join(f"{bytes_per_token(tokenizer, text):10.2f}" for tokenizer in tokenizers.values())
        lines.append(f"{sample:<16}{numbers}")
    return "\n".join(lines)


def round_trip(tokenizer, texts: Iterable[str]) -> tuple[int, int, int, str | None]:
    """How many texts, their tokens, how many do not come back from their tokens, and the first of these."""
    from model.text.batches import text_batches

    count = tokens = changed = 0
    first = None
    for batch in text_batches(texts):
        encoded = tokenizer.encode_batch(batch)
        count, tokens = count + len(batch), tokens + sum(map(len, encoded))
        for text, back in zip(batch, tokenizer.decode_batch(encoded)):
            if text != back:
                changed += 1
                first = first or text
    return count, tokens, changed, first


def keep_aside(folder: Path, new_files: dict[str, str]) -> list[Path]:
    """Renames the tokenizer that is in the folder, unless it is the very one about to be written; returns its files."""
    from model.files.disk import previous_path
    from model.text.tokenizer import FILE_NAMES

    old = [folder / name for name in FILE_NAMES if (folder / name).exists()]
    if all(path.read_bytes() == new_files.get(path.name, "").encode("utf-8") for path in old):
        return []
    for path in old:
        os.replace(path, previous_path(path))
    return old


def replace_tokenizer(folder: Path, new) -> None:
    """Writes the files of `new`; those of the tokenizer that was there are kept aside, or stay if that fails."""
    from model.errors import SproutError
    from model.files.disk import previous_path

    kept = keep_aside(folder, new.files)
    try:
        new.save(folder)
    except SproutError:
        for name in new.files if kept else ():
            (folder / name).unlink(missing_ok=True)
        for path in kept:
            os.replace(previous_path(path), path)
        raise
    if kept:
        print(f"kept the tokenizer that was in {folder} as {', '.join(previous_path(path).name for path in kept)}")


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.corpus import Corpus
    from dataset.records.sources import parse_sources
    from dataset.sample import sample_file
    from model.errors import UsageError
    from model.files.disk import refuse_unwritable
    from model.text.extend_bpe import extend
    from model.text.tokenizer import SPECIAL_TOKENS, Tokenizer

    if (args.extend is None) != (args.add is None):
        raise UsageError("--extend HF_FOLDER and --add N belong together: which tokenizer, and how many tokens")
    if args.extend and args.vocab_size:
        raise UsageError("--vocab_size is for a new tokenizer; with --extend, --add N says how many tokens to add")
    vocab_size, smallest = args.vocab_size or VOCAB_SIZE, len(SPECIAL_TOKENS) + 256
    if vocab_size < smallest:
        raise UsageError(f"--vocab_size must be at least {smallest}: the 256 bytes and the special tokens")
    if max(vocab_size, args.add or 0) > LARGEST_VOCAB_SIZE:
        raise UsageError(f"--{'add' if args.add else 'vocab_size'} must be at most {LARGEST_VOCAB_SIZE:,}")
    out_dir = Path(args.out_dir)
    refuse_unwritable(out_dir)
    old = Tokenizer.load(args.extend) if args.extend else None

    # Data
    paths = args.data_path
    if paths is None:
        paths = [sample_file("pretrain"), sample_file("sft")]
        print(f"no --data_path is given: this run takes the sample data, {paths[0]} and {paths[1]}")
    corpus = Corpus(parse_sources(paths), args.on_bad_line, out_dir / "bad_lines.jsonl")
    for source, documents, size in zip(corpus.sources, corpus.documents, corpus.bytes):
        print(f"{source.path}: {documents:,} documents, {size / 1e6:,.1f} MB of text")
    if corpus.bad_lines:
        print(f"left out {corpus.bad_lines.total():,} bad lines, listed in {corpus.bad_lines_path}")
    share = corpus.share(args.sample_mb * 10**6)
    if share < 1:
        print(f"learning from {share:.1%} of the documents (times their share); more with --sample_mb")

    # Learning
    max_bytes = args.sample_mb * 10**6
    if old is None:  # the library has a progress bar of its own
        new, wanted = learn(corpus.sample(max_bytes, progress=False), vocab_size), vocab_size
    else:
        new = extend(old, corpus.sample(max_bytes), args.add, MAX_TOKEN_BYTES)
        wanted = old.vocab_size + args.add
    if new.vocab_size < wanted:
        print(f"only {new.vocab_size:,} tokens, not {wanted:,}: the texts have no more pairs that occur twice")
    replace_tokenizer(out_dir, new)
    print(f"wrote {new.vocab_size:,} tokens to {out_dir}")

    # Is it any good?
    before = {} if old is None else {"before": old}
    print(comparison({"new": new, **before, "shipped": Tokenizer.load()}))
    count, tokens, changed, first = round_trip(new, corpus.texts("round trip of"))
    print(f"all data: {sum(corpus.bytes) / tokens:.3f} bytes per token, {tokens:,} tokens")
    if not changed:
        print(f"all {count:,} texts come back exactly from their tokens")
    else:  # with --extend, where the old tokenizer normalises: Qwen's NFC rewrites a few characters
        print(f"warning: {changed:,} of {count:,} texts come back changed, the first: {first[:80]!r}")


if __name__ == "__main__":
    run_main(main)
