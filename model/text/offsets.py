"""Ids of a text, counted up to a character: which tokens of a chat's text are trained depends on where they end."""

import json
from collections.abc import Sequence

import tokenizers

from model.text.invalid import not_text
from model.text.tokenizer import Tokenizer
from model.text.vocabulary import definition


def encode_from(
    backend: tokenizers.Tokenizer, texts: Sequence[str], places: Sequence[int]
) -> list[tuple[list[int], int]]:
    """For every text its ids, and how many of them end before the character at its place.

    A token that reaches across the place is not among these. In parallel on all cores.

    backend: that of a `Tokenizer`, or `backend_inside` for texts that follow others.
    """
    try:
        encodings = backend.encode_batch(texts, add_special_tokens=False)
    except TypeError as error:
        raise not_text(texts) from error
    result = []
    for text, place, encoding in zip(texts, places, encodings):
        # A normaliser may have left characters out, which then belong to no token.
        tokens = (encoding.char_to_token(i) for i in range(place, len(text)))
        first = next((token for token in tokens if token is not None), len(encoding))
        result.append((encoding.ids, first))
    return result


def backend_inside(tokenizer: Tokenizer) -> tokenizers.Tokenizer:
    """The backend for text that follows other text: it must not put a space before the first word, as some do.

    It differs from the tokenizer's own backend in the newer Llama folders only.
    """
    content = definition(tokenizer)
    whole = content["pre_tokenizer"] or {}
    with_space = [part for part in [whole, *whole.get("pretokenizers", [])] if part.get("prepend_scheme") == "first"]
    if not with_space:
        return tokenizer.backend
    for part in with_space:
        part["prepend_scheme"] = "never"
    backend = tokenizers.Tokenizer.from_str(json.dumps(content))
    backend.encode_special_tokens = True
    return backend
