#!/usr/bin/env bash
# tokenizers 0.23.3, Python 3.11 (seen 2026-11-28).
# BpeTrainer(max_token_length=N) makes no token of N bytes: the longest has N - 1, although the texts are full of a word of
# N bytes, and a larger N gives that word a token at once. Whoever wants tokens of up to 16 bytes has to ask for 17.
# Output seen:
#   asked 8, longest 7
#   asked 9, longest 8
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet tokenizers==0.23.3
cd "$folder"
"$folder/env/bin/python" - <<'PYTHON'
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

longest = {}
for asked in (8, 9):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=60, max_token_length=asked, show_progress=False)
    tokenizer.train_from_iterator(["seedling abcdefgh"] * 50, trainer)  # two words of 8 letters
    longest[asked] = max(map(len, tokenizer.get_vocab()))
    print(f"asked {asked}, longest {longest[asked]}")
assert longest == {8: 7, 9: 8}
PYTHON
