#!/usr/bin/env bash
# transformers 5.24.0 with schedulefree 1.4.1, accelerate 1.15.0 and torch 2.13.0, Python 3.11 (seen 2026-11-30).
# The optimizers of schedulefree have two sets of weights: those that gradients are taken at, and an average, which is
# the result; optimizer.eval() puts the average into the network. Trainer, with optim="schedule_free_adamw", calls it
# when it evaluates, and only then. Checkpoints, save_model(), and the network after train() have the other set, unless
# an evaluation came last: so a folder is worse than its eval_loss says, and whether an evaluation stands before
# save_model() decides what is saved. With eval_strategy and save_strategy at the same steps all is right, since
# evaluation comes first; without eval_strategy, as by default, nothing that is saved is the result. No message says so.
# trainer.optimizer.eval() before save_model() mends the last folder, and evaluate() does.
# Output seen (the loss on texts that were not trained on):
#   eval_loss 1.921, of which 1.869 cannot be learned
#   the network after train(): 1.942
#   the last checkpoint: 1.942
#   save_model() after train(): 1.942
#   save_model() after evaluate(): 1.921
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --no-compile \
    transformers==5.24.0 schedulefree==1.4.1 accelerate==1.15.0 torch==2.13.0 numpy==2.3.4
cat > saved.py <<'PYTHON'
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
follows = torch.softmax(2 * torch.randn(32, 32, generator=generator), -1)  # what comes behind each token


def texts(count: int) -> list[dict[str, list[int]]]:
    rows = torch.randint(0, 32, (count, 1), generator=generator)
    while rows.shape[1] < 16:
        rows = torch.cat([rows, torch.multinomial(follows[rows[:, -1]], 1, generator=generator)], 1)
    return [{"input_ids": row, "labels": row} for row in rows.tolist()]


train, held_out = texts(2000), texts(200)
rows = torch.tensor([row["input_ids"] for row in held_out])


@torch.no_grad()
def loss_of(model: torch.nn.Module) -> float:
    return model.eval()(input_ids=rows, labels=rows).loss.item()


torch.manual_seed(0)
shape = {"vocab_size": 32, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1}
model = LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=2))
settings = TrainingArguments(
    "out", optim="schedule_free_adamw", lr_scheduler_type="constant", learning_rate=3e-2, max_steps=400,
    per_device_train_batch_size=4, per_device_eval_batch_size=len(held_out), save_steps=400, report_to=[],
    disable_tqdm=True, use_cpu=True,
)  # fmt: skip
trainer = Trainer(model, settings, train_dataset=train, eval_dataset=held_out)
trainer.train()
found = {"the network after train()": loss_of(model)}
found["the last checkpoint"] = loss_of(LlamaForCausalLM.from_pretrained("out/checkpoint-400"))
trainer.save_model("first")
found["save_model() after train()"] = loss_of(LlamaForCausalLM.from_pretrained("first"))
said = trainer.evaluate()["eval_loss"]
trainer.save_model("second")
found["save_model() after evaluate()"] = loss_of(LlamaForCausalLM.from_pretrained("second"))
least = -follows[rows[:, :-1], rows[:, 1:]].log().mean().item()
print(f"eval_loss {said:.3f}, of which {least:.3f} cannot be learned")
for name, loss in found.items():
    print(f"{name}: {loss:.3f}")
last = found.pop("save_model() after evaluate()")
if abs(last - said) > 1e-4 or any(loss - said < 0.005 for loss in found.values()):
    sys.exit("no longer so")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python saved.py 2> errors | grep -v "^{" || { cat errors; exit 1; }
