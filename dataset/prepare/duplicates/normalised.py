"""What two texts are compared by: the exact key of a text, and the characters that its shingles are made of.

Compatibility forms, case and runs of white space do not count, and punctuation does not count for near-duplicates. All
of this stays inside the keys: the text that is written is never changed here.
"""

import sys
import unicodedata
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b

import numpy as np

SPACE = ord(" ")
END = sys.maxunicode  # stands behind every text; Unicode promises that it will never be a character
_DROPPED, _CONTEXT = 2**32 - 1, 2**32 - 2  # no code points: what the table says of characters that it cannot map


def normalise(text: str) -> str:
    """NFKC, lower case, every run of white space as one space, none at the ends.

    FineWeb, SlimPajama and data-juicer lower and collapse alike. NFKC belongs inside keys only: in a text to train on
    it would turn ① into 1 and the Chinese comma into the ASCII one.
    """
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def text_key(text: str) -> bytes:
    """16 bytes that are equal for texts that are equal once normalised (BLAKE2b, 128 bits)."""
    return blake2b(normalise(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def compared_characters(texts: Sequence[str]) -> np.ndarray:
    """The code points that are shingled, uint32: every text normalised, without punctuation, and with `END` behind it.

    Punctuation is Unicode's category P, as in data-juicer; FineWeb drops it as well. Symbols stay: a + b is not a < b.
    All texts become one array, nearly all characters looked up in a table, several times as fast as `normalise`.
    A text with a character that its neighbours can change goes through `normalise`.
    """
    codes = _table()[_code_points(texts)]
    if (codes == _CONTEXT).any():
        bounds = np.append(0, np.flatnonzero(codes == END) + 1)
        pieces, done = [], 0
        for number in np.unique(np.searchsorted(bounds, np.flatnonzero(codes == _CONTEXT), "right") - 1):
            whole = _code_points([normalise(texts[number])])
            pieces += [codes[done : bounds[number]], np.where(_punctuation()[whole], _DROPPED, whole)]
            done = bounds[number + 1]
        codes = np.concatenate([*pieces, codes[done:]])
    codes = codes[codes != _DROPPED]
    # Of a run of spaces only the last stays, and none where a text begins or ends.
    surplus = codes == SPACE
    surplus[:-1] &= (codes[1:] == SPACE) | (codes[1:] == END)
    codes = codes[~surplus]
    begins = np.append(0, np.flatnonzero(codes == END)[:-1] + 1)
    return np.delete(codes, begins[codes[begins] == SPACE]) if len(codes) else codes


def _code_points(texts: Sequence[str]) -> np.ndarray:
    """All texts end to end, each with `END` behind it, uint32."""
    end = chr(END)
    joined = end.join([*texts, ""])
    if joined.count(end) != len(texts):
        joined = end.join([*(text.replace(end, " ") for text in texts), ""])
    return np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32, copy=False)


@cache
def _punctuation() -> np.ndarray:
    """For each code point whether it is punctuation, bool [0x110000]."""
    return np.array([unicodedata.category(chr(code))[0] == "P" for code in range(sys.maxunicode + 1)])


@cache
def _table() -> np.ndarray:
    """What each code point becomes, uint32 [0x110000]: a code point, `_DROPPED`, or `_CONTEXT`.

    `_CONTEXT`: it becomes several characters, or can join the one before it (marks, the letters of Hangul), or its
    lower case depends on its place (the Greek sigma).
    """
    table = np.arange(sys.maxunicode + 1, dtype=np.uint32)
    for code in range(sys.maxunicode):
        character = chr(code)
        if 0x3400 <= code < 0xA000 or 0xAC00 <= code < 0xD7A4 or unicodedata.category(character) in ("Cn", "Co", "Cs"):
            continue  # nearly all code points, and all of them stay as they are
        became = unicodedata.normalize("NFKC", character).lower()
        kept = [one for one in became if unicodedata.category(one)[0] != "P"]
        if not kept:
            table[code] = _DROPPED
        elif len(kept) > 1 or _joins(kept[0]) or character == "Σ":
            table[code] = _CONTEXT
        else:
            table[code] = SPACE if kept[0].isspace() else ord(kept[0])
    return table


def _joins(character: str) -> bool:
    return unicodedata.category(character)[0] == "M" or 0x1100 <= ord(character) < 0x1200
