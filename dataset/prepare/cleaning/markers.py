"""The markers of a chat template around a document: `<|im_start|>text<|im_end|>`, as in MiniMind's file.

Markers inside a text stay. The tokenizer reads them as the text they are, never as control tokens, and an article on
chat templates needs them; `--markers split` of a stage ends a document at each instead.
"""

import re
from collections import Counter

BEGIN = re.compile(r"\s*(?:(?:<\|(?:im_start|begin_of_text|endoftext)\|>|<s>)\s*)+")
END = re.compile(r"(?:\s*(?:<\|(?:im_end|eot_id|end_of_text|endoftext)\|>|</s>))+\s*\Z")
_LAST_CHARACTERS = 200  # where END is looked for: a search of the whole text is slow


def remove_outer_markers(text: str) -> tuple[str, Counter[str]]:
    """The text without the markers that begin and end it. A text of nothing else is left as it is."""
    begin = BEGIN.match(text)
    start = begin.end() if begin else 0
    end = END.search(text, max(start, len(text) - _LAST_CHARACTERS))
    inner = text[start : end.start() if end else len(text)]
    if len(inner) == len(text) or not inner.strip():
        return text, Counter()
    return inner, Counter({"markers around the text": bool(begin) + bool(end)})
