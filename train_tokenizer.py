"""Learn a tokenizer: byte-level byte-pair encoding (BPE, https://arxiv.org/abs/1508.07909) on real text.

Text is cut into words by Qwen2's expression, a word begins as its UTF-8 bytes, and the most frequent pair of
neighbours becomes a new token, again and again, until the vocabulary is full. Nothing is normalised and every
byte is a token, so every text comes back exactly. Text records give their text, chat records the contents of
their turns; `FILE:0.1` takes a tenth of a file's documents, `FILE:2` counts each twice.

    python train_tokenizer.py --data_path ../shared/data/pretrain_en.jsonl ../shared/data/pretrain_zh.jsonl
    python train_tokenizer.py --extend path/to/SmolLM2-135M --add 4000 --data_path ../shared/data/pretrain_zh.jsonl

The first writes out/tokenizer (for `--tokenizer_path`). The second gives an existing byte-level tokenizer 4000
more tokens, learnt on top of its own, every old id unchanged. See docs/tokenizer.md.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers
from tqdm import tqdm

from dataset.formats import BadRecord, clean_string
from dataset.reading import BadLine, read_records
from dataset.sources import Source, parse_sources
from model.chat_template import CHAT_TEMPLATE
from model.errors import SproutError, UsageError
from model.tokenizer import END_OF_TEXT, IM_END, IM_START, SPECIAL_TOKENS, THINK_AND_TOOLS, Tokenizer
from training.arguments import StageParser, positive_int, run_main

# The expression of Qwen2: contractions, letters, each digit alone, punctuation, line ends, spaces. llama.cpp
# knows it (tokenizer.ggml.pre = qwen2) and has it built in: any other would not run there.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# The keys whose strings are text in the chat formats, at any depth; `role` or `id`, say, are not.
TEXT_KEYS = frozenset(
    "text content value instruction input output prompt completion response question answer history system"
    " chosen rejected reasoning_content tools tool_calls".split()
)
# A longer token is hardly a word: it is a stock phrase of one corpus, and takes the place of two words.
MAX_TOKEN_BYTES = 16
BATCH_BYTES = 2**22  # what is encoded in one go: enough for all cores, nothing to the memory


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data_path", nargs="+", required=True, metavar="FILE[:SHARE]", help="texts or chats: .jsonl[.gz], .parquet, .txt"
    )
    data.add_argument("--on_bad_line", choices=("stop", "skip"), default="stop", help="default %(default)s")
    data.add_argument(
        "--sample_mb",
        type=positive_int,
        default=50,
        metavar="MB",
        help="learn from about this much text, spread over all files: memory is 20 to 80 times that (%(default)s)",
    )
    new = parser.add_argument_group("tokenizer")
    new.add_argument("--vocab_size", type=positive_int, default=6400, help="special tokens included (%(default)s)")
    new.add_argument("--extend", metavar="HF_FOLDER", help="add tokens to this byte-level BPE tokenizer instead")
    new.add_argument("--add", type=positive_int, metavar="N", help="how many, with --extend")
    new.add_argument("--out_dir", default="out/tokenizer", help="folder to write (%(default)s)")
    args = parser.parse_args(argv)
    if (args.extend is None) != (args.add is None):
        raise UsageError("--extend FOLDER and --add N belong together: which tokenizer, and how many new tokens.")
    smallest = len(SPECIAL_TOKENS) + 256
    if args.vocab_size < smallest:
        raise UsageError(f"--vocab_size must be at least {smallest}: {len(SPECIAL_TOKENS)} special tokens and 256 bytes.")
    return args


def texts_of(value, key: str = "") -> Iterator[str]:
    """The non-blank texts in a record's fields, however deep. Raises BadRecord for strings that are not text."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from texts_of(inner, name.lower())
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner, key)
    elif isinstance(value, str) and key in TEXT_KEYS and value.strip():
        yield clean_string({key: value}, key)


def documents(source: Source, on_bad_line: str, skipped: Counter) -> Iterator[tuple[int, list[str]]]:
    """Line number and texts of each record of a file; a bad line stops the run, or is counted in `skipped`."""
    for record in read_records(source.path):
        if not isinstance(record, BadLine):
            try:
                texts = list(texts_of(record.fields))
                if not texts:
                    raise BadRecord("there is no text", f"keys: {', '.join(record.fields)}")
                yield record.line, texts
                continue
            except BadRecord as error:
                record = BadLine(record.path, record.line, error.reason, error.detail)
        if on_bad_line == "stop":
            raise SproutError(f"{record}. Mend the line, or leave such lines out with --on_bad_line skip.")
        skipped[record.reason] += 1


def sample(sources: list[Source], share: float, on_bad_line: str) -> Iterator[str]:
    """The texts to learn from: of each file the share `weight * share` of its documents, evenly spread."""
    for source in sources:
        rate = share * (1 if source.weight is None else source.weight)
        for index, (_, texts) in enumerate(documents(source, on_bad_line, Counter())):
            for _ in range(int((index + 1) * rate) - int(index * rate)):
                yield from texts


def learn(texts: Iterator[str], vocab_size: int) -> Tokenizer:
    """A new tokenizer of at most `vocab_size` tokens; the same texts give the same bytes."""
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
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),  # all 256 bytes, seen or not
        max_token_length=MAX_TOKEN_BYTES,
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


def main(argv=None):
    args = parse_arguments(argv)
    sources = parse_sources(args.data_path)
    tokenizer = learn(sample(sources, 1.0, args.on_bad_line), args.vocab_size)
    tokenizer.save(args.out_dir)


if __name__ == "__main__":
    run_main(main)
