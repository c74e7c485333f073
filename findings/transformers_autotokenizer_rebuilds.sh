#!/usr/bin/env bash
# transformers 5.24.0, tokenizers as it requires, Python 3.11 (seen 2026-11-27).
# AutoTokenizer takes only the vocabulary and merges from tokenizer.json where config.json says qwen3 (or qwen2) and
# tokenizer_config.json names no class: it builds a Qwen2Tokenizer, whose splitting and NFC replace those of the file.
# Naming GPT2Tokenizer or LlamaTokenizer for any model does the same; PreTrainedTokenizerFast reads the file as it is.
# No warning is printed, and a model trained on the file's ids sees others.
# Output seen (the file keeps "12" whole and knows no NFC):
#   the file: ['12']
#   no class: Qwen2Tokenizer ['1', '2']
#   PreTrainedTokenizerFast: TokenizersBackend ['12']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet transformers==5.24.0
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/env/bin/python" - <<'PYTHON'
import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer

vocabulary = {token: number for number, token in enumerate(["<|endoftext|>", "1", "2", "12"])}
backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[("1", "2")]))
backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
backend.decoder = decoders.ByteLevel()
backend.save("tokenizer.json")
with open("config.json", "w") as file:
    json.dump({"model_type": "qwen3"}, file)


def opened(**declared):
    with open("tokenizer_config.json", "w") as file:
        json.dump({"eos_token": "<|endoftext|>", **declared}, file)
    return AutoTokenizer.from_pretrained(".")


unnamed, fast = opened(), opened(tokenizer_class="PreTrainedTokenizerFast")
print("the file:", backend.encode("12").tokens)
print("no class:", type(unnamed).__name__, unnamed.tokenize("12"))
print("PreTrainedTokenizerFast:", type(fast).__name__, fast.tokenize("12"))
assert unnamed.tokenize("12") == ["1", "2"] and fast.tokenize("12") == backend.encode("12").tokens == ["12"]
PYTHON
