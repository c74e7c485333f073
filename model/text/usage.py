"""Which tokens of a vocabulary some texts use, and how often: what tokenizers are compared by."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from model.text.spelling import Spelling
from model.text.tokenizer import Tokenizer


class Usage:
    """How often each token occurs in texts of several kinds, such as languages.

    Attributes: `bytes`, `counts`: UTF-8 bytes of the texts, and int64 [vocab_size], by kind.
    """

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.bytes: Counter[str] = Counter()
        self.counts: dict[str, np.ndarray] = {}
        self._spelling = Spelling(tokenizer)
        self._ids = sorted(set(tokenizer.vocab.values()) - tokenizer.special_ids)  # control tokens are not for text
        self._lengths = {index: len(self._spelling.bytes_of(index)) for index in self._ids}
        self._single = np.zeros(tokenizer.vocab_size, dtype=bool)
        self._single[[index for index, length in self._lengths.items() if length == 1]] = True

    def add(self, kind: str, texts: Sequence[str]) -> None:
        self.bytes[kind] += sum(len(text.encode("utf-8")) for text in texts)
        ids = [np.array(each, dtype=np.int64) for each in self.tokenizer.encode_batch(texts)]
        counts = np.bincount(np.concatenate(ids), minlength=self.tokenizer.vocab_size)
        self.counts[kind] = self.counts.get(kind, 0) + counts

    def bytes_per_token(self, kind: str) -> float:
        return self.bytes[kind] / max(1, int(self.counts[kind].sum()))

    def single_bytes(self, kind: str) -> float:
        """The share of tokens that are one byte: a letter, a digit, a mark, or a part of a character."""
        counts = self.counts[kind]
        return float(counts[self._single].sum() / max(1, counts.sum()))

    @property
    def size(self) -> int:
        """How many tokens the vocabulary has for text."""
        return len(self._ids)

    def unused(self) -> int:
        """How many of them no text of any kind has."""
        return int((self._total()[self._ids] == 0).sum())

    def longest(self, number: int) -> list[tuple[str, int, int]]:
        """The longest tokens of the vocabulary: text, bytes, and how often they occur; the more frequent first."""
        total = self._total()
        chosen = sorted(self._ids, key=lambda index: (-self._lengths[index], -total[index], index))[:number]
        return [(self._spelling.text_of(index), self._lengths[index], int(total[index])) for index in chosen]

    def _total(self) -> np.ndarray:
        return sum(self.counts.values(), np.zeros(self.tokenizer.vocab_size, dtype=np.int64))
