#!/usr/bin/env bash
# trl 1.16.0 with transformers 5.24.0, datasets 5.2.0 and torch 2.13.0, Python 3.11 (seen 2026-12-01).
# With precompute_ref_log_probs=True, DPOTrainer sums up the reference's log-probabilities of every answer once, and
# keeps the sums in a file beside the data, which later runs take. The file's name is made of the weights and the
# tokenised pairs. But pairs are cut to max_length only afterwards, and so is ld_alpha applied, which weighs the tokens
# of an answer. Whoever does not cut at all (max_length=None), or cuts at the front (truncation_mode="keep_end", which
# is deprecated), and changes max_length or ld_alpha, gets the sums of the first run: sums over other tokens. Nothing is
# said about it. Rewards, margins and the loss are off by the tokens that one sum has and the other lacks: after a
# shorter cut, a long answer counts as one that the network likes less than the reference does, from the first step on.
# With the default cut ("keep_start") all settings happen to be in the name. A first loss other than 0.6931 shows it.
# Set HF_DATASETS_CACHE to a new folder after such a change, or let the reference be computed in each step.
# Output seen (the first step of DPO on the network that is its own reference; one run after the other):
#   max_length 16: loss 0.6931, rewards 0.000 and 0.000
#   max_length 32: loss 2.7041, rewards -2.635 and 0.000
#   max_length None: loss 2.7041, rewards -2.635 and 0.000
#   max_length None, ld_alpha 0.5: loss 0.6853, rewards 0.016 and 0.000
#   max_length None, ld_alpha 0.5, a new cache: loss 0.6931, rewards 0.000 and 0.000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet trl==1.16.0 \
    transformers==5.24.0 datasets==5.2.0 accelerate==1.15.0 torch==2.13.0 numpy==2.3.4
cat > reference.py <<'PYTHON'
import json
import os
import sys
from pathlib import Path

import torch
from datasets import disable_progress_bars, load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

torch.set_num_threads(1)
disable_progress_bars()
words = ["<|endoftext|>", "<|pad|>", "question", *"abcdefgh"]
backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "<|endoftext|>"))
backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|pad|>")
pairs = [{"prompt": "question", "chosen": f" {x}" + 12 * " b c", "rejected": f" {x} e f"} for x in "abcdefgh"]
if not os.path.exists("pairs.jsonl"):
    Path("pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
torch.manual_seed(0)
shape = {"vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
model = LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=2, bos_token_id=None, eos_token_id=0))
name, more, right = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3] == "right"
settings = DPOConfig(
    "out", precompute_ref_log_probs=True, per_device_train_batch_size=len(pairs), max_steps=1, logging_steps=1,
    save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True, bf16=False, **more,
)  # fmt: skip
data = load_dataset("json", data_files="pairs.jsonl", split="train")
trainer = DPOTrainer(model, args=settings, train_dataset=data, processing_class=tokenizer)
trainer.train()
entry = next(entry for entry in trainer.state.log_history if "loss" in entry)
loss, chosen, rejected = (float(entry[key]) for key in ("loss", "rewards/chosen", "rewards/rejected"))
print(f"{name}: loss {loss:.4f}, rewards {chosen:.3f} and {rejected:.3f}")
if (abs(loss - 0.6931) < 1e-3) != right:
    sys.exit("no longer so: the first loss is another")
PYTHON

first_step() {  # name, settings, whether the first loss is right
    HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python reference.py "$@" 2> errors | grep -v "^{" || {
        cat errors
        exit 1
    }
}

first_step "max_length 16" '{"max_length": 16, "truncation_mode": "keep_end"}' right
first_step "max_length 32" '{"max_length": 32, "truncation_mode": "keep_end"}' wrong
first_step "max_length None" '{"max_length": null}' wrong
first_step "max_length None, ld_alpha 0.5" '{"max_length": null, "ld_alpha": 0.5}' wrong
rm -r home
first_step "max_length None, ld_alpha 0.5, a new cache" '{"max_length": null, "ld_alpha": 0.5}' right
