"""More tokens for an existing byte-level BPE tokenizer, learnt on top of its own.

BPE training goes on where it stopped: texts are spelled in the existing tokens, and the most frequent pair of
neighbours within a word becomes a new one, again and again. The new merges come after all old ones, so a text
in which no new token occurs is encoded as before, and every old id keeps its meaning.
"""

import json
from collections.abc import Iterable

import numpy as np

from model.errors import SproutError
from model.text.learn_merges import BOUNDARY, learn_merges
from model.text.tokenizer import Tokenizer, text_batches
from model.text.vocabulary import encode_words


def extend(
    tokenizer: Tokenizer, texts: Iterable[str], count: int, max_token_bytes: int, unchanged: Iterable[str] = ()
) -> Tokenizer:
    """A tokenizer with up to `count` new tokens of at most `max_token_bytes` bytes, learnt from `texts`.

    unchanged: texts whose ids stay as they are: no merge is made that would happen in them.
    New ids begin at `tokenizer.vocab_size`. There are fewer than `count` if the texts have no more pairs that
    occur twice and are short enough. Memory: about 20 bytes for each token of the texts. The same texts give the same
    tokenizer.
    Raises SproutError for a tokenizer that is not byte-level BPE.
    """
    refuse_other_kinds(tokenizer)
    content = json.loads(tokenizer.files["tokenizer.json"])
    model = content["model"]
    spelling = [""] * tokenizer.vocab_size
    for token, index in tokenizer.vocab.items():
        spelling[index] = token
    refused, whole_words = set(), set()
    for batch in text_batches(unchanged):
        as_they_are = _places(tokenizer, batch)
        refused |= _pairs(as_they_are)
        if model.get("ignore_merges"):  # a whole word that is a token needs no merge
            whole_words |= _words(as_they_are, spelling)
    left_out = {"refused": refused, "refused_tokens": whole_words}
    merges = learn_merges(_places(tokenizer, texts), spelling, count, max_token_bytes, **left_out)

    # The library would renumber added tokens that the model does not list: it puts them after the model's.
    model["vocab"] |= {token["content"]: token["id"] for token in content["added_tokens"]}
    as_strings = bool(model["merges"]) and isinstance(model["merges"][0], str)
    for left, right in merges:
        left, right = spelling[left], spelling[right]
        model["vocab"][left + right] = len(spelling)
        spelling.append(left + right)
        model["merges"].append(f"{left} {right}" if as_strings else [left, right])
    return Tokenizer.from_files({**tokenizer.files, "tokenizer.json": json.dumps(content, ensure_ascii=False) + "\n"})


def refuse_other_kinds(tokenizer: Tokenizer) -> None:
    """Raises SproutError for a tokenizer that `extend` cannot give more tokens."""
    model = json.loads(tokenizer.files["tokenizer.json"])["model"]
    affixes = model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")
    if model.get("type") != "BPE" or not tokenizer.byte_level or affixes:
        raise SproutError(
            "only byte-level BPE tokenizers (GPT-2, Llama 3, Qwen) can be extended, and this is another kind: use it as"
            " it is, or learn a new one without --extend"
        )


def _pairs(places: np.ndarray) -> set[tuple[int, int]]:
    """All pairs of neighbours within a word."""
    keys = places[:-1].astype(np.int64) << 32 | places[1:]
    keys = np.unique(keys[(places[:-1] >= 0) & (places[1:] >= 0)])
    return set(zip((keys >> 32).tolist(), (keys & 0xFFFFFFFF).tolist(), strict=True))


def _words(places: np.ndarray, spelling: list[str]) -> set[str]:
    """All words, each spelled in the byte alphabet."""
    words = np.split(places, np.flatnonzero(places == BOUNDARY))
    return {"".join(spelling[token] for token in word if token != BOUNDARY) for word in words}


def _places(tokenizer: Tokenizer, texts: Iterable[str]) -> np.ndarray:
    """All texts as one int32 array for `learn_merges`."""
    parts = [np.array([BOUNDARY], dtype=np.int32)]
    for batch in text_batches(texts):
        parts += encode_words(tokenizer, batch, BOUNDARY)
    return np.concatenate(parts)
