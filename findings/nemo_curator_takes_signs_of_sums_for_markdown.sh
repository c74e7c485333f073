#!/usr/bin/env bash
# nemo-curator 1.4.0, beside markdown-it-py 4.3.0, Python 3.11 (seen 2026-12-01).
# MarkdownRemover of NeMo Curator "removes Markdown formatting", says its docstring. It takes away any two asterisks and
# any two underscores of a line, wherever they stand. To Markdown, an asterisk between spaces and an underscore within a
# name are what they are, and so is all that stands in code. So 2 * 3 * 4 = 24 loses its signs, max_seq_len becomes
# maxseqlen, in code as well, and a call loses what its asterisks said. Nothing is counted. Sums and code are a good
# part of what small models are trained on: from these lines they learn sums without a sign and names that do not exist.
# No issue was found. A parser of Markdown tells marks from signs.
# Output seen (a line | what Markdown shows of it | what is left of it):
#   **bold** and *italic* | bold and italic | bold and italic
#   2 * 3 * 4 = 24 | 2 * 3 * 4 = 24 | 2  3  4 = 24
#   体积是 3 * 4 * 5 = 60。 | 体积是 3 * 4 * 5 = 60。 | 体积是 3  4  5 = 60。
#   `2*3*4` is 24. | 2*3*4 is 24. | `234` is 24.
#   Set max_seq_len to 512. | Set max_seq_len to 512. | Set maxseqlen to 512.
#   Call `f(*args, **options)`. | Call f(*args, **options). | Call `f(args, *options)`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
# What the class imports, of all that NeMo Curator asks for.
env/bin/pip install --quiet --no-deps nemo-curator==1.4.0 cosmos-xenna==0.2.0
env/bin/pip install --quiet loguru==0.7.3 pandas==3.1.1 pyarrow==26.0.1 ray==2.60.0 regex==2026.11.19 \
    markdown-it-py==4.3.0 2> /dev/null
cat > sums.py <<'PYTHON'
import re
import sys

from markdown_it import MarkdownIt
from nemo_curator.stages.text.modifiers.string.markdown_remover import MarkdownRemover

for line, expected in (
    ("**bold** and *italic*", "bold and italic"),
    ("2 * 3 * 4 = 24", "2  3  4 = 24"),
    ("体积是 3 * 4 * 5 = 60。", "体积是 3  4  5 = 60。"),
    ("`2*3*4` is 24.", "`234` is 24."),
    ("Set max_seq_len to 512.", "Set maxseqlen to 512."),
    ("Call `f(*args, **options)`.", "Call `f(args, *options)`."),
):
    shown = re.sub("<[^>]*>", "", MarkdownIt().render(line)).strip()
    left = MarkdownRemover().modify_document(line)
    print(f"{line} | {shown} | {left}")
    if left != expected:
        sys.exit("no longer so: something else is left")
PYTHON
env/bin/python sums.py 2> errors || { cat errors; exit 1; }
