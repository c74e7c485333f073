"""Characters: one normal form, one kind of newline, and none that is no text.

The normal form is NFC. NFKC would turn ① into 1 and the full-width comma into an ASCII one, which damages Chinese.
"""

import re
import unicodedata
from collections import Counter

_NEWLINES = re.compile("\r\n?|[\u2028\u2029\x0b\x0c\x85]")
# Each class of characters that leave. A tab and a newline are text.
_REMOVED = {
    "control characters": "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f",
    "invisible characters": "\xad\u200b\u2060-\u2064\ufeff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069",
    "private-use characters": "\ue000-\uf8ff\U000f0000-\U0010ffff",
    # What could not be decoded: the replacement character, halves of surrogate pairs, code points that are none.
    "damaged characters": "\ufffd\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff",
}
_REMOVED = {name: re.compile(f"[{found}]+") for name, found in _REMOVED.items()}
_JOINERS = re.compile("[\u200c\u200d]")
# Other spaces are a plain one. Ideographic spaces that begin a line indent a Chinese paragraph, and stay.
_SPACES = re.compile("[\u00a0\u2007\u202f]|(?<=[^\n\u3000])\u3000+")
_BLANK_LINES = re.compile(r"(?:\n[^\S\n]*){3,}\n")
_SUSPECTS = re.compile(
    "[\r\u2028\u2029\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u061c\u2007\u200b-\u200f\u202a-\u202f\u2060-\u2069\u3000"
    "\ud800-\uf8ff\ufdd0-\ufdef\ufeff\ufffd-\uffff\U000f0000-\U0010ffff]"
)


def fix_characters(text: str) -> tuple[str, Counter[str]]:
    """The text in NFC without characters that are no text; blank lines around it and more than two inside it leave."""
    changes = Counter()
    if _SUSPECTS.search(text):  # most texts have none
        text, changes["newlines"] = _NEWLINES.subn("\n", text)
        for name, pattern in _REMOVED.items():
            text, changes[name] = pattern.subn("", text)
        text, joiners = _without_stray_joiners(text)
        changes["invisible characters"] += joiners
        text, changes["spaces"] = _SPACES.subn(" ", text)
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
        changes["normal form"] += 1
    text, changes["blank lines"] = _BLANK_LINES.subn("\n\n\n", text)
    stripped = re.sub(r"\A(?:[^\S\n]*\n)+", "", text.rstrip())
    changes["blank around the text"] += stripped != text
    return stripped, +changes


def _without_stray_joiners(text: str) -> tuple[str, int]:
    """Zero-width joiners and non-joiners stay where a script needs them."""
    count = 0

    def kept(found: re.Match) -> str:
        nonlocal count
        before, after = text[max(0, found.start() - 1) : found.start()], text[found.end() : found.end() + 1]
        if before and after and _joins(found.group(), before, after):
            return found.group()
        count += 1
        return ""

    return _JOINERS.sub(kept, text), count


def _joins(joiner: str, before: str, after: str) -> bool:
    """Whether a joiner between these two does something: in an emoji, after an Indic virama, in Arabic script."""
    if unicodedata.combining(before) == 9:  # virama
        return True
    if joiner == "\u200d":
        return (unicodedata.category(before) in ("So", "Sk") or before == "\ufe0f") and unicodedata.category(
            after
        ) == "So"
    return _is_arabic_letter(before) and _is_arabic_letter(after)


def _is_arabic_letter(character: str) -> bool:
    return character.isalpha() and "\u0600" <= character <= "\u08ff"
