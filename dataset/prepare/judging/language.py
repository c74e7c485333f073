"""The language of a text by the share of scripts, and whether it is written in characters or in words.

Chinese is Chinese in simplified and in traditional characters: nothing here asks which.
"""

import re

import numpy as np

# Ranges of code points. The weight is about the share of a word that one of its letters is.
_SCRIPTS = {
    "han": ([(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x20000, 0x323AF), (0x3005, 0x3007)], 0.6),
    "kana": ([(0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D)], 0.6),
    "hangul": ([(0xAC00, 0xD7AF), (0x1100, 0x11FF), (0x3130, 0x318F)], 0.4),
    "latin": ([(0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x1E00, 0x1EFF), (0xFF21, 0xFF5A)], 0.2),
    "cyrillic": ([(0x400, 0x52F)], 0.2),
    "greek": ([(0x370, 0x3FF)], 0.2),
    "arabic": ([(0x600, 0x6FF), (0x750, 0x77F)], 0.2),
    "hebrew": ([(0x590, 0x5FF)], 0.2),
    "devanagari": ([(0x900, 0x97F)], 0.2),
    "thai": ([(0xE00, 0xE7F)], 0.2),
}
_NAMES = {
    "han": "zh",
    "kana": "ja",
    "hangul": "ko",
    "cyrillic": "ru",
    "greek": "el",
    "arabic": "ar",
    "hebrew": "he",
    "devanagari": "hi",
    "thai": "th",
}
_CHINESE = ("zh", "wuu", "yue")  # py3langid has Wu and Cantonese as well, and can hardly tell them from Mandarin
_MIN_KANA = 0.2  # of Han and kana together: Japanese has 0.35 and more, Chinese quotes some words at most
_ENGLISH = re.compile(r"\b(?:the|be|to|of|and|that|have|with|is|in|a|it|you|for|was|are|this|not)\b", re.IGNORECASE)
_MIN_ENGLISH = 0.1  # share of these in English words: 0.25 and more in prose
_LOOKED_AT = 10_000  # characters: more say nothing new
_SHOWN = 1000  # characters that py3langid sees: it is slow
_MIN_MARGIN = 3.0  # by which log-probability py3langid prefers a language to the next, to be believed


def codepoints(text: str) -> np.ndarray:
    """uint32 [N]: the code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def script(text: str) -> str | None:
    """The script of most words, by name: "han" for Chinese, "kana" for Japanese. None for a text without letters."""
    points = codepoints(text[:_LOOKED_AT])
    shares = {}
    for name, (ranges, weight) in _SCRIPTS.items():
        # A text with letters of no other script need not be asked for it: one comparison, not one for each range.
        if points.size and points.max() >= ranges[0][0]:
            shares[name] = weight * sum(((points >= low) & (points <= high)).sum() for low, high in ranges)
    if not any(shares.values()):
        return None
    kana, han = shares.get("kana", 0), shares.get("han", 0)
    if kana >= _MIN_KANA * (kana + han) and kana:
        shares["kana"] += shares.pop("han", 0)
    return max(shares, key=shares.get)


def is_english(text: str) -> bool:
    """Whether a text in Latin letters has as many of the commonest words as English has."""
    beginning = text[:_LOOKED_AT]
    return len(_ENGLISH.findall(beginning)) >= _MIN_ENGLISH * max(1, len(beginning.split()))


def language(text: str) -> str:
    """The language as a code of ISO 639, "latin" or "other".

    A script gives the commonest language that is written in it: "ru" is any Cyrillic text. Of Latin letters English is
    known by its words; other languages py3langid tells apart where the extra `data` is installed, if it is sure.
    """
    found = script(text)
    if found != "latin":
        return _NAMES.get(found, "other")
    if is_english(text):
        return "en"
    try:
        import py3langid
    except ImportError:
        return "latin"
    first, second = py3langid.rank(text[:_SHOWN])[:2]
    if first[0] in _CHINESE:  # with more code than Chinese in it
        return "zh"
    return first[0] if first[1] - second[1] >= _MIN_MARGIN else "latin"
