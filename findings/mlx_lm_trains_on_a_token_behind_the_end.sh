#!/usr/bin/env bash
# mlx-lm 0.32.2 with mlx 0.32.4 (CPU build) and transformers 5.24.0, Python 3.11 (seen 2026-11-30).
# mlx_lm.lora, the fine-tuning of mlx-lm on a Mac, pads rows by token 0 and masks the loss. Its mask takes in one place
# too many, the one behind the end of a text, where it wants token 0: "!" in the vocabularies of GPT-2 and Qwen. So
# every example teaches one token that nobody wrote, and the training and validation losses count it. It is learned
# within some steps, and the loss then looks better than it is, the more so the shorter the answers: with --mask-prompt
# and answers of three tokens a quarter of what is averaged is this token, and a loss of 0.79 is said to be 0.59. For a
# network that is not trained by it the loss is too high instead. So losses and perplexities of mlx-lm cannot be
# compared with those of other programs. Pull request 1697, closed, would mend it. Measure networks by another program,
# on exported weights.
# Output seen (answers of three tokens, the end among them; the middle one is chance; the loss of what is held out):
#   before training: said 3.74, right 3.75
#   after 150 steps: said 0.59, right 0.79
#   the likeliest token behind the end: token 0, with probability 1.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet mlx-lm==0.32.2 "mlx[cpu]==0.32.4" transformers==5.24.0 numpy==2.4.6
cat > train.py <<'PYTHON'
import random
import sys

import mlx.core as mx
import mlx.optimizers
import numpy
from mlx import nn
from mlx_lm.models.llama import Model, ModelArgs
from mlx_lm.tuner.datasets import CacheDataset, CompletionsDataset
from mlx_lm.tuner.trainer import TrainingArgs, evaluate, train
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

mx.random.seed(0)
numpy.random.seed(0)  # orders the batches
random.seed(0)
WORDS = ["never", "<end>", "user", "assistant", *(f"{letter}{i}" for letter in "abc" for i in range(10))]
backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, "never"))
backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")
tokenizer.chat_template = (
    "{% for message in messages %}{{ message.role + ' ' + message.content }}"
    "{{ ' <end> ' if message.role == 'assistant' else ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)
asked = [{"prompt": f"a{i % 10}", "completion": f"b{i % 10} c{random.randrange(10)}"} for i in range(480)]


def prepared(questions: list[dict[str, str]]) -> CacheDataset:
    return CacheDataset(CompletionsDataset(questions, tokenizer, "prompt", "completion", mask_prompt=True))


training, held_out = prepared(asked[:320]), prepared(asked[320:])
shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
model = Model(ModelArgs("llama", **shape, rms_norm_eps=1e-6, vocab_size=len(WORDS), tie_word_embeddings=False))
mx.eval(model.parameters())


def show(name: str) -> tuple[float, float]:
    said = evaluate(model, held_out, batch_size=16, num_batches=-1)
    losses = []
    for place in range(len(held_out)):
        tokens, start = held_out[place]
        logits = model(mx.array([tokens[:-1]]))[0]
        losses += nn.losses.cross_entropy(logits[start - 1 :], mx.array(tokens[start:])).tolist()
    right = sum(losses) / len(losses)
    print(f"{name}: said {said:.2f}, right {right:.2f}", flush=True)
    return said, right


before = show("before training")
optimizer = mlx.optimizers.Adam(learning_rate=3e-3)
arguments = TrainingArgs(batch_size=16, iters=150, steps_per_eval=1000, steps_per_save=1000, steps_per_report=1000)
train(model, optimizer, training, held_out, args=arguments)
after = show("after 150 steps")
text = tokenizer("user a1 assistant b1 c1 <end>")["input_ids"]
behind = mx.softmax(model(mx.array([text]))[0, -1])
token, probability = int(behind.argmax()), float(behind.max())
print(f"the likeliest token behind the end: token {token}, with probability {probability:.2f}")
if token != 0 or probability < 0.9:
    sys.exit("no longer so: nothing is learned behind the end")
if not 0.7 < after[0] / after[1] < 0.8 or abs(before[0] / before[1] - 1) < 0.0005:
    sys.exit("no longer so: the loss counts what was written")
PYTHON
HF_HUB_OFFLINE=1 env/bin/python train.py > seen 2> errors || { cat seen errors; exit 1; }
grep "^before\|^after\|^the likeliest" seen
