"""Warnings about a file: many copies, and what a tokenizer takes apart or throws away, for the few with either."""

from dataset.cache.texts import TextCache
from dataset.cache.unknown import warning_about_bytes, warning_about_unknown
from dataset.records.controls import warning_about_controls
from dataset.rows.marked_texts import SplitTextCache, warning_about_markers
from model.errors import SproutError


def warnings_about_texts(cache, tokenizer, copied: bool, foreign: bool, lost: bool) -> list[str]:
    """Warnings about a `dataset.cache.texts.Cache`. Raises SproutError for text without tokens, or of many unknown.

    copied: whether many documents are copies of others; foreign, lost: whether a token stands for
    too few bytes, or for more than it can.
    """
    warnings = []
    plain = isinstance(cache, TextCache) and not isinstance(cache, SplitTextCache)  # --format makes a subclass
    if copied:
        warnings.append(
            f"about {cache.copies:.0%} of {cache.source} are copies of other lines in it: what is seen several times is"
            " learned by heart; remove the copies if you do not want that"
        )
    if lost and plain and not cache.train.size.text_tokens + cache.validation.size.text_tokens:
        raise SproutError(
            f"the tokenizer makes no token of any text in {cache.source}: its vocabulary is empty or of another script;"
            " look at its tokenizer.json, or train a tokenizer on your text (docs/tokenizer.md)"
        )
    if foreign:
        warnings.append(
            f"the tokenizer has only {cache.bytes_per_token:.2f} bytes a token on {cache.source}: unless most of"
            " that is numbers, it may not know the language; train one on your text, or extend it (docs/tokenizer.md)"
        )
    if tokenizer.unknown_id is not None:
        warnings.append(warning_about_unknown(cache, tokenizer.unknown_id))
    elif tokenizer.lossy:
        warnings.append(warning_about_bytes(cache.source, tokenizer))
    if plain:
        warnings.append(warning_about_markers(cache.source, tokenizer))
    warnings.append(warning_about_controls(cache.source, tokenizer))
    return [warning for warning in warnings if warning]
