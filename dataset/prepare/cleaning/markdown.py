"""Markdown thinned for plain text: what a reader does not see leaves, what structures the text stays.

Images, link targets, reference definitions, HTML and front matter leave. Headings, lists, quotations, emphasis, tables,
formulas and code stay as they are written: the model learns to write them. markdown-it-py says what is what.
"""

import re
from collections import Counter

from dataset.prepare.cleaning.formulas import keep_formulas
from dataset.prepare.cleaning.html import html_to_text, raised
from dataset.prepare.extra import library

_FRONT_MATTER = re.compile(r"\A\ufeff?(---|\+\+\+)[^\S\n]*\n.*?\n\1[^\S\n]*(?:\n|\Z)", re.DOTALL)
_TAGS = {"<br": "\n", "<rt": "（", "</rt": "）"}  # a reading above a word stands in parentheses behind it
_MARKUP = {"strong_open": "**", "strong_close": "**", "em_open": "*", "em_close": "*"}


def thin(text: str) -> tuple[str, Counter[str]]:
    """The text without what a reader does not see. Raises SproutError where markdown-it-py is missing."""
    changes = Counter()
    text, changes["front matter"] = _FRONT_MATTER.subn("", re.sub("\r\n?", "\n", text))
    environment: dict = {}
    # CommonMark knows no tables: they are paragraphs to it, and their lines stay.
    parser = library("markdown_it", "Markdown").MarkdownIt("commonmark")
    keep_formulas(parser)
    tokens = parser.parse(text, environment)
    lines = text.split("\n")
    changed: dict[int, list[str]] = {}  # by the number of a line, what stands there and on those that it takes along
    definitions = [*environment.get("references", {}).values(), *environment.get("duplicate_refs", [])]
    for place in (each["map"] for each in definitions):
        changes["link definitions"] += 1
        changed.update({line: [] for line in range(*place)})
    for before, token in zip([None, *tokens], tokens):
        if token.type == "html_block":
            changes["HTML in Markdown"] += 1
            shown = html_to_text(token.content)
            changed.update(_at(token.map, shown.split("\n") if shown else [], lines))
        elif token.type == "inline":
            thinned = _thinned(token.children, changes)
            is_underlined = before.type == "heading_open" and before.markup in ("=", "-")
            if is_underlined:
                changed.update(_at(before.map, ["#" * int(before.tag[1]) + " " + " ".join(thinned.split("\n"))], lines))
            elif thinned != token.content:
                new = _in_place(lines[slice(*token.map)], token.content, thinned)
                changed.update(_at(token.map, new, lines))
    # A definition that a list or a quotation repeats may stand where text was changed: the text wins.
    kept = [line for number, old in enumerate(lines) for line in changed.get(number, [old])]
    return "\n".join(kept), +changes


def _at(place: tuple[int, int], new: list[str], lines: list[str]) -> dict[int, list[str]]:
    """The new lines instead of those from place[0] to place[1]; without any, the blank line behind them leaves too."""
    start, end = place
    if not new and end < len(lines) and not lines[end].strip():
        end += 1
    return {start: new} | {line: [] for line in range(start + 1, end)}


def _in_place(old: list[str], content: str, thinned: str) -> list[str]:
    """The thinned lines behind what stands in front of each line: the marks of lists, quotations and headings."""
    if not thinned.strip():
        return []
    fronts = [line[: line.find(part)] if part in line else "" for line, part in zip(old, content.split("\n"))]
    new = thinned.split("\n")
    fronts += [fronts[-1]] * (len(new) - len(fronts))
    return [front + line for front, line in zip(fronts, new)]


def _thinned(children, changes: Counter[str]) -> str:
    """Inline tokens as text again, without images, link targets and tags."""
    pieces, is_power = [], False
    for child in children:
        if child.type in ("softbreak", "hardbreak"):
            pieces.append("\n")
        elif child.type == "image":
            changes["images"] += 1
        elif child.type == "link_open":
            changes["links"] += child.info != "auto"
        elif child.type == "html_inline":
            changes["HTML in Markdown"] += 1
            is_power = child.content.lower().startswith(("<sup>", "<sup "))
            pieces.append(_TAGS.get(child.content.lower().rstrip("/ >"), ""))
        elif child.type == "code_inline":
            pieces.append(child.markup + child.content + child.markup)
        else:
            text = _MARKUP.get(child.type, child.content)
            pieces.append(raised(text) if is_power else text)
    lines = (line.strip() for line in "".join(pieces).split("\n"))
    return "\n".join(line for line in lines if line)
