"""Mojibake: text whose bytes were read in the wrong encoding, undone only where no byte was lost on the way.

UTF-8 read as cp1252 or latin-1 (`Ã©` for `é`) is what ftfy undoes. GBK read as latin-1 (`ÄãºÃ` for `你好`) is undone
here: ftfy does not know it.
"""

import re
from collections import Counter

from dataset.prepare.extra import library

# The first byte of a character in UTF-8 and one that follows it, as cp1252 or latin-1 show them; or a C1 control, which
# is a quotation mark or a dash of cp1252 read as latin-1.
_UTF8_READ_AS_CP1252 = re.compile(
    "[\xc2-\xf4][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|[\x80-\x84\x86-\x9f]"  # U+0085 alone is a newline
)
# Bytes of GB 2312, two a character, as latin-1 shows them. Two characters at least: fewer prove nothing.
_GBK_READ_AS_LATIN1 = re.compile("(?:[\xa1-\xf7][\xa1-\xfe]){2,}")
_MIN_CHARACTERS, _MIN_COMMON = 4, 0.9  # of all that a text would hold then; `é` and `ü` in a row are rare characters


def fix_mojibake(text: str) -> tuple[str, Counter[str]]:
    """The text as it was meant. Raises SproutError where ftfy is needed and missing."""
    changes = Counter()
    if _UTF8_READ_AS_CP1252.search(text):
        ftfy = library("ftfy", "A text in a wrong encoding")
        # What was lost on the way cannot be proved: ftfy would put U+FFFD there.
        fixed = ftfy.fix_encoding(text, ftfy.TextFixerConfig(replace_lossy_sequences=False))
        changes["mojibake"] += fixed != text
        text = fixed
    # Only after that: Cyrillic letters in UTF-8 are pairs of bytes that are common characters in GB 2312.
    if not changes["mojibake"] and _GBK_READ_AS_LATIN1.search(text):
        text, changes["mojibake"] = _fix_gbk(text)
    return text, +changes


def _fix_gbk(text: str) -> tuple[str, int]:
    """All runs of a text are decoded, or none: together they must be common Chinese."""
    fixed, found = [], list(_GBK_READ_AS_LATIN1.finditer(text))
    for run in found:
        try:
            fixed.append(run.group().encode("latin-1").decode("gb2312"))
        except UnicodeDecodeError:
            fixed.append(run.group())
    together = "".join(fixed)
    if len(together) < _MIN_CHARACTERS or sum(map(_is_common, together)) < _MIN_COMMON * len(together):
        return text, 0
    pieces = iter(fixed)
    return _GBK_READ_AS_LATIN1.sub(lambda run: next(pieces), text), 1


def _is_common(character: str) -> bool:
    """Whether it is punctuation or one of the 3,755 characters of GB 2312's level 1, which most text is made of."""
    first = character.encode("gb2312", "replace")[0]
    return 0xB0 <= first <= 0xD7 or first in (0xA1, 0xA3)
