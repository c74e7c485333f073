"""The page on reliability, parts of which are written by what they report."""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def split(text: str, part: str) -> tuple[str, str, str]:
    """What stands before, between and behind the marks of a part. Raises ValueError unless each is there once."""
    before, rest = text.split(f"<!-- {part}: begin -->\n")
    inner, after = rest.split(f"<!-- {part}: end -->\n")
    return before, inner, after


def part_of(text: str, part: str) -> str:
    return split(text, part)[1].strip("\n")


def replace_part(part: str, new: str, page: Path = PAGE) -> None:
    before, _, after = split(page.read_text(encoding="utf-8"), part)
    text = f"{before}<!-- {part}: begin -->\n{new}\n<!-- {part}: end -->\n{after}"
    page.write_text(text, encoding="utf-8", newline="\n")
