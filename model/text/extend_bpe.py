"""More tokens for an existing byte-level BPE tokenizer, learnt on top of its own.

BPE training goes on where it stopped: texts are spelled in the existing tokens, and the most frequent pair of
neighbours within a word becomes a new one, again and again. The new merges come after all old ones, so a text
in which no new token occurs is encoded as before, and every old id keeps its meaning.
"""

import heapq
import json
from collections.abc import Collection, Iterable, Iterator

import numpy as np

from model.errors import SproutError
from model.text.tokenizer import Tokenizer, text_batches
from model.text.vocabulary import encode_words

BOUNDARY = -1  # between two words; no merge reaches across
MERGED = -2  # a place whose token has become part of the one before
MIN_COUNT = 2  # a pair seen once is chance


def extend(
    tokenizer: Tokenizer, texts: Iterable[str], count: int, max_token_bytes: int, unchanged: Iterable[str] = ()
) -> Tokenizer:
    """A tokenizer with up to `count` new tokens of at most `max_token_bytes` bytes, learnt from `texts`.

    unchanged: texts whose ids stay as they are: no merge is made that would happen in them.
    New ids begin at `tokenizer.vocab_size`. There are fewer than `count` if the texts have no more pairs that
    occur twice. Memory: about 30 bytes per token of the texts. The same texts give the same tokenizer.
    Raises SproutError for a tokenizer that is not byte-level BPE.
    """
    content = json.loads(tokenizer.files["tokenizer.json"])
    model = content["model"]
    affixes = model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")
    if model.get("type") != "BPE" or not tokenizer.byte_level or affixes:
        raise SproutError("only byte-level BPE tokenizers (GPT-2, Llama 3, Qwen) can be extended: this is another kind")
    spelling = [""] * tokenizer.vocab_size
    for token, index in tokenizer.vocab.items():
        spelling[index] = token
    as_they_are = _places(tokenizer, unchanged)
    refused = _pairs(as_they_are)
    whole_words = _words(as_they_are, spelling) if model.get("ignore_merges") else set()  # which need no merge
    merges = learn_merges(_places(tokenizer, texts), spelling, count, max_token_bytes, refused, whole_words)

    # The library would renumber added tokens that the model does not list: it puts them after the model's.
    model["vocab"] |= {token["content"]: token["id"] for token in content["added_tokens"]}
    as_strings = bool(model["merges"]) and isinstance(model["merges"][0], str)
    for left, right in merges:
        left, right = spelling[left], spelling[right]
        model["vocab"][left + right] = len(spelling)
        spelling.append(left + right)
        model["merges"].append(f"{left} {right}" if as_strings else [left, right])
    return Tokenizer.from_files({**tokenizer.files, "tokenizer.json": json.dumps(content, ensure_ascii=False) + "\n"})


def learn_merges(
    places: np.ndarray,
    spelling: list[str],
    count: int,
    max_token_bytes: int,
    refused: Collection[tuple[int, int]] = (),
    refused_tokens: Collection[str] = (),
) -> list[tuple[int, int]]:
    """The `count` best merges of a text, as pairs of ids; the n-th makes the token `len(spelling) + n`.

    places: int32, the ids of the text with `BOUNDARY` between words and at both ends.
    spelling: each id in the byte alphabet, one character a byte. A merge that would spell an existing token
        is not made: texts that have that token could not be encoded as before.
    refused, refused_tokens: pairs that are not merged, and spellings that get no token.

    A merge changes the text only around its own places, so we keep the places of every pair. All places of a
    pair come into being at once, when the younger of its two tokens does; from then on they only get fewer.
    A count in the heap is therefore never too small, and a pair whose true count equals the largest in the
    heap is the best. Of equal counts, the older pair (smaller ids) is taken.
    """
    spelling, known = list(spelling), {*spelling, *refused_tokens}
    tokens = places.astype(np.int32)  # a copy: it is changed below
    following = np.arange(1, len(tokens) + 1, dtype=np.int32)
    preceding = np.arange(-1, len(tokens) - 1, dtype=np.int32)
    found: dict[tuple[int, int], np.ndarray] = {}
    heap: list[tuple[int, tuple[int, int]]] = []

    def note_pairs(at: np.ndarray) -> None:
        """Enter the pairs that begin at these places."""
        for pair, where in _grouped(tokens[at], tokens[following[at]], at):
            found[pair] = where
            heapq.heappush(heap, (-len(where), pair))

    note_pairs(np.flatnonzero((tokens[:-1] >= 0) & (tokens[1:] >= 0)).astype(np.int32))
    merges: list[tuple[int, int]] = []
    while heap and len(merges) < count:
        believed, (left, right) = heapq.heappop(heap)
        token = spelling[left] + spelling[right]
        at = found.pop((left, right))
        if token in known or len(token) > max_token_bytes or (left, right) in refused:
            continue
        still = at[(tokens[at] == left) & (tokens[following[at]] == right)]
        at = _without_overlaps(still, following) if left == right else still
        if len(at) < -believed:
            if len(at) >= MIN_COUNT:
                found[left, right] = still
                heapq.heappush(heap, (-len(at), (left, right)))
            continue
        second = following[at]
        after = following[second]
        tokens[at], tokens[second] = len(spelling), MERGED
        following[at], preceding[after] = after, at
        spelling.append(token)
        known.add(token)
        merges.append((left, right))
        changed = np.unique(np.concatenate([preceding[at], at]))
        note_pairs(changed[(tokens[changed] >= 0) & (tokens[following[changed]] >= 0)])
    return merges


def _grouped(left: np.ndarray, right: np.ndarray, at: np.ndarray) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Each pair of ids that occurs at least `MIN_COUNT` times, with its places in ascending order."""
    keys = left.astype(np.int64) << 32 | right
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    counts = np.diff(starts, append=len(keys))
    at = at[order]
    for start, number in zip(starts[counts >= MIN_COUNT], counts[counts >= MIN_COUNT], strict=True):
        key = int(keys[start])
        yield (key >> 32, key & 0xFFFFFFFF), at[start : start + number]


def _without_overlaps(at: np.ndarray, following: np.ndarray) -> np.ndarray:
    """The first of the two pairs in `a a a`; in a longer run, every second pair."""
    if len(at) == 0:
        return at
    begins = np.ones(len(at), dtype=bool)
    begins[1:] = at[1:] != following[at[:-1]]
    index = np.arange(len(at))
    start_of_run = np.maximum.accumulate(np.where(begins, index, 0))
    return at[(index - start_of_run) % 2 == 0]


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
