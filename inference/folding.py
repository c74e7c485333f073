"""How many columns of a terminal a text takes, and long lines folded to its width."""

import os
import re
import sys
import unicodedata

LABEL = re.compile(r"[a-z]+ +(?<=^.{10})(?=\S)")  # of a line of a plan: what goes on stands below what it says
COMMAND = re.compile(r"\b(?:python[\w.]*|torchrun) ")
NARROWEST = 40


def width_of(text: str, ambiguous: int = 2) -> int:
    """The columns that a terminal takes for it. `ambiguous`: for a sign that is wide in some Chinese fonts alone."""
    return sum(columns_of(character, ambiguous) for character in text)


def columns_of(character: str, ambiguous: int = 2) -> int:
    if character.isascii():
        return 1
    if character == "\ufe0f":  # it makes the sign before it an emoji, which is wider
        return 1
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    width = unicodedata.east_asian_width(character)
    return ambiguous if width == "A" else 2 if width in "WF" else 1


def folded_for_terminal(text: str) -> str:
    """The text with its long lines folded, if standard output is a terminal; else as it is."""
    try:
        width = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):  # it is none
        return text
    return "\n".join(folded(line, width) for line in text.split("\n")) if width >= NARROWEST else text


def folded(line: str, width: int) -> str:
    """The line on several of at most `width` columns, each but the first indented; a longer word stays whole.

    A line with a command stays whole, since it is to be pasted.
    """
    if width_of(line) <= width or COMMAND.search(line):
        return line
    label = LABEL.match(line)
    begin = label.end() if label else len(line) - len(line.lstrip())
    indent = " " * (begin if label else begin + 2)
    first, *words = line[begin:].split(" ")
    lines = [line[:begin] + first]
    for word in words:
        if width_of(lines[-1]) + 1 + width_of(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(indent + word)
    return "\n".join(each.rstrip() for each in lines)
