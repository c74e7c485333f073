"""A tokenizer taken apart: what giving it more tokens, and the network more embeddings, needs to know."""

import json
from collections.abc import Sequence

import numpy as np

from model.text.tokenizer import Tokenizer

# How Qwen2, and our own tokenizers, split texts into words: contractions, letters, each digit alone, punctuation, line
# ends, spaces. llama.cpp has it built in (tokenizer.ggml.pre = qwen2); a tokenizer with any other would not run there.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_alphabet() -> dict[str, int]:
    """The byte of each character of GPT-2's alphabet: printable bytes are themselves, the others begin at 256."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


def definition(tokenizer: Tokenizer) -> dict:
    """tokenizer.json as the library writes it, whoever wrote the file: every setting there, merges as pairs."""
    return json.loads(tokenizer.backend.to_str())


def same_ids(one: Tokenizer, other: Tokenizer) -> bool:
    """Whether both give every text the same ids.

    Their files may be written otherwise: transformers writes anew those of older folders. And their documents may begin
    or end with other tokens: a base model's end with <|endoftext|>, and those of what was fine-tuned with <|im_end|>.
    """
    return one.fingerprint == other.fingerprint or definition(one) == definition(other)


def encode_words(tokenizer: Tokenizer, texts: Sequence[str], boundary: int) -> list[np.ndarray]:
    """`encode` of every text as int32, with `boundary` after each word (what no token reaches across)."""
    parts = []
    for encoding in tokenizer.backend.encode_batch(texts, add_special_tokens=False):
        # A token that was added to the vocabulary belongs to no word, so it counts as a word of its own.
        words = [-1 - i if word is None else word for i, word in enumerate(encoding.word_ids)]
        ends = np.flatnonzero(np.diff(words, append=len(words))) + 1 if words else []
        parts.append(np.insert(np.array(encoding.ids, dtype=np.int32), ends, boundary))
    return parts


def pieces_of(tokenizer: Tokenizer, token: str) -> list[int]:
    """The ids that spell `token`, a token that another tokenizer learnt, in the vocabulary of `tokenizer`.

    Works on the vocabulary's own spelling, so a token that is only part of a character has pieces too.
    """
    return [piece.id for piece in tokenizer.backend.model.tokenize(token)]
