"""The whole of cleaning: from a document as it was found to plain text, every change counted by name.

HTML and Markdown become text first. Then mojibake is undone, characters that are no text leave, the markers around a
document fall off, and personal data is replaced if that is wanted. One of these may uncover work for another (without
an invisible character in it, a mail address is one), so they go on until nothing changes: cleaning cleaned text
changes nothing.
"""

from collections import Counter
from dataclasses import dataclass, field

from dataset.prepare.cleaning.characters import fix_characters
from dataset.prepare.cleaning.markers import remove_outer_markers
from dataset.prepare.cleaning.mojibake import fix_mojibake
from dataset.prepare.cleaning.personal import replace_personal


@dataclass(frozen=True)
class Cleaned:
    """changes: how often each change was made, by its name."""

    text: str
    changes: Counter[str] = field(default_factory=Counter)


def clean(text: str, kind: str = "text", thin_markdown: bool = True, personal: bool = False) -> Cleaned:
    """Cleans one document.

    kind: "text", "markdown" or "html". thin_markdown: whether Markdown loses images, link targets and raw HTML; the
    result is plain text then. personal: whether mail addresses, phone numbers, identity numbers and public IP addresses
    are replaced. The result is of kind "text", or still Markdown if it is not thinned. Raises SproutError where a
    library is missing.
    """
    changes = Counter()
    if kind == "html":
        from dataset.prepare.cleaning.html import html_to_text  # plain texts need no parser

        text = html_to_text(text)
        changes["HTML to text"] += 1
    elif kind == "markdown" and thin_markdown:
        from dataset.prepare.cleaning.markdown import thin

        text, found = thin(text)
        changes += found
    before = None
    while text != before:
        before = text
        text, mojibake = fix_mojibake(text)
        text, characters = fix_characters(text)
        text, markers = remove_outer_markers(text)
        changes += mojibake + characters + markers
        if personal:
            text, replaced = replace_personal(text)
            changes += replaced
    return Cleaned(text, changes)
