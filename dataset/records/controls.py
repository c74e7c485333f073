"""Control tokens that the texts of a file spell out: to Sprout they are text, spelled by several ordinary tokens."""

import re
from pathlib import Path

from dataset.records.reading import bytes_of
from model.text.tokenizer import THINK_AND_TOOLS, Tokenizer

# What frames the documents and the turns of many templates; see `dataset.rows.marked_texts`.
MARKERS = re.compile(r"<\|(?:im_start|im_end|endoftext|eot_id|begin_of_text|end_of_text)\|>|</?s>")


def warning_about_controls(path: Path, tokenizer: Tokenizer) -> str | None:
    """A warning that names the control tokens spelled near the beginning of a file of any kind; None where none is.

    Left out are markers, which have a warning of their own, and what the template or an answer writes as one token.
    """
    beginning = next(bytes_of(path), b"")
    names = {name for name, token in tokenizer.vocab.items() if token in tokenizer.special_ids}
    template = f"{tokenizer.files.get('chat_template.jinja')}{tokenizer.config.get('chat_template')}"
    odd = (name for name in names - {*THINK_AND_TOOLS} if not MARKERS.fullmatch(name) and name not in template)
    if not (found := sorted(name for name in odd if name.encode() in beginning)):
        return None
    return (
        f"{path} spells control tokens of the tokenizer ({', '.join(found)}), which are text here: their pieces are"
        " learned, and they themselves are not; docs/tokenizer.md says how to add a token that texts may hold"
    )
