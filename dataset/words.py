"""The words of a corpus, counted on all cores and within a bound of memory."""

import os
from collections import Counter

from dataset.corpus import Corpus
from dataset.prepare.processes import in_processes
from model.text.tokenizer import text_batches
from model.text.words import count_words, places_of

# What is learnt from takes up to 3 GB of memory: a place takes 12 to 20 bytes, a word in the table about 150.
MAX_PLACES, MAX_WORDS = 110_000_000, 8_000_000
FEW_BYTES = 20_000_000  # of text, which are counted before other processes have started


def count_corpus(
    corpus: Corpus, max_bytes: int, max_places: int = MAX_PLACES, max_words: int = MAX_WORDS
) -> tuple[Counter[str], int]:
    """How often each word occurs in `corpus.sample(size)`, and that size in bytes of text.

    The size is `max_bytes`, or less if the different words would be too many: then all is counted again in as many of
    the documents as fit, evenly spread over all files. To drop rare words instead would be unfair to Chinese, where
    nearly every word, all between two marks of punctuation, occurs once.
    """
    while True:
        counted = _count(corpus, max_bytes, max_places, max_words)
        if isinstance(counted, Counter):
            return counted, max_bytes
        max_bytes = int(0.9 * counted)  # the documents of a file are not alike


def _count(corpus: Corpus, max_bytes: int, max_places: int, max_words: int) -> Counter[str] | int:
    """The words; or after how many bytes there were too many."""
    words: Counter[str] = Counter()
    places = size = 0
    processes = 1 if min(max_bytes, sum(corpus.bytes)) <= FEW_BYTES else os.cpu_count() or 1
    batches = text_batches(corpus.sample(max_bytes))
    advice = "learn from less with --sample_mb"
    for counts, read in in_processes(_count_batch, batches, processes, advice):
        size += read
        for word, number in counts.items():
            if word in words:
                words[word] += number
            else:
                words[word] = number
                places += places_of(word)
        if places > max_places or len(words) > max_words:
            return size
    return words


def _count_batch(texts: list[str]) -> tuple[Counter[str], int]:
    return count_words(texts), sum(len(text.encode("utf-8")) for text in texts)
