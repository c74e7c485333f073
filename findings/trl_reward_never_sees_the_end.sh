#!/usr/bin/env bash
# trl 1.16.0 with transformers 5.24.0, torch 2.13.0, Python 3.11 (seen 2026-11-30).
# A reward model of transformers (LlamaForSequenceClassification and its like) reads the reward at the last token that
# does not pad, which it finds by the token's id and not by the attention mask. Where a tokenizer has no padding token,
# as those of GPT-2 or Llama, trl's RewardTrainer takes the end of text for one. The end of an answer is then skipped,
# although the trainer itself appends it to plain texts: an answer and the same answer cut off have the same reward.
# Pairs that prefer the one which ends cannot be learned (the loss stays at ln 2), and a policy trained by such a
# reward has no reason to come to an end. No warning is given. A padding token of its own mends it.
# Output seen (60 steps on pairs, whose first answer ends and whose second is the same cut off):
#   no padding token: it pads by <|endoftext|>; loss 0.693, accuracy 0.00; up to 0.00 between the two
#   <|pad|>: it pads by <|pad|>; loss 0.008, accuracy 1.00; up to 4.88 between the two
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet trl==1.16.0 transformers==5.24.0 torch==2.13.0 numpy==2.3.4
cat > reward.py <<'PYTHON'
import math
import sys

import torch
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast
from trl import RewardConfig, RewardTrainer

torch.set_num_threads(1)
disable_progress_bars()
words = ["<|endoftext|>", "<|pad|>", "question", *"abcdefgh"]
backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "<|endoftext|>"))
backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
answers = [f"question {first} b c" for first in "adefgh"]
settings = RewardConfig(
    "out", per_device_train_batch_size=8, max_steps=60, learning_rate=3e-3, logging_steps=20, save_strategy="no",
    report_to=[], disable_tqdm=True, use_cpu=True, bf16=False,
)  # fmt: skip


def show(name: str, **pad: str) -> tuple[float, float]:
    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", **pad)
    shape = {"vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    config = LlamaConfig(**shape, num_attention_heads=2, num_labels=1, bos_token_id=None, eos_token_id=0)
    model = LlamaForSequenceClassification(config)
    cut = [tokenizer(answer)["input_ids"] for answer in answers]
    ended = [[*ids, tokenizer.eos_token_id] for ids in cut]
    pairs = [{"chosen_ids": better, "rejected_ids": worse} for better, worse in zip(ended, cut)] * 20
    trainer = RewardTrainer(model, settings, train_dataset=Dataset.from_list(pairs), processing_class=tokenizer)
    trainer.train()
    last = [entry for entry in trainer.state.log_history if "loss" in entry][-1]
    loss, accuracy = float(last["loss"]), float(last["accuracy"])
    with torch.no_grad():
        better, worse = (model(torch.tensor(rows)).logits for rows in (ended, cut))
    between = (better - worse).abs().max().item()
    said = f"it pads by {tokenizer.pad_token}; loss {loss:.3f}, accuracy {accuracy:.2f}"
    print(f"{name}: {said}; up to {between:.2f} between the two")
    return loss, between


without, own = show("no padding token"), show("<|pad|>", pad_token="<|pad|>")
if abs(without[0] - math.log(2)) > 0.001 or without[1] > 1e-4:
    sys.exit("no longer so: the end counts although it pads")
if own[0] > 0.1 or own[1] < 1:
    sys.exit("no longer so: the end does not count although another token pads")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python reward.py 2> errors | grep -v "^{" || { cat errors; exit 1; }
