#!/usr/bin/env bash
# trl 1.16.0 with transformers 5.24.0 and torch 2.13.0, Python 3.11 (seen 2026-12-01).
# CISPO weighs each token by the ratio of the new policy to the one that sampled it, cut at some height: at 1 + epsilon
# in its paper (arXiv:2506.13585), at 5 in that of ScaleRL. loss_type="cispo" of GRPOTrainer cuts at epsilon_high
# itself, without the 1, and epsilon_high is epsilon = 0.2 unless it is set. So a run that only chooses the loss cuts
# every ratio above 0.2 to 0.2, in the first step too, where all are 1: nothing is left of the ratios, the gradient is a
# fifth of what it should be, and the penalty for KL and the entropy bonus weigh five times as much beside it. With the
# 0.28 of DAPO it is hardly better. The help of epsilon_high recommends 5.0 for this loss; nothing says what the default
# does, and losses, rewards and norms look sound. It shows in the cispo_clip_ratio of the first step, which should be
# 0: it counts the tokens of answers better than the others that were cut. Set epsilon_high=5.0.
# Output seen (norm of the gradient in a first step on what was just sampled, and in a second on the same; share of the
# tokens that are cut in each):
#   dapo: 0.5566 and 0.4479; 0.000 and 0.037
#   cispo: 0.1113 and 0.1049; 0.436 and 0.436
#   cispo, epsilon_high 5: 0.5566 and 0.5921; 0.000 and 0.000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet trl==1.16.0 \
    transformers==5.24.0 datasets==5.2.0 accelerate==1.15.0 torch==2.13.0 numpy==2.3.4
cat > cispo.py <<'PYTHON'
import sys

import torch
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

torch.set_num_threads(1)
disable_progress_bars()
words = ["<|endoftext|>", "<|pad|>", "question", *"abcdefgh"]
backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "<|endoftext|>"))
backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|pad|>")
shape = {"vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
questions = Dataset.from_list([{"prompt": f"question {letter}"} for letter in "abcdefgh"])


def letters_a(completions: list[str], **rest: object) -> list[float]:
    return [float(completion.count("a")) for completion in completions]


def two_steps(name: str, cut: str, **more: str | float) -> tuple[list[float], list[float]]:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=2, bos_token_id=None, eos_token_id=0))
    settings = GRPOConfig(
        "out", num_generations=8, per_device_train_batch_size=64, max_completion_length=8, num_iterations=2,
        max_steps=2, learning_rate=0.003, logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True,
        use_cpu=True, bf16=False, **more,
    )  # fmt: skip
    trainer = GRPOTrainer(model, letters_a, args=settings, train_dataset=questions, processing_class=tokenizer)
    trainer.train()
    entries = [entry for entry in trainer.state.log_history if "loss" in entry]
    norms, shares = ([float(entry[key]) for entry in entries] for key in ("grad_norm", cut))
    print(f"{name}: {norms[0]:.4f} and {norms[1]:.4f}; {shares[0]:.3f} and {shares[1]:.3f}")
    return norms, shares


usual, uncut = two_steps("dapo", "clip_ratio/region_mean")
norms, shares = two_steps("cispo", "cispo_clip_ratio", loss_type="cispo")
right, none = two_steps("cispo, epsilon_high 5", "cispo_clip_ratio", loss_type="cispo", epsilon_high=5.0)
if abs(right[0] - usual[0]) > 0.01 * usual[0] or uncut[0] or none[0]:
    sys.exit("this run shows nothing: the first steps of both losses differ")
if abs(norms[0] - 0.2 * right[0]) > 0.01 * right[0] or shares[0] < 0.2:
    sys.exit("no longer so: the default leaves the ratios whole")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python cispo.py 2> errors | grep -v "^{" || { cat errors; exit 1; }
