"""The page on reliability, parts of which are written by what they report."""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def marks(part: str) -> tuple[str, str]:
    """The lines between which a part of the page stands."""
    return f"<!-- {part}: begin -->", f"<!-- {part}: end -->"


def part_of(text: str, part: str) -> str:
    """What stands between the marks. Raises ValueError where a mark is missing or there twice."""
    begin, end = marks(part)
    (_, rest), (inner, _) = text.split(begin), text.split(begin)[-1].split(end)
    assert rest.startswith(inner)
    return inner.strip("\n")


def replace_part(part: str, new: str, page: Path = PAGE) -> None:
    text = page.read_text(encoding="utf-8")
    begin, end = marks(part)
    before, after = text.split(begin)[0], text.split(end)[1]
    part_of(text, part)
    page.write_text(f"{before}{begin}\n{new}\n{end}{after}", encoding="utf-8", newline="\n")
