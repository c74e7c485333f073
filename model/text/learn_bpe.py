"""A new tokenizer: byte-level BPE learnt from text, with the merges that the `tokenizers` library learns.

Its own trainer keeps every word as a list of symbols of 32 bytes each, and for each pair the words that have it: 80
bytes for a byte of Chinese, where a "word" is all between two marks of punctuation and hardly ever occurs again. Here
words are counted first and are numbers in one array (docs/tokenizer.md has both sides' memory and time).
"""

import json
from collections import Counter
from collections.abc import Iterable

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from model.text.chat_template import CHAT_TEMPLATE
from model.text.learn_merges import learn_merges
from model.text.tokenizer import END_OF_TEXT, IM_END, IM_START, SPECIAL_TOKENS, THINK_AND_TOOLS, Tokenizer
from model.text.vocabulary import QWEN2_PATTERN, byte_alphabet
from model.text.words import as_places, count_words

# A longer token is hardly a word: it is a stock phrase of one corpus, and takes the place of two words.
MAX_TOKEN_BYTES = 16
_MAX_LEARNT_BYTES = 15  # the trainer of `tokenizers` made the shipped tokenizer, and stops one before its limit


def learn(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A new `Tokenizer` of at most `vocab_size` tokens; the same texts give the same files, byte for byte."""
    return learn_from_words(count_words(texts), vocab_size)


def learn_from_words(words: Counter[str], vocab_size: int) -> Tokenizer:
    """The same from counted words. They are taken out of the counter, whose memory is needed for more."""
    byte_of = byte_alphabet()
    spelling = [*SPECIAL_TOKENS, *sorted(byte_of)]  # all 256 bytes, seen or not
    byte_ids = np.empty(256, np.int16)
    for index, character in enumerate(spelling[len(SPECIAL_TOKENS) :], len(SPECIAL_TOKENS)):
        byte_ids[byte_of[character]] = index
    places, weights = as_places(words, byte_ids)
    words.clear()
    merges = learn_merges(places, spelling, vocab_size - len(spelling), _MAX_LEARNT_BYTES, weights)
    pairs = []
    for left, right in merges:
        pairs.append((spelling[left], spelling[right]))
        spelling.append(spelling[left] + spelling[right])
    backend = tokenizers.Tokenizer(models.BPE({token: index for index, token in enumerate(spelling)}, pairs))
    backend.add_special_tokens(list(SPECIAL_TOKENS))
    split = pre_tokenizers.Split(tokenizers.Regex(QWEN2_PATTERN), behavior="isolated")
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, in_bytes])
    backend.decoder = decoders.ByteLevel()

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
