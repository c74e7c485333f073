#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0 and accelerate 1.15.0, Python 3.11 (seen 2026-11-29).
# bf16_full_eval of TrainingArguments (fp16_full_eval, too) is to evaluate in 16 bits. An evaluation within train() does
# not: there the setting does nothing. Trainer.evaluate() outside of train() casts the model itself and never casts it
# back. So whoever evaluates once before training, for a base line, then trains a bfloat16 network with bfloat16 states
# of AdamW and without float32 weights, where most steps of a small learning rate round to nothing; without that
# evaluation the same script trains in float32. No warning is given, and bf16=True changes nothing in it. Casting the
# model back by trainer.model.float() before train() avoids it.
# Output seen (20 steps at a learning rate of 1e-5 and how many of the weights are other numbers afterwards):
#   only train(): float32, states float32, 99.7 % of the weights moved
#   evaluate(), train(): bfloat16, states bfloat16, 14.7 % of the weights moved
#   evaluate(), float(), train(): float32, states float32, 99.7 % of the weights moved
#   evaluate() within train(): float32, states float32, 99.7 % of the weights moved
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 accelerate==1.15.0 numpy==2.3.4
cd "$folder"
cat > train.py <<'PYTHON'
import logging

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

torch.set_num_threads(1)
logging.disable(logging.WARNING)
rows = torch.randint(0, 32, (16, 9), generator=torch.Generator().manual_seed(0))
data = [{"input_ids": row, "labels": row} for row in rows]
shape = {"vocab_size": 32, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
config = LlamaConfig(**shape, num_attention_heads=2, num_key_value_heads=2)
quiet = {"report_to": [], "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True, "use_cpu": True}
steps = {"max_steps": 20, "learning_rate": 1e-5, "lr_scheduler_type": "constant", "per_device_train_batch_size": 4}


def kind(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def train(said: str, before: bool = False, back: bool = False, **within) -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    settings = TrainingArguments("out", bf16_full_eval=True, **steps, **quiet, **within)
    trainer = Trainer(model, settings, train_dataset=data, eval_dataset=data)
    if before:
        trainer.evaluate()
    if back:
        trainer.model.float()
    start = [weight.detach().clone() for weight in model.parameters()]
    trainer.train()
    weights = list(model.parameters())
    moved = sum((new != old).sum().item() for new, old in zip(weights, start)) / sum(map(torch.numel, weights))
    states = kind(next(iter(trainer.optimizer.state.values()))["exp_avg"])
    print(f"{said}: {kind(weights[0])}, states {states}, {100 * moved:.1f} % of the weights moved")


train("only train()")
train("evaluate(), train()", before=True)
train("evaluate(), float(), train()", before=True, back=True)
train("evaluate() within train()", eval_strategy="steps", eval_steps=10)
PYTHON
HF_HUB_OFFLINE=1 "$folder/env/bin/python" train.py 2> errors | grep -v "^{" | tee seen || { cat errors; exit 1; }
float="float32, states float32, 99.[0-9] % of the weights moved"
grep -q "^only train(): $float" seen &&
    grep -q "^evaluate(), train(): bfloat16, states bfloat16, [12][0-9].[0-9] % of the weights moved" seen &&
    grep -q "^evaluate(), float(), train(): $float" seen &&
    grep -q "^evaluate() within train(): $float" seen || { echo "no longer so: the lines above are others"; exit 1; }
