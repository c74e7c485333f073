"""Which of some texts cannot be encoded, and why."""

from collections.abc import Iterable

from model.errors import SproutError


def not_text(texts: Iterable[str]) -> SproutError:
    """Says which of the texts cannot be encoded, and why."""
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            return SproutError(f"only strings can be tokenised, but text {number} is of type {type(text).__name__}")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            place = f"character {error.start + 1} of text {number}"
            return SproutError(f"{place} is no text: half a surrogate pair, or bytes that are not UTF-8")
    return SproutError("the tokenizer refused a text")
