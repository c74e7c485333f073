"""Text that a tokenizer cannot spell: it becomes an unknown token, or nothing. Loaded for tokenizers that lose text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.errors import SproutError
from model.text.vocabulary import byte_alphabet

MOST_UNKNOWN = 0.02  # a larger share of the tokens says that the tokenizer is not made for the text
# Bytes of texts in UTF-8: of control characters only a tab and ends of lines. 0xC0, 0xC1 and 0xF5 on are in no text;
# 0xF1, 0xF2 and 0xF4 begin planes in which Unicode has no characters.
_OF_TEXTS = {*b"\t\n\r", *range(0x20, 0x7F), *range(0x80, 0xC0), *range(0xC2, 0xF1), 0xF3}


def known_bytes(tokenizer, texts: Sequence[str], ids: Sequence[list[int]]) -> list[int]:
    """UTF-8 bytes of each text that its tokens spell: those that became unknown tokens do not count.

    Bits per byte would else look better the more of a text is thrown away.
    """
    sizes = [len(text.encode("utf-8")) for text in texts]
    unknown = tokenizer.unknown_id
    lossy = [index for index, one in enumerate(ids) if unknown in one]
    encodings = tokenizer.backend.encode_batch([texts[index] for index in lossy], add_special_tokens=False)
    for index, encoding in zip(lossy, encodings, strict=True):
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token == unknown:
                sizes[index] -= len(texts[index][start:end].encode("utf-8"))
    return sizes


def warning_about_unknown(cache, unknown_id: int) -> str | None:
    """A warning about a `texts.Cache` with unknown tokens; None where there are none.

    Raises SproutError where more than `MOST_UNKNOWN` of its tokens are unknown.
    """
    count = 0
    for stream in (cache.train, cache.validation):
        held = stream.map()
        count += int(np.count_nonzero(getattr(held, "ids", held) == unknown_id))
    share = count / max(1, cache.tokens)
    if share > MOST_UNKNOWN:
        raise SproutError(
            f"{share:.0%} of the tokens of {cache.source} are unknown to the tokenizer, so that text would be lost:"
            " train a tokenizer on your text, or extend it (docs/tokenizer.md)"
        )
    if not count:
        return None
    return (
        f"{count:,} tokens of {cache.source} ({share:.2%}) are unknown to the tokenizer: their text is lost; a"
        " tokenizer trained on your text, or extended by it, would keep it (docs/tokenizer.md)"
    )


def warning_about_bytes(source: Path, tokenizer) -> str | None:
    """A warning about a byte-level vocabulary that lacks bytes of texts, and has no unknown token to stand for them.

    The library leaves such bytes out. Its BPE trainer makes such vocabularies of small texts, unless it is asked for
    all bytes (findings/tokenizers_byte_level_bpe_drops_bytes_it_never_saw.sh).
    """
    bytes_of = byte_alphabet()
    missing = sorted(byte for name, byte in bytes_of.items() if byte in _OF_TEXTS and name not in tokenizer.vocab)
    if not missing:
        return None
    readable = "".join(chr(byte) for byte in missing if 0x20 < byte < 0x7F)[:16]
    such = f" ({readable} ...)" if readable else ""
    return (
        f"the tokenizer has no token for {len(missing)} of the bytes that texts are made of{such}: what {source} has of"
        " them is lost; train a tokenizer on your text (docs/tokenizer.md)"
    )
