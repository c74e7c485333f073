#!/usr/bin/env bash
# onnxruntime-extensions 0.15.2 and openvino-tokenizers 2026.4.1.0, beside tokenizers 0.23.3 and transformers 5.24.0,
# Python 3.11 (seen 2026-11-30).
# Tokenizers of the kind of StarCoder and SmolLM2 cut a text twice: first around each digit (Digits), and then each
# piece by GPT-2's expression (ByteLevel), whose last part keeps the space before a word apart from the others. Spaces
# before a digit end a piece, so tokenizers has nothing behind them to look at, and "\n\n" before "1." is one token.
# Both runtimes look over the border of the piece: they cut off the last space or line break as if a word followed. So a
# network that is served by ONNX Runtime or OpenVINO gets two tokens where it was trained on one, before every numbered
# list that follows a blank line, and every number that is set in by spaces. Nothing fails, and decoding gives the same
# text. Without Digits, or with one expression for both (as Qwen's), all agree. Compare the ids of texts with numbers
# before serving.
# Output seen (with Digits, and with ByteLevel alone: tokens of the part in question):
#   'Three steps:\n\n1. Look', Digits: tokenizers ĊĊ 1, onnxruntime-extensions Ċ Ċ 1, OpenVINO Ċ Ċ 1
#   'x = [\n    7,', Digits: tokenizers ĊĠĠĠĠ 7, onnxruntime-extensions ĊĠĠ Ġ Ġ 7, OpenVINO ĊĠĠ Ġ Ġ 7
#   'total   9', Digits: tokenizers ĠĠĠ 9, onnxruntime-extensions ĠĠ Ġ 9, OpenVINO ĠĠ Ġ 9
#   'two\n\nwords', Digits: tokenizers Ċ Ċ words, onnxruntime-extensions Ċ Ċ words, OpenVINO Ċ Ċ words
#   ByteLevel alone: the same from all three
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet onnxruntime-extensions==0.15.2 openvino-tokenizers==2026.4.1.0 openvino==2026.4.1 \
    transformers==5.24.0 tokenizers==0.23.3 numpy==2.3.4
cat > cut.py <<'PYTHON'
import json
import sys
from pathlib import Path

import openvino
from onnxruntime_extensions.pp_api import Tokenizer as Extensions
from openvino_tokenizers import convert_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

texts = ["Three steps:\n\n1. Look", "x = [\n    7,", "total   9", "two\n\nwords"]
byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
for name, cutting in (
    ("Digits", pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])),
    ("ByteLevel alone", byte_level),
):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = cutting, decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=byte_level.alphabet(), special_tokens=["<|endoftext|>"], show_progress=False
    )
    tokenizer.train_from_iterator(texts * 20, trainer)
    opened = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    opened.save_pretrained("saved")
    config = Path("saved/tokenizer_config.json")  # onnxruntime-extensions does not know the name of version 5
    config.write_text(json.dumps(json.loads(config.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    extensions = Extensions(str(Path("saved").absolute()))
    compiled = openvino.compile_model(convert_tokenizer(opened), "CPU")
    alike = []
    for text in texts:
        ids = {"tokenizers": tokenizer.encode(text).ids}
        ids["onnxruntime-extensions"] = [int(number) for number in extensions.tokenize(text)]
        ids["OpenVINO"] = compiled([text])["input_ids"][0].tolist()
        if any(tokenizer.decode(found) != text for found in ids.values()):
            sys.exit("no longer so: the text is another one")
        alike.append(len({tuple(found) for found in ids.values()}) == 1)
        if name == "Digits":
            parts = []
            for who, found in ids.items():
                tokens = [tokenizer.id_to_token(number) for number in found]
                first = next(place for place, token in enumerate(tokens) if token[0] in "ĊĠ" and token[-1] in "ĊĠ")
                last = next(place for place in range(first, len(tokens)) if tokens[place].strip("ĊĠ"))
                parts.append(f"{who} {' '.join(tokens[first : last + 1])}")
            print(f"{text!r}, {name}: {', '.join(parts)}")
    if alike != ([False, False, False, True] if name == "Digits" else [True] * 4):
        sys.exit("no longer so: spaces before digits are cut otherwise")
print("ByteLevel alone: the same from all three")
PYTHON
HF_HUB_OFFLINE=1 env/bin/python cut.py 2> errors || { cat errors; exit 1; }
