"""Warnings about texts that a tokenizer takes apart or throws away, for the few files where that may be."""

from dataset.cache.texts import TextCache
from dataset.cache.unknown import warning_about_unknown
from dataset.rows.marked_texts import warning_about_markers


def warnings_about_texts(cache, tokenizer) -> list[str]:
    """Raises SproutError where too many tokens of a `dataset.cache.texts.Cache` are unknown."""
    warnings = []
    if tokenizer.unknown_id is not None:
        warnings.append(warning_about_unknown(cache, tokenizer.unknown_id))
    if type(cache) is TextCache:
        warnings.append(warning_about_markers(cache.source, tokenizer))
    return [warning for warning in warnings if warning]
