#!/usr/bin/env bash
# mlx-lm 0.32.2 with mlx 0.32.4 (CPU build), transformers 5.24.0, tokenizers 0.23.3, Python 3.11 (seen 2026-11-30).
# mlx_lm turns tokens into text one by one, by a detokenizer of its own for byte-level vocabularies (GPT-2, Llama 3,
# Qwen). It takes the first space off the text, as is right for SentencePiece, where that space stands for no character.
# In a byte-level vocabulary it is one: generate, stream_generate and the server return an answer that lacks it, where
# tokenizer.decode of the same tokens has it. A completion of code that begins with four spaces comes with three, which
# Python refuses, so tasks as HumanEval's fail with a network that solves them, and a continued sentence is glued to its
# prompt. Answers in a chat, or in Chinese, begin with no space and show nothing. Pull request 1754 of mlx-lm, closed,
# would mend it. Decode the tokens of the responses yourself.
# Output seen (a network that says what it is told; the prompt, what comes, and what its tokens are by
# tokenizer.decode):
#   'def double(x):\n': '   return 2 * x', tokens '    return 2 * x'
#   'The capital of France is': 'Paris.', tokens ' Paris.'
#   '法国的首都是': '巴黎。', tokens '巴黎。'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet "mlx[cpu]==0.32.4" mlx-lm==0.32.2 transformers==5.24.0 tokenizers==0.23.3 numpy==2.3.4
cat > space.py <<'PYTHON'
import sys
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
from mlx_lm import stream_generate
from mlx_lm.tokenizer_utils import load
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

cases = {"def double(x):\n": "    return 2 * x", "The capital of France is": " Paris.", "法国的首都是": "巴黎。"}
backend = Tokenizer(models.BPE())
backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(
    vocab_size=400, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"], show_progress=False
)
backend.train_from_iterator([prompt + answer for prompt, answer in cases.items()] * 20, trainer)
PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>").save_pretrained("saved")
tokenizer = load(Path("saved"))


class Told(nn.Module):
    """A network that gives the tokens of one text, in their order."""

    def __init__(self, prompt: str, answer: str):
        super().__init__()
        self.start = len(tokenizer.encode(prompt))
        self.tokens = [*tokenizer.encode(answer), tokenizer.eos_token_id]
        self.layers, self.read = [], 0

    def make_cache(self) -> list:
        return []

    def __call__(self, inputs, cache=None):
        self.read += inputs.shape[1]
        place = min(max(self.read - self.start, 0), len(self.tokens) - 1)
        logits = mx.full((*inputs.shape, len(backend.get_vocab())), -100.0)
        logits[:, -1, self.tokens[place]] = 100.0
        return logits


for prompt, answer in cases.items():
    responses = list(stream_generate(Told(prompt, answer), tokenizer, prompt, max_tokens=50))
    text = "".join(response.text for response in responses)
    tokens = [response.token for response in responses if response.token != tokenizer.eos_token_id]
    decoded = tokenizer.decode(tokens)
    print(f"{prompt!r}: {text!r}, tokens {decoded!r}")
    if decoded != answer or text != answer.removeprefix(" "):
        sys.exit("no longer so: the first space is taken off")
PYTHON
HF_HUB_OFFLINE=1 env/bin/python space.py 2> errors || { cat errors; exit 1; }
