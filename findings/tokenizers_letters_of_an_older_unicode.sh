#!/usr/bin/env bash
# tokenizers 0.23.3 and regex 2026.11.19, Python 3.11 (seen 2026-11-28).
# \p{L}, "a letter", is the heart of the expressions by which GPT-2, Llama 3 and Qwen cut text into words. In `tokenizers`
# it knows thousands of letters fewer than in `regex`, by which training scripts in Python often cut the same text. None of
# them is a letter in Unicode 14, so both are right by the version that they follow, and the same expression cuts new
# scripts differently in the two.
# Output seen:
#   letters: regex 158172, tokenizers 141028, of Unicode 14 among the missing 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet tokenizers==0.23.3 regex==2026.11.19
cd "$folder"
"$folder/env/bin/python" - <<'PYTHON'
import unicodedata

import regex
from tokenizers import Regex, pre_tokenizers

characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
theirs = pre_tokenizers.Split(Regex(r"\p{L}"), "removed")
by_regex = {each for each in characters if regex.fullmatch(r"\p{L}", each)}
by_tokenizers = {each for each in characters if not theirs.pre_tokenize_str(each)}
missing = by_regex - by_tokenizers
old = sum(unicodedata.category(each).startswith("L") for each in missing) if unicodedata.unidata_version == "14.0.0" else 0
print(f"letters: regex {len(by_regex)}, tokenizers {len(by_tokenizers)}, of Unicode 14 among the missing {old}")
assert len(missing) == 17144 and old == 0
PYTHON
