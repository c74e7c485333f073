#!/usr/bin/env bash
# transformers 5.24.0 with tokenizers 0.23.3, Python 3.11 (seen 2026-11-30).
# tokenizer(texts, truncation=True, max_length=8, padding="max_length") says how one call is to cut and pad. It stays in
# the tokenizer, and save_pretrained writes it into tokenizer.json, for the call that happened to be the last.
# Transformers itself sets it anew for each call, so whoever opens the folder with it sees no fault. Whoever reads
# tokenizer.json with the library tokenizers, as servers in Rust and many scripts do, gets every text cut off at that
# length, and every short one filled up with padding, without a word: a long prompt loses its end, where the question
# is. A training script cuts and pads its examples just so, and saves the tokenizer at its end. llm-compressor met it
# (its pull request 2917). A call without both, or no_truncation() and no_padding() of backend_tokenizer, takes it away
# before the folder is saved.
# Output seen (tokens of a text of 50 words and of one of a single word, from a folder that was saved then):
#   saved before: transformers 50 and 1, tokenizers 50 and 1
#   saved after: transformers 50 and 1, tokenizers 8 and 8
#   saved after a call that does neither: transformers 50 and 1, tokenizers 50 and 1
#   saved after no_truncation() and no_padding(): transformers 50 and 1, tokenizers 50 and 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet transformers==5.24.0 tokenizers==0.23.3 numpy==2.3.4
cat > saved.py <<'PYTHON'
import sys

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

backend = Tokenizer(models.WordLevel({"<pad>": 0, "word": 1}, "<pad>"))
backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>")
texts = ["word " * 50, "word"]


def show(name: str) -> tuple[list[int], list[int]]:
    tokenizer.save_pretrained("folder")
    opened, read = AutoTokenizer.from_pretrained("folder"), Tokenizer.from_file("folder/tokenizer.json")
    by_transformers = [len(opened(text)["input_ids"]) for text in texts]
    by_tokenizers = [len(read.encode(text).ids) for text in texts]
    print("{}: transformers {} and {}, tokenizers {} and {}".format(name, *by_transformers, *by_tokenizers))
    return by_transformers, by_tokenizers


before = show("saved before")
tokenizer(texts, truncation=True, max_length=8, padding="max_length")
after = show("saved after")
tokenizer(texts)
later = show("saved after a call that does neither")
tokenizer(texts, truncation=True, max_length=8, padding="max_length")
tokenizer.backend_tokenizer.no_truncation()
tokenizer.backend_tokenizer.no_padding()
undone = show("saved after no_truncation() and no_padding()")
whole = [50, 1], [50, 1]
if (before, after, later, undone) != (whole, ([50, 1], [8, 8]), whole, whole):
    sys.exit("no longer so: what the last call did is saved otherwise")
PYTHON
HF_HUB_OFFLINE=1 env/bin/python saved.py 2> errors || { cat errors; exit 1; }
