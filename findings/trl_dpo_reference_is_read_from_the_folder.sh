#!/usr/bin/env bash
# trl 1.16.0 with transformers 5.24.0, torch 2.13.0, Python 3.11 (seen 2026-11-30).
# DPO starts at a loss of ln 2 and rewards of zero, since the network is its own reference before the first step.
# Without a ref_model, DPOTrainer takes the state before training for it, says its docstring. Up to trl 0.28 it copied
# the network that it was given; from 0.29 on it opens anew the folder or repository that the network once came from.
# Whoever fine-tunes a network and hands it on to DPO in the same script, or merged an adapter or edited a weight
# before, has the network of before as a reference: rewards begin with what fine-tuning has learned, pairs that it has
# learned count as done, and the penalty draws back to the network of before. No message says so; a loss below 0.69 in
# the first line of the log is all that shows. In version 1.16, KTOTrainer does it by the same lines, and GRPOTrainer
# and RLOOTrainer do if beta is not 0. With precompute_ref_log_probs=True the reference is the network that was given.
# Hand over a copy as ref_model, or save the network and open it again.
# Output seen (a network that was fine-tuned on the chosen answers; the first step of DPO):
#   the network as it is in memory: loss 0.2383, rewards 0.198 and -1.114
#   the same, precompute_ref_log_probs: loss 0.6931, rewards 0.000 and 0.000
#   the same, with ref_model: loss 0.6931, rewards 0.000 and 0.000
#   the same, saved and opened again: loss 0.6931, rewards 0.000 and 0.000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet trl==1.16.0 \
    transformers==5.24.0 datasets==5.2.0 accelerate==1.15.0 torch==2.13.0 numpy==2.3.4
cat > reference.py <<'PYTHON'
import copy
import math
import sys

import torch
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

torch.set_num_threads(1)
disable_progress_bars()
words = ["<|endoftext|>", "<|pad|>", "question", *"abcdefghijkl"]
backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "<|endoftext|>"))
backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|pad|>")
pairs = [{"prompt": "question", "chosen": f" {x} b c", "rejected": f" {x} e f"} for x in "abcdefghijkl"]
shape = {"vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
torch.manual_seed(0)
LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=2, bos_token_id=None, eos_token_id=0)).save_pretrained("base")
taught = AutoModelForCausalLM.from_pretrained("base")
rows = torch.tensor([tokenizer(pair["prompt"] + pair["chosen"]).input_ids for pair in pairs])
optimizer = torch.optim.AdamW(taught.parameters(), lr=3e-3)
for _ in range(60):  # the fine-tuning that comes before
    optimizer.zero_grad()
    taught(input_ids=rows, labels=rows).loss.backward()
    optimizer.step()
taught.eval()
taught.save_pretrained("taught")


def first_step(name: str, model: torch.nn.Module, ref_model: torch.nn.Module | None = None, **more: bool) -> float:
    settings = DPOConfig(
        "out", per_device_train_batch_size=len(pairs), max_steps=1, logging_steps=1, save_strategy="no", report_to=[],
        disable_tqdm=True, use_cpu=True, bf16=False, **more,
    )  # fmt: skip
    data = Dataset.from_list(pairs)
    trainer = DPOTrainer(model, ref_model, args=settings, train_dataset=data, processing_class=tokenizer)
    trainer.train()
    entry = next(entry for entry in trainer.state.log_history if "loss" in entry)
    loss, chosen, rejected = (float(entry[key]) for key in ("loss", "rewards/chosen", "rewards/rejected"))
    print(f"{name}: loss {loss:.4f}, rewards {chosen:.3f} and {rejected:.3f}")
    return loss


given = first_step("the network as it is in memory", copy.deepcopy(taught))
right = (
    first_step("the same, precompute_ref_log_probs", copy.deepcopy(taught), precompute_ref_log_probs=True),
    first_step("the same, with ref_model", copy.deepcopy(taught), copy.deepcopy(taught)),
    first_step("the same, saved and opened again", AutoModelForCausalLM.from_pretrained("taught")),
)
if any(abs(loss - math.log(2)) > 1e-3 for loss in right):
    sys.exit("no longer so: the first loss is another in the other three as well")
if given > 0.6:
    sys.exit("no longer so: the reference is the network that was given")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python reference.py 2> errors | grep -v "^{" || { cat errors; exit 1; }
