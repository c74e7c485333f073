"""Lines that recur in many documents: menus, licences, "read more", 版权所有. They are removed before MinHash.

Shared boilerplate makes unrelated pages look like near-duplicates, and teaches a model nothing. A first pass counts in
how many documents each line stands, a second removes those that stand in more than six. That is the rule of Llama 3
(Grattafiori et al. 2024: lines "that appeared more than 6 times in each bucket of 30M documents"); CCNet (Wenzek et al.
2020) removes a paragraph from its second time on. Equal documents have to be dropped before the count, or all of their
lines recur.

Some lines stay, however often they recur: those of fewer than 12 bytes of UTF-8 (four Chinese characters; a brace, a
number, "Yes."), those that end with a colon and so introduce what follows (the speakers of a play), those of code
(between fences of markdown, or indented by four spaces or a tab), and all lines of a document of which more than half
recurs: it is a near-duplicate as a whole, which MinHash finds, and would be left in pieces. When MinHash has
left one of its versions, it is looked at again (`dataset.prepare.settling`).
"""

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np

from dataset.prepare.duplicates.normalised import normalise

MORE_THAN = 6  # documents
SHORTEST = 12  # bytes of UTF-8
ROWS, MOST_BITS = 4, 24
_FENCE = re.compile(r" {0,3}(```|~~~)")
_FACTORS = np.frombuffer(blake2b(b"rows", digest_size=8 * ROWS).digest(), dtype="<u8")[:, None] | np.uint64(1)


class RepeatedLines:
    """In how many documents each line stands: a count-min sketch (Cormode and Muthukrishnan 2005) of fixed size.

    counts: uint8 [4, 2^bits], all of a run's state. The smallest of a line's four entries is never below its true
    number, and above it only where all four are shared with other lines. With 24 bits (64 MB) a line of one document is
    taken for a repeated one with a probability of 4e-11 among 30 M different lines and of 1e-6 among 50 M.
    """

    def __init__(self, bits: int = MOST_BITS, counts: np.ndarray | None = None):
        self.counts = np.zeros((ROWS, 2**bits), dtype=np.uint8) if counts is None else counts
        self.bits = self.counts.shape[1].bit_length() - 1

    def count(self, texts: Sequence[str]) -> None:
        """Adds documents. A line that stands in one document twice counts once."""
        self.count_hashes(np.concatenate([line_hashes(text) for text in texts] or [np.zeros(0, np.uint64)]))

    def count_hashes(self, hashes: np.ndarray) -> None:
        """Adds documents by the results of `line_hashes`, which other processes may have made; uint64 [lines]."""
        for row, slots in zip(self.counts, self._slots(hashes)):
            found, times = np.unique(slots, return_counts=True)
            row[found] = np.minimum(row[found] + times, 255)  # sums are int64; 255 stands for "or more"

    def merge(self, other: "RepeatedLines") -> None:
        """Adds what another one counted, in another process, say."""
        self.counts += np.minimum(other.counts, 255 - self.counts)

    def remove(self, text: str, more_than: int = MORE_THAN) -> tuple[str, list[str], bool]:
        """The text without the lines that stand in more than so many documents (at most 254), those lines, and whether
        more than half recurs, so that all stay."""
        lines = text.split("\n")
        judged = list(_judged(text))
        slots = self._slots([_hash(line) for _, line in judged])
        often = np.take_along_axis(self.counts, slots, axis=1).min(axis=0) > more_than
        out = {number for (number, _), is_often in zip(judged, often) if is_often}
        recurs = 2 * sum(len(lines[number]) for number in out) > sum(map(len, lines))
        if not out or recurs:
            return text, [], recurs
        kept: list[str] = []
        for number, line in enumerate(lines):
            gap = number - 1 in out and not line.strip() and (not kept or not kept[-1].strip())
            if number in out or gap:  # one blank line is enough where a paragraph was
                out.add(number)
            else:
                kept.append(line)
        return "\n".join(kept), [lines[number] for number in sorted(out) if lines[number].strip()], False

    def _slots(self, hashes: Sequence[int]) -> np.ndarray:
        """Where lines are counted, int64 [4, lines]: the upper bits of a multiple modulo 2^64, another in each row."""
        products = np.array(hashes, dtype=np.uint64) * _FACTORS
        return (products >> np.uint64(64 - self.bits)).astype(np.int64)


def line_hashes(text: str) -> np.ndarray:
    """A number for each different line of a document that may be removed if it recurs, uint64 [lines]."""
    return np.array([_hash(line) for line in set(dict(_judged(text)).values())], dtype=np.uint64)


def _judged(text: str) -> Iterator[tuple[int, bytes]]:
    """Number and normalised form of each line that may be removed if it recurs."""
    fence = None
    for number, line in enumerate(text.split("\n")):
        if not line:
            continue
        found = _FENCE.match(line)
        if found and fence in (None, found[1]):
            fence = None if fence else found[1]
        elif fence is None and not line.startswith(("    ", "\t")):
            normal = normalise(line).encode("utf-8", "surrogatepass")
            if len(normal) >= SHORTEST and not normal.endswith(b":"):  # NFKC made the Chinese colon an ASCII one
                yield number, normal


def _hash(line: bytes) -> int:
    return int.from_bytes(blake2b(line, digest_size=8).digest(), "little")
