"""A new tokenizer: byte-level BPE learnt from text, by the trainer of the `tokenizers` library."""

import json
import sys
from collections.abc import Iterable

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from model.text.chat_template import CHAT_TEMPLATE
from model.text.extend_bpe import MIN_COUNT
from model.text.tokenizer import END_OF_TEXT, IM_END, IM_START, SPECIAL_TOKENS, THINK_AND_TOOLS, Tokenizer

# The expression of Qwen2: contractions, letters, each digit alone, punctuation, line ends, spaces. llama.cpp
# has it built in (tokenizer.ggml.pre = qwen2); a tokenizer with any other would not run there.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# A longer token is hardly a word: it is a stock phrase of one corpus, and takes the place of two words.
MAX_TOKEN_BYTES = 16

# The trainer goes through the whole of a word at each merge, so time grows by the square of the longest one. Letters,
# punctuation or spaces without a break (base64, Chinese without punctuation) are learnt from in pieces of so many
# characters; what is that long is no word, and a merge is learnt from a few characters.
MAX_WORD = 1000


def learn(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A new `Tokenizer` of at most `vocab_size` tokens; the same texts give the same files, byte for byte."""
    backend = tokenizers.Tokenizer(models.BPE())
    words = pre_tokenizers.Split(tokenizers.Regex(QWEN2_PATTERN), behavior="isolated")
    pieces = pre_tokenizers.Split(tokenizers.Regex(rf"[\s\S]{{1,{MAX_WORD}}}"), behavior="isolated")
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, pieces, in_bytes])
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
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, in_bytes])

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
