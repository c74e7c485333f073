#!/usr/bin/env bash
# transformers 5.24.0, tokenizers 0.23.3, Python 3.11 (seen 2026-11-28).
# GPT2TokenizerFast(vocab_file=..., merges_file=...), the call of version 4, takes both arguments and reads neither: the
# tokenizer has one token, makes no ids of any text, warns of nothing, and save_pretrained writes that empty vocabulary.
# The names are vocab= and merges= now. A model trained with it sees nothing but ends of texts, at a loss of 0.
# Output seen:
#   old names: 1 token, ids []
#   new names: 257 tokens, ids [71, 68, 75, 75, 78]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet transformers==5.24.0 tokenizers==0.23.3
cd "$folder"
"$folder/env/bin/python" - 2> /dev/null <<'PYTHON'
import json

from tokenizers.pre_tokenizers import ByteLevel
from transformers import GPT2TokenizerFast

letters = sorted(ByteLevel.alphabet())
with open("vocab.json", "w") as file:
    json.dump({letter: number for number, letter in enumerate([*letters, "<|endoftext|>"])}, file)
with open("merges.txt", "w") as file:
    file.write("#version: 0.2\n")
found = []
for said, names in (("old", ("vocab_file", "merges_file")), ("new", ("vocab", "merges"))):
    tokenizer = GPT2TokenizerFast(**dict(zip(names, ("vocab.json", "merges.txt"))))
    ids = tokenizer("hello").input_ids
    found.append((len(tokenizer), ids))
    print(f"{said} names: {len(tokenizer)} token{'s' * (len(tokenizer) > 1)}, ids {ids}")
assert found[0] == (1, []) and found[1][0] == 257 and len(found[1][1]) == 5, found
PYTHON
