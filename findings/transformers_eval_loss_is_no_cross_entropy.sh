#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0 and accelerate 1.15.0, Python 3.11 (seen 2026-11-30).
# eval_loss of Trainer is the loss that is trained by, with all that was added to it. label_smoothing_factor smooths the
# labels of the evaluation, too, and a network of experts with output_router_logits adds its balance loss, times the
# coefficient. So exp(eval_loss), which the examples call perplexity, is none, and runs with different factors or
# coefficients cannot be compared: here smoothing by 0.1 seems to cost 0.32, ten times what it does, and two networks of
# experts that are equally good seem 0.36 apart. load_best_model_at_end and early stopping go by the same number. Where
# criteria are written by hand, smoothing is in training only. The docstring of the factor says nothing of evaluation.
# Compute the cross-entropy from the logits, in compute_metrics or after the run, and evaluate experts with
# output_router_logits=False.
# Output seen (four epochs over made-up texts; eval_loss, and the cross-entropy of the same texts):
#   llama, smoothing 0: eval_loss 1.601, cross-entropy 1.601
#   llama, smoothing 0.1: eval_loss 1.925, cross-entropy 1.634
#   llama, smoothing 0.2: eval_loss 2.221, cross-entropy 1.684
#   mixtral, no balance loss: eval_loss 1.604, cross-entropy 1.604
#   mixtral, coefficient 0.02: eval_loss 1.646, cross-entropy 1.606
#   mixtral, coefficient 0.2: eval_loss 2.004, cross-entropy 1.604
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet transformers==5.24.0 accelerate==1.15.0 torch==2.13.0 numpy==2.3.4
cat > loss.py <<'PYTHON'
import sys

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM
from transformers import PreTrainedModel, Trainer, TrainingArguments

torch.set_num_threads(1)
torch.manual_seed(3)
followers = torch.randint(0, 32, (32, 4))  # each word is followed by one of four
words = [torch.randint(0, 32, (576,))]
for _ in range(16):
    words.append(followers[words[-1], torch.randint(0, 4, (576,))])
texts = torch.stack(words, 1)
rows = [{"input_ids": text, "labels": text} for text in texts.tolist()]
shape = {"vocab_size": 32, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def show(name: str, made: type[PreTrainedModel], config, smoothing: float = 0.0) -> tuple[float, float]:
    torch.manual_seed(0)
    model = made(config)
    settings = TrainingArguments(
        "out", per_device_train_batch_size=16, per_device_eval_batch_size=16, learning_rate=3e-3, num_train_epochs=4,
        save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True, label_smoothing_factor=smoothing,
    )  # fmt: skip
    trainer = Trainer(model, settings, train_dataset=rows[:512], eval_dataset=rows[512:])
    trainer.train()
    said = trainer.evaluate()["eval_loss"]
    with torch.no_grad():
        logits = model(texts[512:]).logits
    right = cross_entropy(logits[:, :-1].flatten(0, 1), texts[512:, 1:].flatten()).item()
    print(f"{name}: eval_loss {said:.3f}, cross-entropy {right:.3f}")
    return said, right


def experts(name: str, coefficient: float) -> tuple[float, float]:
    more = {"num_key_value_heads": 2, "num_local_experts": 4, "output_router_logits": coefficient > 0}
    return show(name, MixtralForCausalLM, MixtralConfig(**shape, **more, router_aux_loss_coef=coefficient))


plain = [show("llama, smoothing 0", LlamaForCausalLM, LlamaConfig(**shape)), experts("mixtral, no balance loss", 0.0)]
added = [
    *(show(f"llama, smoothing {part}", LlamaForCausalLM, LlamaConfig(**shape), part) for part in (0.1, 0.2)),
    experts("mixtral, coefficient 0.02", 0.02),
    experts("mixtral, coefficient 0.2", 0.2),
]
if any(said < right + 0.02 for said, right in added):
    sys.exit("no longer so: eval_loss is the cross-entropy")
if any(abs(said - right) > 0.001 for said, right in plain):
    sys.exit("no longer so: eval_loss is another number without these, too")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python loss.py > seen 2> errors || { cat seen errors; exit 1; }
grep -v "^{" seen
