#!/usr/bin/env bash
# trl 1.16.0, beside 0.28.0 with transformers 4.57.6, torch 2.13.0, Python 3.11 (seen 2026-11-30; 0.29.0 and 1.0.0 have
# the lines of 1.16.0).
# Where some pairs are labelled the wrong way round, label_smoothing=0.1 of DPOConfig made the loss conservative DPO: a
# tenth of each pair counted as the other way round, so no margin was worth growing for ever. From trl 0.29 on the same
# script, with the default loss_type "sigmoid", trains plain DPO: label_smoothing is taken, checked by nothing, and used
# in "robust", "exo_pair" and "aot" only. No message says so, and the docstring names two losses that do use it. So
# pairs with wrong labels are learned to the end, as all others are, by the script that was to bound them. "robust",
# which still smooths, is another loss, and may fall below zero. Exchanging chosen and rejected in a tenth of the pairs,
# other ones in each epoch, is the old loss on average.
# Output seen (one pair, 200 steps; the probability that chosen is better, which 0.1 holds at 0.9):
#   trl 0.28.0, label_smoothing 0.0: 1.00
#   trl 0.28.0, label_smoothing 0.1: 0.90
#   trl 1.16.0, label_smoothing 0.0: 1.00
#   trl 1.16.0, label_smoothing 0.1: 1.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > smooth.py <<'PYTHON'
import math
import sys

import torch
import trl
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

torch.set_num_threads(1)
disable_progress_bars()
words = ["<|endoftext|>", "<|pad|>", "question", *"abcdefgh"]
backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "<|endoftext|>"))
backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|pad|>")
pairs = [{"prompt": "question", "chosen": " a b c", "rejected": " d e f"}] * 8
shape = {"vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
torch.manual_seed(0)
LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=2, bos_token_id=None, eos_token_id=0)).save_pretrained("base")


def preferred(smoothing: float) -> float:
    """The probability, by DPO's own model of preferences, that the chosen answer is the better one."""
    settings = DPOConfig(
        "out", label_smoothing=smoothing, beta=1.0, per_device_train_batch_size=8, max_steps=200, learning_rate=1e-3,
        logging_steps=200, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True, bf16=False,
        lr_scheduler_type="constant", gradient_checkpointing=False,
    )  # fmt: skip
    model, reference = LlamaForCausalLM.from_pretrained("base"), LlamaForCausalLM.from_pretrained("base")
    data = Dataset.from_list(pairs)
    trainer = DPOTrainer(model, reference, args=settings, train_dataset=data, processing_class=tokenizer)
    trainer.train()
    model.eval()
    start = LlamaForCausalLM.from_pretrained("base").eval()
    answers = [pairs[0]["prompt"] + pairs[0][side] + " <|endoftext|>" for side in ("chosen", "rejected")]
    ids = torch.tensor(tokenizer(answers).input_ids)
    with torch.no_grad():
        moved = [torch.log_softmax(network(ids).logits.double(), -1) for network in (model, start)]
    scores = (moved[0] - moved[1])[:, :-1].gather(-1, ids[:, 1:, None]).sum((1, 2))
    return torch.sigmoid(settings.beta * (scores[0] - scores[1])).item()


smooths = trl.__version__ == "0.28.0"
for smoothing in (0.0, 0.1):
    found = preferred(smoothing)
    print(f"trl {trl.__version__}, label_smoothing {smoothing}: {found:.2f}")
    right = 1 - smoothing if smooths else 1.0
    if not math.isclose(found, right, abs_tol=0.03):
        sys.exit(f"no longer so: {right} was expected")
PYTHON
for pins in "trl==0.28.0 transformers==4.57.6 datasets==5.0.1" "trl==1.16.0 transformers==5.24.0 datasets==5.2.0"; do
    python3 -m venv --clear env
    # shellcheck disable=SC2086
    env/bin/pip install --quiet --no-compile $pins accelerate==1.15.0 torch==2.13.0 numpy==2.3.4
    HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python smooth.py 2> errors | grep "^trl" || { cat errors; exit 1; }
done
