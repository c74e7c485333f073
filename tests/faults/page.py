"""The page on reliability in both languages, parts of which are written by what they report."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
CHINESE = PAGE.with_name("reliability_zh.md")

HEADS = {
    "promises": "| 承诺 | 由什么证明 |",
    "help": "| 脚本 | `--help` 多久回答 |",
}
SOAKED = (
    r"(\d+) kills survived, in (\d+) runs of (\d+) kinds: all ended as if never killed, to the bit"
    r" \((`--seed \d+`), ([\d.]+) minutes\)\."
)
SOAKED_IN_CHINESE = r"被杀掉 \1 次，共 \3 种、\2 次训练：结果全部逐比特相同，如同从没被杀掉（\4，\5 分钟）。"


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


def write_part(part: str, new: str) -> None:
    """Writes it into the pages of both languages."""
    replace_part(part, new)
    replace_part(part, in_chinese(part, new, CHINESE.read_text(encoding="utf-8")), CHINESE)


def in_chinese(part: str, new: str, page: str) -> str:
    """What the Chinese page says for it. What a module promises is taken from there; a new promise stays English."""
    if part == "soak":
        return re.sub(SOAKED, SOAKED_IN_CHINESE, new)
    _, line, *rows = new.splitlines()
    if part == "help":
        rows = [row.replace(" s |", " 秒 |") for row in rows]
    else:
        there = [row.split(" | ") for row in part_of(page, part).splitlines() if "](../" in row]
        promises = {link: promise for promise, link in there}
        rows = [f"{promises.get(link, promise)} | {link}" for promise, link in (row.split(" | ") for row in rows)]
    return "\n".join([HEADS[part], line, *rows])
