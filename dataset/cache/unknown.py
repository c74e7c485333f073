"""Text that a tokenizer cannot spell and replaces by its unknown token. Loaded for tokenizers that have one."""

from collections.abc import Sequence

import numpy as np

from model.errors import SproutError

MOST_UNKNOWN = 0.02  # a larger share of the tokens says that the tokenizer is not made for the text


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
