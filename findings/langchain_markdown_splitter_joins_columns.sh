#!/usr/bin/env bash
# langchain-text-splitters 1.1.3, Python 3.11 (seen 2026-11-30).
# MarkdownHeaderTextSplitter of LangChain is to cut a Markdown text at its headings. It knows fenced code, where # is no
# heading, and yet strips each line of it, and drops from every line of the text what Python does not call printable:
# tabs, no-break spaces and the ideographic space of Chinese. So Python comes without indentation and does not compile,
# columns parted by tabs become one number (18 and 24 become 1824), two verses become one word, and lists within lists
# are flat. Nothing is said, plain paragraphs are as they were, and a network that is trained on such pieces writes such
# code. Issues 19436 and 20823 of langchain told of the indentation and are closed, 40071 is open.
# ExperimentalMarkdownSyntaxTextSplitter keeps each line as it is.
# Output seen (what a text has behind the two):
#   MarkdownHeaderTextSplitter: code IndentationError, columns "1824", verses "明月松间照清泉石上流", list "- 画图"
#   ExperimentalMarkdownSyntaxTextSplitter: code valid, columns "18\t24", verses "明月松间照　清泉石上流", list "     - 画图"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet langchain-text-splitters==1.1.3
cat > split.py <<'PYTHON'
import ast
import json
import re
import sys

from langchain_text_splitters import ExperimentalMarkdownSyntaxTextSplitter, MarkdownHeaderTextSplitter

TEXT = """# 笔记

```python
def factorial(n):
    if n < 2:
        return 1
    return n * factorial(n - 1)
```

```
18\t24
```

明月松间照\u3000清泉石上流

1. 准备
   - 读题
     - 画图

## 结束

完。
"""


def of_code(text: str) -> str:
    try:
        ast.parse(re.search("```python\n(.*?)```", text, re.DOTALL)[1])
    except IndentationError:
        return "IndentationError"
    return "valid"


def line_with(text: str, words: str) -> str:
    return next(line.rstrip() for line in text.split("\n") if words in line)


headings = [("#", "first"), ("##", "second")]
seen = {}
for splitter in (MarkdownHeaderTextSplitter(headings), ExperimentalMarkdownSyntaxTextSplitter(headings)):
    name = type(splitter).__name__
    text = "\n".join(piece.page_content for piece in splitter.split_text(TEXT))
    seen[name] = [of_code(text), *(line_with(text, words) for words in ("24", "明月", "画图"))]
    code, *lines = seen[name]
    columns, verses, listed = (json.dumps(line, ensure_ascii=False) for line in lines)
    print(f"{name}: code {code}, columns {columns}, verses {verses}, list {listed}")
if seen["MarkdownHeaderTextSplitter"] != ["IndentationError", "1824", "明月松间照清泉石上流", "- 画图"]:
    sys.exit("no longer so: something else is left out")
if seen["ExperimentalMarkdownSyntaxTextSplitter"] != ["valid", *(line_with(TEXT, w) for w in ("24", "明月", "画图"))]:
    sys.exit("no longer so: the experimental one")
PYTHON
env/bin/python split.py 2> errors || { cat errors; exit 1; }
