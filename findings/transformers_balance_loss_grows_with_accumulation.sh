#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0 and accelerate 1.15.0, Python 3.11 (seen 2026-11-29).
# With gradient_accumulation_steps=N, Trainer leaves it to the network to divide its loss by the tokens of all N batches.
# Mixtral, Qwen3-MoE and OLMoE divide their cross-entropy so, and add the balance loss of their routers undivided in each
# of the N batches: router_aux_loss_coef counts N times. Whoever halves the batch and doubles N, to save memory, trains
# the routers by another loss; with N = 8, 0.02 is 0.16, and the loss in the log is that much higher. Nothing is said.
# Without the balance loss, both ways are the same to the last digits. SFTTrainer of trl 1.16.0 divides both losses.
# Several processes multiply it likewise (issue 48690 of transformers). Dividing router_aux_loss_coef by N mends it.
# Output seen (one step over the same 8 rows; the loss in the log, the norm of the routers' gradient; among others):
#   mixtral, coefficient 0.0, batches 1: 3.479, 0.0043
#   mixtral, coefficient 0.0, batches 8: 3.479, 0.0043
#   mixtral, coefficient 0.02, batches 1: 3.519, 0.0047
#   mixtral, coefficient 0.02, batches 8: 3.799, 0.0172
#   mixtral, coefficient 0.0025, batches 8: 3.519, 0.0047
#   mixtral, coefficient 0.16, batches 1: 3.799, 0.0172
#   qwen3_moe, coefficient 0.02, batches 1: 3.468, 0.0094
#   qwen3_moe, coefficient 0.02, batches 8: 3.749, 0.0388
#   olmoe, coefficient 0.02, batches 1: 3.516, 0.0043
#   olmoe, coefficient 0.02, batches 8: 3.796, 0.0200
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 accelerate==1.15.0 numpy==2.3.4
cd "$folder"
cat > step.py <<'PYTHON'
import logging
import sys

import torch
from transformers import AutoModelForCausalLM, MixtralConfig, OlmoeConfig, Qwen3MoeConfig
from transformers import Trainer, TrainerCallback, TrainingArguments

torch.set_num_threads(1)
logging.disable(logging.WARNING)
row = torch.randint(0, 32, (17,), generator=torch.Generator().manual_seed(0))
data = [{"input_ids": row, "labels": row}] * 8  # equal rows: their balance is the same, together and one by one
shape = {"vocab_size": 32, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
shape |= {"num_key_value_heads": 2, "num_experts_per_tok": 2, "output_router_logits": True}
quiet = {"report_to": [], "save_strategy": "no", "disable_tqdm": True, "use_cpu": True, "max_grad_norm": 0.0}


class Watch(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model, **rest) -> None:
        routers = [weight.grad for name, weight in model.named_parameters() if name.endswith("gate.weight")]
        self.norm = torch.cat([gradient.flatten() for gradient in routers]).norm().item()

    def on_log(self, args, state, control, logs, **rest) -> None:
        self.loss = logs.get("loss", getattr(self, "loss", None))


def step(config, batches: int) -> tuple[float, float]:
    """Loss in the log and norm of the routers' gradient, of one step over all rows in so many batches."""
    torch.manual_seed(0)
    watch, model = Watch(), AutoModelForCausalLM.from_config(config)
    share = {"per_device_train_batch_size": 8 // batches, "gradient_accumulation_steps": batches}
    settings = TrainingArguments("out", max_steps=1, logging_steps=1, **share, **quiet)
    Trainer(model, settings, train_dataset=data, callbacks=[watch]).train()
    return watch.loss, watch.norm


kinds = {MixtralConfig: "num_local_experts", Qwen3MoeConfig: "num_experts", OlmoeConfig: "num_experts"}
for kind, experts in kinds.items():
    seen = {}
    for coefficient, batches in ((0.0, 1), (0.0, 8), (0.02, 1), (0.02, 8), (0.02 / 8, 8), (0.16, 1)):
        config = kind(**shape, **{experts: 4}, router_aux_loss_coef=coefficient)
        loss, norm = seen[coefficient, batches] = step(config, batches)
        print(f"{config.model_type}, coefficient {coefficient}, batches {batches}: {loss:.3f}, {norm:.4f}")
    one, accumulated = seen[0.02, 1], seen[0.02, 8]
    same = [all(abs(x / y - 1) < 1e-3 for x, y in zip(seen[0.0, 1], seen[0.0, 8]))]
    same += [all(abs(x / y - 1) < 1e-3 for x, y in zip(accumulated, seen[0.16, 1]))]
    same += [all(abs(x / y - 1) < 1e-3 for x, y in zip(one, seen[0.02 / 8, 8])), accumulated[0] > one[0] + 0.2]
    if not all(same):
        sys.exit(f"no longer so: {same}")
PYTHON
HF_HUB_OFFLINE=1 "$folder/env/bin/python" step.py 2> errors | grep -v "^{" || { cat errors; exit 1; }
