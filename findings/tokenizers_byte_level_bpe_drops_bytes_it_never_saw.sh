#!/usr/bin/env bash
# tokenizers 0.23.3, Python 3.11 (seen 2026-11-30).
# Byte-level BPE knows each of the 256 bytes, so no text is unknown to it: this holds for GPT-2's vocabulary, and for one
# made by BpeTrainer only if initial_alphabet=ByteLevel.alphabet() asks for it. Without it, the vocabulary has the bytes
# of the training texts, and every other byte is left out of a text before it is learnt or answered: without unk_token no
# id stands for it, and nothing is said. Digits, capitals or marks of code vanish, and of a Chinese character that was not
# there some of its three bytes. The losses look good, since what is left out need not be guessed. Texts that begin the
# training of a tokenizer are often a small and clean sample; the course of Hugging Face trains so (its issue 775), and
# issue 813 of tokenizers asks why. ByteLevelBPETokenizer.train and train_new_from_iterator of transformers add all bytes.
# Output seen (a vocabulary of two sentences; what a text is after encode and decode):
#   no initial_alphabet, 125 tokens: '7 * 8 = 56' is '    ', 'x = [1, 2]' is 'x   ', 'QUIZ 3' is ' ', '龙飞凤舞' is '???'
#   initial_alphabet, 331 tokens: '7 * 8 = 56' is '7 * 8 = 56', 'x = [1, 2]' is 'x = [1, 2]', 'QUIZ 3' is 'QUIZ 3' (and so
#   on)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet tokenizers==0.23.3
cat > drop.py <<'PYTHON'
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

learnt = ["新芽是一个小语言模型，从文本学起。", "A small language model grows from text."] * 50
texts = ["7 * 8 = 56", "x = [1, 2]", "QUIZ 3", "龙飞凤舞"]


def trained(**more) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(learnt, trainers.BpeTrainer(vocab_size=400, show_progress=False, **more))
    return tokenizer


for name, more in {
    "no initial_alphabet": {},
    "initial_alphabet": {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet()},
}.items():
    tokenizer = trained(**more)
    again = [tokenizer.decode(tokenizer.encode(text).ids) for text in texts]
    pairs = ", ".join(f"{text!r} is {found.replace(chr(0xFFFD), '?')!r}" for text, found in zip(texts, again))
    print(f"{name}, {tokenizer.get_vocab_size()} tokens: {pairs}")
    if (again == texts) != bool(more) or (not more and again[0].strip()):
        sys.exit("no longer so: other bytes are left out")
PYTHON
env/bin/python drop.py
