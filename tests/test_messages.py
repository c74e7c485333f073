"""The page that explains messages in Chinese quotes them as the code says them."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "messages_zh.md").read_text(encoding="utf-8")
TABLES = re.findall(r"^\| 信息 \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
MESSAGES = [re.match(r"\| `(.+?)` \|", row)[1] for table in TABLES for row in table.splitlines()]


@cache
def said() -> str:
    """Every string of the code, what varies in it as an ellipsis, one a line."""
    texts = set()
    folders = ("dataset", "inference", "model", "training")
    for path in (*ROOT.glob("*.py"), *(path for name in folders for path in ROOT.glob(f"{name}/**/*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.add("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    return "\n".join(" ".join(text.split("\n")) for text in texts)


@pytest.mark.parametrize("message", MESSAGES)
def test_the_code_says_it(message):
    pattern = ".*".join(re.escape(part) for part in message.split("…"))
    assert re.search(pattern, said())


def test_the_page_quotes_messages():
    assert len(MESSAGES) > 60 and len(MESSAGES) == len(set(MESSAGES))
